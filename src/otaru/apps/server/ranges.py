"""Which parts of a file a Range header asks for (RFC 9110, section 14), and how several of them are sent (14.6).

Several parts are what clients ask for that have most of a file already: SWUpdate's delta handler, zckdl, casync over HTTP.
Who asks for so many that it is an attack (RFC 9110, 17.15), or for the same bytes twice, gets the whole file.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from otaru.errors import RangeNotSatisfiableError

MAX_PARTS = 1024
"""Of one request. SWUpdate asks for 150 at most unless it is told to, zckdl for 256."""
_RANGE = re.compile(rb"([0-9]{0,64})-([0-9]{0,64})")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """From `start` up to, and not with, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Of its bytes."""
        return self.end - self.start


def parse_range(value: bytes, size: int) -> tuple[Part, ...] | None:
    """The parts of a file of `size` bytes that a Range header asks for, in its order; None where it is to be ignored.

    Raises:
        RangeNotSatisfiableError: it asks for parts, and none holds a byte of the file.
    """
    unit, equals, texts = value.strip(b" \t").partition(b"=")
    if unit.lower() != b"bytes" or not equals:
        return None
    specs = texts.split(b",", MAX_PARTS)
    if len(specs) > MAX_PARTS:
        return None
    parts = []
    for spec in specs:
        found = _RANGE.fullmatch(spec.strip(b" \t") if len(specs) > 1 else spec)
        part = None if found is None else _part(found[1], found[2], size)
        if part is None:
            return None
        if part.size > 0:
            parts.append(part)
    if not parts:
        raise RangeNotSatisfiableError(f"the file has {size} bytes; that range holds none of them", size=size)
    rising = sorted(parts)
    if any(one.end > other.start for one, other in pairwise(rising)):
        return None
    return tuple(parts)


def _part(first: bytes, last: bytes, size: int) -> Part | None:
    """What stands between two commas; None where it is no range; empty where it holds nothing of the file."""
    if not first:
        return Part(max(0, size - int(last)), size) if last else None
    start, end = int(first), size
    if last:
        if int(last) < start:
            return None
        end = min(size, int(last) + 1)
    return Part(start, max(start, end))


@dataclass(frozen=True, slots=True)
class Multipart:
    """A body of several parts: `multipart/byteranges`."""

    parts: Sequence[Part]
    size: int
    """Of the whole file."""
    boundary: bytes
    """Must not stand in the file: its own digest does not."""

    @property
    def content_type(self) -> bytes:
        """The header that names the boundary."""
        return b"multipart/byteranges; boundary=" + self.boundary

    @property
    def length(self) -> int:
        """Of the body."""
        return sum(len(head) + part.size for head, part in self.pieces()) + len(self.end)

    @property
    def end(self) -> bytes:
        """After the last part."""
        return b"\r\n--%b--\r\n" % self.boundary

    def pieces(self) -> Iterator[tuple[bytes, Part]]:
        """What stands before each part, and the part."""
        for part in self.parts:
            about = b"bytes %d-%d/%d" % (part.start, part.end - 1, self.size)
            kind = b"application/octet-stream"
            head = b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n" % (self.boundary, kind, about)
            yield head, part
