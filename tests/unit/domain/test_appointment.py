"""Appointments: spread evenly whichever run of ranks a wave is, in the first half, and with places for all who come in time."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from otaru.domain.schedule.appointment import FREELY, again_at, minute, offset, per_minute

durations = st.integers(1, 24 * 60).map(lambda minutes: timedelta(minutes=minutes))


@settings(deadline=None, max_examples=50)
@given(durations, st.integers(1, 3000), st.integers(0, 10**6))
@example(timedelta(hours=4), 3000, 17)
@example(timedelta(minutes=1), 3000, 0)
def test_no_minute_is_a_stampede_and_all_come_in_the_first_half(duration: timedelta, members: int, start: int) -> None:
    turns = [offset(rank, duration, members) for rank in range(start, start + members)]
    assert all(timedelta(0) <= turn <= duration / 2 for turn in turns)
    if members <= FREELY:
        assert set(turns) == {timedelta(0)}
        return
    crowds = Counter(turn // timedelta(minutes=1) for turn in turns)
    # Evenly, up to what a run of any ranks may differ from it.
    assert max(crowds.values()) <= per_minute(duration, members) * 1.1 + 3


@given(durations, st.integers(0, 10**6))
def test_a_window_has_places_for_all_in_its_first_half(duration: timedelta, members: int) -> None:
    places = per_minute(duration, members)
    assert places >= FREELY
    assert places * max(duration / 2 / timedelta(minutes=1), 1) >= members


@given(st.integers(0, 10**6), st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1)), durations)  # noqa: DTZ001 - made aware here
def test_who_finds_no_place_comes_soon_in_another_minute(rank: int, naive: datetime, duration: timedelta) -> None:
    now = naive.replace(tzinfo=UTC)
    again = again_at(rank, now, duration)
    assert minute(again) > minute(now)
    assert again - now <= timedelta(minutes=11)
