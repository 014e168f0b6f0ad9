"""The harm budget: canaries first, faster with evidence, never beyond the budget."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.pace import Exposure, fleet_budget, ripe, room, segment_budget
from otaru.analysis.silence import patience

NEW = Exposure(size=1000, tried=0, failed=0, mature=0, immature=0, late=0, expected=0.01, tolerated=0.02)
ALL = 10**9


def _good(n: int) -> Exposure:
    return replace(NEW, tried=n, mature=n)


def test_without_evidence_the_budget_is_the_number_of_canaries() -> None:
    assert room([replace(NEW, size=10_000)], [ALL]) == [40]
    assert sum(room([replace(NEW, size=2000)] * 8, [2000] * 8)) == 64  # 0.4 % of 16,000
    assert room([replace(NEW, size=1000)], [ALL]) == [20]
    assert room([NEW], [7]) == [7]
    assert [segment_budget(n) for n in (3, 50, 400, 1000)] == [1, 5, 10, 20]
    assert [fleet_budget(n) for n in (10, 1000, 5000, 100_000)] == [1, 20, 40, 400]


def test_evidence_speeds_up_and_harm_slows_down() -> None:
    rooms = [room([_good(n)], [ALL])[0] for n in (0, 10, 30, 100, 300, 1000)]
    assert rooms == sorted(rooms)
    assert rooms[-1] >= 1000
    assert room([replace(_good(100), failed=10)], [ALL])[0] < room([_good(100)], [ALL])[0]
    assert room([replace(_good(100), late=3.0)], [ALL])[0] < room([_good(100)], [ALL])[0]
    assert room([replace(NEW, immature=20)], [ALL]) == [0]


def test_harm_beyond_what_is_tolerated_is_charged_for_good() -> None:
    assert room([replace(_good(10_000), failed=220)], [ALL]) == [0]
    assert room([replace(_good(10_000), late=20)], [ALL]) == [0]


def test_what_a_segment_cannot_take_goes_to_the_others() -> None:
    assert room([_good(1000)] * 2 + [replace(NEW, size=50)], [3, 1000, 50]) == [3, 1000, 5]


def test_an_exposure_ripens_in_a_day() -> None:
    assert [ripe(h) for h in (-1, 0, 12, 24, 100)] == [0, 0, pytest.approx(0.354, abs=1e-3), 1, 1]


_EXPOSURES = st.builds(
    Exposure,
    size=st.integers(1, 10**6),
    tried=st.integers(100, 10**6),
    failed=st.integers(0, 100),
    mature=st.floats(0, 1e6),
    immature=st.floats(0, 1e6),
    late=st.floats(0, 100),
    expected=st.floats(0, 0.2),
    tolerated=st.floats(0.2, 0.4),
)


@given(st.lists(st.tuples(_EXPOSURES, st.integers(0, 10**6)), max_size=5))
def test_never_more_than_is_left_and_never_more_with_more_under_way(rows: list[tuple[Exposure, int]]) -> None:
    exposures, left = [e for e, _ in rows], [n for _, n in rows]
    rooms = room(exposures, left)
    assert all(0 <= r <= n for r, n in zip(rooms, left, strict=True))
    fuller = room([replace(e, immature=e.immature + 1) for e in exposures], left)
    assert sum(fuller) <= sum(rooms) + len(rooms)


def test_silence_is_measured_by_a_devices_own_habit() -> None:
    hour = timedelta(hours=1)
    assert patience([], hour) == 3 * hour
    assert patience([24 * hour] * 30, hour) > 48 * hour
    assert patience([hour] * 30 + [20 * hour], hour) == 20 * hour
