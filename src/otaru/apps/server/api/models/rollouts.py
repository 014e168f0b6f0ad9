"""Rollouts and deployments, as the API shows and takes them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from otaru.apps.server.api.models.fields import (
    LINE,
    Body,
    ConditionText,
    Fraction,
    Line,
    MeasureText,
    Most,
    Out,
    PlaceText,
    ReleaseText,
    Seconds,
    SplitText,
    Target,
    WaveText,
    WholeNumber,
    WindowText,
    span,
    utc,
)
from otaru.apps.server.api.models.verdicts import VerdictOut
from otaru.domain.conditions import MAX_CONDITIONS, condition
from otaru.domain.deployment import RETRIABLE, Deployment, State
from otaru.domain.evidence import Tally
from otaru.domain.health import MAX_MEASURES, MEASURES, measure
from otaru.domain.ids import RolloutId
from otaru.domain.release import release_name
from otaru.domain.rollout import (
    ALPHA,
    DEFAULT_RULE,
    JUDGED_WAVES,
    MAX_BAD_EVENTS,
    MAX_PLACES,
    MAX_POSTPONEMENTS,
    MAX_PRIORITY,
    MAX_SPLITS,
    MAX_WAVES,
    Approve,
    ClassicRule,
    Download,
    Growth,
    Install,
    Limits,
    OnError,
    Policy,
    Rollout,
    RolloutState,
    Segment,
    SequentialRule,
    Shape,
    Urgency,
    Wave,
    WaveState,
    place,
    share,
)
from otaru.domain.rollout.rate import MAX_PER_MINUTE, Abort, FailureType, RateRule
from otaru.domain.rollout.sequential import MAX_ALPHA, MIN_ALPHA
from otaru.domain.rollout.shape import MAX_FACTOR, MAX_FIRST, MIN_FACTOR
from otaru.domain.schedule import window
from otaru.errors import InvalidInputError
from otaru.services.control.rollouts import Intention, Planned, Present, Progress, allowed
from otaru.services.control.survey import counted


class JudgeName(StrEnum):
    """Who judges a rollout."""

    CLASSIC = "classic"
    SEQUENTIAL = "sequential"
    RATE = "rate"


class AbortIn(Body):
    """When a rate is aborted: of at least `minimum` completed devices at least `threshold` percent ended so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"failure": "failed", "threshold": 20, "minimum": 50}]})

    failure: FailureType
    threshold: Annotated[float, Field(gt=0, le=100)]
    minimum: Annotated[WholeNumber, Field(ge=1, lt=2**31)]


class RateIn(Body):
    """Devices told per minute: `per_minute`, times `factor` each time that `every` more were notified, or succeeded."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"per_minute": 50, "factor": 2, "every": 1000, "maximum": 1000}]}
    )

    per_minute: Annotated[WholeNumber, Field(ge=1, le=MAX_PER_MINUTE)]
    factor: Annotated[float, Field(ge=1.1, le=5)] = 2.0
    every: Annotated[WholeNumber, Field(ge=1, lt=2**31)] = 1000
    counts: Literal["notified", "succeeded"] = "notified"
    maximum: Annotated[WholeNumber, Field(ge=1, le=MAX_PER_MINUTE)] = MAX_PER_MINUTE
    aborts: Annotated[list[AbortIn], Field(max_length=10)] = Field(default=[])

    def parsed(self) -> RateRule:
        """As the domain takes it."""
        aborts = tuple(Abort(one.failure, one.threshold, one.minimum) for one in self.aborts)
        succeeded = self.counts == "succeeded"
        return RateRule(self.per_minute, self.factor, self.every, succeeded, self.maximum, aborts)

    @classmethod
    def of(cls, rule: RateRule) -> "RateIn":
        """As it is stored."""
        aborts = [AbortIn(failure=a.failure, threshold=a.threshold, minimum=a.minimum) for a in rule.aborts]
        counts: Literal["notified", "succeeded"] = "succeeded" if rule.succeeded else "notified"
        return cls(
            per_minute=rule.base,
            factor=rule.factor,
            every=rule.every,
            counts=counts,
            maximum=rule.maximum,
            aborts=aborts,
        )


_EXAMPLE: dict[str, Any] = {
    "release": "app:1.1.0",
    "target": "tag==lab;hardware==rpi4",
    "waves": ["2", "10", "100%"],
    "success": 0.9,
    "error": 0.1,
    "observe_s": 600,
}
_SIMPLE: dict[str, Any] = {"release": "app:1.1.0", "target": "id==dev-1", "start": True}


class PlannedIn(Body):
    """The plan that somebody looked at: its seed, and how many members it had. Where the fleet changed, it is refused."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seed": "123456789", "members": 48}]})

    seed: Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]
    members: Annotated[WholeNumber, Field(ge=1, lt=2**31)]


