"""Consent: who is asked before an update begins, how long they may put it off, and when it happens all the same."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.release import Release
from otaru.domain.rollout import Policy
from otaru.domain.terms import UpdateType
from otaru.errors import InvalidInputError, PostponedError


@dataclass(frozen=True, slots=True)
class Delay:
    """Until when an owner has postponed an update, and how often by now."""

    until: datetime
    times: int


def is_asked(policy: Policy, release: Release) -> bool:
    """Whether anybody is asked. Security updates wait for nobody."""
    return policy.consent and release.terms.type is not UpdateType.SECURITY


def automatic_at(policy: Policy, asked_at: datetime | None) -> datetime | None:
    """When who was asked then has consented by saying nothing; None: never."""
    if policy.consent_deadline is None or asked_at is None:
        return None
    return asked_at + policy.consent_deadline


def postponed(policy: Policy, known: Delay | None, until: datetime, asked_at: datetime | None, now: datetime) -> Delay:
    """Put an update off until a moment (once more).

    Raises:
        InvalidInputError: the moment has passed.
        PostponedError: that is too often, too long, or after the moment at which it happens by itself.
    """
    if until <= now:
        raise InvalidInputError(f"{until:%Y-%m-%d %H:%M} UTC has passed")
    times = 1 if known is None else known.times + 1
    if times > policy.postponements:
        raise PostponedError(
            f"it has been postponed {_often(times - 1)}, and may be no more" if times > 1 else "it may not be postponed"
        )
    if until > now + policy.postpone_for:
        raise PostponedError(f"it may be postponed by {_days(policy.postpone_for)} at most")
    deadline = automatic_at(policy, asked_at)
    if deadline is not None and until > deadline:
        raise PostponedError(f"it happens by itself at {deadline:%Y-%m-%d %H:%M} UTC")
    return Delay(until, times)


def _often(times: int) -> str:
    return "once" if times == 1 else f"{times} times"


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:g} days" if days >= 1 else f"{span // timedelta(minutes=1)} minutes"
