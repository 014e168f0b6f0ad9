"""Bundles as RAUC's own tool makes them."""

import contextlib
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from otaru.images import squashfs
from otaru.images.facts import Format, Verdict
from otaru.images.keys import anchors
from otaru.images.reading import BrokenImageError, Reader
from tests.support.images import Watched, look
from tests.support.swu import Signer
from tests.support.tools import run

Make = Callable[[str], bytes]
IMAGE = random.Random(1).randbytes(130_000)  # a bundle that shrinks to one block is too small for RAUC
MANIFEST = """[update]
compatible=gateway
version=2026.11-1

[bundle]
format={form}

[image.rootfs]
filename=rootfs.img
"""


@pytest.fixture
def made(tmp_path: Path, signer: Signer) -> Make:
    def make(form: str) -> bytes:
        content = tmp_path / form
        content.mkdir()
        (content / "rootfs.img").write_bytes(IMAGE)
        (content / "manifest.raucm").write_text(MANIFEST.format(form=form))
        bundle = tmp_path / f"{form}.raucb"
        run("rauc", "bundle", "--cert", signer.certificate, "--key", signer.key, content, bundle)
        return bundle.read_bytes()

    return make


@pytest.mark.parametrize("form", ["plain", "verity", "crypt"])
def test_a_bundle(made: Make, signer: Signer, form: str) -> None:
    bundle = made(form)
    found = look(bundle, {Format.RAUC: anchors([signer.certificate.read_bytes()])})
    assert (found.format, found.format_version, found.version) == (Format.RAUC, form, "2026.11-1")
    assert found.hardware == ("gateway",)
    assert found.verdict is Verdict.VALID
    assert found.signatures[0].signer == "CN=signer,O=Otaru tests"
    image = found.payloads[-1]
    assert (image.name, image.sha256, image.size) == ("rootfs.img", hashlib.sha256(IMAGE).hexdigest(), len(IMAGE))
    assert found.production == (form != "plain")
    assert look(bundle).verdict is Verdict.UNKNOWN


def test_a_changed_plain_bundle_is_broken_and_a_changed_verity_bundle_refused(made: Make, signer: Signer) -> None:
    trust = {Format.RAUC: anchors([signer.certificate.read_bytes()])}
    plain, verity = bytearray(made("plain")), bytearray(made("verity"))
    plain[8] ^= 1  # the time it was made: nothing but the signature notices
    assert look(bytes(plain), trust).verdict is Verdict.BROKEN
    verity[8] ^= 1
    with pytest.raises(BrokenImageError, match="verity root"):
        look(bytes(verity), trust)


def test_a_bundle_encrypted_for_devices_shows_nothing(made: Make, signer: Signer, tmp_path: Path) -> None:
    made("crypt")
    out = tmp_path / "secret.raucb"
    run("rauc", "encrypt", "--keyring", signer.certificate, "--to", signer.certificate, tmp_path / "crypt.raucb", out)
    found = look(out.read_bytes())
    assert (found.format, found.verdict, found.version) == (Format.RAUC, Verdict.UNKNOWN, None)


@pytest.mark.parametrize(
    "options", ["-comp gzip", "-comp xz", "-comp gzip -no-fragments", "-comp gzip -noI -noD -noF", "-comp lz4"]
)
def test_the_manifest_is_found_in_every_kind_of_squashfs(tmp_path: Path, options: str) -> None:
    folder = tmp_path / "content"
    folder.mkdir()
    for index in range(600):  # more than one block of folder and of inodes
        (folder / f"file{index}").write_bytes(bytes([index % 256]) * (index % 7))
    manifest = MANIFEST.format(form="plain").encode() + b"# " + b"long" * 60_000
    (folder / "manifest.raucm").write_bytes(manifest)
    run("mksquashfs", folder, tmp_path / "made", *options.split())
    data = (tmp_path / "made").read_bytes()
    reader = Reader(Watched(data))
    if "lz4" in options:
        with pytest.raises(squashfs.UnknownCompressionError):
            squashfs.file(reader, "manifest.raucm", 1 << 20)
        return
    assert squashfs.file(reader, "manifest.raucm", 1 << 20) == manifest
    assert squashfs.file(reader, "file599", 1 << 20) == bytes([599 % 256]) * (599 % 7)
    with pytest.raises(BrokenImageError, match="holds no"):
        squashfs.file(reader, "file6000", 1 << 20)
    with pytest.raises(BrokenImageError, match="larger than"):
        squashfs.file(reader, "manifest.raucm", 1000)


def test_a_changed_squashfs_is_refused_or_read_and_nothing_else(made: Make) -> None:
    plain = made("plain")
    chance = random.Random(3)
    tables = range(len(plain) - 6000, len(plain) - 1400)
    for at in (*range(96), *chance.sample(tables, 300)):
        data = bytearray(plain)
        data[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), chance.randbytes(4)])
        with contextlib.suppress(BrokenImageError):
            assert look(bytes(data)).verdict is not Verdict.VALID
