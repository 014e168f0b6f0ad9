"""Whoever a device downloads from, as bad as one may be, in memory: with a clock that goes on only when somebody waits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from otaru.adapters.clock import SystemClock
from otaru.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    RangeNotSatisfiableError,
    StoppedError,
    UnauthenticatedError,
    UnavailableError,
)

NOON = datetime(2031, 1, 15, 12, tzinfo=UTC)
OPENS = 10_000
"""More connections than any download may take."""


@dataclass
class Time(SystemClock):
    """A clock by hand."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds


@dataclass
class Memory:
    """`ports.partial.Partial` in memory; `cut` leaves what was synced, and rubbish of the rest."""

    data: bytearray = field(default_factory=bytearray)
    synced: int = 0
    longest: int = 0

    def held(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def append(self, offset: int, data: bytes) -> None:
        assert offset <= len(self.data)
        del self.data[offset:]
        self.data += data
        self.longest = max(self.longest, len(self.data))

    def sync(self) -> None:
        self.synced = len(self.data)

    def discard(self) -> None:
        self.data.clear()
        self.synced = 0

    def cut(self) -> None:
        for place in range(self.synced, len(self.data)):
            self.data[place] ^= 0xFF


@dataclass(frozen=True)
class Deed:
    """What a source does on one connection."""

    refuses: str = ""
    """`404`, `503`, `401`, `400`, `416`; empty: it serves."""
    ranges: bool = True
    shifted: int = 0
    """Begins so many bytes elsewhere than it says."""
    lies_first: int = 0
    """Says that it begins so many bytes elsewhere."""
    total: int | None = 0
    """None: it does not say how long it is; else that much more than it is."""
    other: bool = False
    """Its bytes are others."""
    cut: int | None = None
    """Breaks the connection after so many bytes."""
    longer: int = 0
    """Bytes after the end."""
    per_s: float = 1e9
    piece: int = 64 * 1024
    tag: str = '"t"'


class Source:
    """One address: what it does on each of its connections, the last one for ever."""

    def __init__(self, content: bytes, deeds: list[Deed]) -> None:
        self.content = content
        self.deeds = deeds
        self.opened = 0

    def deed(self) -> Deed:
        found = self.deeds[min(self.opened, len(self.deeds) - 1)]
        self.opened += 1
        return found


class MemoryDownload:
    """`ports.link.Download`."""

    def __init__(self, deed: Deed, content: bytes, first: int, time: Time, count: Callable[[int], None]) -> None:
        size = len(content)
        start = first if deed.ranges else 0
        self.first = max(0, start + deed.lies_first)
        self.total = None if deed.total is None else size + deed.total
        self.tag = deed.tag
        self.closed = False
        self._count = count
        self._time = time
        self._deed = deed
        data = bytes(b ^ 0x55 for b in content) if deed.other else content
        data = data[max(0, start + deed.shifted) :] + b"x" * deed.longer
        self._ends_well = deed.cut is None or deed.cut >= len(data)
        self._pieces = self._cut_up(data if deed.cut is None else data[: deed.cut])

    def _cut_up(self, data: bytes) -> Iterator[bytes]:
        for place in range(0, len(data), self._deed.piece):
            yield data[place : place + self._deed.piece]

    def read(self) -> bytes:
        if self.closed:
            raise StoppedError("it was closed")
        piece = next(self._pieces, b"")
        if not piece and not self._ends_well:
            raise UnavailableError("the connection broke")
        self._time.seconds += len(piece) / self._deed.per_s
        self._count(len(piece))
        return piece

    def close(self) -> None:
        self.closed = True


class Sources:
    """`ports.link.Shelf` over several addresses."""

    def __init__(self, time: Time, **by_address: Source) -> None:
        self.time = time
        self.by_address = by_address
        self.asked: list[tuple[str, int, str]] = []
        self.bytes = 0
        self.downloads: list[MemoryDownload] = []

    def open(self, address: str, first: int = 0, tag: str = "") -> MemoryDownload:
        self.asked.append((address, first, tag))
        assert len(self.asked) < OPENS, "it never ends"
        self.time.seconds += 0.05
        source = self.by_address[address]
        deed = source.deed()
        match deed.refuses:
            case "404":
                raise NotFoundError("404")
            case "503":
                raise OverloadedError("503", retry_after_s=7)
            case "401":
                raise UnauthenticatedError("401")
            case "400":
                raise InvalidInputError("400")
            case "416":
                raise RangeNotSatisfiableError("416", size=len(source.content))
            case "down":
                raise UnavailableError("down")
        if tag and tag != deed.tag:  # If-Range does not hold
            deed = Deed(**{**deed.__dict__, "ranges": False})
        found = MemoryDownload(deed, source.content, first, self.time, self._count)
        self.downloads.append(found)
        return found

    def _count(self, size: int) -> None:
        self.bytes += size
