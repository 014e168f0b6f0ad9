"""Channel C: measurements after the update, each device against its own past and against control.

A device's change (after minus before) is ranked among the changes of fresh control devices of its stratum; each control
device is used once, so a release that changes nothing makes scores of mean 0 in [-1, 1], whatever their distribution. A
good one may make them a little worse (TOLERATED). The e-value bets on more than that (Waudby-Smith and Ramdas, JRSS B
2024). Each measurement, at each of a few ages, is a bet of its own; what is judged is their mean, which is an e-value
however they depend on each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log

from otaru.analysis.mixture import log_sum

_STAKES = (0.05, 0.1, 0.2, 0.4, 0.7)
"""The shares of its wealth that the bettor stakes on each score; the e-value is the mean over them."""


TOLERATED = 0.2
"""The mean score that a good release may have: worse than control in three comparisons of five."""


def beyond(score: float) -> float:
    """What a score says beyond what is tolerated; in [-1, 1] as it is."""
    return (score - TOLERATED) / (1 + TOLERATED)


def placed(change: float, control: Sequence[float]) -> float:
    """The score of one updated device: the share of `control` that changed less minus the share that changed more.

    `control` are changes of control devices that are used for no other updated device; without any: 0. Give changes such
    that larger is worse.
    """
    if not control:
        return 0.0
    return (sum(c < change for c in control) - sum(c > change for c in control)) / len(control)


@dataclass(frozen=True, slots=True)
class Bets:
    """The bettor's log wealth by stake, after `seen` scores."""

    logs: tuple[float, ...] = (0.0,) * len(_STAKES)
    seen: int = 0

    def after(self, scores: Iterable[float]) -> "Bets":
        """With more scores, each in [-1, 1]. Their order does not matter.

        Raises:
            ValueError: a score lies outside.
        """
        bets = self
        for score in scores:
            bets = bets.often(score, 1)
        return bets

    def often(self, score: float, times: int) -> "Bets":
        """With so many more of the same score.

        Raises:
            ValueError: it lies outside [-1, 1].
        """
        if not -1 <= score <= 1:
            raise ValueError(f"a score lies in [-1, 1], not {score}")
        logs = tuple(x + times * log(1 + stake * score) for x, stake in zip(self.logs, _STAKES, strict=True))
        return Bets(logs, self.seen + times)


@dataclass(frozen=True, slots=True)
class Changes:
    """The bets of one segment by name and look, of so many that were set when the rollout was planned."""

    planned: int = 0
    bets: Mapping[tuple[str, int], Bets] = field(default_factory=dict)


def log_e(segments: Sequence[Changes]) -> float:
    """The logarithm of the e-value of one or more segments: the mean over their bets, each pooled over segments."""
    planned = max((s.planned for s in segments), default=0)
    keys = dict.fromkeys(key for s in segments for key in s.bets)
    if not keys:
        return 0.0
    each = [_pooled([s.bets[key] for s in segments if key in s.bets]) for key in keys]
    return log_sum([*each, *[0.0] * (planned - len(keys))]) - log(max(planned, len(keys)))


def _pooled(bets: Sequence[Bets]) -> float:
    sums = [sum(column) for column in zip(*(b.logs for b in bets), strict=True)]
    return log_sum(sums) - log(len(sums))
