"""Channel C: measurements after the update, each device against its own past and against control.

A device's change (after minus before) is ranked among the changes of fresh control devices of its stratum; each control
device is used once, so a good release makes scores of mean 0 (no worse) in [-1, 1], whatever their distribution. The
e-value bets on them being above 0 (Waudby-Smith and Ramdas, JRSS B 2024).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

from otaru.analysis.mixture import log_sum

_STAKES = (0.05, 0.1, 0.2, 0.4, 0.7)
"""The shares of its wealth that the bettor stakes on each score; the e-value is the mean over them."""


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
        logs, seen = list(self.logs), self.seen
        for score in scores:
            if not -1 <= score <= 1:
                raise ValueError(f"a score lies in [-1, 1], not {score}")
            seen += 1
            for i, stake in enumerate(_STAKES):
                logs[i] += log(1 + stake * score)
        return Bets(tuple(logs), seen)


def log_e(bets: Sequence[Bets]) -> float:
    """The logarithm of the e-value of one or more segments."""
    sums: list[float] = [sum(column) for column in zip(*(b.logs for b in bets), strict=True)] or [0.0]
    return log_sum(sums) - log(len(sums))
