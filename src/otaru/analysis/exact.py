"""Exact intervals of a share, and quantiles, with the standard library only.

Clopper and Pearson (Biometrika 1934): the bounds are quantiles of beta distributions, found by Newton's method on the
regularised incomplete beta function (continued fraction, DLMF 8.17.22). Counts may be fractions: an exposure that is
half mature counts half.
"""

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

_TINY = 1e-300
_TERMS = 400
_STEPS = 100


def beta_cdf(x: float, a: float, b: float) -> float:
    """The probability that a Beta(a, b) variable is at most `x`; `a`, `b` > 0."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction, by Lentz's method."""
    c, d = 1.0, 1.0 / _apart(1.0 - (a + b) * x / (a + 1.0))
    total = d
    for m in range(1, _TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _apart(1.0 + term * d)
            c = _apart(1.0 + term / c)
            total *= c * d
        if abs(c * d - 1.0) < 1e-13:
            break
    return total


def _apart(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


@lru_cache(maxsize=8192)  # the same counts are looked at again and again
def beta_quantile(p: float, a: float, b: float) -> float:
    """The value that a Beta(a, b) variable stays below with probability `p`: Newton's steps, kept in a bracket."""
    low, high = 0.0, 1.0
    constant = lgamma(a + b) - lgamma(a) - lgamma(b)
    x = a / (a + b)
    for _ in range(_STEPS if 0 < x < 1 else 0):
        off = beta_cdf(x, a, b) - p
        if off < 0:
            low = x
        else:
            high = x
        slope = exp(constant + (a - 1) * log(x) + (b - 1) * log1p(-x))
        after = x - off / slope if slope > _TINY else low
        after = after if low < after < high else (low + high) / 2
        settled = abs(after - x) <= 1e-12 * x
        x = after
        if settled or not 0 < x < 1:
            break
    return x


def upper(k: float, n: float, level: float) -> float:
    """The one-sided upper bound of a share of which `k` of `n` were seen; 1 without data."""
    return 1.0 if n <= 0 or k >= n else beta_quantile(level, k + 1, n - k)


def interval(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The two-sided interval of a share of which `k` of `n` were seen; everything without data."""
    if n <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if k <= 0 else beta_quantile(tail, k, n - k + 1)
    return low, upper(k, n, 1 - tail)


def ratio_interval(k1: int, t1: float, k0: int, t0: float, level: float = 0.95) -> tuple[float, float]:
    """The interval of a rate ratio: `k1` events in the time `t1` against `k0` in `t0`.

    Given the total, `k1` is binomial with the share r·t1 / (r·t1 + t0) (Przyborowski and Wilenski, Biometrika 1940).
    """
    if t1 <= 0 or t0 <= 0 or k1 + k0 == 0:
        return 0.0, inf
    low, high = interval(k1, k1 + k0, level)
    return _ratio(low, t1, t0), _ratio(high, t1, t0)


def _ratio(share: float, t1: float, t0: float) -> float:
    return inf if share >= 1 else share / (1 - share) * t0 / t1


@lru_cache(maxsize=1024)
def student_quantile(p: float, degrees: float) -> float:
    """The value that Student's t stays below with probability `p` >= 1/2."""
    if degrees > 1e6:
        return NormalDist().inv_cdf(p)
    x = beta_quantile(2 * (1 - p), degrees / 2, 0.5)
    return sqrt(degrees * (1 - x) / x)
