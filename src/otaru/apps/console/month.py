"""The weeks to come with a tenant's blackouts in them, for a small calendar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

from otaru.domain.schedule import FOREVER, Blackout, Calendar
from otaru.domain.schedule.zone import found

WEEKS = 6
_MAX_OPENINGS = 3 * 7 * WEEKS
"""Of one blackout that recurs: it opens once a day."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the tenant's zone."""

    date: date
    past: bool
    today: bool
    parts: tuple[tuple[float, float], ...]
    """When a blackout lasts, as shares of the day."""
    words: str
    """The same, with the reasons; empty where there is none."""

    @property
    def whole(self) -> bool:
        """Whether one lasts all day."""
        return any(start <= 0 and end >= 1 for start, end in self.parts)


def weeks(calendar: Calendar, now: datetime) -> list[list[Day]]:
    """The weeks from this one on, Monday first. Blackouts on devices' own clocks are as on the tenant's."""
    where = found(calendar.zone) or UTC
    today = now.astimezone(where).date()
    monday = today - timedelta(days=today.weekday())
    bounds = [datetime.combine(monday + timedelta(days=n), time(), where).astimezone(UTC) for n in range(7 * WEEKS + 1)]
    spans = [
        (start, end, one)
        for one in calendar.blackouts
        for start, end in _spans(one, calendar.zone, bounds[0], bounds[-1])
    ]
    days = [_day(begin, end, where, spans, today) for begin, end in pairwise(bounds)]
    return [days[n : n + 7] for n in range(0, len(days), 7)]


def _spans(one: Blackout, zone: str, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """From when to when it lasts, of what is between two moments."""
    if one.window is None:
        if one.start is not None and one.start < end and (one.end or FOREVER) > begin:
            yield one.start, one.end or FOREVER
        return
    here, at = one.window.within("", zone), begin
    for _ in range(_MAX_OPENINGS):
        closes = here.closes_at(at)
        if closes is None:
            opens = here.next_opening(at)
            if opens is None or opens >= end:
                return
            at = opens
            continue
        yield at, closes
        at = closes


def _day(
    begin: datetime,
    end: datetime,
    where: tzinfo,
    spans: Sequence[tuple[datetime, datetime, Blackout]],
    today: date,
) -> Day:
    whole = (end - begin).total_seconds()  # 23 or 25 hours, where clocks change
    parts, words = [], []
    for start, stop, one in spans:
        if start >= end or stop <= begin:
            continue
        first, last = max(start, begin), min(stop, end)
        parts.append(((first - begin).total_seconds() / whole, (last - begin).total_seconds() / whole))
        until = "24:00" if last == end else f"{last.astimezone(where):%H:%M}"
        hours = "all day" if (first, last) == (begin, end) else f"{first.astimezone(where):%H:%M} to {until}"
        words.append(f"{hours}: {one.reason}")
    here = begin.astimezone(where).date()
    return Day(here, here < today, here == today, tuple(parts), "; ".join(words))
