"""How slow a download may be: whoever serves bytes one by one keeps a device from ever being up to date.

Two bounds, since each alone is got round: a rate that has to be kept over any stretch of time, and an end of the whole.
Bytes that were stored before a break count for the end, not for the rate.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.trust.verify.refusals import SlowRetrievalError

_GRAIN = 64
"""So finely a stretch is looked at."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a download has to keep up."""

    least_per_s: float
    """Bytes per second, over every `stretch`."""
    stretch: timedelta
    within: timedelta
    """How long the whole may take, breaks and resumptions included."""

    def deadline(self, began: datetime) -> datetime:
        """When a download that began then has to be complete."""
        return began + self.within


class Watch:
    """A download that is watched. `began` is when the first of its attempts began: breaks gain no time."""

    def __init__(self, pace: Pace, began: datetime, now: datetime) -> None:
        self._pace = pace
        self._deadline = pace.deadline(began)
        self._came: deque[tuple[datetime, int]] = deque([(now, 0)])
        self._since = 0
        """Bytes that came within the stretch."""

    def came(self, size: int, now: datetime) -> None:
        """So many bytes came; 0, where somebody only looks: call it at least once in a stretch.

        Raises:
            SlowRetrievalError: too few came in the last stretch, or the whole takes too long.
        """
        if now >= self._deadline:
            raise SlowRetrievalError(f"the download took longer than {self._pace.within}", deadline=self._deadline)
        at, before = self._came[-1]
        if len(self._came) > 1 and now - at < self._pace.stretch / _GRAIN:
            self._came[-1] = (at, before + size)  # however small the pieces: memory is bounded
        else:
            self._came.append((now, size))
        self._since += size
        begins = now - self._pace.stretch
        whole = self._came[0][0] <= begins
        while len(self._came) > 1 and self._came[1][0] <= begins:
            self._came.popleft()
            self._since -= self._came[0][1]
        if whole and self._since < self._pace.least_per_s * self._pace.stretch.total_seconds():
            raise SlowRetrievalError(
                f"{self._since} bytes came in {self._pace.stretch}, fewer than {self._pace.least_per_s:g} a second",
                came=self._since,
            )
