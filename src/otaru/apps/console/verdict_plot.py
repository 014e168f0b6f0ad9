"""The e-value of a rollout over time against its threshold: points for a small picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from otaru.domain.evidence import Said

WIDTH, HEIGHT = 600.0, 120.0
APART = 14.0
"""What stands beside the picture keeps so far apart."""
_LOWEST = log(0.1)
_GREATEST = 690.0


@dataclass(frozen=True, slots=True)
class Plot:
    """In units of the picture, whose left edge is the first finding and whose upper edge is the greatest value."""

    points: str
    """Of a line that steps: a finding holds until the next one."""
    threshold: float
    one: float
    """How high an e-value of 1 lies: nothing said for or against."""
    scale: tuple[tuple[float, str], ...]
    """What stands beside it: how high, and which e-value."""
    seen: float
    """Where the fixed 5 % rule would first have stopped; below 0 where it would not have."""


def plot(said: Sequence[Said]) -> Plot | None:
    """The findings of all members, newest first; None where there are too few for a picture."""
    told = list(reversed(said))
    if len(told) < 2:
        return None
    first, last = told[0].at, told[-1].at
    whole = max(1.0, (last - first).total_seconds())
    threshold = told[-1].finding.log_threshold
    top = max(threshold * 1.15, *(one.finding.log_e for one in told))

    def across(one: Said) -> float:
        return WIDTH * (one.at - first).total_seconds() / whole

    def down(value: float) -> float:
        return HEIGHT * (top - max(value, _LOWEST)) / (top - _LOWEST)

    points, before = [], down(told[0].finding.log_e)
    for one in told:
        x, y = across(one), down(one.finding.log_e)
        points += [f"{x:.1f},{before:.1f}", f"{x:.1f},{y:.1f}"]
        before = y
    fixed = next((across(one) for one in told if one.finding.failed > 0.05 * one.finding.tried), -1.0)
    marks = {down(top): shown(top), down(0.0): "1", down(threshold): shown(threshold)}  # the last one counts most
    scale = tuple((y, text) for y, text in marks.items() if y == down(threshold) or abs(y - down(threshold)) > APART)
    return Plot(" ".join(points), down(threshold), down(0.0), scale, fixed)


_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def shown(log_value: float) -> str:
    """An e-value as people read it: `0.4`, `12`, `3.1·10⁶`."""
    value = exp(min(log_value, _GREATEST))
    if value < 0.001 or value >= 1_000_000:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits}·10{str(int(power)).translate(_RAISED)}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
