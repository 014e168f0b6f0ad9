"""How a rollout goes about it: waves, the rule that judges them, and what time does."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from math import ceil

from otaru.domain import conditions
from otaru.domain.conditions import Condition
from otaru.domain.deployment import IN_FLIGHT, State
from otaru.domain.duration import written
from otaru.domain.ids import RolloutId
from otaru.domain.rollout.limits import NO_LIMITS, Limits, check_limits
from otaru.domain.rollout.rate import RateRule, check_rate
from otaru.domain.rollout.segment import check_split
from otaru.domain.rollout.sequential import SequentialRule, check_sequential
from otaru.domain.schedule import Window
from otaru.domain.urgency import Urgency as Urgency  # noqa: PLC0414 - part of a policy
from otaru.errors import InvalidInputError


class Approve(StrEnum):
    """What waits until somebody approves it."""

    NONE = "none"
    START = "start"
    WAVES = "waves"
    """The start, and each wave after the first."""


class Download(StrEnum):
    """When devices may fetch what they install in a window."""

    IN_WINDOW = "in-window"
    ANY_TIME = "any-time"


class OnError(StrEnum):
    """What a failed wave does to its rollout: how far the engine goes by itself."""

    ADVISE = "advise"
    """The verdict is shown, and nothing is done: waves go on when they are complete."""
    PAUSE = "pause"
    STOP = "stop"
    ROLLBACK = "rollback"
    """It is stopped, and a linked rollout brings back whom it can be done for safely."""


@dataclass(frozen=True, slots=True)
class Share:
    """A height in the ranking: a number of devices, or a percentage of all members."""

    value: float
    percent: bool

    def of(self, members: int) -> int:
        """The height in members, rounded up, never more than there are."""
        height = ceil(members * self.value / 100 - 1e-9) if self.percent else int(self.value)
        return min(height, members)

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.percent else f"{self.value:g}"


def share(text: str) -> Share:
    """Parse a wave's height: `10` devices, or `2.5%` of all.

    Raises:
        InvalidInputError: it is neither.
    """
    if not re.fullmatch(r"[0-9]{1,9}|[0-9]{1,3}(\.[0-9]{1,4})?%", text, re.ASCII):
        raise InvalidInputError(f"{text!r} is not a wave's height", hint="For example 10, or 2.5%.")
    return Share(float(text.removesuffix("%")), percent=text.endswith("%"))


@dataclass(frozen=True, slots=True)
class ClassicRule:
    """hawkBit's rule: shares of a wave's witnesses, between 0 and 1.

    The wave passes when at least `success` of them succeeded and fails when more than `error` of them failed.
    """

    success: float
    error: float


DEFAULT_RULE = ClassicRule(success=0.9, error=0.1)
"""Where a rollout has waves and names no thresholds."""


POSTPONEMENTS = 3
POSTPONE_FOR = timedelta(days=7)
"""How often, and how far, an owner may put an update off where nobody says."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a rollout goes about it. The default is the *simple* rollout: one wave, no rule, offers at the next poll."""

    waves: tuple[Share, ...] = (Share(100, percent=True),)
    rule: ClassicRule | None = None
    sequential: SequentialRule | None = None
    """Judged by e-values, with the harm budget as pace; then there is no classic rule."""
    quorum: float = 1.0
    """The share of a wave's members that must have ended before the wave is complete."""
    wave_timeout: timedelta | None = None
    """A wave is complete after this time, whoever is still missing."""
    observe: timedelta = timedelta(0)
    """How long a complete wave is watched before the next one opens."""
    expires_after: timedelta | None = None
    on_error: OnError = OnError.PAUSE
    urgency: Urgency = Urgency.FORCED
    consent: bool = False
    """Whether the device or its owner is asked first (hawkBit: confirmation)."""
    consent_deadline: timedelta | None = None
    """Who was asked and has said nothing for so long has consented; None: it waits for a yes."""
    postponements: int = POSTPONEMENTS
    """How often an update may be put off until a moment."""
    postpone_for: timedelta = POSTPONE_FOR
    """How far off, each time."""
    conditions: tuple[Condition, ...] = ()
    """What has to hold on a device before it begins."""
    window: Window | None = None
    """When devices are told of it; None: at any time."""
    split: tuple[str, ...] = ()
    """What splits its members into segments: `hardware`, `version`, `attr.NAME`."""
    end_at: datetime | None = None
    """From then on it offers nothing new; who has not been told by then is skipped."""
    install_takes: timedelta = timedelta(0)
    """How long an installation takes: so much of the window has to be left when a device is told."""
    ignore_blackout: bool = False
    """Whether it offers during the tenant's blackouts too: for emergencies, and admins alone may say so."""
    validate: timedelta = timedelta(0)
    """The health window: how long a device that installed it runs it on trial before that counts as a success."""
    validate_events: int = 1
    """So many bad health events (`domain.trial`) in the window are a failure."""
    rate: RateRule | None = None
    """Devices told per minute, more and more, until an abort criterion is met; in place of the other rules."""
    limits: Limits = NO_LIMITS
    """How many devices are updated at once."""
    download_only: bool = False
    """Whether devices fetch it as soon as it runs, and install it on a later order (hawkBit: downloadonly)."""
    download: Download = Download.IN_WINDOW
    """When it may be fetched, of a rollout with a window."""
    approve: Approve = Approve.NONE
    continuous: bool = False
    """Whether devices that come to match later join it, behind all others; it goes on until somebody ends it."""
    after: RolloutId | None = None
    """It starts when that rollout has finished well."""
    forced_at: datetime | None = None
    """From then on the device has no say in the moment any more (hawkBit: timeforced)."""
    priority: int = 5
    """From 0 to `MAX_PRIORITY`: of a device's rollouts the one with the highest goes first, then the oldest."""

    def urgency_at(self, now: datetime) -> Urgency:
        """How much say a device has in the moment now."""
        return Urgency.FORCED if self.forced_at is not None and now >= self.forced_at else self.urgency

    @property
    def downloads_first(self) -> bool:
        """Whether a device is told twice: to fetch it, and, once it has, to install it."""
        return self.download_only or self.download is Download.ANY_TIME

    @property
    def in_flight(self) -> frozenset[State]:
        """The states that count against its limits. Who holds the bytes and waits to be told to install takes no place."""
        return IN_FLIGHT - {State.DOWNLOADED} if self.downloads_first else IN_FLIGHT

    @property
    def staged(self) -> bool:
        """Whether it matters in which order members come; otherwise all are offered it at once."""
        return bool(self.split) or any(not share.percent or share.value != 100 for share in self.waves)


