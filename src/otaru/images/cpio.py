"""cpio archives in the "new ASCII" form (magic 070701) and the same with sums (070702), as SWUpdate takes them.

A member is 110 bytes of header (13 numbers of 8 hex digits), its name with a NUL, its data, both filled up to 4 bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from otaru.images.reading import BrokenImageError, Reader

MAGICS = (b"070701", b"070702")
_HEADER = 110
_NUMBERS = re.compile(rb"[0-9A-Fa-f]{104}")
_TYPE, _FILE = 0o170000, 0o100000


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive; `sum` is the sum of its bytes modulo 2^32 where the archive states it."""

    name: str
    offset: int
    size: int
    sum: int | None


def first_name(start: bytes) -> bytes:
    """The first member's name, by an archive's first bytes."""
    return start[_HEADER:].partition(b"\0")[0].removeprefix(b"./")


def members(reader: Reader) -> Iterator[Member]:
    """The files of an archive, in their order.

    Raises:
        BrokenImageError: it is not cpio, holds something else than files, has no end, or a name that leads elsewhere.
    """
    at = 0
    while True:
        what = f"the cpio header at {at}"
        header = reader.head(at, _HEADER, what)
        if header[:6] not in MAGICS or not _NUMBERS.fullmatch(header[6:]):
            raise BrokenImageError(f"{what} is none")
        numbers = [int(header[start : start + 8], 16) for start in range(6, _HEADER, 8)]
        mode, size, length, total = numbers[1], numbers[6], numbers[11], numbers[12]
        if not 2 <= length <= reader.limits.name + 1:
            raise BrokenImageError(f"{what} has a name of {length} bytes")
        name = reader.head(at + _HEADER, length, what)
        if name[-1]:
            raise BrokenImageError(f"{what} has a name without an end")
        if name == b"TRAILER!!!\x00":
            return
        reader.count("members")
        shown = reader.name(name[:-1], what)
        if mode & _TYPE not in {0, _FILE}:
            raise BrokenImageError(f"{shown} is not a plain file")
        start = _filled(at + _HEADER + length)
        if start + size > reader.size:
            raise BrokenImageError(f"the file ends within {shown}")
        yield Member(shown, start, size, total if header[:6] == MAGICS[1] else None)
        at = _filled(start + size)


def _filled(offset: int) -> int:
    return (offset + 3) & ~3
