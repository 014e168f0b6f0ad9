"""Canaries that stand for their segment."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.ids import DeviceId
from otaru.domain.rollout.coverage import _alike, _standardised, covering, swapped

told = st.dictionaries(st.sampled_from(["battery", "signal", "heat"]), st.floats(-1e300, 1e300), max_size=3)


def test_each_way_of_living_has_its_canary() -> None:
    """Twelve on mains, two that freeze, two with a weak signal: a draw of four would often take three of the first kind."""
    mains = [{"heat": 20.0 + n / 10, "signal": -60.0} for n in range(12)]
    cold = [{"heat": -20.0, "signal": -60.0}, {"heat": -21.0, "signal": -61.0}]
    far = [{"heat": 21.0, "signal": -110.0}, {"heat": 20.0, "signal": -111.0}]
    chosen = covering([*mains, *cold, *far], 3)
    assert chosen[0] == 0
    assert [sum(index in range(*span) for index in chosen) for span in ((0, 12), (12, 14), (14, 16))] == [1, 1, 1]


@pytest.mark.parametrize("silent", [[{}, {}, {}, {}], [{"heat": 1.0}] * 4, [{"heat": 1e300}, {}, {}, {}]])
def test_the_draw_decides_among_those_who_are_alike(silent: list[dict[str, float]]) -> None:
    assert covering(silent, 2)[0] == 0
    assert covering([{}] * 4, 2) == [0, 1]
    assert covering([{"heat": 1.0}] * 4, 2) == [0, 1]


@given(st.lists(told, max_size=9), st.integers(0, 5))
def test_so_many_as_were_asked_for_each_once(candidates: list[dict[str, float]], count: int) -> None:
    chosen = covering(candidates, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(candidates))
    assert all(0 <= index < len(candidates) for index in chosen)


@given(st.lists(told, min_size=4, max_size=7), st.integers(2, 3))
def test_they_cover_nearly_as_much_as_the_best(candidates: list[dict[str, float]], count: int) -> None:
    """Beside the draw's first, which is given: 1 - 1/e of what the best others would add."""
    points = _standardised(candidates)

    def covered(chosen: tuple[int, ...]) -> float:
        return sum(max(_alike(points[c], point) for c in chosen) for point in points)

    others = combinations(range(1, len(candidates)), count - 1)
    best = max(covered((0, *more)) for more in others) - covered((0,))
    assert covered(tuple(covering(candidates, count))) - covered((0,)) >= (1 - 1 / 2.71828) * best - 1e-6


@given(st.lists(told, min_size=1, max_size=9), st.integers(1, 4))
def test_ranks_change_places_and_nothing_else(candidates: list[dict[str, float]], count: int) -> None:
    ranks = {DeviceId(f"d{n}"): 3 * n for n in range(len(candidates))}
    known = {DeviceId(f"d{n}"): one for n, one in enumerate(candidates)}
    moves = swapped(ranks, known, count)
    after = ranks | moves
    assert sorted(after.values()) == sorted(ranks.values())
    assert all(ranks[device] != rank for device, rank in moves.items())
    canaries = {DeviceId(f"d{n}") for n in covering(candidates, count)}
    assert {device for device in after if after[device] < 3 * count} == canaries
