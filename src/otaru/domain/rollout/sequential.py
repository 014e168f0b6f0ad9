"""The sequential rule: what a rollout's judge was told when it was planned. Frozen then, since data must not move it."""

from dataclasses import dataclass

from otaru.domain.health import MAX_MEASURES, MEASURES, Measure
from otaru.errors import InvalidInputError

ALPHA = 0.01
MIN_ALPHA, MAX_ALPHA = 0.0001, 0.2


@dataclass(frozen=True, slots=True)
class Learned:
    """What good releases did, on a log scale: a Student t around a centre."""

    centre: float
    spread: float
    degrees: float


@dataclass(frozen=True, slots=True)
class SequentialRule:
    """Judge by e-values. `alpha` is the chance that a good release is ever stopped or held."""

    alpha: float = ALPHA
    releases: int = 0
    """From how many past releases it was learned; none: cautious words of our own."""
    whole: Learned | None = None
    """Log odds of failure, of all members; None until it is planned."""
    segments: tuple[Learned, ...] = ()
    """Log odds of failure, by segment."""
    fresh: Learned | None = None
    """Log rate ratio of events against control, within hours of the update."""
    settled: Learned | None = None
    """The same for devices that run the release for longer."""
    telemetry: tuple[Measure, ...] = MEASURES
    """Telemetry that is judged; none: none is."""
    patience_h: int = 0
    """A device that has not been heard of for so many hours is silent; 0: nobody is, for it was planned before that was asked."""


def check_sequential(rule: SequentialRule) -> None:
    """Check a rule as a person wrote it.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    if not MIN_ALPHA <= rule.alpha <= MAX_ALPHA:
        raise InvalidInputError(f"alpha is {MIN_ALPHA:.2%} to {MAX_ALPHA:.0%}", hint="For example 1%.")
    if len(rule.telemetry) > MAX_MEASURES or len({m.name for m in rule.telemetry}) < len(rule.telemetry):
        raise InvalidInputError(f"at most {MAX_MEASURES} different measurements are judged")
