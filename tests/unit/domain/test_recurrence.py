"""The days of recurrence rules are those that a general library finds, and windows on them open as a naive clock says."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from otaru.domain.schedule import DEVICE, Frequency, Recurrence, Window, recurrence, told, window
from otaru.domain.schedule.recurrence import MAX_COUNT
from otaru.errors import InvalidInputError

FIRST, LAST = date(2023, 12, 1), date(2029, 3, 31)
WEEKDAYS = st.integers(0, 6)


def subset(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(numbers, max_size=3, unique=True).map(lambda found: tuple(sorted(found)))


@st.composite
def rules(draw: st.DrawFn) -> Recurrence:
    """Rules of every kind, that begin on a day."""
    frequency = draw(st.sampled_from(Frequency))
    counted = frequency in {Frequency.MONTHLY, Frequency.YEARLY}
    # Not both kinds in one rule: of `SA,2TU` the library finds the days that are both, where RFC 5545 means either.
    nth = counted and draw(st.booleans())
    numbers = st.sampled_from([1, 2, 4, 5, -1, -2]) if nth else st.just(0)
    days = tuple(sorted(draw(st.sets(st.tuples(numbers, WEEKDAYS), max_size=3))))
    month_days = () if frequency is Frequency.WEEKLY else draw(subset(st.sampled_from([1, 2, 13, 28, 29, 31, -1, -31])))
    rule = Recurrence(
        frequency,
        interval=draw(st.integers(1, 3 if counted else 5)),
        months=draw(subset(st.integers(1, 12))),
        month_days=month_days,
        days=days,
        week_start=draw(WEEKDAYS),
    )
    if frequency is not Frequency.DAILY and (days or month_days):
        rule = replace(rule, positions=draw(subset(st.sampled_from([1, 2, 3, -1, -2]))))
    end = draw(st.sampled_from(["", "", ";COUNT=1", ";COUNT=7", ";UNTIL=20260228"]))
    text = f"{rule}{end}"
    since = draw(st.dates(date(2023, 1, 1), date(2026, 12, 31)))
    if rule.positions and frequency is Frequency.WEEKLY:
        # In the week in which a rule begins the library counts places from that day on, RFC 5545 from the week's first.
        since -= timedelta(days=(since.weekday() - rule.week_start) % 7)
    try:
        return recurrence(text, since)
    except InvalidInputError:
        assume(False)
        raise


def by_library(rule: Recurrence, first: date, last: date) -> list[date]:
    """As dateutil finds them. It would look for what never comes until the year 9999: for it the world ends sooner."""
    assert rule.since is not None
    text = str(rule).partition(" from ")[0]
    with patch("datetime.MAXYEAR", last.year):
        found = rrulestr(text, dtstart=datetime.combine(rule.since, time()))
        return [at.date() for at in found if first <= at.date() <= last]


@settings(max_examples=150, deadline=None)
@given(rules())
@example(recurrence("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", date(2023, 3, 1)))
@example(recurrence("FREQ=MONTHLY;INTERVAL=2;BYDAY=-1FR;COUNT=3", date(2024, 1, 31)))
@example(recurrence("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU", date(2024, 1, 2)))
@example(recurrence("FREQ=MONTHLY;BYMONTHDAY=31", date(2024, 1, 1)))
def test_the_days_are_those_of_the_library(rule: Recurrence) -> None:
    assert list(rule.between(FIRST, LAST)) == by_library(rule, FIRST, LAST)


@settings(max_examples=100, deadline=None)
@given(rules(), st.dates(FIRST, LAST))
def test_the_next_day_is_the_next(rule: Recurrence, day: date) -> None:
    following = rule.after(day)
    if following is None:
        assert not list(rule.between(day + timedelta(1), day + timedelta(4000)))
    else:
        assert following > day
        assert list(rule.between(day + timedelta(1), following)) == [following]


@given(rules())
def test_a_rule_is_read_as_it_is_written(rule: Recurrence) -> None:
    text, _, since = str(rule).partition(" from ")
    assert recurrence(text, date.fromisoformat(since)) == rule
    wanted = Window(time(2), timedelta(hours=4), DEVICE, rule)
    assert window(str(wanted)) == wanted


ZONES = st.sampled_from(
    ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
)
NAMED = [
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=SA,SU",
    "FREQ=MONTHLY;BYDAY=-1SU",
    "FREQ=MONTHLY;BYMONTHDAY=29,-1",
    "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU",
]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(NAMED).map(recurrence),
    ZONES,
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.integers(1, 24 * 60),
    st.dates(date(2024, 1, 2), date(2026, 12, 30)),
)
@example(recurrence(NAMED[4]), "Europe/Paris", time(2, 30), 90, date(2026, 3, 29))  # the clock skips it
@example(recurrence(NAMED[4]), "Europe/Paris", time(2, 30), 90, date(2026, 10, 25))  # the clock shows it twice
@example(recurrence(NAMED[3]), "UTC", time(23, 30), 120, date(2024, 2, 29))  # a leap day, and over midnight
@example(recurrence("FREQ=DAILY"), "Australia/Lord_Howe", time(2, 15), 30, date(2026, 10, 4))  # half an hour is skipped
def test_minute_by_minute_it_is_as_a_naive_clock_says(
    rule: Recurrence, zone: str, start: time, minutes: int, day: date
) -> None:
    """Walk two days of UTC: it opens when the wall first shows its time, or would have, and never twice for one day."""
    asked = Window(start, timedelta(minutes=minutes), DEVICE, rule).within(zone, "UTC")
    where = ZoneInfo(zone)
    begin = datetime.combine(day, time(), UTC)
    opens: dict[date, datetime] = {}
    now = begin - timedelta(days=3)
    while now < begin + timedelta(days=3):
        wall = now.astimezone(where)
        today = wall.date()
        shown = wall.time()
        if shown >= start and today not in opens and list(rule.between(today, today)):
            # What the clock skipped opens as much later as it skipped.
            skipped = datetime.combine(today, start, where)
            back = skipped.astimezone(UTC).astimezone(where).time().replace(tzinfo=None)
            if shown >= back:
                opens[today] = now
        now += timedelta(minutes=1)
    for minute in range(0, 24 * 60, 7):
        at = begin + timedelta(minutes=minute)
        is_open = any(o <= at < o + asked.duration for o in opens.values())
        assert asked.open_at(at) is is_open, at
        coming = min((o for o in opens.values() if o > at), default=None)
        found = asked.next_opening(at)
        assert found is not None
        assert found > at
        if coming is not None:
            assert found == coming
    assert len(set(opens.values())) == len(opens)


def test_each_device_has_its_own_night() -> None:
    night = window("02:00/4h device FREQ=WEEKLY;BYDAY=SA")
    three_in_paris = datetime(2026, 11, 21, 2, tzinfo=UTC)  # a Saturday
    assert night.within("Europe/Paris", "UTC").open_at(three_in_paris)
    assert not night.within("Asia/Tokyo", "UTC").open_at(three_in_paris)
    assert night.within("", "Europe/Paris").open_at(three_in_paris), "nobody knows its zone: the tenant's"
    assert not night.open_at(three_in_paris), "in no zone at all it never opens"
    assert window("02:00/4h UTC").within("Asia/Tokyo", "UTC").zone == "UTC", "a zone that is named stands"


@given(st.text(max_size=80))
@example("localtime")
@example("../../etc/passwd")
@example("Europe/Nowhere")
def test_what_a_device_says_of_its_zone_breaks_nothing(text: str) -> None:
    assert told(text) in {"", text}
    assert told("Europe/Paris") == "Europe/Paris"
    assert told(None) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FREQ=SECONDLY", "SECONDLY is too often"),
        ("FREQ=MINUTELY;INTERVAL=30", "MINUTELY is too often"),
        ("FREQ=HOURLY", "HOURLY is too often"),
        ("FREQ=FORTNIGHTLY", "begins with FREQ="),
        ("BYDAY=SA", "begins with FREQ="),
        ("FREQ=WEEKLY", "a day to count from"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "a day to count from"),
        ("FREQ=DAILY;COUNT=3", "a day to count from"),
        ("FREQ=DAILY;BYHOUR=3", "BYHOUR has no place"),
        ("FREQ=YEARLY;BYWEEKNO=3", "BYWEEKNO has no place"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "no day ever matches"),
        ("FREQ=DAILY;BYMONTH=13", "out of range"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "out of range"),
        ("FREQ=WEEKLY;BYDAY=2SA", "names no weekday"),
        ("FREQ=WEEKLY;BYDAY=SA;BYDAY=SU", "stands twice"),
        ("FREQ=WEEKLY;BYDAY=SA;BYMONTHDAY=1", "no meaning"),
        ("FREQ=DAILY;UNTIL=tomorrow", "is not a day"),
        ("FREQ=DAILY;UNTIL=20260230", "is not a day"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is a number"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS chooses"),
        (f"FREQ=DAILY;{'BYMONTH=1' * 40}", "at most"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        recurrence(text)
    assert said in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("since", [date.min, date(1969, 12, 31)])
def test_nothing_counts_from_before_there_were_such_clocks(since: date) -> None:
    with pytest.raises(InvalidInputError) as refused:
        recurrence("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", since)
    assert "from 1970 on" in refused.value.message


def test_plain_and_numbered_weekdays_together() -> None:
    rule = recurrence("FREQ=MONTHLY;BYDAY=SU,1TU")
    november = [day.day for day in rule.between(date(2026, 11, 1), date(2026, 11, 30))]
    assert november == [1, 3, 8, 15, 22, 29]


def test_a_count_and_its_bound() -> None:
    thrice = recurrence("FREQ=DAILY;COUNT=3", date(2026, 2, 27))
    assert list(thrice.between(date(2026, 1, 1), date(2027, 1, 1))) == [
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 1),
    ]
    assert thrice.after(date(2026, 3, 1)) is None
    with pytest.raises(InvalidInputError):
        recurrence(f"FREQ=DAILY;COUNT={MAX_COUNT + 1}", date(2026, 1, 1))
    with pytest.raises(InvalidInputError):
        recurrence("FREQ=DAILY;COUNT=3;UNTIL=20260101", date(2026, 1, 1))


@given(st.text(alphabet="FREQ=DAILYWKMONTHBSEUPC;,-0123456789 ", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        read = recurrence(f"FREQ=MONTHLY;{text}", date(2026, 1, 1))
    except InvalidInputError:
        return
    assert read.frequency is Frequency.MONTHLY
