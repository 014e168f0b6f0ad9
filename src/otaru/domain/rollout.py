"""A rollout: the intention to bring a release to a set of devices under a policy, and the one function that moves it.

Members are ranked once, when the rollout is planned, by `Draw`; a wave is a height in that ranking; opening a wave
raises the watermark of each open segment to it, and a member is due when its rank is below its segment's watermark.
So opening a wave of any size costs the same.

People move a rollout along ORDERS (`obey`); time, reports and the judge move it through `step`. Both are pure: they
return what is to be so (`Step`), the caller makes it so in one transaction. Repeating a step after a crash is
harmless, since a step that has been taken has nothing left to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import assert_never

from otaru.domain.deployment import OPEN, State
from otaru.domain.device import LOT_PRIME
from otaru.domain.evidence import Call, Tally, Verdict
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.machine import Machine
from otaru.errors import InvalidInputError, InvalidStateError


class RolloutState(StrEnum):
    """Where a rollout is."""

    DRAFT = "draft"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"


class RolloutEvent(StrEnum):
    """What moves a rollout."""

    PLAN = "plan"
    ASK_APPROVAL = "ask_approval"
    APPROVE = "approve"
    SCHEDULE = "schedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    HALT_DONE = "halt_done"
    FINISH = "finish"
    REOPEN = "reopen"


ROLLOUT: Machine[RolloutState, RolloutEvent] = Machine(
    "rollout",
    RolloutState.DRAFT,
    frozenset({RolloutState.STOPPED, RolloutState.FINISHED}),
    {
        (RolloutState.DRAFT, RolloutEvent.PLAN): RolloutState.PLANNED,
        (RolloutState.PLANNED, RolloutEvent.ASK_APPROVAL): RolloutState.AWAITING_APPROVAL,
        (RolloutState.PLANNED, RolloutEvent.SCHEDULE): RolloutState.SCHEDULED,
        (RolloutState.PLANNED, RolloutEvent.START): RolloutState.RUNNING,
        (RolloutState.PLANNED, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.AWAITING_APPROVAL, RolloutEvent.APPROVE): RolloutState.SCHEDULED,
        (RolloutState.AWAITING_APPROVAL, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.SCHEDULED, RolloutEvent.START): RolloutState.RUNNING,
        (RolloutState.SCHEDULED, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.RUNNING, RolloutEvent.PAUSE): RolloutState.PAUSED,
        (RolloutState.RUNNING, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.RUNNING, RolloutEvent.FINISH): RolloutState.FINISHED,
        (RolloutState.PAUSED, RolloutEvent.RESUME): RolloutState.RUNNING,
        (RolloutState.PAUSED, RolloutEvent.STOP): RolloutState.STOPPING,
        # Retrying the failed members of a finished rollout gives it members to wait for again.
        (RolloutState.FINISHED, RolloutEvent.REOPEN): RolloutState.RUNNING,
        (RolloutState.STOPPING, RolloutEvent.HALT_DONE): RolloutState.STOPPED,
    },
)

ACTIVE = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.STOPPING})
"""Rollouts whose members a poll has to look at."""


class WaveState(StrEnum):
    """Where a wave is."""

    PENDING = "pending"
    OPEN = "open"
    OBSERVING = "observing"
    PASSED = "passed"
    FAILED = "failed"


class Urgency(StrEnum):
    """How much say the device has in the moment (hawkBit: forced, soft)."""

    FORCED = "forced"
    SOFT = "soft"


class OnError(StrEnum):
    """What a failed wave does to its rollout."""

    PAUSE = "pause"
    STOP = "stop"


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


@dataclass(frozen=True, slots=True)
class ClassicRule:
    """hawkBit's rule: shares of a wave's witnesses, between 0 and 1.

    The wave passes when at least `success` of them succeeded and fails when more than `error` of them failed.
    """

    success: float
    error: float


@dataclass(frozen=True, slots=True)
class Policy:
    """How a rollout goes about it. The default is the *simple* rollout: one wave, no rule, offers at the next poll."""

    waves: tuple[Share, ...] = (Share(100, percent=True),)
    rule: ClassicRule | None = None
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


STOP_PATIENCE = timedelta(days=1)
"""How long a stopping rollout waits for devices to confirm that they cancelled."""

MAX_WAVES = 100


@dataclass(frozen=True, slots=True)
class Wave:
    """A height of the watermarks: the members with `start <= rank < height`."""

    index: int
    start: int
    height: int
    state: WaveState = WaveState.PENDING
    opened_at: datetime | None = None
    complete_at: datetime | None = None
    reason: str = ""

    @property
    def size(self) -> int:
        """How many members it has."""
        return self.height - self.start


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout with its waves."""

    id: RolloutId
    product: ProductName
    version: Version
    target: str
    state: RolloutState
    policy: Policy
    seed: int
    created_at: datetime
    size: int = 0
    waves: tuple[Wave, ...] = ()
    name: str = ""
    reason: str = ""
    """Why it is in this state, where somebody or something decided it."""
    start_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """When it ended; while it is stopping, when it was told to."""
    edition: int = 1

    @property
    def watermark(self) -> int:
        """Members with a rank below it are due, as far as their segment is open."""
        return max((w.height for w in self.waves if w.state is not WaveState.PENDING), default=0)

    @property
    def wave(self) -> Wave | None:
        """The wave under way: the first that has not passed."""
        return next((w for w in self.waves if w.state is not WaveState.PASSED), None)

    @property
    def expires_at(self) -> datetime | None:
        """When unreached members are given up."""
        if self.started_at is None or self.policy.expires_after is None:
            return None
        return self.started_at + self.policy.expires_after


