"""E-values: how much better "this release is worse than tolerated" explains the counts than "it is a good one".

Both sides are mixtures over a shift on a log scale. The good side mixes over what good releases did (a Student t around
the centre, cut at what is tolerated), the bad side over shifts beyond the limit, the nearer ones with more weight. The
quotient of the two likelihoods is a martingale of mean 1 when a good release is drawn from the good side, so the chance
that it *ever* reaches 1/alpha is at most alpha (Ville 1939), however often one looks. It depends on counts only, not on
their order; and since every bad shift lies above every good one, one more failure never lowers it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

_GOOD = 48
"""Points on the good side; the grid is finer than what 100,000 devices can tell apart."""
_BAD = 14
_STEP = 0.35
_NEARER = 0.85


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shifts with the logarithms of their weights."""

    good: tuple[tuple[float, float], ...]
    bad: tuple[tuple[float, float], ...]

    def log_e(self, log_likelihood: Callable[[float], float]) -> float:
        """The logarithm of the e-value."""
        return _sum([w + log_likelihood(x) for x, w in self.bad]) - _sum([w + log_likelihood(x) for x, w in self.good])


def mixture(spread: float, degrees: float, reach: float, centre: float = 0.0) -> Mixture:
    """The two sides for a good side of this spread that ends `reach` above the centre."""
    low = -3 * spread
    points = [low + (reach - low) * i / (_GOOD - 1) for i in range(_GOOD)]
    good = _weighed(points, [-(degrees + 1) / 2 * log(1 + (x / spread) ** 2 / degrees) for x in points])
    beyond = [reach + _STEP * (i + 0.5) for i in range(_BAD)]
    bad = _weighed(beyond, [i * log(_NEARER) for i in range(_BAD)])
    return Mixture(tuple((centre + x, w) for x, w in good), tuple((centre + x, w) for x, w in bad))


def _weighed(points: Sequence[float], logs: Sequence[float]) -> list[tuple[float, float]]:
    total = _sum(logs)
    return [(x, w - total) for x, w in zip(points, logs, strict=True)]


def _sum(logs: Sequence[float]) -> float:
    """The logarithm of a sum, from the logarithms of its terms."""
    top = max(logs)
    return top + log(sum(exp(x - top) for x in logs))