class PolicyIn(Body):
    """How a rollout goes about it."""

    waves: Annotated[
        list[WaveText],
        Field(max_length=MAX_WAVES, description="Heights, cumulative: numbers of devices, or percentages of all."),
    ] = Field(default=[])
    shape: Annotated[
        Shape | None,
        Field(
            description="In place of waves: exponential (`first` devices, `factor` times as many with each wave), adaptive "
            "(the canaries, then a fine ladder; the last 3 % are the control) or all, which needs a reason."
        ),
    ] = None
    first: Annotated[WholeNumber, Field(ge=1, le=MAX_FIRST, description="Of the exponential shape.")] = 10
    factor: Annotated[float, Field(ge=MIN_FACTOR, le=MAX_FACTOR, description="Of the exponential shape.")] = 2.0
    reason: Annotated[Line, Field(description="Why; the record keeps it.")] = ""
    success: Annotated[
        Fraction | None, Field(description="The share of a wave that has to succeed; 0.9 where there are waves.")
    ] = None
    error: Annotated[
        Fraction | None, Field(description="The share of a wave above which it has failed; 0.1 where there are waves.")
    ] = None
    judge: Annotated[
        JudgeName,
        Field(
            description="Thresholds per wave (classic), e-values against what past releases did (sequential), or an "
            "exponential rate with abort criteria (rate)."
        ),
    ] = JudgeName.CLASSIC
    rate: Annotated[RateIn | None, Field(description="Of the judge `rate`, which needs it.")] = None
    alpha: Annotated[
        float | None,
        Field(
            ge=MIN_ALPHA,
            le=MAX_ALPHA,
            description="Of a sequential judge: the chance that a good release is ever stopped or held; 0.01.",
        ),
    ] = None
    telemetry: Annotated[
        list[MeasureText] | None,
        Field(
            max_length=MAX_MEASURES,
            description="Of a sequential judge: measurements of updated devices that are compared with those of devices not "
            "updated yet, and which way is worse; "
            f"{', '.join(map(str, MEASURES))}. None is judged where the list is empty.",
        ),
    ] = None
    quorum: Annotated[float, Field(gt=0, le=1, description="The share of a wave that has to have ended.")] = 1.0
    wave_timeout_s: Annotated[
        Seconds | None, Field(description="A wave is complete after this time, whoever is missing.")
    ] = None
    observe_s: Annotated[Seconds, Field(description="How long a complete wave is watched before the next opens.")] = 0
    expires_in_s: Annotated[Seconds | None, Field(description="After this time unreached members are skipped.")] = None
    on_error: OnError = OnError.PAUSE
    urgency: Urgency = Urgency.FORCED
    consent: Annotated[bool, Field(description="Whether the device or its owner is asked first.")] = False
    consent_deadline_s: Annotated[
        Seconds | None, Field(description="Who was asked and says nothing for so long has consented.")
    ] = None
    postponements: Annotated[int, Field(ge=0, le=MAX_POSTPONEMENTS, description="How often an owner may postpone.")] = 3
    postpone_for_s: Annotated[Seconds, Field(description="How far off, each time.")] = 604_800
    require: Annotated[
        list[ConditionText],
        Field(max_length=MAX_CONDITIONS, description="What has to hold on a device before it begins."),
    ] = Field(default=[])
    window: Annotated[
        WindowText | None,
        Field(
            description="When devices are told of it: opening time/duration, zone (UTC; device is each one's own) and, "
            "where it is not each day, a rule of RFC 5545; null is at any time."
        ),
    ] = None
    split: Annotated[
        list[SplitText],
        Field(
            max_length=MAX_SPLITS,
            description="What splits its members into segments that are held on their own: hardware, version, attr.NAME.",
            examples=[["hardware", "version"]],
        ),
    ] = Field(default=[])
    install_takes_s: Annotated[
        float,
        Field(ge=0, le=86_400, description="How long an installation takes: so much of the window has to be left."),
    ] = 0
    ignore_blackout: Annotated[
        bool, Field(description="Whether it offers during the tenant's blackouts too; it needs tenant:write.")
    ] = False
    validate_s: Annotated[
        Seconds, Field(description="The health window: how long a device runs it on trial before that is a success.")
    ] = 0
    validate_events: Annotated[
        WholeNumber,
        Field(ge=1, le=MAX_BAD_EVENTS, description="So many bad health events in the window are a failure."),
    ] = 1
    approve: Annotated[
        Approve, Field(description="What waits for approval: its start, or its start and each further wave.")
    ] = Approve.NONE
    priority: Annotated[
        WholeNumber, Field(ge=0, le=MAX_PRIORITY, description="Of a device's rollouts the highest goes first.")
    ] = 5
    download_only: Annotated[
        bool,
        Field(
            description="Devices fetch it when the rollout starts, whatever their wave, and install it on a later order "
            "(hawkBit: downloadonly)."
        ),
    ] = False
    download: Annotated[
        Download, Field(description="Whether it may be fetched outside the window in which it is installed.")
    ] = Download.IN_WINDOW
    max_in_flight: Annotated[Most | None, Field(description="Devices that are told and have not ended, at once.")] = (
        None
    )
    max_per_minute: Annotated[Most | None, Field(description="Devices that are told in a minute of the clock.")] = None
    max_per: Annotated[
        list[PlaceText],
        Field(
            max_length=MAX_PLACES, description="Devices in flight at once that share an attribute's value, or a tag."
        ),
    ] = Field(default=[])

    @property
    def growth(self) -> Growth | None:
        """What writes the heights of its waves."""
        return None if self.shape is None else Growth(self.shape, self.first, self.factor)

    def policy(self) -> Policy:
        """As the domain takes it.

        Raises:
            InvalidInputError: it is to be judged in two ways.
        """
        judged = (
            bool(self.waves)
            or self.shape not in {None, Shape.ALL}
            or self.success is not None
            or self.error is not None
        )
        success = DEFAULT_RULE.success if self.success is None else self.success
        error = DEFAULT_RULE.error if self.error is None else self.error
        sequential = self._sequential()
        unsaid = Policy().waves if sequential is None or self.shape is not None else JUDGED_WAVES
        return Policy(
            waves=tuple(map(share, self.waves)) or unsaid,
            rule=ClassicRule(success, error) if judged and self.judge is JudgeName.CLASSIC else None,
            sequential=sequential,
            rate=self._rate(),
            quorum=self.quorum,
            wave_timeout=span(self.wave_timeout_s),
            observe=timedelta(seconds=self.observe_s),
            expires_after=span(self.expires_in_s),
            on_error=self.on_error,
            urgency=self.urgency,
            consent=self.consent,
            consent_deadline=span(self.consent_deadline_s),
            postponements=self.postponements,
            postpone_for=timedelta(seconds=self.postpone_for_s),
            conditions=tuple(map(condition, self.require)),
            window=None if self.window is None else window(self.window),
            split=tuple(self.split),
            install_takes=timedelta(seconds=self.install_takes_s),
            ignore_blackout=self.ignore_blackout,
            validate=timedelta(seconds=self.validate_s),
            validate_events=self.validate_events,
            approve=self.approve,
            priority=self.priority,
            download_only=self.download_only,
            download=self.download,
            limits=Limits(self.max_in_flight, self.max_per_minute, tuple(map(place, self.max_per))),
        )

    def _rate(self) -> RateRule | None:
        if (self.rate is not None) != (self.judge is JudgeName.RATE):
            raise InvalidInputError(
                "the judge `rate` and its rate belong together", hint="Say both: judge rate, and so many per minute."
            )
        if self.rate is None:
            return None
        if self.waves or self.shape is not None or self.success is not None or self.error is not None:
            raise InvalidInputError("a rate has no waves and no thresholds", hint="Leave them out.")
        return self.rate.parsed()

    def _sequential(self) -> SequentialRule | None:
        if self.judge is not JudgeName.SEQUENTIAL:
            if self.alpha is not None or self.telemetry is not None:
                what = "telemetry" if self.alpha is None else "alpha"
                raise InvalidInputError(
                    f"{what} is of the sequential judge", hint="Say judge sequential, or leave it out."
                )
            return None
        if self.success is not None or self.error is not None:
            raise InvalidInputError("a sequential judge has no thresholds", hint="Leave out success and error.")
        measures = MEASURES if self.telemetry is None else tuple(map(measure, self.telemetry))
        return SequentialRule(ALPHA if self.alpha is None else self.alpha, telemetry=measures)


