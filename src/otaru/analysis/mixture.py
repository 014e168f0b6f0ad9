"""E-values: how much better "this release is worse than tolerated" explains the counts than "it is a good one".

Both sides are mixtures over a shift on a log scale. The good side mixes over what good releases did (a Student t around
the centre, cut at what is tolerated), the bad side over shifts beyond the limit, the nearer ones with more weight. The
quotient of the two likelihoods is a martingale of mean 1 when a good release is drawn from the good side, so the chance
that it *ever* reaches 1/alpha is at most alpha (Ville 1939), however often one looks. It depends on counts only, not on
their order; and since every bad shift lies above every good one, one more failure never lowers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Generic, TypeVar

P = TypeVar("P")

_BAD = 14
_STEP = 0.35
_NEARER = 0.85


@dataclass(frozen=True, slots=True)
class Mixture(Generic[P]):
    """Points (one shift, or several) with the logarithms of their weights, which sum to 1 on each side."""

    good: tuple[tuple[P, float], ...]
    bad: tuple[tuple[P, float], ...]

    @property
    def points(self) -> list[P]:
        """All of them, the good ones first."""
        return [p for p, _ in (*self.good, *self.bad)]

    def log_e(self, log_likelihoods: Sequence[float]) -> float:
        """The logarithm of the e-value, from the log likelihoods at `points`."""
        split = len(self.good)
        good = [w + x for (_, w), x in zip(self.good, log_likelihoods[:split], strict=True)]
        bad = [w + x for (_, w), x in zip(self.bad, log_likelihoods[split:], strict=True)]
        return log_sum(bad) - log_sum(good)


def good_points(spread: float, degrees: float, reach: float, count: int) -> tuple[tuple[float, float], ...]:
    """Shifts of good releases, three spreads below the centre up to `reach` above: a Student t."""
    low = -3 * spread
    points = [low + (reach - low) * i / (count - 1) for i in range(count)]
    return weighed(points, [-(degrees + 1) / 2 * log(1 + (x / spread) ** 2 / degrees) for x in points])


def beyond() -> tuple[tuple[float, float], ...]:
    """How far beyond the limit a bad release may lie."""
    return weighed([_STEP * (i + 0.5) for i in range(_BAD)], [i * log(_NEARER) for i in range(_BAD)])


def weighed(points: Sequence[P], logs: Sequence[float]) -> tuple[tuple[P, float], ...]:
    """Points with log weights, scaled to sum to 1."""
    total = log_sum(logs)
    return tuple((x, w - total) for x, w in zip(points, logs, strict=True))


def log_sum(logs: Sequence[float]) -> float:
    """The logarithm of a sum, from the logarithms of its terms."""
    top = max(logs)
    return top + log(sum(exp(x - top) for x in logs))
