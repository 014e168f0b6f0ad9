"""Small text files that people name on the command line."""

from pathlib import Path

from otaru.errors import InvalidInputError

MOST = 1 << 20
"""Bytes of one."""


def text(file: Path) -> str:
    """What a file says.

    Raises:
        InvalidInputError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST + 1)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None
    if len(raw) > MOST:
        raise InvalidInputError(f"{file} is larger than {MOST} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file} is no text in UTF-8") from None


def write(file: Path, said: str) -> None:
    """Write a text file, over one that is there.

    Raises:
        InvalidInputError: it cannot be written.
    """
    try:
        file.write_text(said)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be written: {error.strerror}") from None
