"""Intervals and quantiles, against published and defining values."""

from math import comb, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.exact import beta_cdf, beta_quantile, interval, ratio_interval, student_quantile, upper


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 100, 0.0164, 0.1128), (10, 10, 0.6915, 1.0)],
)
def test_clopper_and_pearson(k: int, n: int, low: float, high: float) -> None:
    assert interval(k, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 0.99))
def test_the_beta_distribution_is_a_tail_of_the_binomial(a: int, b: int, x: float) -> None:
    n = a + b - 1
    tail = sum(comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
    assert beta_cdf(x, a, b) == pytest.approx(tail, abs=1e-9)


@given(st.floats(0.001, 0.999), st.floats(0.5, 500), st.floats(0.5, 500))
def test_a_quantile_inverts_the_distribution(p: float, a: float, b: float) -> None:
    assert beta_cdf(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(("p", "degrees", "value"), [(0.995, 10, 3.1693), (0.975, 4, 2.7764), (0.995, 1e9, 2.5758)])
def test_students_table(p: float, degrees: float, value: float) -> None:
    assert student_quantile(p, degrees) == pytest.approx(value, abs=1e-3)


def test_without_data_everything_is_possible() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    assert upper(0, 0, 0.95) == 1.0
    assert ratio_interval(0, 1, 0, 1) == (0.0, inf)
    assert ratio_interval(3, 1, 0, 0) == (0.0, inf)


def test_a_rate_ratio_lies_in_its_interval() -> None:
    low, high = ratio_interval(20, 100.0, 10, 100.0)
    assert low < 2.0 < high
    assert low == pytest.approx(0.896, abs=0.01)
