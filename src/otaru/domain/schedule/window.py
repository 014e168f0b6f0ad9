"""When a device may be disturbed: the maintenance window of a rollout.

A window opens once on each of its days (every day, or those that a rule names) of its zone's calendar, at the same time on
the wall, and stays open for the same time that passes. On the day when clocks skip that time on the wall it opens as much
later as they skip; on the day when they show it twice it opens the first time.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from otaru.domain.schedule.recurrence import MAX_RULE, Recurrence, recurrence
from otaru.domain.schedule.zone import DEVICE, found, zone
from otaru.errors import InvalidInputError

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(hours=24)
MAX_TEXT = 96 + MAX_RULE
"""Characters of a window as text."""

_FORM = re.compile(
    r"([0-9]{2}):([0-9]{2})/(?=[0-9])(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?"
    r"(?: +(?!RRULE:|FREQ=)(\S{1,64}))?(?: +((?:RRULE:)?FREQ=\S+)(?: +from +(\S{1,20}))?)?",
    re.ASCII,
)
_HINT = (
    "Write the time it opens, how long it is open, and where that clock hangs: 02:00/4h, 01:00/1h30m Europe/Paris, "
    "22:30/90m device. Not each day: 02:00/4h device FREQ=WEEKLY;BYDAY=SA,SU."
)

_AROUND = 2
"""Days before and after whose opening may be the one that is open now or the next one: seen from UTC a zone may be a day off."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day at which it opens, how long it is open, and the IANA zone of the wall that its clock hangs on.

    `now` is in UTC. Nothing here raises. Where the zone is not (or no longer) known to this computer, the window never opens.
    """

    start: time
    duration: timedelta
    zone: str = "UTC"
    """`device`: that of each device. Then only what `within` gives opens."""
    rule: Recurrence | None = None
    """On which days; None is every day."""

    def within(self, own: str, default: str) -> "Window":
        """As it is for a device in the zone `own`; where that is empty, nobody knows it, in `default`."""
        return _in_zone(self, own or default) if self.zone == DEVICE else self

    def open_at(self, now: datetime) -> bool:
        """Whether it is open."""
        return self.closes_at(now) is not None

    def opened_at(self, now: datetime) -> datetime | None:
        """When it opened, where it is open now."""
        return max((opens for opens, closes in _around(self, now.date()) if opens <= now < closes), default=None)

    def closes_at(self, now: datetime) -> datetime | None:
        """When it shuts, where it is open now."""
        return max((closes for opens, closes in _around(self, now.date()) if opens <= now < closes), default=None)

    def next_opening(self, now: datetime) -> datetime | None:
        """When it opens the next time after `now`; None where that cannot be told, or it never does."""
        return next((opens for opens, _ in _around(self, now.date()) if opens > now), None)

    def words(self, now: datetime) -> str:
        """How it stands, in a sentence."""
        if (closes := self.closes_at(now)) is not None:
            return f"The maintenance window {self} is open until {closes:%Y-%m-%d %H:%M} UTC."
        opens = self.next_opening(now)
        if opens is not None:
            until = f"it opens at {opens:%Y-%m-%d %H:%M} UTC"
        else:
            until = "it never opens again" if found(self.zone) else f"zone {self.zone} is not known to this server"
        return f"The maintenance window {self} is shut: {until}."

    def __str__(self) -> str:
        hours, minutes = divmod(self.duration // timedelta(minutes=1), 60)
        lasts = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")
        return f"{self.start:%H:%M}/{lasts} {self.zone}" + (f" {self.rule}" if self.rule is not None else "")


def window(text: str) -> Window:
    """Parse `HH:MM/DURATION[ ZONE][ RULE[ from DAY]]`: `02:00/4h` (each day, of UTC), `22:30/90m device FREQ=WEEKLY;BYDAY=SA`.

    Raises:
        InvalidInputError: it is not of this form, not a time of day, shorter than a minute or longer than a day, the zone
            is unknown here, or the rule is none.
    """
    match = _FORM.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
    if match is None:
        raise InvalidInputError(f"{text[:MAX_TEXT]!r} is not a maintenance window", hint=_HINT)
    hour, minute, hours, minutes, where, rule, since = match.groups()
    if int(hour) > 23 or int(minute) > 59:
        raise InvalidInputError(f"{hour}:{minute} is not a time of day", hint=_HINT)
    duration = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if not SHORTEST <= duration <= LONGEST:
        raise InvalidInputError("a maintenance window is open for 1 minute to 24 hours", hint=_HINT)
    where = DEVICE if where == DEVICE else zone(where or "UTC")
    on = None if rule is None else recurrence(rule, None if since is None else _day(since))
    return Window(time(int(hour), int(minute)), duration, where, on)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a day", hint="Write from 2026-05-01.") from None


@lru_cache(maxsize=4096)
def _in_zone(window: Window, name: str) -> Window:
    return replace(window, zone=name)


@lru_cache(maxsize=4096)
def _around(window: Window, today: date) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when it is open around a day of UTC and the next time after it, in order: the same for all polls of a day."""
    where = found(window.zone)
    if where is None:
        return ()
    try:
        return tuple(sorted({_opening(window, day, where) for day in _days(window.rule, today)}))
    except OverflowError:  # at the ends of time
        return ()


def _days(rule: Recurrence | None, today: date) -> list[date]:
    first, last = today - timedelta(_AROUND), today + timedelta(_AROUND)
    if rule is None:
        return [first + timedelta(days) for days in range(2 * _AROUND + 1)]
    days = list(rule.between(first, last))
    following = rule.after(last)
    return days if following is None else [*days, following]


def _opening(window: Window, day: date, where: tzinfo) -> tuple[datetime, datetime]:
    opens = datetime.combine(day, window.start, where).astimezone(UTC)
    return opens, opens + window.duration