class RolloutIn(PolicyIn):
    """A rollout to plan. Without waves and thresholds it is simple: one wave, no rule, offered at the next poll."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE, _SIMPLE]})

    release: ReleaseText
    target: Target
    name: Annotated[str, Field(max_length=200, pattern=LINE)] = ""
    planned: PlannedIn | None = None
    start_at: Annotated[AwareDatetime | None, Field(description="When it starts by itself.")] = None
    start: Annotated[bool, Field(description="Whether it starts at once.")] = False
    end_at: Annotated[
        AwareDatetime | None,
        Field(description="From then on nothing new is offered; who has not been told is skipped."),
    ] = None
    continuous: Annotated[
        bool, Field(description="Whether devices that match later join it; it goes on until it is stopped or expires.")
    ] = False
    after: Annotated[
        WholeNumber | None, Field(ge=1, lt=2**31, description="It starts when this rollout has finished well.")
    ] = None
    install_at: Annotated[
        AwareDatetime | None, Field(description="The order to install, of one that only downloads: from then on.")
    ] = None
    forced_at: Annotated[
        AwareDatetime | None, Field(description="From then on a soft one is forced (hawkBit: timeforced).")
    ] = None

    def parsed(self) -> Intention:
        """As the service takes it.

        Raises:
            InvalidInputError: it is to start at once and later, or to be judged in two ways.
        """
        if self.start and self.start_at is not None:
            raise InvalidInputError("a rollout starts at once or at a time", hint="Leave out start or start_at.")
        product, version = release_name(self.release)
        start_at = None if self.start_at is None else utc(self.start_at)
        return Intention(
            product,
            version,
            self.target,
            self.policy(),
            self.name,
            start_at,
            self.start,
            growth=self.growth,
            reason=self.reason,
            planned=None if self.planned is None else Planned(int(self.planned.seed) % 2**62, self.planned.members),
            install=None if self.install_at is None else Install(utc(self.install_at)),
        )

    def policy(self) -> Policy:
        """As the domain takes it, with what holds for one rollout alone.

        Raises:
            InvalidInputError: it is to be judged in two ways.
        """
        return replace(
            super().policy(),
            end_at=None if self.end_at is None else utc(self.end_at),
            continuous=self.continuous,
            after=None if self.after is None else RolloutId(self.after),
            forced_at=None if self.forced_at is None else utc(self.forced_at),
        )


class OrderIn(Body):
    """Why; the record keeps it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the lab reports reboots"}]})

    reason: Line = ""


