"""What a tenant says of times, for all of its rollouts; and whether a plan can come to an end within them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from otaru.domain.schedule.blackout import FOREVER, Blackout
from otaru.domain.schedule.window import Window
from otaru.domain.schedule.zone import DEVICE

_MAX_STEPS = 1000
"""Openings and ends of blackouts that are looked at for the first moment at which something may be offered."""
_EARTH = timedelta(hours=26)
"""The most by which two clocks on walls differ."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The zone of devices whose own is not known, and when nobody may be disturbed."""

    zone: str = "UTC"
    blackouts: tuple[Blackout, ...] = ()

    def seen_from(self, window: Window, own: str) -> Window:
        """A window as it is for a device that says it is in the zone `own` (empty: it says none that is known)."""
        return window.within(own, self.zone)

    def blackout(self, own: str, now: datetime) -> tuple[Blackout, datetime] | None:
        """The blackout that lasts longest of those that last now, for such a device, and its end (or `FOREVER`)."""
        lasting = ((one, end) for one in self.blackouts if (end := one.until(now, own, self.zone)) is not None)
        return max(lasting, key=lambda found: found[1], default=None)

    def first_moment(
        self, window: Window | None, begin: datetime, *, takes: timedelta, blackouts: bool
    ) -> datetime | None:
        """The first moment from `begin` on at which something may be offered; None where there is none in sight.

        That is a moment in the window with `takes` left of it and, unless `blackouts` is False, in no blackout. Of a window
        in each device's zone, it is that of the tenant's zone.
        """
        mine = None if window is None else self.seen_from(window, "")
        moment = begin
        for _ in range(_MAX_STEPS):
            if blackouts and (found := self.blackout("", moment)) is not None:
                if found[1] == FOREVER:
                    return None
                moment = found[1]
                continue
            closes = moment + takes if mine is None else mine.closes_at(moment)
            if closes is not None and closes - moment >= takes:
                return moment
            opens = None if mine is None else mine.next_opening(moment)
            if opens is None:
                return None
            moment = opens
        return None

    def never(
        self, window: Window | None, begin: datetime, end: datetime | None, *, takes: timedelta, blackouts: bool
    ) -> str | None:
        """Why a rollout that begins and ends then would never offer anything, in words; None where it may."""
        if end is not None and end <= begin:
            return f"it would end ({_said(end)}) before it begins ({_said(begin)})"
        if window is not None and window.duration < takes:
            return f"the window {window} is shorter than the {_minutes(takes)} that an installation takes"
        first = self.first_moment(window, begin, takes=takes, blackouts=blackouts)
        if first is None:
            lasting = self.blackout("", begin) if blackouts else None
            if lasting is not None and lasting[1] == FOREVER:
                return f"blackout {lasting[0].id} ({lasting[0].reason}) lasts until it is removed"
            if window is None:
                return f"there is a blackout at every moment from {_said(begin)} on"
            beside = " and in no blackout" if blackouts else ""
            return f"there is no moment in the window {window}{beside} from {_said(begin)} on"
        slack = _EARTH if window is not None and window.zone == DEVICE else timedelta(0)
        if end is not None and first - slack >= end:
            return f"nothing may be offered before {_said(first)}, and it ends {_said(end)}"
        return None


def _said(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _minutes(span: timedelta) -> str:
    return f"{span // timedelta(minutes=1)} minutes"