MAX_WAVES = 100
MAX_BAD_EVENTS = 1000
MAX_PRIORITY = 9
JUDGED_WAVES = tuple(Share(value, percent=True) for value in (0.4, 0.8, 1.5, 3, 6, 12, 25, 50, 75, 100))
"""Where a sequential rollout names none: heights at which the pace opens the next; the harm budget says when."""
MAX_POSTPONEMENTS = 100


def check(policy: Policy) -> None:
    """Check a policy as a person wrote it.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    if not 1 <= len(policy.waves) <= MAX_WAVES:
        raise InvalidInputError(f"a rollout has 1 to {MAX_WAVES} waves")
    for share in policy.waves:
        if share.percent and not 0 < share.value <= 100:
            raise InvalidInputError(f"a wave's percentage is above 0 and at most 100, not {share}")
        if not share.percent and (share.value < 1 or share.value != int(share.value)):
            raise InvalidInputError(f"a wave's number of devices is a whole number from 1 on, not {share}")
    _check_rising(policy.waves)
    check_split(policy.split)
    check_limits(policy.limits)
    _check_rules(policy)
    _check_kind(policy)
    if not 0 < policy.quorum <= 1:
        raise InvalidInputError("the quorum is a share above 0 and at most 1")
    _check_consent(policy)
    conditions.check(policy.conditions)
    _check_download(policy)
    for what, span in (
        ("wave timeout", policy.wave_timeout),
        ("time to observe", policy.observe),
        ("expiry", policy.expires_after),
        ("deadline of consent", policy.consent_deadline),
        ("time by which an update may be postponed", policy.postpone_for),
        ("time that an installation takes", policy.install_takes),
        ("health window", policy.validate),
    ):
        if span is not None and not timedelta(0) <= span <= timedelta(days=3650):
            raise InvalidInputError(f"the {what} is between 0 and 3650 days")
    _check_trial(policy)


def _check_download(policy: Policy) -> None:
    if policy.download is Download.ANY_TIME and policy.window is None:
        raise InvalidInputError(
            "without a window everything is downloaded at any time", hint="Leave out download, or give it a window."
        )
    if policy.downloads_first and policy.rate is not None:
        raise InvalidInputError(
            "a rate counts who is told once, and who downloads first is told twice",
            hint="Let it be judged by thresholds, or by e-values.",
        )
    if policy.install_takes and policy.window is None:
        raise InvalidInputError(
            "how long an installation takes says nothing without a window", hint="Give it a window, or leave it out."
        )


def _check_trial(policy: Policy) -> None:
    if not 1 <= policy.validate_events <= MAX_BAD_EVENTS:
        raise InvalidInputError(f"a trial fails after 1 to {MAX_BAD_EVENTS} bad health events")
    if not policy.validate:
        return
    for what, span in (("a wave would be complete", policy.wave_timeout), ("it would expire", policy.expires_after)):
        if span is not None and span <= policy.validate:
            raise InvalidInputError(
                f"{what} before a device could pass its health window of {written(policy.validate.total_seconds())}",
                hint="Give it more time, or make the health window shorter.",
            )


def _check_rules(policy: Policy) -> None:
    if policy.rule is not None and not (0 <= policy.rule.error <= 1 and 0 <= policy.rule.success <= 1):
        raise InvalidInputError("thresholds are shares between 0 and 1 (0 % and 100 %)")
    if policy.sequential is not None:
        check_sequential(policy.sequential)
        if policy.on_error is OnError.ADVISE:
            raise InvalidInputError(
                "a sequential judge sets the pace, so it cannot only advise", hint="Let it pause, stop or roll back."
            )
        if policy.rule is not None:
            raise InvalidInputError("a rollout is judged by thresholds or by e-values, not by both")
    if policy.rate is not None:
        check_rate(policy.rate)
        if policy.rule is not None or policy.sequential is not None:
            raise InvalidInputError("a rate aborts by its own criteria: it has no thresholds and no e-values")


def _check_consent(policy: Policy) -> None:
    if not 0 <= policy.postponements <= MAX_POSTPONEMENTS:
        raise InvalidInputError(f"an update may be postponed 0 to {MAX_POSTPONEMENTS} times")
    if policy.consent_deadline is not None and not policy.consent:
        raise InvalidInputError("a deadline of consent says nothing where nobody is asked", hint="Ask for consent too.")
    said = (policy.postponements, policy.postpone_for) != (POSTPONEMENTS, POSTPONE_FOR)
    if said and not policy.consent:
        raise InvalidInputError("there is nothing to postpone where nobody is asked", hint="Ask for consent too.")


def _check_kind(policy: Policy) -> None:
    if policy.continuous and policy.split:
        raise InvalidInputError("a continuous rollout has no segments: who joins is in none", hint="Leave out split.")
    if policy.forced_at is not None and policy.urgency is not Urgency.SOFT:
        raise InvalidInputError("only a soft rollout is forced from a moment on", hint="Say urgency soft too.")
    if not 0 <= policy.priority <= MAX_PRIORITY:
        raise InvalidInputError(f"a priority is a number from 0 to {MAX_PRIORITY}, which goes first")


def _check_rising(waves: tuple[Share, ...]) -> None:
    for lower, higher in pairwise(waves):
        if lower.percent == higher.percent and higher.value <= lower.value:
            raise InvalidInputError(
                f"wave {higher} comes after wave {lower}",
                hint="Waves are heights that rise: 2,10,100% is two devices, then up to ten, then all.",
            )
