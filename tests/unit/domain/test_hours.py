"""The hours of a device, held against its windows minute by minute, also where clocks are put forward and back."""

from datetime import UTC, datetime, time, timedelta
from itertools import count, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otaru.domain.schedule import LONGEST, MAX_WINDOWS, Hours, Window, window

MINUTE = timedelta(minutes=1)
TURNS = {
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "Africa/Cairo": (datetime(2026, 4, 23, 22, tzinfo=UTC), datetime(2026, 10, 29, 21, tzinfo=UTC)),
}
RULES = ("", " FREQ=WEEKLY;BYDAY=SA,SU", " FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", " FREQ=MONTHLY;BYDAY=-1SU")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Hours, datetime]:
    """Hours of a device, and a moment within two days of when its clocks change."""
    zone = draw(st.sampled_from(sorted(TURNS)))
    one = st.builds(
        lambda hour, minute, lasts, where, rule: window(f"{hour:02}:{minute:02}/{lasts}m {where}{rule}"),
        st.integers(0, 23),
        st.integers(0, 59),
        st.integers(1, 1440),
        st.sampled_from(("device", "UTC", zone)),
        st.sampled_from(RULES),
    )
    windows = draw(st.lists(one, min_size=1, max_size=3))
    moment = draw(st.sampled_from(TURNS[zone])) + draw(st.integers(-2880, 2880)) * MINUTE
    return Hours(tuple(windows), zone), moment


def is_open(hours: Hours, now: datetime) -> bool:
    return any(one.within(hours.zone, "UTC").open_at(now) for one in hours.windows)


@settings(deadline=None, max_examples=80)
@given(cases())
@example((Hours((window("02:30/30m device"),), "Europe/Berlin"), datetime(2026, 3, 29, 0, tzinfo=UTC)))
@example((Hours((window("02:30/30m device"),), "Europe/Berlin"), datetime(2026, 10, 25, 0, tzinfo=UTC)))
def test_they_are_open_while_one_of_the_windows_is(case: tuple[Hours, datetime]) -> None:
    hours, now = case
    closes, first = hours.closes_at(now), hours.first_moment(now)
    assert (closes is not None) == is_open(hours, now)
    assert (first == now) == is_open(hours, now)
    if closes is None:
        assert first is not None
        assert is_open(hours, first)
        minutes = takewhile(lambda at: at < min(first, now + 3 * LONGEST), (now + n * MINUTE for n in count()))
        assert not any(is_open(hours, at) for at in minutes)
    else:
        minutes = takewhile(lambda at: at < closes, (now + n * MINUTE for n in count()))
        assert all(is_open(hours, at) for at in minutes)
        assert closes - now >= LONGEST or not is_open(hours, closes)


@settings(deadline=None, max_examples=80)
@given(cases(), st.integers(1, 1440).map(lambda minutes: minutes * MINUTE))
def test_what_takes_so_long_begins_with_so_much_left(case: tuple[Hours, datetime], takes: timedelta) -> None:
    hours, now = case
    first = hours.first_moment(now, takes)
    reason, told = hours.shut(now, takes)
    assert (reason == "") == (first == now)
    assert told == first
    if first is None:
        assert all(one.duration < takes for one in hours.windows)
        return
    closes = hours.closes_at(first)
    assert closes is not None
    assert closes - first >= takes
    minutes = takewhile(lambda at: at < min(first, now + LONGEST), (now + n * MINUTE for n in count()))
    assert all((end := hours.closes_at(at)) is None or end - at < takes for at in minutes)


def test_the_night_of_the_device_is_the_night_on_its_wall() -> None:
    for zone, turns in TURNS.items():
        hours = Hours((window("22:00/6h device"),), zone)
        for turn in turns:
            first = hours.first_moment(turn.replace(hour=12))
            assert first is not None
            assert first.astimezone(ZoneInfo(zone)).time() in {
                time(22),
                turn.replace(hour=12).astimezone(ZoneInfo(zone)).time(),
            }


def test_windows_that_follow_one_another_are_one() -> None:
    hours = Hours((window("22:00/2h"), window("00:00/4h")))
    late = datetime(2026, 5, 1, 23, tzinfo=UTC)
    assert hours.closes_at(late) == datetime(2026, 5, 2, 4, tzinfo=UTC)
    assert hours.first_moment(late, timedelta(hours=5)) == late


def test_without_any_it_is_always_open() -> None:
    assert Hours().shut(datetime(2026, 5, 1, tzinfo=UTC), LONGEST)[0] == ""


@pytest.mark.parametrize(
    ("text", "takes", "said"),
    [
        ("22:00/1h device", 0, "not before 2026-05-01 20:00 UTC: this device is updated 22:00/1h Europe/Berlin"),
        ("22:00/1h device", 61, "an installation takes 61 minutes, and this device is updated 22:00/1h Europe/Berlin"),
        ("22:00/1h UTC FREQ=DAILY;UNTIL=20200101 from 2019-01-01", 0, "no moment is in sight"),
    ],
)
def test_why_not_now_is_said_in_words(text: str, takes: int, said: str) -> None:
    hours = Hours((window(text),), "Europe/Berlin")
    assert hours.shut(datetime(2026, 5, 1, 12, tzinfo=UTC), takes * MINUTE)[0].startswith(said)


def test_a_zone_that_is_not_known_never_opens_and_nothing_is_raised() -> None:
    hours = Hours((Window(time(22), timedelta(hours=1), "device"),) * MAX_WINDOWS, "Mars/Olympus")
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert (hours.closes_at(now), hours.first_moment(now)) == (None, None)
    assert "no moment is in sight" in hours.shut(now)[0]
