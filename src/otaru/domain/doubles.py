"""One device heard from two places at the same time: what two devices with one identity look like (TRUST.md, section 2).

What counts is a crossing: two requests of a device, CLOSE together, from different addresses. Devices on the move
cross once, to an address that is new; two devices go to and fro. So it takes CROSSINGS between the same two addresses within
a day, in both directions. That is a reason to look, and no proof: a device behind a gateway with several addresses towards
the internet does the same, and two devices that never ask within CLOSE of one another are not seen.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

CLOSE = timedelta(seconds=2)
CROSSINGS = 4
PERIOD = timedelta(days=1)
"""Crossings are counted for so long; and so often at most a device is told of."""
MAX_SUSPECTS = 10_000
"""Devices that have crossed, remembered; the first leave. Some 500 bytes each."""
_MAX_WAYS = 16
"""Of one device: one that comes from ever new places is not two."""


@dataclass(frozen=True, slots=True)
class Place:
    """When and from where a device was heard."""

    at: datetime
    address: str


@dataclass(slots=True)
class _Suspect:
    since: datetime
    ways: dict[tuple[str, str], int] = field(default_factory=dict)
    """How often it crossed, by from and to."""
    told: bool = False


class Doubles(Generic[K]):
    """The devices that have crossed, by any key."""

    def __init__(self) -> None:
        self._suspects: OrderedDict[K, _Suspect] = OrderedDict()

    def crossed(self, key: K, before: Place, after: Place) -> int:
        """Note two requests of a device from different addresses.

        Returns:
            How often it has crossed between the two, where that is to be told now, else 0.
        """
        same_kind = (":" in before.address) == (":" in after.address)  # one device may speak IPv4 and IPv6 in turn
        if not same_kind or not before.address or not after.address or after.at - before.at > CLOSE:
            return 0
        suspect = self._suspects.get(key)
        if suspect is None or after.at - suspect.since > PERIOD:
            suspect = self._suspects[key] = _Suspect(after.at)
            self._suspects.move_to_end(key)
            if len(self._suspects) > MAX_SUSPECTS:
                self._suspects.popitem(last=False)
        way, back = (before.address, after.address), (after.address, before.address)
        if way in suspect.ways or len(suspect.ways) < _MAX_WAYS:
            suspect.ways[way] = suspect.ways.get(way, 0) + 1
        there, here = suspect.ways.get(way, 0), suspect.ways.get(back, 0)
        if suspect.told or not there or not here or there + here < CROSSINGS:
            return 0
        suspect.told = True
        return there + here
