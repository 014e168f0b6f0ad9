"""When a device may be disturbed: the maintenance window of a rollout.

A window opens once on each day of its zone's calendar, at the same time on the wall, and stays open for the same time
that passes. On the day when clocks skip that time on the wall it opens as much later as they skip; on the day when they
show it twice it opens the first time.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from otaru.errors import InvalidInputError

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(hours=24)
MAX_TEXT = 96
"""Characters of a window as text."""

_FORM = re.compile(r"([0-9]{2}):([0-9]{2})/(?=[0-9])(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?(?: +(\S{1,64}))?", re.ASCII)
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
"""What names a zone; `localtime`, `posix/…` and the database's other files are none."""
_HINT = "Write the time it opens and how long it is open: 02:00/4h, 22:30/90m, 01:00/1h30m Europe/Paris."

_AROUND = (-2, -1, 0, 1, 2)
"""Days whose opening may be the one that is open now or the next one: seen from UTC a zone may be a day off."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day at which it opens, how long it is open, and the IANA zone of the wall that its clock hangs on.

    `now` is in UTC. Nothing here raises. Where the zone is not (or no longer) known to this computer, the window never opens.
    """

    start: time
    duration: timedelta
    zone: str = "UTC"

    def open_at(self, now: datetime) -> bool:
        """Whether it is open."""
        return self.closes_at(now) is not None

    def closes_at(self, now: datetime) -> datetime | None:
        """When it shuts, where it is open now."""
        return max((closes for opens, closes in _around(self, now.date()) if opens <= now < closes), default=None)

    def next_opening(self, now: datetime) -> datetime | None:
        """When it opens the next time after `now`; None where that cannot be told."""
        return next((opens for opens, _ in _around(self, now.date()) if opens > now), None)

    def words(self, now: datetime) -> str:
        """How it stands, in a sentence."""
        if (closes := self.closes_at(now)) is not None:
            return f"The maintenance window {self} is open until {closes:%Y-%m-%d %H:%M} UTC."
        opens = self.next_opening(now)
        until = f"it opens at {opens:%Y-%m-%d %H:%M} UTC" if opens else f"zone {self.zone} is not known to this server"
        return f"The maintenance window {self} is shut: {until}."

    def __str__(self) -> str:
        hours, minutes = divmod(self.duration // timedelta(minutes=1), 60)
        lasts = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")
        return f"{self.start:%H:%M}/{lasts} {self.zone}"


def window(text: str) -> Window:
    """Parse `HH:MM/DURATION[ ZONE]`, as in `02:00/4h` (of UTC) or `22:30/90m Europe/Paris`.

    Raises:
        InvalidInputError: it is not of this form, not a time of day, shorter than a minute or longer than a day, or the
            zone is unknown here.
    """
    found = _FORM.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
    if found is None:
        raise InvalidInputError(f"{text[:MAX_TEXT]!r} is not a maintenance window", hint=_HINT)
    hour, minute, hours, minutes, zone = found.groups()
    if int(hour) > 23 or int(minute) > 59:
        raise InvalidInputError(f"{hour}:{minute} is not a time of day", hint=_HINT)
    duration = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if not SHORTEST <= duration <= LONGEST:
        raise InvalidInputError("a maintenance window is open for 1 minute to 24 hours", hint=_HINT)
    if zone is not None and (_ZONE.fullmatch(zone) is None or _zone(zone) is None):
        hint = "Write an IANA zone: UTC, Europe/Paris. The server's system has them in its package tzdata."
        raise InvalidInputError(f"{zone!r} is not a time zone that this server knows", hint=hint)
    return Window(time(int(hour), int(minute)), duration, zone or "UTC")


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC  # needs no database
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no key, or a folder of the database
        return None


@lru_cache(maxsize=1024)
def _around(window: Window, today: date) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when it is open around a day of UTC, in order: the same for every poll of that day."""
    zone = _zone(window.zone)
    if zone is None:
        return ()
    try:
        return tuple(sorted({_opening(window, today + timedelta(days), zone) for days in _AROUND}))
    except OverflowError:  # at the ends of time
        return ()


def _opening(window: Window, day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    opens = datetime.combine(day, window.start, zone).astimezone(UTC)
    return opens, opens + window.duration
