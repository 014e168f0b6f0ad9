"""On which days something recurs: the rules of RFC 5545 (RRULE), as far as they choose days.

Every question is bounded: it looks at periods (days, weeks, months, years) between two days only, and nowhere further than
`HORIZON_YEARS`. A general library counts each rule from its beginning on, and does not come back from one that never matches;
in the tests it is what this is held against.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from otaru.errors import InvalidInputError

HORIZON_YEARS = 50
"""How far ahead of a day its next occurrence is looked for; the rare ones (a 29 February each 9th year) are nearer."""
MAX_COUNT = 1000
MAX_RULE = 200
"""Characters of a rule as text."""
_FIRST_YEAR = 1970
_MAX_LIST = 62
_DAY = timedelta(1)
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_BYDAY = re.compile(rf"([+-]?[0-9]{{1,2}})?({'|'.join(_WEEKDAYS)})", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}", re.ASCII)
_DATE = re.compile(r"[0-9]{8}", re.ASCII)
_HINT = "For example FREQ=WEEKLY;BYDAY=SA,SU, or FREQ=MONTHLY;BYDAY=2TU, as in RFC 5545."


class Frequency(StrEnum):
    """What recurs: each day, week, month or year, or each n-th of them."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


_MAX_INTERVAL = {Frequency.DAILY: 366, Frequency.WEEKLY: 104, Frequency.MONTHLY: 48, Frequency.YEARLY: 10}


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule. `since` is the day that it counts from (DTSTART), where it has to count at all."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: date | None = None
    """The last day, itself included."""
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    days: tuple[tuple[int, int], ...] = ()
    """(n, weekday), Monday is 0: each such weekday where n is 0, else the n-th of the month or year (-1: the last)."""
    positions: tuple[int, ...] = ()
    week_start: int = 0
    since: date | None = None

    def between(self, first: date, last: date) -> Iterator[date]:
        """The days on which it recurs, from `first` to `last`, in order. Costs as much as there are periods between them."""
        last = min(last, _end(self))
        if self.since is not None:
            first = max(first, self.since)
        return (day for day in _days(self, first, last) if first <= day <= last)

    def after(self, day: date) -> date | None:
        """The first day of it later than `day`; None where there is none within `HORIZON_YEARS`."""
        start, steps = day + _DAY, (40, 800, 366 * HORIZON_YEARS)
        if self.since is not None and self.since > start:
            start = self.since
        for step in steps:
            last = date.max if (date.max - start).days < step else start + step * _DAY
            if (found := next(self.between(start, last), None)) is not None:
                return found
        return None

    def __str__(self) -> str:
        parts = [f"FREQ={self.frequency}"]
        parts += [f"INTERVAL={self.interval}"] if self.interval > 1 else []
        parts += [f"COUNT={self.count}"] if self.count is not None else []
        parts += [f"UNTIL={self.until:%Y%m%d}"] if self.until is not None else []
        for name, numbers in (("BYMONTH", self.months), ("BYMONTHDAY", self.month_days)):
            parts += [f"{name}={','.join(map(str, numbers))}"] if numbers else []
        days = ",".join(f"{n or ''}{_WEEKDAYS[weekday]}" for n, weekday in self.days)
        parts += [f"BYDAY={days}"] if days else []
        parts += [f"BYSETPOS={','.join(map(str, self.positions))}"] if self.positions else []
        parts += [f"WKST={_WEEKDAYS[self.week_start]}"] if self.week_start else []
        return ";".join(parts) + (f" from {self.since.isoformat()}" if self.since is not None else "")


def recurrence(text: str, since: date | None = None) -> Recurrence:
    """Parse a rule, `FREQ=WEEKLY;BYDAY=SA,SU`; `since` is the day that it counts from.

    Raises:
        InvalidInputError: it is none, chooses times of the day, has to count and nobody says from where, or never matches.
    """
    if since is not None and since.year < _FIRST_YEAR:
        raise InvalidInputError(f"a rule counts from {_FIRST_YEAR} on at the earliest, not from {since}", hint=_HINT)
    rule = _read(text.removeprefix("RRULE:"), since)
    if since is None:
        if rule.interval > 1 or rule.count is not None or not _names_days(rule):
            raise InvalidInputError(
                f"{text[:MAX_RULE]!r} does not say which days without a day to count from",
                hint="Write it behind the rule: FREQ=WEEKLY;INTERVAL=2 from 2026-05-01.",
            )
    elif not _names_days(rule):
        rule = _named(rule, since)
    if rule.after((since or date(2000, 1, 1)) - _DAY) is None:
        raise InvalidInputError(f"no day ever matches {text[:MAX_RULE]!r}", hint=_HINT)
    return rule


