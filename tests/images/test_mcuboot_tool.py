"""Images as MCUboot's imgtool makes them."""

import hashlib
from pathlib import Path

import pytest

from otaru.images.facts import Format, Verdict
from otaru.images.keys import anchors
from otaru.images.reading import BrokenImageError
from tests.support.images import look
from tests.support.tools import run

PROGRAM = bytes(range(256)) * 20
KINDS = {"ecdsa-p256": "ECDSA secp256r1", "ecdsa-p384": "ECDSA secp384r1", "rsa-2048": "RSA-2048 PSS", "rsa-3072": "RSA-3072 PSS",
         "ed25519": "Ed25519"}  # fmt: skip


def made(folder: Path, kind: str, *options: str) -> tuple[bytes, bytes]:
    (folder / "app.bin").write_bytes(PROGRAM)
    run("imgtool", "keygen", "-k", "key.pem", "-t", kind, cwd=folder)
    run("imgtool", "getpub", "-k", "key.pem", "-e", "pem", "-o", "public.pem", cwd=folder)
    run("imgtool", "sign", "-k", "key.pem", "--header-size", "0x200", "--pad-header", "--align", "4", "-S", "0x20000",
        "--version", "1.2.3+4", "-s", "7", "-d", "(1, 1.0.5+0)", *options, "app.bin", "made.bin", cwd=folder)  # fmt: skip
    return (folder / "made.bin").read_bytes(), (folder / "public.pem").read_bytes()


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("options", [(), ("--public-key-format", "full"), ("--pad",)], ids=str)
def test_imgtool(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    image, public = made(tmp_path, kind, *options)
    found = look(image, {Format.MCUBOOT: anchors([public])})
    assert (found.version, found.security_counter, found.requires) == ("1.2.3+4", 7, ("image 1>=1.0.5",))
    assert found.payloads[0].sha256 == hashlib.sha256(PROGRAM).hexdigest()
    assert (found.verdict, found.signatures[0].kind) == (Verdict.VALID, KINDS[kind])
    assert look(image).verdict is Verdict.UNKNOWN


def test_ed25519_over_a_longer_hash(tmp_path: Path) -> None:
    image, public = made(tmp_path, "ed25519", "--sha", "512")
    trust = {Format.MCUBOOT: anchors([public])}
    assert look(image, trust).verdict is Verdict.VALID
    with pytest.raises(BrokenImageError, match="sha512"):
        look(image[:1000] + b"!" + image[1001:], trust)


def test_ed25519_over_the_image_itself(tmp_path: Path) -> None:
    image, public = made(tmp_path, "ed25519", "--pure")
    trust = {Format.MCUBOOT: anchors([public])}
    assert look(image, trust).verdict is Verdict.VALID
    with pytest.raises(BrokenImageError, match="sha512"):
        look(image[:1000] + b"!" + image[1001:], trust)
    # imgtool's own names for whom it is for
    image, _ = made(tmp_path, "ed25519", "--vid", "example.com", "--cid", "gateway")
    assert [word.split()[0] for word in look(image).hardware] == ["vendor", "class"]
