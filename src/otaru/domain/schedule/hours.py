"""When a device may be disturbed, as its own maker says: while one of its windows is open."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from otaru.domain.schedule.window import LONGEST, Window

MAX_WINDOWS = 16
_NONE = timedelta(0)
_MAX_STEPS = 8 * MAX_WINDOWS
"""Openings that are looked at for one with so much time."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Windows of which one at least has to be open. None at all: any time will do."""

    windows: tuple[Window, ...] = ()
    zone: str = "UTC"
    """Where the device is: what windows mean by `device`."""
    forced_breaks: bool = False
    """A forced update does not wait for them."""

    def closes_at(self, now: datetime) -> datetime | None:
        """When it shuts, where it is open now: the last of those that follow one another, seen a day ahead."""
        closes, here = now, [one.within(self.zone, "UTC") for one in self.windows]
        while closes - now < LONGEST:
            later = [end for one in here if (end := one.closes_at(closes)) is not None]
            if not later:
                break
            closes = max(later)
        return None if closes == now else closes

    def first_moment(self, now: datetime, takes: timedelta = _NONE) -> datetime | None:
        """The first moment from `now` on at which it is open, with so much time left; None where none is in sight."""
        moment, here = now, [one.within(self.zone, "UTC") for one in self.windows]
        for _ in range(_MAX_STEPS):
            closes = self.closes_at(moment)
            if closes is not None and closes - moment >= min(takes, LONGEST):
                return moment
            openings = [opens for one in here if (opens := one.next_opening(moment)) is not None]
            if not openings:
                return None
            moment = min(openings)
        return None

    def shut(self, now: datetime, takes: timedelta = _NONE) -> tuple[str, datetime | None]:
        """Why what takes so long may not begin now, and from when on it may; an empty reason: it may."""
        first = now if not self.windows else self.first_moment(now, takes)
        if first == now:
            return "", now
        which = ", ".join(
            str(replace(one, zone=self.zone)) if one.zone == "device" else str(one) for one in self.windows
        )
        if first is not None:
            return f"not before {first.astimezone(UTC):%Y-%m-%d %H:%M} UTC: this device is updated {which}", first
        if takes and self.first_moment(now) is not None:
            minutes = takes // timedelta(minutes=1)
            return f"an installation takes {minutes} minutes, and this device is updated {which}", None
        return f"no moment is in sight: this device is updated {which}", None
