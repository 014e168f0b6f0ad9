"""Blackouts, the first moment that they and a window leave, and plans that none is left for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.domain.schedule import FOREVER, MAX_BLACKOUTS, Blackout, Calendar, Window, window
from otaru.domain.schedule.blackout import check
from otaru.errors import InvalidInputError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday
HOUR = timedelta(hours=1)
NIGHT = window("02:00/4h")


def fixed(start: float, end: float | None, number: int = 1) -> Blackout:
    """From so many hours after NOW to so many."""
    return Blackout(number, "freeze", NOW + start * HOUR, None if end is None else NOW + end * HOUR)


def test_it_lasts_from_its_beginning_to_its_end() -> None:
    for hours, until in ((-2, None), (-1, NOW + HOUR), (0, NOW + HOUR), (1, None)):
        assert fixed(-1, 1).until(NOW + hours * HOUR, "", "UTC") == until
    assert fixed(-1, None).until(NOW, "", "UTC") == FOREVER
    assert fixed(1, None).until(NOW, "", "UTC") is None


def test_a_recurring_one_lasts_as_a_window_is_open() -> None:
    shop = Blackout(1, "open", window=window("08:00/10h device FREQ=WEEKLY;BYDAY=SA"))
    assert shop.until(NOW, "", "UTC") == datetime(2026, 11, 21, 18, tzinfo=UTC)
    assert shop.until(NOW, "Asia/Tokyo", "UTC") is None, "there it is nine in the evening"
    assert shop.until(NOW + 24 * HOUR, "", "UTC") is None


def test_the_one_that_lasts_longest_is_told() -> None:
    calendar = Calendar("UTC", (fixed(-1, 1, 1), fixed(-1, 5, 2), fixed(-9, -1, 3)))
    assert calendar.blackout("", NOW) == (calendar.blackouts[1], NOW + 5 * HOUR)
    assert calendar.blackout("", NOW + 9 * HOUR) is None


@pytest.mark.parametrize(
    ("end", "wanted", "takes", "black", "said"),
    [
        (-1, None, 0, (), "it would end (2026-11-21 11:00 UTC) before it begins (2026-11-21 12:00 UTC)"),
        (None, NIGHT, 5, (), "the window 02:00/4h UTC is shorter than the 300 minutes that an installation takes"),
        (None, None, 0, (fixed(-1, None),), "blackout 1 (freeze) lasts until it is removed"),
        (
            5,
            None,
            0,
            (fixed(-1, 6),),
            "nothing may be offered before 2026-11-21 18:00 UTC, and it ends 2026-11-21 17:00 UTC",
        ),
        (10, NIGHT, 0, (), "nothing may be offered before 2026-11-22 02:00 UTC"),
        (None, window("02:00/4h UTC FREQ=DAILY;UNTIL=20260101"), 0, (), "no moment in the window"),
        (None, NIGHT, 0, (Blackout(1, "r", window=window("00:00/24h")),), "and in no blackout"),
        (
            None,
            None,
            0,
            (Blackout(1, "r", window=window("00:00/24h")),),
            "there is a blackout at every moment from 2026-11-21 12:00 UTC on",
        ),
        (None, NIGHT, 0, (Blackout(1, "r", window=window("01:00/6h")),), "and in no blackout"),
    ],
)
def test_what_never_comes_to_an_end(
    end: float | None, wanted: Window | None, takes: float, black: tuple[Blackout, ...], said: str
) -> None:
    until = None if end is None else NOW + end * HOUR
    why = Calendar("UTC", black).never(wanted, NOW, until, takes=takes * HOUR, blackouts=True)
    assert why is not None
    assert said in why
    if black:
        assert Calendar("UTC", black).never(wanted, NOW, until, takes=takes * HOUR, blackouts=False) is None


def test_of_a_window_in_each_devices_zone_some_may_be_in_time() -> None:
    assert Calendar().never(window("02:00/4h device"), NOW, NOW + 10 * HOUR, takes=HOUR, blackouts=True) is None


hours = st.integers(-30, 60)
blackouts = st.builds(lambda start, length: fixed(start, start + length), hours, st.integers(1, 40)) | st.sampled_from(
    [Blackout(1, "r", window=window(text)) for text in ("03:00/2h", "00:00/12h", "01:00/90m FREQ=WEEKLY;BYDAY=SU")]
)


@settings(deadline=None)
@given(
    st.none() | st.sampled_from([NIGHT, window("23:00/3h Europe/Paris"), window("02:30/30m FREQ=WEEKLY;BYDAY=SU,MO")]),
    st.lists(blackouts, max_size=4).map(tuple),
    st.sampled_from([0, 10, 60]),
)
def test_the_first_moment_is_the_first(wanted: Window | None, black: tuple[Blackout, ...], minutes: int) -> None:
    """Held against a clock that is looked at every ten minutes."""
    takes, calendar = timedelta(minutes=minutes), Calendar("UTC", black)

    def may(moment: datetime) -> bool:
        if any(one.until(moment, "", "UTC") is not None for one in black):
            return False
        closes = None if wanted is None else wanted.closes_at(moment)
        return wanted is None or (closes is not None and closes - moment >= takes)

    first = calendar.first_moment(wanted, NOW, takes=takes, blackouts=True)
    moment, end = NOW, NOW + timedelta(days=5)
    while moment < end and not may(moment):
        moment += timedelta(minutes=10)
    if moment < end:
        assert first == moment
    else:
        assert first is None or first >= end


@pytest.mark.parametrize(
    "wrong",
    [
        Blackout(0, "r"),
        Blackout(0, "r", end=NOW),
        Blackout(0, "r", NOW, window=NIGHT),
        Blackout(0, "r", NOW, NOW),
        Blackout(0, " ", NOW),
        Blackout(0, "r" * 201, NOW),
    ],
)
def test_what_is_none(wrong: Blackout) -> None:
    with pytest.raises(InvalidInputError):
        check(wrong, ())


def test_there_are_not_too_many() -> None:
    check(fixed(0, 1), [fixed(0, 1)] * (MAX_BLACKOUTS - 1))
    with pytest.raises(InvalidInputError, match="there are 100 blackouts"):
        check(fixed(0, 1), [fixed(0, 1)] * MAX_BLACKOUTS)