@dataclass(frozen=True, slots=True)
class Draw:
    """The ranking of a rollout: members in the order of `key`, ties by device id.

    A linear congruence modulo a prime permutes the lots; a and b come from the rollout's seed, so asked again the
    ranking is the same, and every SQL engine can compute it without a function of ours.
    """

    a: int
    b: int

    def key(self, lot: int) -> int:
        """Where a device with this lot stands among all."""
        return (lot * self.a + self.b) % LOT_PRIME


def draw(seed: int) -> Draw:
    """The ranking that belongs to a rollout's seed (0 <= seed < 2^62)."""
    return Draw(a=1 + seed % (LOT_PRIME - 1), b=(seed // (LOT_PRIME - 1)) % LOT_PRIME)


class Order(StrEnum):
    """What a step wants done with the members, beside the rollout's own new state."""

    CANCEL_OPEN = "cancel_open"
    """Move every open deployment along `cancel`."""
    CANCEL_SCHEDULED = "cancel_scheduled"
    """Move every scheduled deployment along `cancel`."""
    SKIP_SCHEDULED = "skip_scheduled"
    """Move every scheduled deployment along `skip`."""
    SILENCE_OPEN = "silence_open"
    """Move every open deployment along `silence`."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a rollout becomes, and what becomes of its members."""

    rollout: Rollout
    orders: tuple[Order, ...] = ()
    notes: tuple[str, ...] = ()
    """In words, one for each thing that changed: they go into the record."""


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
    if policy.rule is not None and not (0 <= policy.rule.error <= 1 and 0 <= policy.rule.success <= 1):
        raise InvalidInputError("thresholds are shares between 0 and 1 (0 % and 100 %)")
    if not 0 < policy.quorum <= 1:
        raise InvalidInputError("the quorum is a share above 0 and at most 1")
    for what, span in (
        ("wave timeout", policy.wave_timeout),
        ("time to observe", policy.observe),
        ("expiry", policy.expires_after),
    ):
        if span is not None and not timedelta(0) <= span <= timedelta(days=3650):
            raise InvalidInputError(f"the {what} is between 0 and 3650 days")


def layout(policy: Policy, members: int) -> tuple[Wave, ...]:
    """The waves of a rollout with so many members: heights never fall, empty waves are left out, the last holds all."""
    waves: list[Wave] = []
    start = 0
    shares = (*policy.waves, Share(100, percent=True))
    for share in shares:
        height = max(share.of(members), start)
        if height > start:
            waves.append(Wave(index=len(waves), start=start, height=height))
            start = height
    return tuple(waves)


def obey(rollout: Rollout, event: RolloutEvent, reason: str, now: datetime) -> Step:
    """Carry out a person's order.

    Raises:
        InvalidStateError: the rollout's state does not allow it; `allowed` lists what it allows.
    """
    state = ROLLOUT.next(rollout.state, event)
    if state is None:
        allowed = [str(e) for e in ROLLOUT.allowed(rollout.state) if e in PERSONS]
        raise InvalidStateError(
            f"rollout {rollout.id} is {rollout.state}: it cannot {event}",
            hint=f"Allowed now: {', '.join(allowed) or 'nothing'}.",
            allowed=allowed,
        )
    after = replace(rollout, state=state, reason=reason, edition=rollout.edition + 1)
    match event:
        case RolloutEvent.START:
            after = replace(_opened(after, now), started_at=now)
        case RolloutEvent.RESUME:
            after = _overruled(after, reason, now)
        case RolloutEvent.STOP:
            after = replace(after, ended_at=now)
            return Step(after, (Order.CANCEL_SCHEDULED, Order.CANCEL_OPEN), ("stopping",))
        case _:
            pass
    return Step(after, notes=(str(state),))


PERSONS = frozenset(
    {RolloutEvent.START, RolloutEvent.PAUSE, RolloutEvent.RESUME, RolloutEvent.STOP, RolloutEvent.APPROVE}
)
"""The events that are orders of people; the others are the machine's own."""


def reopened(rollout: Rollout, waves: Sequence[int], now: datetime) -> Rollout:
    """The rollout after failed members of `waves` were scheduled anew: these waves are judged again."""
    state = ROLLOUT.next(rollout.state, RolloutEvent.REOPEN) or rollout.state
    again = tuple(
        replace(w, state=WaveState.OPEN, opened_at=now, complete_at=None, reason="")
        if w.index in waves and w.state is not WaveState.PENDING
        else w
        for w in rollout.waves
    )
    return replace(rollout, state=state, waves=again, ended_at=None, edition=rollout.edition + 1)


def step(rollout: Rollout, tallies: Mapping[int, Tally], verdicts: Mapping[int, Verdict], now: datetime) -> Step | None:
    """What time, reports and the judge make of a rollout; None where there is nothing to do.

    `tallies` and `verdicts` are by wave index and cover every wave.
    """
    match rollout.state:
        case RolloutState.SCHEDULED:
            if rollout.start_at is not None and now >= rollout.start_at:
                return obey(rollout, RolloutEvent.START, "its time has come", now)
            return None
        case RolloutState.STOPPING:
            return _stopping(rollout, tallies, now)
        case RolloutState.RUNNING:
            return _running(rollout, tallies, verdicts, now)
        case (
            RolloutState.DRAFT
            | RolloutState.PLANNED
            | RolloutState.AWAITING_APPROVAL
            | RolloutState.PAUSED
            | RolloutState.STOPPED
            | RolloutState.FINISHED
        ):
            return None
        case _:
            assert_never(rollout.state)


def _stopping(rollout: Rollout, tallies: Mapping[int, Tally], now: datetime) -> Step | None:
    if _left(tallies) == 0:
        return Step(_ended(rollout, RolloutEvent.HALT_DONE, now), notes=("stopped",))
    if rollout.ended_at is not None and now >= rollout.ended_at + STOP_PATIENCE:
        note = "gave up waiting for devices to confirm that they cancelled"
        return Step(_ended(rollout, RolloutEvent.HALT_DONE, now), _GIVE_UP, (note, "stopped"))
    return None


def _running(
    rollout: Rollout, tallies: Mapping[int, Tally], verdicts: Mapping[int, Verdict], now: datetime
) -> Step | None:
    if (expires := rollout.expires_at) is not None and now >= expires:
        after = replace(_ended(rollout, RolloutEvent.FINISH, now), reason="expired")
        return Step(after, _GIVE_UP, ("finished: it expired, unreached members are skipped",))
    wave = rollout.wave
    if wave is None:
        return Step(_ended(rollout, RolloutEvent.FINISH, now), notes=("finished",)) if _left(tallies) == 0 else None
    if wave.state is WaveState.PENDING:
        return Step(_opened(rollout, now), notes=(f"wave {wave.index + 1} opened",))
    return _judged(rollout, wave, tallies, verdicts[wave.index], now)


_GIVE_UP = (Order.SKIP_SCHEDULED, Order.SILENCE_OPEN)


def _judged(rollout: Rollout, wave: Wave, tallies: Mapping[int, Tally], verdict: Verdict, now: datetime) -> Step | None:
    watched = wave.complete_at is not None and now >= wave.complete_at + rollout.policy.observe
    watched = watched or rollout.policy.observe == timedelta(0)
    if wave.index == len(rollout.waves) - 1 and _left(tallies) == 0 and watched:
        return _closed(rollout, wave, verdict, now)
    if verdict.call is Call.STOP:
        return _failed(rollout, wave, verdict.reason, now)
    if verdict.call is Call.EXPAND and watched:
        return _passed(rollout, wave, verdict.reason, now)
    if not _complete(rollout.policy, wave, tallies[wave.index], now):
        return None
    if wave.complete_at is None:
        observing = replace(wave, state=WaveState.OBSERVING, complete_at=now)
        note = f"wave {wave.index + 1} is complete, watched for {rollout.policy.observe}"
        return Step(_with_wave(rollout, observing), notes=(note,))
    if watched:
        return _failed(rollout, wave, f"complete, but {verdict.reason}", now)
    return None


def _closed(rollout: Rollout, wave: Wave, verdict: Verdict, now: datetime) -> Step:
    """Every member of every wave has ended: nothing is left that a verdict could protect, so it only names the result."""
    state = WaveState.PASSED if verdict.call is Call.EXPAND else WaveState.FAILED
    after = _with_wave(rollout, replace(wave, state=state, complete_at=now, reason=verdict.reason))
    return Step(
        _ended(after, RolloutEvent.FINISH, now), notes=(f"wave {wave.index + 1} {state}: {verdict.reason}", "finished")
    )


def _complete(policy: Policy, wave: Wave, tally: Tally, now: datetime) -> bool:
    if tally.final >= ceil(policy.quorum * tally.members - 1e-9):
        return True
    return (
        policy.wave_timeout is not None and wave.opened_at is not None and now >= wave.opened_at + policy.wave_timeout
    )


def _passed(rollout: Rollout, wave: Wave, reason: str, now: datetime) -> Step:
    after = _with_wave(rollout, replace(wave, state=WaveState.PASSED, complete_at=now, reason=reason))
    notes = [f"wave {wave.index + 1} passed: {reason}"]
    if (following := after.wave) is not None and following.state is WaveState.PENDING:
        after = _opened(after, now)
        notes.append(f"wave {following.index + 1} opened")
    return Step(after, notes=tuple(notes))


def _failed(rollout: Rollout, wave: Wave, why: str, now: datetime) -> Step:
    after = _with_wave(rollout, replace(wave, state=WaveState.FAILED, reason=why))
    reason = f"wave {wave.index + 1}: {why}"
    match rollout.policy.on_error:
        case OnError.PAUSE:
            return Step(replace(after, state=RolloutState.PAUSED, reason=reason), notes=(f"paused: {reason}",))
        case OnError.STOP:
            after = replace(after, state=RolloutState.STOPPING, reason=reason, ended_at=now)
            return Step(after, (Order.CANCEL_SCHEDULED, Order.CANCEL_OPEN), (f"stopping: {reason}",))
        case _:
            assert_never(rollout.policy.on_error)


def _opened(rollout: Rollout, now: datetime) -> Rollout:
    """With the wave under way open; unchanged where it is open already or none is left."""
    wave = rollout.wave
    if wave is None or wave.state is not WaveState.PENDING:
        return rollout
    return _with_wave(rollout, replace(wave, state=WaveState.OPEN, opened_at=now))


def _overruled(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """After a person resumed: a failed wave counts as passed by that person's word, and the next one opens."""
    for wave in rollout.waves:
        if wave.state is WaveState.FAILED:
            word = f"overruled by hand ({wave.reason})" + (f": {reason}" if reason else "")
            rollout = _with_wave(rollout, replace(wave, state=WaveState.PASSED, complete_at=now, reason=word))
    return _opened(rollout, now)


def _ended(rollout: Rollout, event: RolloutEvent, now: datetime) -> Rollout:
    state = ROLLOUT.next(rollout.state, event)
    if state is None:
        raise InvalidStateError(f"rollout {rollout.id} is {rollout.state}: it cannot {event}")
    return replace(rollout, state=state, ended_at=now, edition=rollout.edition + 1)


def _with_wave(rollout: Rollout, wave: Wave) -> Rollout:
    waves = tuple(wave if w.index == wave.index else w for w in rollout.waves)
    return replace(rollout, waves=waves, edition=rollout.edition + 1)


def _left(tallies: Mapping[int, Tally]) -> int:
    """Members that have not ended."""
    return sum(t.of(*OPEN, State.SCHEDULED) for t in tallies.values())
