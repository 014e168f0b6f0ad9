"""How many more devices may be told: the harm budget.

What is not known yet is taken to be as bad as the evidence still allows: the upper bound of the excess failure rate, times
the devices whose exposure has not matured, stays below a budget. Without evidence the bound is 1, and the budget is the
number of canaries; each good device that matures lowers the bound, so a good release speeds up by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otaru.analysis.exact import upper

MATURE_H = 24.0
"""An exposure counts in full as evidence after so many hours."""
LEVEL = 0.95
"""The confidence of the upper bound."""
FLOOR = 0.004
"""No evidence makes the excess that must be reckoned with smaller."""


def ripe(hours: float) -> float:
    """How much an exposure of so many hours counts: little at first, for what breaks late breaks after hours."""
    return float(min(1.0, max(0.0, hours) / MATURE_H) ** 1.5)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where a segment stands; devices may count in fractions."""

    size: int
    tried: int
    """Devices that reported how the installation ended, `failed` of them badly."""
    failed: int
    mature: float
    immature: float
    """Devices told whose exposure is not over, each by the share that is missing."""
    late: float
    """Events after the installation, beyond what control and chance explain."""
    expected: float
    """The failure rate of a good release."""
    tolerated: float
    """The failure rate up to which a release may be a good one: harm beyond it is charged to the budget for good."""


def segment_budget(size: int) -> float:
    """Devices that may come to harm in a segment before it is held: at most 10, or 2 %; one in ten of a small one."""
    return max(1.0, min(10.0, 0.1 * size), 0.02 * size)


def fleet_budget(size: int) -> float:
    """Devices that may come to harm in the whole rollout: at most 40, or 0.4 %; 2 % of a small one."""
    return max(1.0, min(40.0, 0.02 * size), 0.004 * size)


def room(exposures: Sequence[Exposure], left: Sequence[int]) -> list[int]:
    """How many more devices may be told in each segment, of so many that are `left`.

    What the whole rollout may still risk is shared out by what is left of each segment.
    """
    own = [min(_room(segment_budget(e.size), e), n) for e, n in zip(exposures, left, strict=True)]
    whole = Exposure(
        size=sum(e.size for e in exposures),
        tried=sum(e.tried for e in exposures),
        failed=sum(e.failed for e in exposures),
        mature=sum(e.mature for e in exposures),
        immature=sum(e.immature for e in exposures),
        late=sum(e.late for e in exposures),
        expected=_mean([(e.expected, e.size) for e in exposures]),
        tolerated=_mean([(e.tolerated, e.size) for e in exposures]),
    )
    return [int(x + 1e-9) for x in _shared(_room(fleet_budget(whole.size), whole), own, left)]


def _shared(total: float, own: Sequence[float], left: Sequence[int]) -> list[float]:
    """`total` in proportion to `left`, nobody above `own`; what one cannot take goes to the others."""
    got = [0.0] * len(own)
    wanting = {i for i, x in enumerate(own) if x > 0}
    while wanting and total > 1e-9:
        weight = sum(left[i] for i in wanting)
        each = {i: min(own[i] - got[i], total * left[i] / weight) for i in wanting}
        for i, more in each.items():
            got[i] += more
        total -= sum(each.values())
        full = {i for i in wanting if own[i] - got[i] <= 1e-9}
        if not full:
            break
        wanting -= full
    return got


def _room(budget: float, exposure: Exposure) -> float:
    """A device under way may still come to harm late; a new one may fail at once, too."""
    seen = exposure.tried
    at_once = max(FLOOR, upper(exposure.failed, seen, LEVEL) - exposure.expected)
    late = max(FLOOR, upper(exposure.late, max(exposure.mature, exposure.late), LEVEL))
    spent = max(0.0, exposure.failed - exposure.tolerated * seen) + exposure.late
    return max(0.0, (budget - spent - late * exposure.immature) / min(1.0, at_once + late))


def _mean(weighed: Sequence[tuple[float, int]]) -> float:
    total = sum(w for _, w in weighed)
    return sum(x * w for x, w in weighed) / total if total else 0.0