class InstallIn(Body):
    """When devices install what they have downloaded: now, from a moment on, or in the rollout's window."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"at": "2031-12-01T02:00:00Z"}, {"in_window": True}, {"reason": "agreed"}]}
    )

    at: Annotated[AwareDatetime | None, Field(description="From then on; without it, and without a window, now.")] = (
        None
    )
    in_window: Annotated[bool, Field(description="From now on, whenever the rollout's window is open.")] = False
    reason: Line = ""


class RetryIn(Body):
    """Whom to give another attempt: members that ended so (failed, reverted and silent ones, unless given)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"states": ["failed", "silent"], "reason": "the cable is mended"}]}
    )

    states: Annotated[list[State], Field(max_length=len(RETRIABLE))] = Field(default=[])
    reason: Line = ""


class CancelIn(Body):
    """How to cancel one device's deployment."""

    force: Annotated[bool, Field(description="Do not wait for the device's word.")] = False


class PostponeIn(Body):
    """Until when an owner postpones an update: a moment, or so long from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"until": "2031-05-03T18:00:00Z"}, {"for_s": 86400}]})

    until: AwareDatetime | None = None
    for_s: Annotated[Seconds | None, Field(gt=0)] = None

    def moment(self, now: datetime) -> datetime:
        """The moment.

        Raises:
            InvalidInputError: neither is said, or both.
        """
        if (self.until is None) == (self.for_s is None):
            raise InvalidInputError(
                "an update is postponed until a moment, or for so long", hint="Give until or for_s."
            )
        return now + timedelta(seconds=self.for_s) if self.for_s is not None else utc(self.until or now)


class RejectIn(Body):
    """Why an owner wants no update."""

    reason: Line = ""


class PolicyOut(Out):
    """How a rollout goes about it."""

    waves: list[str]
    success: float | None
    error: float | None
    judge: Annotated[JudgeName | None, Field(description="Null: nobody judges it.")]
    rate: RateIn | None
    alpha: float | None
    telemetry: Annotated[list[MeasureText], Field(description="What of it a sequential judge compares.")]
    learned_from: Annotated[
        int | None, Field(description="From how many past releases a sequential judge learned what to tolerate.")
    ]
    quorum: float
    wave_timeout_s: float | None
    observe_s: float
    expires_in_s: float | None
    on_error: OnError
    urgency: Urgency
    consent: bool
    consent_deadline_s: float | None
    postponements: int
    postpone_for_s: float
    require: Annotated[list[str], Field(examples=[["battery>=30%", "charging"]])]
    window: Annotated[str | None, Field(examples=["02:00/4h Europe/Paris"])]
    split: list[str]
    end_at: datetime | None
    install_takes_s: float
    ignore_blackout: bool
    validate_s: float
    validate_events: int | None
    approve: Approve
    continuous: bool
    after: int | None
    forced_at: datetime | None
    priority: int
    download_only: bool
    download: Download
    max_in_flight: int | None
    max_per_minute: int | None
    max_per: Annotated[list[str], Field(examples=[["attr.site=5"]])]

    @classmethod
    def of(cls, policy: Policy) -> "PolicyOut":
        """As it is stored."""
        return cls(
            waves=[str(height) for height in policy.waves],
            success=None if policy.rule is None else policy.rule.success,
            error=None if policy.rule is None else policy.rule.error,
            judge=_judge(policy),
            rate=None if policy.rate is None else RateIn.of(policy.rate),
            alpha=None if policy.sequential is None else policy.sequential.alpha,
            telemetry=[] if policy.sequential is None else list(map(str, policy.sequential.telemetry)),
            learned_from=None if policy.sequential is None else policy.sequential.releases,
            quorum=policy.quorum,
            wave_timeout_s=_seconds(policy.wave_timeout),
            observe_s=policy.observe.total_seconds(),
            expires_in_s=_seconds(policy.expires_after),
            on_error=policy.on_error,
            urgency=policy.urgency,
            consent=policy.consent,
            consent_deadline_s=_seconds(policy.consent_deadline),
            postponements=policy.postponements,
            postpone_for_s=policy.postpone_for.total_seconds(),
            require=list(map(str, policy.conditions)),
            window=None if policy.window is None else str(policy.window),
            split=list(policy.split),
            end_at=policy.end_at,
            install_takes_s=policy.install_takes.total_seconds(),
            ignore_blackout=policy.ignore_blackout,
            validate_s=policy.validate.total_seconds(),
            validate_events=policy.validate_events if policy.validate else None,
            approve=policy.approve,
            continuous=policy.continuous,
            after=policy.after,
            forced_at=policy.forced_at,
            priority=policy.priority,
            download_only=policy.download_only,
            download=policy.download,
            max_in_flight=policy.limits.in_flight,
            max_per_minute=policy.limits.per_minute,
            max_per=list(map(str, policy.limits.places)),
        )


def _judge(policy: Policy) -> JudgeName | None:
    if policy.sequential is not None:
        return JudgeName.SEQUENTIAL
    if policy.rate is not None:
        return JudgeName.RATE
    return None if policy.rule is None else JudgeName.CLASSIC


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


Counts = Annotated[dict[str, int], Field(description="Members by state.", examples=[{"succeeded": 2, "scheduled": 8}])]


class WaveOut(Out):
    """A wave: the members whose rank is from `start` on and below `height`."""

    index: int
    start: int
    height: int
    state: WaveState
    opened_at: datetime | None
    complete_at: datetime | None
    reason: str
    counts: Counts


class SegmentOut(Out):
    """Members that are alike. A held segment is offered nothing; the others go on."""

    index: int
    name: Annotated[str, Field(description="What its members have in common.", examples=["rpi4:1.2, version 1.0.0"])]
    size: int
    held: bool
    reason: Annotated[str, Field(description="Why it is held, or was released.")]
    overruled: Annotated[bool, Field(description="Released against the judge's word, which no longer holds it.")]
    counts: Counts


class InstallOut(Out):
    """The order to install."""

    at: Annotated[datetime, Field(description="From when on; of one by the window, when it was given.")]
    in_window: bool

    @classmethod
    def of(cls, install: Install | None) -> "InstallOut | None":
        """As it is stored."""
        return None if install is None else cls(at=install.at, in_window=install.in_window)


class FailureOut(Out):
    """How many devices ended badly for one reason."""

    state: State
    reason: str
    devices: int


class FollowsOut(Out):
    """The group that a standing order keeps on a channel of the rollout's product."""

    group: str
    channel: str

    @classmethod
    def of(cls, rollout: Rollout) -> "FollowsOut | None":
        """As it is stored."""
        follows = rollout.follows
        return None if follows is None else cls(group=follows.group, channel=follows.channel)


