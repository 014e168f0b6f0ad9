"""Shapes: how the heights of a rollout's waves follow from how many members there are.

A policy's waves stay the one truth: a shape only writes them, once, when the rollout is planned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from otaru.domain.rollout.policy import MAX_WAVES, Share
from otaru.domain.rollout.segment import Stratum
from otaru.errors import InvalidInputError


class Shape(StrEnum):
    """How a rollout grows."""

    EXPONENTIAL = "exponential"
    """`first` devices, then `factor` times as many with each wave."""
    ADAPTIVE = "adaptive"
    """The canaries, then a fine ladder up to all but the last few, who are the control; the judge says how fast."""
    ALL = "all"
    """All at once: for emergencies."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A shape with its numbers."""

    shape: Shape
    first: int = 10
    factor: float = 2.0


STEP = 1.25
"""From one height of the ladder to the next."""
HOLDOUT_PERCENT = 3
"""The last so many of an adaptive rollout: not updated until all others have been judged."""
MAX_FIRST = 1_000_000_000
MAX_FACTOR = 100.0
MIN_FACTOR = 1.1


def check_growth(growth: Growth) -> None:
    """Check a shape's numbers as a person wrote them.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    if not 1 <= growth.first <= MAX_FIRST:
        raise InvalidInputError("the first wave has 1 device or more")
    if not MIN_FACTOR <= growth.factor <= MAX_FACTOR:
        raise InvalidInputError(f"waves grow by a factor of {MIN_FACTOR:g} to {MAX_FACTOR:g}, not {growth.factor:g}")


def grown(growth: Growth, strata: Sequence[Stratum]) -> tuple[Share, ...]:
    """The heights of a shape, for members in these strata; the last is everybody.

    Raises:
        InvalidInputError: it would take more than MAX_WAVES.
    """
    members = sum(stratum.size for stratum in strata)
    match growth.shape:
        case Shape.ALL:
            heights: list[int] = []
        case Shape.EXPONENTIAL:
            heights = list(_steps(growth.first, growth.factor, members))
        case Shape.ADAPTIVE:
            canaries = sum(stratum.canaries for stratum in strata) or 1
            last = members - max(1, members * HOLDOUT_PERCENT // 100)
            heights = [*_steps(canaries, STEP, last), last]
    if len(heights) >= MAX_WAVES:
        raise InvalidInputError(
            f"that would be more than {MAX_WAVES} waves", hint="Begin with more devices, or grow by a higher factor."
        )
    below = sorted({height for height in heights if 0 < height < members})
    return (*(Share(height, percent=False) for height in below), Share(100, percent=True))


def _steps(first: int, factor: float, below: int) -> Iterator[int]:
    height = float(first)
    while height < below:
        yield ceil(height - 1e-9)
        height = max(height * factor, height + 1)
