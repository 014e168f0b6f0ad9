"""Images without signatures, as the tools of their formats make them."""

import hashlib
import random
from pathlib import Path

from otaru.images.facts import Format
from tests.support.images import look
from tests.support.tools import run

PROGRAM = random.Random(2).randbytes(9_000)


def test_uf2_by_esptool(tmp_path: Path) -> None:
    (tmp_path / "app.bin").write_bytes(PROGRAM)
    run(
        "esptool",
        "--chip",
        "esp32s3",
        "merge-bin",
        "--format",
        "uf2",
        "-o",
        "app.uf2",
        "0x10000",
        "app.bin",
        cwd=tmp_path,
    )
    found = look((tmp_path / "app.uf2").read_bytes())
    assert (found.format, found.hardware) == (Format.UF2, ("ESP32-S3",))
    assert found.payloads[0].name == "0x00010000"
    assert (found.payloads[0].size or 0) >= len(PROGRAM)


def test_intel_hex_by_objcopy(tmp_path: Path) -> None:
    (tmp_path / "app.bin").write_bytes(PROGRAM)
    run("objcopy", "-I", "binary", "-O", "ihex", "--change-addresses", "0x08000000", "app.bin", "app.hex", cwd=tmp_path)
    found = look((tmp_path / "app.hex").read_bytes())
    (part,) = found.payloads
    assert (found.format, part.name, part.size) == (Format.INTEL_HEX, "0x08000000", len(PROGRAM))
    assert part.sha256 == hashlib.sha256(PROGRAM).hexdigest()


def test_elf_by_gcc(tmp_path: Path) -> None:
    (tmp_path / "app.c").write_text("int main(void) { return 0; }\n")
    run("gcc", "-Wl,--build-id=0x0123456789abcdef", "-o", "app", "app.c", cwd=tmp_path)
    found = look((tmp_path / "app").read_bytes())
    assert found.format is Format.ELF
    assert found.provides == ("build-id 0123456789abcdef",)
