"""Channel B: events after the update, of the updated against those not yet updated, at the same time.

In one stratum (devices that are alike) and one block of time there were events among those that have just restarted with
the release, among those that run it for a while, and among the control, with so many device-hours at risk each. Given their
total, they are multinomial with shares in proportion to r·T, whatever made events frequent at that hour: a common outage
cancels out. This is the logrank test as an e-process (ter Schure and others, NEJSDS 2024; Lindon and Malek, NeurIPS 2022).
Silence is an event like the others. A block without events, or without control, says nothing and changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt
from operator import attrgetter

from otaru.analysis.exact import student_quantile
from otaru.analysis.mixture import Mixture, beyond, good_points, weighed
from otaru.analysis.tolerance import between_variance

_GOOD = 14
"""Points per age on the good side."""


@dataclass(frozen=True, slots=True)
class Risk:
    """Events in so many device-hours."""

    events: int = 0
    hours: float = 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """What one stratum saw in one block of time."""

    fresh: Risk
    settled: Risk
    control: Risk


@dataclass(frozen=True, slots=True)
class Ratio:
    """The rate ratios that a good release may have: log r = centre + spread * a Student t, cut at the limit."""

    centre: float
    spread: float
    degrees: float = 10.0
    tail: float = 0.005

    @property
    def log_limit(self) -> float:
        """The logarithm of the tolerated rate ratio."""
        return self.centre + student_quantile(1 - self.tail, self.degrees) * self.spread

    @property
    def limit(self) -> float:
        """The tolerated rate ratio."""
        return exp(self.log_limit)


@dataclass(frozen=True, slots=True)
class Ratios:
    """What is tolerated by age: of devices that have just restarted more, since every release brings weak ones to light."""

    fresh: Ratio = Ratio(centre=0.4, spread=0.35)
    settled: Ratio = Ratio(centre=0.0, spread=0.2)


USUAL = Ratios()
"""Where nothing is known of past releases."""
_RELEASES = 0.2
"""The standard deviation between good releases where nothing is known of it."""


def learned(past: Sequence[tuple[Risk, Risk]], prior: Ratio) -> Ratio:
    """The ratios of this fleet's good releases, from what each past one saw in all: (updated, control); else `prior`.

    Leave releases out that were stopped for cause.
    """
    observed = [_observed(u, c) for u, c in past if u.hours > 0 and c.hours > 0]
    own = max(0, len(observed) - 1)
    weight = prior.degrees + own
    between = (prior.degrees * _RELEASES**2 + own * between_variance(observed)) / weight
    precision = 1 / prior.spread**2 + sum(1 / (v + between) for _, v in observed)
    pulled = prior.centre / prior.spread**2 + sum(y / (v + between) for y, v in observed)
    return Ratio(pulled / precision, sqrt(between + 1 / precision), weight, prior.tail)


def _observed(updated: Risk, control: Risk) -> tuple[float, float]:
    """The log rate ratio with its sampling variance, half an event added to either side."""
    seen, other = updated.events + 0.5, control.events + 0.5
    return log(seen / updated.hours * control.hours / other), 1 / seen + 1 / other


@dataclass(frozen=True, slots=True)
class Health:
    """What a run of blocks says so far."""

    ratios: Ratios = USUAL
    logs: tuple[float, ...] = ()
    """The log likelihood by point of the mixture: the good ones first, then the bad ones."""
    fresh: Risk = Risk()
    settled: Risk = Risk()
    control: Risk = Risk()
    usual: float = 0.0
    """Events that a good release would have made, at control's rate block by block."""
    doubt: float = 0.0
    """The variance of the difference to it, by chance alone."""

    @property
    def excess(self) -> float:
        """Events of the updated beyond what a good release makes and chance explains (two standard deviations)."""
        return max(0.0, self.fresh.events + self.settled.events - self.usual - 2 * sqrt(self.doubt))

    def after(self, blocks: Iterable[Block]) -> "Health":
        """With more blocks. Their order does not matter."""
        told = list(blocks)
        points = _points(self.ratios)
        logs = list(self.logs)
        if not logs and any(map(speaks, told)):  # who heard of nothing pays for nothing
            logs = [0.0] * len(points)
        usual, doubt = self.usual, self.doubt
        for block in told:
            more, variance = self._usual(block)
            usual, doubt = usual + more, doubt + variance
            if not speaks(block):
                continue
            fresh, settled, control = block.fresh, block.settled, block.control
            total = fresh.events + settled.events + control.events
            for i, (x, y, rx, ry) in enumerate(points):
                whole = rx * fresh.hours + ry * settled.hours + control.hours
                logs[i] += fresh.events * x + settled.events * y - total * log(whole)
        return Health(
            self.ratios,
            tuple(logs),
            _sum([self.fresh, *map(attrgetter("fresh"), told)]),
            _sum([self.settled, *map(attrgetter("settled"), told)]),
            _sum([self.control, *map(attrgetter("control"), told)]),
            usual,
            doubt,
        )

    def _usual(self, block: Block) -> tuple[float, float]:
        if block.control.hours <= 0:
            return 0.0, 0.0
        weighed_hours = (
            exp(self.ratios.fresh.centre) * block.fresh.hours + exp(self.ratios.settled.centre) * block.settled.hours
        )
        share = weighed_hours / block.control.hours
        total = block.fresh.events + block.settled.events + block.control.events
        return share * block.control.events, share * total


def _sum(risks: Sequence[Risk]) -> Risk:
    return Risk(sum(r.events for r in risks), sum(r.hours for r in risks))


def speaks(block: Block) -> bool:
    """Whether a block bears witness: events, and both sides at risk."""
    events = block.fresh.events + block.settled.events + block.control.events
    return events > 0 and block.fresh.hours + block.settled.hours > 0 and block.control.hours > 0


def log_e(healths: Sequence[Health]) -> float:
    """The logarithm of the e-value of one or more segments; all were judged by the same ratios."""
    told = [h.logs for h in healths if h.logs]
    if not told:
        return 0.0
    return _mixture(healths[0].ratios).log_e([sum(column) for column in zip(*told, strict=True)])


@lru_cache(maxsize=64)
def _mixture(ratios: Ratios) -> Mixture[tuple[float, float]]:
    """Good: every pair of tolerated shifts. Bad: beyond the limit while fresh, once settled, or both."""
    sides = [
        [(r.centre + x, w) for x, w in good_points(r.spread, r.degrees, r.log_limit - r.centre, _GOOD)]
        for r in (ratios.fresh, ratios.settled)
    ]
    good = [((x, y), wx + wy) for x, wx in sides[0] for y, wy in sides[1]]
    top, other = ratios.fresh.log_limit, ratios.settled.log_limit
    bad = [(pair, w) for d, w in beyond() for pair in ((top + d, other + d), (top + d, other), (top, other + d))]
    return Mixture(tuple(good), weighed([p for p, _ in bad], [w for _, w in bad]))


@lru_cache(maxsize=64)
def _points(ratios: Ratios) -> tuple[tuple[float, float, float, float], ...]:
    """Every point, with its ratios."""
    return tuple((x, y, exp(x), exp(y)) for x, y in _mixture(ratios).points)
