"""Images as Espressif's esptool and espsecure make them (programs of their own: they are GPL)."""

import hashlib
import struct
from pathlib import Path

import pytest

from otaru.images.facts import Format, Verdict
from otaru.images.keys import anchors
from tests.support.images import look
from tests.support.tools import run

PROGRAM = bytes(range(256)) * 8


def elf() -> bytes:
    """A RISC-V program: the application's descriptor in read-only flash, code in executable flash."""
    described = struct.pack("<II8s32s32s16s16s32s32s", 0xABCD5432, 3, b"", b"v2.0", b"sensor", b"", b"", b"v5.4", b"")
    parts = [(0x3C000020, described.ljust(256, b"\0"), 4), (0x42010020, PROGRAM, 5)]
    heads, body, at = b"", b"", 52 + 32 * len(parts)
    for address, data, flags in parts:
        heads += struct.pack("<IIIIIIII", 1, at + len(body), address, address, len(data), len(data), flags, 4)
        body += data
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    names = b"\0.flash.appdesc\0.flash.text\0.shstrtab\0"
    sections, offset = bytes(40), at
    for name, (address, data, flags) in zip((1, 16), parts, strict=True):
        kind = 2 if flags == 4 else 6
        sections += struct.pack("<IIIIIIIIII", name, 1, kind, address, offset, len(data), 0, 0, 4, 0)
        offset += len(data)
    sections += struct.pack("<IIIIIIIIII", 28, 3, 0, 0, offset, len(names), 0, 0, 1, 0)
    end = offset + len(names)
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, 0x42010020, 52, end, 0, 52, 32, len(parts), 40, 4, 3)
    return head + heads + body + names + sections


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "app.elf").write_bytes(elf())
    run("esptool", "--chip", "esp32c3", "elf2image", "--min-rev-full", "3", "-o", "app.bin", "app.elf", cwd=tmp_path)
    return tmp_path / "app.bin"


def test_esptool(image: Path) -> None:
    found = look(image.read_bytes())
    assert (found.format, found.product, found.version, found.hardware) == (
        Format.ESP_IDF,
        "sensor",
        "v2.0",
        ("ESP32-C3",),
    )
    assert (found.security_counter, found.requires) == (3, ("chip revision>=0.3",))
    assert hashlib.sha256(PROGRAM).hexdigest() in {part.sha256 for part in found.payloads}
    assert found.digest is not None
    assert found.verdict is Verdict.NONE


@pytest.mark.parametrize(("scheme", "kind"), [("rsa3072", "RSA-3072 PSS"), ("ecdsa256", "ECDSA secp256r1")])
def test_espsecure(image: Path, scheme: str, kind: str) -> None:
    folder = image.parent
    run("espsecure", "generate-signing-key", "--version", "2", "--scheme", scheme, "key.pem", cwd=folder)
    run("espsecure", "sign-data", "--version", "2", "--keyfile", "key.pem", "--output", "signed.bin", image, cwd=folder)
    public = run("openssl", "pkey", "-in", folder / "key.pem", "-pubout")
    data = (folder / "signed.bin").read_bytes()
    found = look(data, {Format.ESP_IDF: anchors([public])})
    assert (found.verdict, found.signatures[0].kind) == (Verdict.VALID, f"{kind}, Secure Boot v2")
    assert look(data).verdict is Verdict.UNKNOWN
    data = data[:-4097] + b"!" + data[-4096:]  # in the padding: covered by the signature, not by the image's own hash
    assert look(data, {Format.ESP_IDF: anchors([public])}).verdict is Verdict.BROKEN
