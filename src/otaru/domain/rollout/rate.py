"""The rate rule: an exponential rate and abort criteria, as AWS IoT Jobs documents them.

Developer guide, "How job configurations work" and "Specify job configurations by using the AWS IoT Jobs API"; API
reference, ExponentialRolloutRate, RateIncreaseCriteria, AbortCriteria.
"""

from dataclasses import dataclass
from enum import StrEnum

from otaru.errors import InvalidInputError

MAX_PER_MINUTE = 1000


class FailureType(StrEnum):
    """Which ends an abort criterion counts."""

    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Abort:
    """Abort when, of at least `minimum` completed devices, at least `threshold` percent ended as `failure`."""

    failure: FailureType
    threshold: float
    minimum: int


@dataclass(frozen=True, slots=True)
class RateRule:
    """Devices told per minute: `base`, times `factor` for each time that `every` more were notified, or succeeded."""

    base: int
    factor: float
    every: int
    succeeded: bool = False
    """Whether `every` counts devices that succeeded; else those that were notified."""
    maximum: int = MAX_PER_MINUTE
    aborts: tuple[Abort, ...] = ()


def check_rate(rule: RateRule) -> None:
    """Check a rate rule, with AWS's ranges.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    if not 1 <= rule.base <= MAX_PER_MINUTE or not rule.base <= rule.maximum <= MAX_PER_MINUTE:
        raise InvalidInputError(f"rates are 1 to {MAX_PER_MINUTE} devices per minute, the base not above the maximum")
    if not 1.1 <= rule.factor <= 5 or round(rule.factor, 1) != rule.factor:
        raise InvalidInputError("the factor is 1.1 to 5, with one decimal")
    if rule.every < 1:
        raise InvalidInputError("the rate increases after 1 or more devices")
    for abort in rule.aborts:
        if not 0 < abort.threshold <= 100 or round(abort.threshold, 2) != abort.threshold:
            raise InvalidInputError("an abort threshold is a percentage above 0 and at most 100, with two decimals")
        if abort.minimum < 1:
            raise InvalidInputError("an abort criterion looks from 1 or more completed devices on")
