"""Alerts: somebody is told when so many devices are as a query says: low on battery, not heard of, in a crash loop.

An alert is raised when the devices that match reach its threshold and closed when they fall below it: each once, however
often it is looked. The query is a target, so all that can be targeted can be watched: `telemetry.battery<20`,
`last_contact<-PT2H`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.errors import InvalidInputError

MAX_ALERTS = 200
"""Of a tenant."""
MAX_MAIL = 10
"""Who is written to."""
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?", re.ASCII
)
"""What HTML takes for an address (WHATWG), which is what mail servers take: no comments, quotes or line ends."""


@dataclass(frozen=True, slots=True)
class Found:
    """How many devices match, of how many."""

    devices: int
    of: int

    @property
    def share(self) -> float:
        """The part of them that matches."""
        return self.devices / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, and how it stands."""

    name: str
    when: str
    """The target whose devices are counted."""
    of: str
    """The target that they are a share of; empty: all devices."""
    count: int
    """Raised where so many match …"""
    share: float
    """… and such a part of those that they are of."""
    mail: tuple[str, ...]
    created_at: datetime
    raised_at: datetime | None = None
    """Since when it is raised; None: it is not."""
    changed_at: datetime | None = None
    """When it was raised or closed last."""
    looked_at: datetime | None = None
    found: Found = Found(0, 0)
    """As it was last looked."""
    untold: bool = False
    """Whether people are still to be written to of the last change."""
    trouble: str = ""
    """Why it could not be looked, or nobody be written to."""

    def reached(self, found: Found) -> bool:
        """Whether so many are enough."""
        return found.devices >= self.count and found.devices > 0 and found.share >= self.share

    def after(self, found: Found, now: datetime) -> "Alert":
        """How it stands after it was looked."""
        seen = replace(self, found=found, looked_at=now)
        if self.reached(found) == (self.raised_at is not None):
            return seen
        raised = now if self.raised_at is None else None
        return replace(seen, raised_at=raised, changed_at=now, untold=bool(self.mail), trouble="")


def checked(count: int, share: float, mail: Sequence[str]) -> tuple[str, ...]:
    """Check thresholds, and the addresses that are written to.

    Raises:
        InvalidInputError: they make no sense.
    """
    if not (1 <= count <= 10**9 and 0 <= share <= 1):
        raise InvalidInputError("an alert is raised from one device on, and by a share from 0 to 1")
    addresses = tuple(dict.fromkeys(mail))
    if len(addresses) > MAX_MAIL:
        raise InvalidInputError(f"an alert writes to {MAX_MAIL} addresses at most")
    for address in addresses:
        if not _ADDRESS.fullmatch(address) or ".." in address:
            raise InvalidInputError(f"{address[:80]!r} is no mail address")
    return addresses
