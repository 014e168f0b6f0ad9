"""Intel HEX (Intel, 1988), and the sections of Universal Hex that micro:bit adds for several boards in one file."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader

FIRST_LINE = re.compile(rb":(?:[0-9A-Fa-f]{2}){5,260}\r?\n")
_LONGEST = 2 * 260 + 2
_LARGEST = 256 << 20
_MOST_BOARDS = 64
_DATA, _END, _SEGMENT, _START_SEGMENT, _LINEAR, _START_LINEAR = range(6)
_BOARD, _CUSTOM, _OTHER = 0x0A, 0x0D, 0x0E
_LENGTHS = {_END: 0, _SEGMENT: 2, _START_SEGMENT: 4, _LINEAR: 2, _START_LINEAR: 4}


@dataclass(slots=True)
class _Range:
    """Bytes that follow each other, in the file and in memory."""

    board: str
    start: int
    end: int
    running: "hashlib._Hash" = field(default_factory=hashlib.sha256)


@dataclass(slots=True)
class _Heard:
    """What the records so far came to."""

    ranges: list[_Range] = field(default_factory=list)
    boards: dict[str, None] = field(default_factory=dict)
    board: str = ""
    base: int = 0
    ended: bool = False


def read(reader: Reader, _anchors: Anchors) -> Facts:
    """Read a file.

    Raises:
        BrokenImageError: a record is broken, ranges overlap, or the end is missing.
    """
    if reader.size > _LARGEST:
        raise BrokenImageError(f"it is larger than {_LARGEST} bytes, which no hex file is")
    heard = _Heard()
    for line in _lines(reader):
        _hear(reader, heard, *_record(line))
    if not heard.ended:
        raise BrokenImageError("it has no end")
    _apart(heard.ranges)
    return Facts(
        Format.INTEL_HEX,
        format_version="universal" if heard.boards else None,
        hardware=tuple(heard.boards),
        payloads=tuple(
            Payload(f"0x{one.start:08x}", one.end - one.start, one.running.hexdigest(), one.board)
            for one in heard.ranges
        ),
    )


def _hear(reader: Reader, heard: _Heard, kind: int, address: int, data: bytes) -> None:
    if heard.ended:
        raise BrokenImageError("there are records behind the end")
    if kind in {_DATA, _CUSTOM}:
        _add(reader, heard, heard.base + address, data)
    elif kind == _END:
        heard.ended = True
    elif kind == _SEGMENT:
        heard.base = int.from_bytes(data) << 4
    elif kind == _LINEAR:
        heard.base = int.from_bytes(data) << 16
    elif kind == _BOARD:
        heard.board, heard.base = f"board 0x{int.from_bytes(data[:2]):04x}", 0
        heard.boards[heard.board] = None
        if len(heard.boards) > _MOST_BOARDS:
            raise BrokenImageError(f"it is for more than {_MOST_BOARDS} boards")


def _lines(reader: Reader) -> Iterator[bytes]:
    rest = b""
    for piece in reader.blocks(0, reader.size, "the records"):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (stripped for line in lines if (stripped := line.strip()))
        if len(rest) > _LONGEST:
            raise BrokenImageError("a record is too long")
    if rest.strip():
        yield rest.strip()


def _record(line: bytes) -> tuple[int, int, bytes]:
    """A record's kind, address and data."""
    if line[:1] != b":" or len(line) > _LONGEST:
        raise BrokenImageError(f"there is no record at {line[:20]!r}")
    try:
        raw = bytes.fromhex(line[1:].decode("ascii"))
    except ValueError:
        raise BrokenImageError(f"there is no record at {line[:20]!r}") from None
    if len(raw) < 5 or len(raw) != raw[0] + 5 or sum(raw) & 0xFF:
        raise BrokenImageError(f"the record {line[:20]!r} has a wrong length or checksum")
    kind = raw[3]
    if kind > _START_LINEAR and not _BOARD <= kind <= _OTHER:
        raise BrokenImageError(f"there is no kind of record {kind}")
    if _LENGTHS.get(kind, raw[0]) != raw[0] or (kind == _BOARD and raw[0] < 2):
        raise BrokenImageError(f"the record {line[:20]!r} has a wrong length for its kind")
    return kind, int.from_bytes(raw[1:3]), raw[4:-1]


def _add(reader: Reader, heard: _Heard, address: int, data: bytes) -> None:
    if address + len(data) > 1 << 32:
        raise BrokenImageError("a record ends beyond the last address")
    if not data:
        return
    last = heard.ranges[-1] if heard.ranges else None
    if last is None or last.end != address or last.board != heard.board:
        reader.count("ranges")
        last = _Range(heard.board, address, address)
        heard.ranges.append(last)
    last.running.update(data)
    last.end += len(data)


def _apart(ranges: list[_Range]) -> None:
    placed = sorted(ranges, key=lambda one: (one.board, one.start))
    for one, other in pairwise(placed):
        if one.board == other.board and other.start < one.end:
            raise BrokenImageError(f"two records write to 0x{other.start:08x}")
