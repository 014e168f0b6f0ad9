"""How many more devices may be told: the harm budget.

What is not known yet is taken to be as bad as the evidence still allows: the upper bound of the excess failure rate, times
the devices whose exposure has not matured, stays below a budget. Without evidence the bound is 1, and the budget is the
number of canaries; each good device that matures lowers the bound, so a good release speeds up by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otaru.analysis.exact import upper

MATURE_H = 24.0
"""An exposure counts in full as evidence after so many hours; before that in proportion."""
LEVEL = 0.95
"""The confidence of the upper bound."""
FLOOR = 0.004
"""No evidence makes the excess that must be reckoned with smaller."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where a segment stands: its size, the harm seen and what has matured; devices may count in fractions."""

    size: int
    harmed: float
    """Devices that failed, and events beyond what control had."""
    mature: float
    immature: float
    """Devices told whose exposure is not over, each by the share that is missing."""
    expected: float
    """The failure rate of a good release."""


def segment_budget(size: int) -> float:
    """Devices that may come to harm in a segment before it is held."""
    return max(10.0, 0.02 * size)


def fleet_budget(size: int) -> float:
    """Devices that may come to harm in the whole rollout before it is stopped."""
    return max(40.0, 0.004 * size)


def room(exposures: Sequence[Exposure]) -> list[int]:
    """How many more devices may be told in each segment."""
    own = [max(0.0, segment_budget(e.size) / _excess(e) - e.immature) for e in exposures]
    whole = Exposure(
        size=sum(e.size for e in exposures),
        harmed=sum(e.harmed for e in exposures),
        mature=sum(e.mature for e in exposures),
        immature=sum(e.immature for e in exposures),
        expected=_mean(exposures),
    )
    total = max(0.0, fleet_budget(whole.size) / _excess(whole) - whole.immature)
    wanted = sum(own)
    share = min(1.0, total / wanted) if wanted > 0 else 0.0
    return [int(x * share + 1e-9) for x in own]


def _mean(exposures: Sequence[Exposure]) -> float:
    size = sum(e.size for e in exposures)
    return sum(e.expected * e.size for e in exposures) / size if size else 0.0


def _excess(exposure: Exposure) -> float:
    """The upper bound of what the failure rate may be beyond the expected one."""
    tried = max(exposure.mature, exposure.harmed)
    return max(FLOOR, upper(exposure.harmed, tried, LEVEL) - exposure.expected)
