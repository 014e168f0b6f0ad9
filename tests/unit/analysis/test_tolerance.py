"""What is tolerated is learned from the past."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.tolerance import Count, between_variance, expit, learn

_COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n)))


def _past(rates: list[float], size: int, seed: int) -> list[dict[str, Count]]:
    random = Random(seed)
    return [{s: Count(sum(random.random() < r for _ in range(size)), size) for s in "abcd"} for r in rates]


def test_a_cold_start_tolerates_about_five_percent() -> None:
    fleet, segments = learn([], ["a"])
    assert fleet.expected == pytest.approx(0.012)
    assert 0.04 < fleet.limit < 0.06
    assert segments["a"].limit > fleet.limit  # less is known of one segment


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.02, 0.05])
def test_the_centre_comes_from_past_releases(rate: float) -> None:
    fleet, _ = learn(_past([rate] * 10, 2000, 1), list("abcd"))
    assert fleet.expected == pytest.approx(rate, rel=0.2)
    assert rate < fleet.limit < 4 * rate


def test_releases_that_vary_widen_what_is_tolerated() -> None:
    steady, _ = learn(_past([0.01] * 12, 5000, 2), list("abcd"))
    varying, _ = learn(_past([0.004, 0.02] * 6, 5000, 2), list("abcd"))
    assert varying.spread > 1.5 * steady.spread
    assert varying.limit > 0.02


def test_a_thin_segment_is_pulled_to_the_fleet_and_a_thick_one_is_not() -> None:
    past = [{"thick": Count(300, 3000), "thin": Count(1, 10), "usual": Count(100, 10_000)} for _ in range(8)]
    _, segments = learn(past, ["thick", "thin", "usual", "unknown"])
    assert segments["thick"].expected == pytest.approx(0.1, rel=0.1)
    assert segments["thin"].expected < 0.1
    assert segments["unknown"].spread > segments["thick"].spread


@given(st.lists(st.dictionaries(st.sampled_from("abc"), _COUNTS), max_size=6))
def test_any_past_gives_a_limit_above_what_is_expected(past: list[dict[str, Count]]) -> None:
    fleet, segments = learn(past, list("abc"))
    for tolerance in (fleet, *segments.values()):
        assert 0 < tolerance.expected < tolerance.limit < 1


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 10)), max_size=8), st.randoms())
def test_the_variance_between_releases_does_not_depend_on_their_order(
    observed: list[tuple[float, float]], random: Random
) -> None:
    turned = random.sample(observed, len(observed))
    assert between_variance(turned) == pytest.approx(between_variance(observed), abs=1e-9)


def test_a_share_far_out_is_still_a_share() -> None:
    assert expit(-1000) == pytest.approx(0)
    assert expit(1000) == pytest.approx(1)
