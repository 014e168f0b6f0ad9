"""Real firmware for the demo: fetched by pip, pinned by hash, kept in the demo's folder."""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from otaru.errors import UnavailableError

PRODUCT = "greatfet-usb"
MODEL = "greatfet-one"
REVISIONS = ("r0", "r1", "r2")
MEMBER = "greatfet/assets/greatfet_usb.bin"
MAX_IMAGE = 1024 * 1024
"""The flash of the board."""
PIP_S = 300.0

_LINE = re.compile(r"(?P<name>[a-z]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Image:
    """One version of the firmware."""

    version: str
    content: bytes


def images(folder: Path) -> list[Image]:
    """The versions that `firmware.txt` pins, oldest first; fetched where `folder` does not hold them yet.

    Raises:
        UnavailableError: pip cannot fetch them; it says what to do.
    """
    pins = resources.files(__package__).joinpath("firmware.txt").read_text(encoding="utf-8")
    return [_image(found, folder) for line in pins.splitlines() if (found := _LINE.fullmatch(line))]


def _image(pin: re.Match[str], folder: Path) -> Image:
    wheel = folder / f"{pin['name']}-{pin['version']}-py3-none-any.whl"
    if not _is(wheel, pin["sha256"]):
        _fetch(pin, wheel)
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as image:
        return Image(pin["version"], image.read(MAX_IMAGE))


def _is(wheel: Path, sha256: str) -> bool:
    return wheel.is_file() and hashlib.sha256(wheel.read_bytes()).hexdigest() == sha256


def _fetch(pin: re.Match[str], wheel: Path) -> None:
    wheel.unlink(missing_ok=True)  # not the bytes we pinned
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "firmware.txt"
        wanted.write_text(pin[0] + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--retries", "2", "--require-hashes", "-r", str(wanted)]
        try:
            subprocess.run(  # noqa: S603 - our own interpreter and words
                [*command, "-d", str(wheel.parent)], check=True, capture_output=True, text=True, timeout=PIP_S
            )
        except subprocess.CalledProcessError as error:
            raise _unavailable(pin, wheel, _last_words(error.stderr)) from None
        except subprocess.TimeoutExpired:
            raise _unavailable(pin, wheel, f"no answer within {PIP_S:.0f} s") from None
    if not _is(wheel, pin["sha256"]):
        raise _unavailable(pin, wheel, "it fetched another file")


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it says nothing"])[-1].removeprefix("ERROR: ")


def _unavailable(pin: re.Match[str], wheel: Path, why: str) -> UnavailableError:
    return UnavailableError(
        f"pip cannot fetch the firmware {pin['name']} {pin['version']}: {why}",
        hint=f"The demo needs the network once, or {wheel.name} in {wheel.parent}. It shows real firmware or nothing.",
    )
