"""Channel B: events after the update, of the updated against those not yet updated, at the same time.

In one stratum (devices that are alike) and one block of time there were `events` among the updated and among the control,
with so many device-hours at risk each. Given their total, the number among the updated is binomial with the share
r·T1 / (r·T1 + T0), whatever made events frequent at that hour: a common outage cancels out. This is the logrank test as an
e-process (ter Schure and others, NEJSDS 2024; Lindon and Malek, NeurIPS 2022). Silence is an event like the others. A
block without events, or without control, says nothing and changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log

from otaru.analysis.exact import student_quantile
from otaru.analysis.mixture import Mixture, mixture


@dataclass(frozen=True, slots=True)
class Block:
    """What one stratum saw in one block of time; times in device-hours."""

    events: int
    hours: float
    control_events: int
    control_hours: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The rate ratios that a good release may have: log r = centre + spread * a Student t, cut at the limit."""

    centre: float = 0.0
    spread: float = 0.2
    degrees: float = 10.0
    tail: float = 0.005

    @property
    def limit(self) -> float:
        """The tolerated rate ratio."""
        return exp(self.centre + student_quantile(1 - self.tail, self.degrees) * self.spread)


SETTLED = Ratio()
"""Devices that run the release for a while."""
FRESH = Ratio(centre=0.4, spread=0.35)
"""Devices that have just restarted: every release brings weak ones to light, so more is tolerated."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a run of blocks says so far, by shift of the mixture: good shifts first, then bad ones."""

    ratio: Ratio
    logs: tuple[float, ...] = ()
    events: int = 0
    hours: float = 0.0
    control_events: int = 0
    control_hours: float = 0.0

    def after(self, blocks: Iterable[Block]) -> "Health":
        """With more blocks. Their order does not matter."""
        sides = _mixture(self.ratio)
        shifts = [x for x, _ in (*sides.good, *sides.bad)]
        logs = list(self.logs) or [0.0] * len(shifts)
        seen, hours, control, control_hours = self.events, self.hours, self.control_events, self.control_hours
        for block in blocks:
            seen += block.events
            hours += block.hours
            control += block.control_events
            control_hours += block.control_hours
            if speaks(block):
                both = block.events + block.control_events
                for i, x in enumerate(shifts):
                    logs[i] += block.events * x - both * log(exp(x) * block.hours + block.control_hours)
        return Health(self.ratio, tuple(logs), seen, hours, control, control_hours)


def speaks(block: Block) -> bool:
    """Whether a block bears witness: events, and both sides at risk."""
    return block.events + block.control_events > 0 and block.hours > 0 and block.control_hours > 0


def log_e(healths: Sequence[Health]) -> float:
    """The logarithm of the e-value of one or more segments that were judged by the same ratio."""
    told = [h.logs for h in healths if h.logs]
    if not told:
        return 0.0
    sides = _mixture(healths[0].ratio)
    shifts = [x for x, _ in (*sides.good, *sides.bad)]
    sums = dict(zip(shifts, (sum(column) for column in zip(*told, strict=True)), strict=True))
    return sides.log_e(sums.__getitem__)


@lru_cache(maxsize=64)
def _mixture(ratio: Ratio) -> Mixture:
    reach = student_quantile(1 - ratio.tail, ratio.degrees) * ratio.spread
    return mixture(ratio.spread, ratio.degrees, reach, ratio.centre)