class RolloutOut(Out):
    """A rollout, and how far it is."""

    id: int
    name: str
    product: str
    version: str
    target: str
    state: RolloutState
    reason: str
    size: int
    policy: PolicyOut
    waves: list[WaveOut]
    segments: list[SegmentOut]
    counts: Counts
    install: Annotated[
        InstallOut | None, Field(description="The order to install, of one that only downloads; null: none was given.")
    ]
    holding: Annotated[
        int,
        Field(description="Devices that have downloaded it and wait to be told to install it: they are not in flight."),
    ]
    failures: Annotated[list[FailureOut], Field(description="The most frequent reasons first.")]
    verdicts: Annotated[
        list[VerdictOut],
        Field(description="The newest of a sequential judge: of all members first, then of segments."),
    ]
    created_at: datetime
    start_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    edition: int
    created_by: Annotated[str, Field(description="Who planned it, as the record names them.")]
    allowed: Annotated[list[str], Field(description="The orders that may be given now.")]
    rolls_back: Annotated[int | None, Field(description="The rollout whose devices it brings back.")]
    rolled_back_by: Annotated[list[int], Field(description="The rollouts that bring its devices back.")]
    follows: Annotated[FollowsOut | None, Field(description="The standing order that made it.")]
    superseded_by: Annotated[
        int | None, Field(description="The rollout of a newer release, which has taken its place.")
    ]
    present: Annotated[
        list[VerdictOut],
        Field(
            description="What a sequential judge says now, as `verdicts`; only where one running rollout is asked for."
        ),
    ]
    waits_for: Annotated[
        str | None,
        Field(description="What the next wave waits for, in words; only where one running rollout is asked for."),
    ]
    waits_until: Annotated[datetime | None, Field(description="When that ends, where it is known.")]

    @classmethod
    def of(cls, progress: Progress, now: datetime, present: Present | None = None) -> "RolloutOut":
        """As it is stored, with what may be ordered `now`."""
        rollout, waits = progress.rollout, None if present is None else present.waiting
        return cls(
            id=rollout.id,
            name=rollout.name,
            product=rollout.product,
            version=rollout.version,
            target=rollout.target,
            state=rollout.state,
            reason=rollout.reason,
            size=rollout.size,
            policy=PolicyOut.of(rollout.policy),
            waves=[_wave(rollout, wave, counted(progress.tallies, wave.index)) for wave in rollout.waves],
            segments=[_segment(segment, progress.evidence.segment(segment.index)) for segment in rollout.segments],
            counts=counted(progress.tallies),
            install=InstallOut.of(rollout.install),
            holding=progress.holding,
            failures=[FailureOut(state=s, reason=r, devices=n) for s, r, n in progress.failures],
            verdicts=[VerdictOut.of(progress.verdicts[s]) for s in sorted(progress.verdicts, key=_whole_first)],
            created_at=rollout.created_at,
            start_at=rollout.start_at,
            started_at=rollout.started_at,
            ended_at=rollout.ended_at,
            expires_at=rollout.expires_at,
            edition=rollout.edition,
            created_by=rollout.created_by,
            allowed=allowed(rollout, now),
            rolls_back=rollout.rolls_back,
            rolled_back_by=list(progress.rolled_back_by),
            follows=FollowsOut.of(rollout),
            superseded_by=rollout.superseded_by,
            present=[] if present is None else list(map(VerdictOut.of, present.findings)),
            waits_for=None if waits is None else waits.words,
            waits_until=None if waits is None else waits.until,
        )


