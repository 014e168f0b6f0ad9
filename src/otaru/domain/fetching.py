"""How a device goes about a download: from whom, how often, how fast. Rules only; `services.edge.fetch` follows them.

Nothing here can go on for ever: an address that gave nothing is asked more and more rarely, one that lied is asked no more,
and a file whose bytes turned out to be others is fetched once more, from one address alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.schedule import Window
from otaru.errors import InvalidInputError

GAIN = 16 * 1024
"""Bytes that an attempt has to bring to count as one that got on."""
MAX_BARREN = 30
"""Attempts in a row that brought less, after which nobody is asked any more."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after the attempts that failed: twice as long each time, up to a ceiling, a part of it by lot."""

    first: timedelta = timedelta(seconds=2)
    ceiling: timedelta = timedelta(minutes=10)

    def after(self, failures: int, lot: float, asked: timedelta | None = None) -> timedelta:
        """How long to wait after so many failures in a row (from 1 on). `lot` lies in [0, 1).

        Half of it is fixed and half by lot, so that a fleet that lost its server does not come back at once. Who was asked
        to wait longer (Retry-After) waits that long, and its lot on top.
        """
        doublings = min(max(failures, 1) - 1, 32)
        span = min(self.first * (1 << doublings), self.ceiling)
        mine = span / 2 + span / 2 * lot
        return mine if asked is None else max(mine, asked + span / 2 * lot)


@dataclass(frozen=True, slots=True)
class Limit:
    """How fast downloads may be while a window is open; 0 is not at all."""

    window: Window
    bytes_per_s: int


def check_limits(limits: Sequence[Limit]) -> None:
    """Check limits as a person wrote them.

    Raises:
        InvalidInputError: one is negative.
    """
    if any(limit.bytes_per_s < 0 for limit in limits):
        raise InvalidInputError("a limit is a number of bytes a second, or 0 for no downloads at all")


def limit_at(limits: Sequence[Limit], now: datetime, zone: str) -> tuple[int | None, datetime | None]:
    """How fast downloads may be now (None: as fast as they are), and until when that holds where it is a limit.

    Of several windows that are open the strictest counts. `zone` is where the device is.
    """
    strictest: tuple[int, datetime] | None = None
    for limit in limits:
        closes = limit.window.within(zone, "UTC").closes_at(now)
        if closes is not None and (strictest is None or limit.bytes_per_s < strictest[0]):
            strictest = (limit.bytes_per_s, closes)
    return (None, None) if strictest is None else strictest


UNKNOWN = ""
"""Of bytes that were here before: whoever they are of, or a power cut made of them."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask, in their order, and what came of it."""

    addresses: tuple[str, ...]
    """Those that may still be asked; the last one is the server's own."""
    at: int = 0
    barren: int = 0
    """Attempts in a row that did not get on."""
    used: frozenset[str] = frozenset()
    """Whose bytes are in what has come."""
    alone: bool = False
    """The bytes of several were others than were signed: now one alone is asked, the server's own."""

    @property
    def address(self) -> str | None:
        """Whom to ask now; None: nobody is left, or all have been asked in vain too often."""
        if not self.addresses or self.barren >= MAX_BARREN:
            return None
        return self.addresses[min(self.at, len(self.addresses) - 1)]

    @property
    def is_last(self) -> bool:
        """Whether the one that is asked is the last that is left: the server itself, unless it was dropped."""
        return self.at == len(self.addresses) - 1

    @property
    def round_over(self) -> bool:
        """Whether all were asked: time to wait."""
        return self.at >= len(self.addresses)

    def rested(self) -> "Sources":
        """After a wait: from the first again."""
        return replace(self, at=0)

    def holding(self) -> "Sources":
        """Bytes are here already, and nobody knows any more whose they are."""
        return replace(self, used=self.used | {UNKNOWN})

    def gave(self, size: int) -> "Sources":
        """The one that is asked gave so many new bytes, and then no more."""
        return replace(self._used(size), at=self.at + 1, barren=0 if size >= GAIN else self.barren + 1)

    def without(self, size: int = 0) -> "Sources":
        """The one that is asked has not got it, or lies: it is asked no more, after so many new bytes."""
        left = self.addresses[: self.at] + self.addresses[self.at + 1 :]
        return replace(self._used(size), addresses=left)

    def wrong(self) -> "Sources":
        """All bytes came, and they are others than were signed: begin anew, if there is anybody left to be believed.

        Where they were of one address, the others are asked; where of several, nobody knows whose fault it was.
        """
        if self.alone or not self.addresses:
            return replace(self, addresses=())
        if len(self.used) == 1 and UNKNOWN not in self.used:
            left = tuple(address for address in self.addresses if address not in self.used)
            return Sources(left, barren=self.barren)
        return Sources(self.addresses[-1:], barren=self.barren, alone=True)

    def _used(self, size: int) -> "Sources":
        return replace(self, used=self.used | {self.addresses[self.at]}) if size else self