def _read(text: str, since: date | None) -> Recurrence:
    if len(text) > MAX_RULE:
        raise InvalidInputError(f"a recurrence rule has at most {MAX_RULE} characters", hint=_HINT)
    parts: dict[str, str] = {}
    for part in text.strip().upper().split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in parts or not value:
            raise InvalidInputError(f"{part[:40]!r} is no part of a recurrence rule, or stands twice", hint=_HINT)
        parts[name] = value
    frequency = _frequency(parts.pop("FREQ", ""))
    rule = Recurrence(
        frequency,
        interval=_whole(parts, "INTERVAL", 1, _MAX_INTERVAL[frequency]) or 1,
        count=_whole(parts, "COUNT", 1, MAX_COUNT),
        until=_until(parts.pop("UNTIL", "")),
        months=_numbers(parts, "BYMONTH", range(1, 13)),
        month_days=_numbers(parts, "BYMONTHDAY", (*range(-31, 0), *range(1, 32))),
        days=_by_day(parts.pop("BYDAY", ""), frequency),
        positions=_numbers(parts, "BYSETPOS", (*range(-366, 0), *range(1, 367))),
        week_start=_week_start(parts.pop("WKST", "MO")),
        since=since,
    )
    if parts:
        name = next(iter(parts))[:20]
        raise InvalidInputError(
            f"{name} has no place in a window's rule: it chooses days, the window the time", hint=_HINT
        )
    if rule.count is not None and rule.until is not None:
        raise InvalidInputError("a rule ends by COUNT or by UNTIL, not by both", hint=_HINT)
    if frequency is Frequency.WEEKLY and rule.month_days:
        raise InvalidInputError("BYMONTHDAY has no meaning in a WEEKLY rule", hint=_HINT)
    if rule.positions and (frequency is Frequency.DAILY or not (rule.days or rule.month_days or rule.months)):
        raise InvalidInputError(
            "BYSETPOS chooses among the days of a week, month or year that the rule names", hint=_HINT
        )
    return rule


def _frequency(text: str) -> Frequency:
    if text in {"SECONDLY", "MINUTELY", "HOURLY"}:
        raise InvalidInputError(f"{text} is too often: a window opens at most once a day", hint=_HINT)
    if text not in set(Frequency):
        raise InvalidInputError("a recurrence rule begins with FREQ=DAILY, WEEKLY, MONTHLY or YEARLY", hint=_HINT)
    return Frequency(text)


def _whole(parts: dict[str, str], name: str, low: int, high: int) -> int | None:
    if (text := parts.pop(name, None)) is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise InvalidInputError(f"{name} is a number from {low} to {high}, not {text[:20]}", hint=_HINT)
    return int(text)


def _numbers(parts: dict[str, str], name: str, allowed: range | tuple[int, ...]) -> tuple[int, ...]:
    if (text := parts.pop(name, None)) is None:
        return ()
    words = text.split(",")
    if len(words) > _MAX_LIST or not all(_NUMBER.fullmatch(word) and int(word) in allowed for word in words):
        raise InvalidInputError(f"{name}={text[:40]} is out of range", hint=_HINT)
    return tuple(sorted(set(map(int, words))))


def _until(text: str) -> date | None:
    if not text:
        return None
    if _DATE.fullmatch(text):
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            pass
    raise InvalidInputError(
        f"UNTIL={text[:20]} is not a day", hint="Write UNTIL=20261231: the last day, itself included."
    )


def _by_day(text: str, frequency: Frequency) -> tuple[tuple[int, int], ...]:
    days = set()
    words = text.split(",") if text else []
    for word in words[: _MAX_LIST + 1]:
        found = _BYDAY.fullmatch(word)
        number = int(found[1] or 0) if found else 0
        counted = frequency in {Frequency.MONTHLY, Frequency.YEARLY}
        if found is None or len(words) > _MAX_LIST or (found[1] and not (counted and 1 <= abs(number) <= 53)):
            raise InvalidInputError(f"BYDAY={word[:20]} names no weekday of a {frequency} rule", hint=_HINT)
        days.add((number, _WEEKDAYS.index(found[2])))
    return tuple(sorted(days))


def _week_start(text: str) -> int:
    if text not in _WEEKDAYS:
        raise InvalidInputError(f"WKST={text[:20]} is not a weekday", hint=_HINT)
    return _WEEKDAYS.index(text)


