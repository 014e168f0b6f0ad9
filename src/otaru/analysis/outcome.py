"""Channel A: how installations end, against what this fleet tolerates."""

from collections.abc import Iterable
from functools import lru_cache
from math import exp, log1p

from otaru.analysis.mixture import Mixture, beyond, good_points
from otaru.analysis.tolerance import Count, Tolerance

_GOOD = 48
"""Points on the good side; the grid is finer than what 100,000 devices can tell apart."""


def log_e(tolerance: Tolerance, counts: Iterable[tuple[Tolerance, Count]]) -> float:
    """The logarithm of the e-value of the outcomes in one or more segments, each with its own centre.

    `tolerance` is that of the whole that is judged: the fleet's where segments are pooled, a segment's own alone. A bad
    release shifts the log odds of all of them by as much.
    """
    cells = tuple((own.centre, c.failed, c.tried) for own, c in counts if c.tried > 0)
    return _log_e(tolerance, cells) if cells else 0.0


@lru_cache(maxsize=64)
def _log_e(tolerance: Tolerance, cells: tuple[tuple[float, int, int], ...]) -> float:
    """Most looks find most segments as the look before did."""
    sides = _mixture(tolerance)
    return sides.log_e([sum(_log_likelihood(m + shift, k, n) for m, k, n in cells) for shift in sides.points])


def _log_likelihood(log_odds: float, k: int, n: int) -> float:
    """Of `k` failures of `n` (Bernoulli, in no order)."""
    softplus = log_odds + log1p(exp(-log_odds)) if log_odds > 0 else log1p(exp(log_odds))
    return k * log_odds - n * softplus


@lru_cache(maxsize=1024)
def _mixture(tolerance: Tolerance) -> Mixture[float]:
    reach = tolerance.reach
    good = good_points(tolerance.spread, tolerance.degrees, reach, _GOOD)
    return Mixture(good, tuple((reach + d, w) for d, w in beyond()))
