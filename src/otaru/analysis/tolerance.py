"""What this fleet tolerates, learned from its own past releases.

Failure rates are handled on the logit scale. Per segment the past is shrunk to the fleet's, the fleet's to a prior, and the
spread between releases (DerSimonian and Laird, Controlled Clinical Trials 1986) says how far a good release may lie from
the centre. Nothing is tuned per fleet; without any past, the prior decides: a centre of 1.2 %, about 5 % tolerated.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TypeVar

from otaru.analysis.exact import student_quantile

S = TypeVar("S", bound=Hashable)

PRIOR_RATE = 0.012
"""The failure rate of releases where nothing is known."""
PRIOR_SPREAD = 0.35
"""The standard deviation of what is not known about the centre."""
RELEASE_SPREAD = 0.3
"""The standard deviation between good releases where nothing is known of it."""
RELEASE_WEIGHT = 10.0
"""How many releases the prior on the spread is worth."""
SEGMENT_SPREAD = 0.3
"""The standard deviation between segments where nothing is known of it."""
TAIL = 0.005
"""The share of good releases that may lie above what is tolerated."""


@dataclass(frozen=True, slots=True)
class Count:
    """`failed` of `tried` devices."""

    failed: int
    tried: int


NOTHING = Count(0, 0)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The rates that a good release may have: logit(rate) = centre + spread * a Student t, cut at the limit."""

    centre: float
    spread: float
    degrees: float

    @property
    def reach(self) -> float:
        """How far above the centre, on the logit scale, what is tolerated ends."""
        return student_quantile(1 - TAIL, self.degrees) * self.spread

    @property
    def expected(self) -> float:
        """The failure rate at the centre."""
        return expit(self.centre)

    @property
    def limit(self) -> float:
        """The tolerated failure rate."""
        return expit(self.centre + self.reach)


def expit(x: float) -> float:
    """The share whose log odds are `x`."""
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def logit(p: float) -> float:
    """The log odds of a share; 0 < p < 1."""
    return log(p / (1 - p))


def learn(past: Sequence[Mapping[S, Count]], segments: Sequence[S]) -> tuple[Tolerance, dict[S, Tolerance]]:
    """The fleet's tolerance and each segment's, from the outcomes of past releases by segment.

    Leave releases out that were stopped for cause: what is tolerated is learned from good ones.
    """
    releases = [_pooled(list(one.values())) for one in past]
    observed = [_observed(c) for c in releases if c.tried > 0]
    between, degrees = _release_spread(observed)
    centre, error = _shrunk([(y, v + between) for y, v in observed], logit(PRIOR_RATE), PRIOR_SPREAD**2)
    fleet = Tolerance(centre, sqrt(between + error), degrees)
    counts = {s: _pooled([one[s] for one in past if s in one]) for s in segments}
    apart = _segment_spread([_observed(c) for c in counts.values() if c.tried > 0])
    by_segment: dict[S, Tolerance] = {}
    for segment, count in counts.items():
        own = [_observed(count)] if count.tried > 0 else []
        mean, rest = _shrunk(own, centre, apart)
        by_segment[segment] = Tolerance(mean, sqrt(between + error + rest), degrees)
    return fleet, by_segment


def _pooled(counts: Sequence[Count]) -> Count:
    return Count(sum(c.failed for c in counts), sum(c.tried for c in counts))


def _observed(count: Count) -> tuple[float, float]:
    """The log odds with their sampling variance, half a device added to either side (Haldane and Anscombe)."""
    bad, good = count.failed + 0.5, count.tried - count.failed + 0.5
    return log(bad / good), 1 / bad + 1 / good


def _release_spread(observed: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The variance between releases, shrunk to the prior's, with its degrees of freedom."""
    own = max(0, len(observed) - 1)
    weight = RELEASE_WEIGHT + own
    return (RELEASE_WEIGHT * RELEASE_SPREAD**2 + own * between_variance(observed)) / weight, weight


def _segment_spread(observed: Sequence[tuple[float, float]]) -> float:
    """The variance between segments, shrunk to the prior's with the weight of four segments."""
    own = max(0, len(observed) - 1)
    return (4 * SEGMENT_SPREAD**2 + own * between_variance(observed)) / (4 + own)


def between_variance(observed: Sequence[tuple[float, float]]) -> float:
    """DerSimonian and Laird's estimate of the variance between (value, sampling variance)s beyond chance."""
    if len(observed) < 2:
        return 0.0
    weights = [1 / v for _, v in observed]
    total = sum(weights)
    mean = sum(w * y for w, (y, _) in zip(weights, observed, strict=True)) / total
    q = sum(w * (y - mean) ** 2 for w, (y, _) in zip(weights, observed, strict=True))
    scale = total - sum(w * w for w in weights) / total
    return max(0.0, (q - (len(observed) - 1)) / scale)


def _shrunk(observed: Sequence[tuple[float, float]], prior: float, variance: float) -> tuple[float, float]:
    """The mean of `observed`, pulled to the prior by precision, and its variance."""
    precision = 1 / variance + sum(1 / v for _, v in observed)
    return (prior / variance + sum(y / v for y, v in observed)) / precision, 1 / precision