def _names_days(rule: Recurrence) -> bool:
    return rule.frequency is Frequency.DAILY or bool(rule.days or rule.month_days)


def _named(rule: Recurrence, since: date) -> Recurrence:
    """With the days that it leaves to its beginning: the weekday, the day of the month, the day of the year."""
    if rule.frequency is Frequency.WEEKLY:
        return replace(rule, days=((0, since.weekday()),))
    if rule.frequency is Frequency.YEARLY and not rule.months:
        rule = replace(rule, months=(since.month,))
    return replace(rule, month_days=(since.day,))


@lru_cache(maxsize=1024)
def _end(rule: Recurrence) -> date:
    """The last day on which it may recur."""
    if rule.count is None or rule.since is None:
        return rule.until or date.max
    last = (
        date.max
        if date.max.year - rule.since.year <= HORIZON_YEARS
        else rule.since.replace(year=rule.since.year + HORIZON_YEARS, day=min(rule.since.day, 28))
    )
    for seen, day in enumerate((d for d in _days(rule, rule.since, last) if d >= rule.since), 1):
        if seen == rule.count:
            return day
    return date.max


def _days(rule: Recurrence, first: date, last: date) -> Iterator[date]:
    """The days of every period that touches `first` … `last`, in order; some may lie outside."""
    if first > last:
        return
    for start, end in _PERIODS[rule.frequency](rule, first, last):
        days = [day for day in _each(start, end) if _fits(rule, day)]
        if rule.positions:
            chosen = {p - 1 if p > 0 else len(days) + p for p in rule.positions}
            days = [day for place, day in enumerate(days) if place in chosen]
        yield from days


def _each(start: date, end: date) -> Iterator[date]:
    for number in range(start.toordinal(), end.toordinal() + 1):
        yield date.fromordinal(number)


def _fits(rule: Recurrence, day: date) -> bool:
    if rule.months and day.month not in rule.months:
        return False
    if rule.month_days:
        length = monthrange(day.year, day.month)[1]
        if day.day not in rule.month_days and day.day - length - 1 not in rule.month_days:
            return False
    return not rule.days or any(w == day.weekday() and (n == 0 or _is_nth(rule, day, n)) for n, w in rule.days)


def _is_nth(rule: Recurrence, day: date, n: int) -> bool:
    """Whether it is the n-th of its weekday: of the year in a YEARLY rule that names no month, else of the month."""
    if rule.frequency is Frequency.YEARLY and not rule.months:
        place, length = day.timetuple().tm_yday, 366 if monthrange(day.year, 2)[1] == 29 else 365
    else:
        place, length = day.day, monthrange(day.year, day.month)[1]
    return (place - 1) // 7 + 1 == n if n > 0 else (length - place) // 7 + 1 == -n


_Spans = Iterator[tuple[date, date]]


def _daily(rule: Recurrence, first: date, last: date) -> _Spans:
    start = first.toordinal()
    if rule.since is not None:
        start += -(start - rule.since.toordinal()) % rule.interval
    for number in range(start, last.toordinal() + 1, rule.interval):
        day = date.fromordinal(number)
        yield day, day


def _weekly(rule: Recurrence, first: date, last: date) -> _Spans:
    def week(day: date) -> int:
        return max(day.toordinal() - (day.weekday() - rule.week_start) % 7, 1)

    start, step = week(first), 7 * rule.interval
    if rule.since is not None:
        start += -(start - week(rule.since)) % step
    for number in range(start, last.toordinal() + 1, step):
        yield date.fromordinal(number), date.fromordinal(min(number + 6, date.max.toordinal()))


def _monthly(rule: Recurrence, first: date, last: date) -> _Spans:
    start = first.year * 12 + first.month - 1
    if rule.since is not None:
        start += -(start - rule.since.year * 12 - rule.since.month + 1) % rule.interval
    for number in range(start, last.year * 12 + last.month, rule.interval):
        year, month = divmod(number, 12)
        yield date(year, month + 1, 1), date(year, month + 1, monthrange(year, month + 1)[1])


def _yearly(rule: Recurrence, first: date, last: date) -> _Spans:
    start = first.year
    if rule.since is not None:
        start += -(start - rule.since.year) % rule.interval
    for year in range(start, last.year + 1, rule.interval):
        yield date(year, 1, 1), date(year, 12, 31)


_PERIODS: dict[Frequency, Callable[[Recurrence, date, date], _Spans]] = {
    Frequency.DAILY: _daily,
    Frequency.WEEKLY: _weekly,
    Frequency.MONTHLY: _monthly,
    Frequency.YEARLY: _yearly,
}
