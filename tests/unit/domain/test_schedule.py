"""Maintenance windows, held against a clock that is looked at every minute."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otaru.domain.schedule import LONGEST, SHORTEST, Window, window
from otaru.errors import InvalidInputError

MINUTE = timedelta(minutes=1)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Africa/Cairo",  # changes at midnight
    "Asia/Kathmandu",
    "Pacific/Apia",  # left 30 December 2011 out
)
TURNS = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin springs forward
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # and back
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # New York
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 4, 23, 22, tzinfo=UTC),  # Cairo
    datetime(2011, 12, 30, 10, tzinfo=UTC),  # Apia
)

durations = st.integers(1, 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
windows = st.builds(
    Window,
    st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    durations,
    st.sampled_from(ZONES),
)
near_turns = st.builds(
    lambda turn, minutes: turn + timedelta(minutes=minutes), st.sampled_from(TURNS), st.integers(-3000, 3000)
)
moments = near_turns | st.datetimes(datetime(2005, 1, 1), datetime(2036, 1, 1)).map(  # noqa: DTZ001 - made aware here
    lambda naive: naive.replace(second=0, microsecond=0, tzinfo=UTC)
)


def seen_on_the_wall(wanted: Window, now: datetime) -> list[datetime]:
    """The openings around `now`, by looking at a clock on the wall once a minute.

    Where the clock is put forward over the opening, an unchanged clock beside it says when the time has come; a time
    that the clock shows twice counts the first time.
    """
    zone = ZoneInfo(wanted.zone)
    openings: list[datetime] = []
    shown: set[date] = set()
    moment = now - timedelta(hours=75)
    before = moment.astimezone(zone).replace(tzinfo=None)
    while (moment := moment + MINUTE) < now + timedelta(hours=50):
        wall = moment.astimezone(zone).replace(tzinfo=None)
        if wall - before > MINUTE:
            skipped = before + MINUTE
            while skipped < wall:
                if skipped.time() == wanted.start:
                    openings.append(moment + (skipped - before - MINUTE))
                    shown.add(skipped.date())
                skipped += MINUTE
        if wall.time() == wanted.start and wall.date() not in shown:
            openings.append(moment)
            shown.add(wall.date())
        before = wall
    return openings


@settings(max_examples=60, deadline=None)
@given(windows, moments)
@example(Window(time(2, 30), timedelta(hours=1), "Europe/Berlin"), datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
@example(Window(time(2, 30), timedelta(hours=1), "Europe/Berlin"), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
@example(Window(time(1, 45), timedelta(hours=24), "Australia/Lord_Howe"), datetime(2026, 4, 4, 15, 10, tzinfo=UTC))
@example(Window(time(12), timedelta(hours=24), "Pacific/Apia"), datetime(2011, 12, 30, 10, tzinfo=UTC))
@example(Window(time(23), timedelta(hours=24), "America/New_York"), datetime(2026, 1, 22, 2, tzinfo=UTC))
def test_it_is_open_from_each_opening_on_for_its_duration(wanted: Window, now: datetime) -> None:
    openings = seen_on_the_wall(wanted, now)
    closes = [opens + wanted.duration for opens in openings if opens <= now < opens + wanted.duration]
    assert wanted.open_at(now) is bool(closes)
    assert wanted.closes_at(now) == max(closes, default=None)
    assert wanted.next_opening(now) == min(opens for opens in openings if opens > now)


@given(windows, st.datetimes(timezones=st.just(UTC)))
@example(Window(time(23, 59), LONGEST, "Pacific/Apia"), datetime.max.replace(tzinfo=UTC))
@example(Window(time(0), LONGEST, "America/New_York"), datetime.min.replace(tzinfo=UTC))
def test_no_moment_is_too_odd(wanted: Window, now: datetime) -> None:
    assert wanted.open_at(now) is (wanted.closes_at(now) is not None)
    opens = wanted.next_opening(now)
    assert opens is None or opens > now
    assert str(wanted) in wanted.words(now)


@given(windows)
def test_text_is_read_as_it_is_written(wanted: Window) -> None:
    assert window(str(wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "start", "minutes", "zone"),
    [
        ("02:00/4h", time(2), 240, "UTC"),
        (" 22:30/90m Europe/Paris ", time(22, 30), 90, "Europe/Paris"),
        ("00:00/24h", time(0), 1440, "UTC"),
        ("01:00/1h30m  America/Argentina/Buenos_Aires", time(1), 90, "America/Argentina/Buenos_Aires"),
        ("23:59/1m Etc/GMT+5", time(23, 59), 1, "Etc/GMT+5"),
    ],
)
def test_forms(text: str, start: time, minutes: int, zone: str) -> None:
    assert window(text) == Window(start, timedelta(minutes=minutes), zone)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a maintenance window"),
        ("2:00/4h", "not a maintenance window"),
        ("02:00", "not a maintenance window"),
        ("02:00/", "not a maintenance window"),
        ("02:00/h", "not a maintenance window"),
        ("02:00/4", "not a maintenance window"),
        ("02:00/4h Europe/Paris now", "not a maintenance window"),
        ("02:00/٤h", "not a maintenance window"),
        ("02:00/4h " + "x" * 200, "not a maintenance window"),
        ("24:00/1h", "24:00 is not a time of day"),
        ("12:60/1h", "12:60 is not a time of day"),
        ("02:00/0m", "1 minute to 24 hours"),
        ("02:00/24h1m", "1 minute to 24 hours"),
        ("02:00/4h Europe/Nowhere", "'Europe/Nowhere' is not a time zone"),
        ("02:00/4h Europe", "'Europe' is not a time zone"),
        ("02:00/4h localtime", "'localtime' is not a time zone"),
        ("02:00/4h ../../etc/passwd", "is not a time zone"),
        ("02:00/4h /etc/localtime", "is not a time zone"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        window(text)
    assert said in refused.value.message
    assert refused.value.hint


@given(st.text(max_size=120))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parsed = window(text)
    except InvalidInputError:
        return
    assert SHORTEST <= parsed.duration <= LONGEST


def test_a_zone_that_is_gone_never_opens() -> None:
    stored = Window(time(2), timedelta(hours=4), "Europe/Nowhere")
    now = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
    assert not stored.open_at(now)
    assert stored.next_opening(now) is None
    assert "Europe/Nowhere is not known" in stored.words(now)


def test_words() -> None:
    nightly = window("22:00/4h30m Europe/Paris")
    shut = "The maintenance window 22:00/4h30m Europe/Paris is shut: it opens at 2026-11-21 21:00 UTC."
    assert nightly.words(datetime(2026, 11, 21, 20, 59, 59, tzinfo=UTC)) == shut
    opened = "The maintenance window 22:00/4h30m Europe/Paris is open until 2026-11-22 01:30 UTC."
    assert nightly.words(datetime(2026, 11, 21, 21, tzinfo=UTC)) == opened