def _whole_first(segment: int | None) -> int:
    return -1 if segment is None else segment


def _wave(rollout: Rollout, wave: Wave, counts: Mapping[str, int]) -> WaveOut:
    return WaveOut(
        index=wave.index,
        start=wave.start,
        height=wave.height,
        state=rollout.shown_state(wave),
        opened_at=wave.opened_at,
        complete_at=wave.complete_at,
        reason=wave.reason,
        counts=dict(counts),
    )


def _segment(segment: Segment, tally: Tally) -> SegmentOut:
    return SegmentOut(
        index=segment.index,
        name=segment.name,
        size=segment.size,
        held=segment.held,
        reason=segment.reason,
        overruled=segment.overruled,
        counts=counted({0: tally}),
    )


class DeploymentOut(Out):
    """A device's share in a rollout: its current attempt."""

    device: str
    rollout: int
    attempt: int
    action: Annotated[int | None, Field(description="The device's running number of it; null before it is offered.")]
    state: State
    segment: int
    wave: int
    rank: int
    reason: str
    offered_at: datetime | None
    ended_at: datetime | None
    changed_at: datetime

    @classmethod
    def of(cls, deployment: Deployment) -> "DeploymentOut":
        """As it is stored."""
        return cls(
            device=deployment.device,
            rollout=deployment.rollout,
            attempt=deployment.attempt,
            action=deployment.action or None,
            state=deployment.state,
            segment=deployment.segment,
            wave=deployment.wave,
            rank=deployment.rank,
            reason=deployment.reason,
            offered_at=deployment.offered_at,
            ended_at=deployment.ended_at,
            changed_at=deployment.changed_at,
        )
