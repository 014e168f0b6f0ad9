"""Shapes write heights that rise, end with everybody and are few."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout import (
    MAX_WAVES,
    Growth,
    Policy,
    Rollout,
    RolloutState,
    Shape,
    Share,
    Stratum,
    cells,
    check,
    check_end,
    check_growth,
    grown,
    laid_out,
    layout,
)
from otaru.errors import InvalidInputError, NeverDueError
from tests.unit.domain.test_segments import ranked

NOW = datetime(2026, 11, 21, tzinfo=UTC)
EVERYBODY = Share(100, percent=True)


def one(members: int, critical: int = 0) -> list[Stratum]:
    return [Stratum((), members, critical)]


def rollout(policy: Policy, strata: list[Stratum]) -> Rollout:
    made = Rollout(RolloutId(1), ProductName("app"), Version("1"), "id==*", RolloutState.DRAFT, policy, 7, NOW)
    return laid_out(made, strata)


def test_exponential_waves_grow_by_their_factor() -> None:
    heights = grown(Growth(Shape.EXPONENTIAL, 10, 2), one(100))
    assert heights == (*(Share(n, percent=False) for n in (10, 20, 40, 80)), EVERYBODY)
    assert grown(Growth(Shape.EXPONENTIAL, 10, 2), one(10)) == (EVERYBODY,)


def test_all_at_once_is_one_wave() -> None:
    assert grown(Growth(Shape.ALL), one(100)) == (EVERYBODY,)


def test_adaptive_begins_with_the_canaries_and_ends_with_the_holdout() -> None:
    strata = [Stratum(("a",), 600, 10), Stratum(("b",), 390, 0), Stratum(("c",), 10, 10)]
    heights = [w.height for w in layout(Policy(waves=grown(Growth(Shape.ADAPTIVE), strata)), 1000)]
    assert heights[0] == 15 + 12
    assert heights[-2:] == [970, 1000]
    assert all(b <= a * 1.25 + 1 for a, b in pairwise(heights[:-1]))


@given(st.integers(0, 10**8), st.integers(1, 200), st.sampled_from(list(Shape)))
def test_every_shape_gives_a_policy_that_holds(members: int, parts: int, shape: Shape) -> None:
    strata = [Stratum((str(n),), members // parts) for n in range(min(parts, 64))]
    waves = grown(Growth(shape, 10, 2), strata)
    check(Policy(waves=waves))
    assert len(waves) <= MAX_WAVES
    size = sum(s.size for s in strata)
    laid = layout(Policy(waves=waves), size)
    assert (laid[-1].height if laid else 0) == size


@pytest.mark.parametrize(
    "growth",
    [Growth(Shape.EXPONENTIAL, 0), Growth(Shape.EXPONENTIAL, 1, 1.0), Growth(Shape.EXPONENTIAL, 1, float("nan"))],
)
def test_numbers_that_do_not_grow_are_refused(growth: Growth) -> None:
    with pytest.raises(InvalidInputError):
        check_growth(growth)


def test_too_many_waves_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        grown(Growth(Shape.EXPONENTIAL, 1, 1.1), one(10**8))


def test_what_expires_before_its_last_wave_can_open_is_refused() -> None:
    waves = (Share(1, percent=False), Share(50, percent=True), EVERYBODY)
    slow = Policy(waves=waves, observe=timedelta(hours=1), expires_after=timedelta(hours=2))
    with pytest.raises(NeverDueError):
        check_end(rollout(slow, one(100)))
    check_end(rollout(slow, one(1)))
    check_end(rollout(Policy(waves=waves, observe=timedelta(hours=1), expires_after=timedelta(hours=3)), one(100)))


@given(
    st.lists(st.integers(1, 300).flatmap(lambda s: st.tuples(st.just(s), st.integers(0, s))), min_size=1, max_size=6)
)
def test_cells_are_what_ranking_all_members_gives(sizes: list[tuple[int, int]]) -> None:
    strata = [Stratum((str(n),), size, critical) for n, (size, critical) in enumerate(sizes)]
    made = rollout(Policy(waves=(Share(3, False), Share(20, True), Share(55.5, True)), split=("hardware",)), strata)
    found: dict[tuple[int, int], int] = {}
    for rank, (_, segment) in enumerate(ranked(sizes)):
        wave = next(w.index for w in made.waves if w.start <= rank < w.height)
        found[segment, wave] = found.get((segment, wave), 0) + 1
    assert cells(made, strata) == found
