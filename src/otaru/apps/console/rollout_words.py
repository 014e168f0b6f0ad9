"""A rollout as people read it: its members in groups, where its waves stand, its policy and its future in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.apps.console.happening import actor
from otaru.apps.console.rendering import number, share
from otaru.apps.console.rendering import span as told_span
from otaru.apps.console.status import Tone, look
from otaru.domain.deployment import FAILURES, FINAL, OPEN, State
from otaru.domain.evidence import Call as Verdicts
from otaru.domain.evidence import Ruling, Tally
from otaru.domain.ids import DeviceId
from otaru.domain.rollout import (
    MAX_PRIORITY,
    ROLLOUT,
    Approve,
    FailureType,
    For,
    Limits,
    OnError,
    Policy,
    Rollout,
    RolloutState,
    Segment,
    Urgency,
    Wave,
    WaveState,
    waiting,
)
from otaru.services.control.rollouts import Intention, Preview, Progress

BAD = FAILURES | {State.REJECTED}
"""Members whose end has a reason that somebody should read."""

_NOBODY = Tally({})


@dataclass(frozen=True, slots=True)
class Group:
    """States that a person sees as one."""

    name: str
    """In addresses."""
    words: str
    tone: Tone
    states: frozenset[State]


GROUPS = (
    Group("done", "done", Tone.DONE, frozenset({State.SUCCEEDED})),
    Group("under-way", "under way", Tone.BUSY, OPEN),
    Group("waiting", "waiting", Tone.IDLE, frozenset({State.SCHEDULED})),
    Group("failures", "failed", Tone.FAILED, BAD),
    Group("left-out", "cancelled or skipped", Tone.IDLE, frozenset({State.CANCELLED, State.SKIPPED})),
)
"""Every state is in one."""


def together(progress: Progress) -> Tally:
    """All members."""
    return progress.evidence.whole


def tones(tally: Tally) -> dict[str, int]:
    """Members by colour. Silent ones are red here: they count against the release as failed ones do."""
    found: dict[str, int] = {}
    for state, members in tally.counts.items():
        tone = Tone.FAILED if state in BAD else look(state).tone
        found[tone] = found.get(tone, 0) + members
    return found


def counted_words(tally: Tally) -> str:
    """Members by state in words: `8 succeeded, 1 failed`."""
    parts = (f"{number(n)} {look(state).word}" for state in State if (n := tally.of(state)))
    return ", ".join(parts) or "nobody"


@dataclass(frozen=True, slots=True)
class Line:
    """A rollout on one line of a list."""

    rollout: Rollout
    tally: Tally
    tones: Mapping[str, int]
    ended: float
    """The share of members that have ended, well or badly."""
    failed: int
    wave: str
    when: str
    at: datetime


def line(progress: Progress) -> Line:
    """A rollout on one line."""
    rollout, tally = progress.rollout, together(progress)
    when, at = _when(rollout)
    ended = tally.of(*FINAL) / rollout.size if rollout.size else 0.0
    return Line(rollout, tally, tones(tally), ended, tally.of(*BAD), wave_of(rollout), when, at)


def _when(rollout: Rollout) -> tuple[str, datetime]:
    if rollout.ended_at is not None and rollout.state in ROLLOUT.final:
        return "ended", rollout.ended_at
    if rollout.started_at is not None:
        return "started", rollout.started_at
    if rollout.start_at is not None and rollout.state is RolloutState.SCHEDULED:
        return "starts", rollout.start_at
    return "planned", rollout.created_at


def wave_of(rollout: Rollout) -> str:
    """`2 of 3`; empty for a rollout of one wave."""
    if len(rollout.waves) < 2:
        return ""
    if rollout.started_at is None:
        return f"0 of {len(rollout.waves)}"
    under_way = rollout.wave
    return f"{under_way.index + 1 if under_way else len(rollout.waves)} of {len(rollout.waves)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one wave stands, against its thresholds."""

    wave: Wave
    tally: Tally
    tones: Mapping[str, int]
    success: str
    success_tone: Tone
    error: str
    error_tone: Tone


def standings(progress: Progress, ruling: Ruling) -> list[Standing]:
    """Where each wave stands; the judge says which threshold is reached."""
    rollout, tallies = progress.rollout, progress.tallies
    going = progress.evidence.without(rollout.held).waves
    return [
        _standing(rollout, w, tallies.get(w.index, _NOBODY), going.get(w.index, _NOBODY), ruling) for w in rollout.waves
    ]


def _standing(rollout: Rollout, wave: Wave, tally: Tally, going: Tally, ruling: Ruling) -> Standing:
    rule = rollout.policy.rule
    if rule is None:
        return Standing(wave, tally, tones(tally), "", Tone.IDLE, "", Tone.IDLE)
    call = ruling.waves[wave.index].call
    needs = f"needs {share(rule.success, _digits(rule.success))}"
    most = f"at most {share(rule.error, _digits(rule.error))}"
    witnesses = number(going.judged)
    return Standing(
        wave,
        tally,
        tones(tally),
        f"{number(going.of(State.SUCCEEDED))} of {witnesses} succeeded ({needs})",
        Tone.DONE if call is Verdicts.EXPAND else Tone.IDLE,
        f"{number(going.failures)} of {witnesses} failed ({most})",
        Tone.FAILED if call is Verdicts.STOP else Tone.IDLE,
    )


@dataclass(frozen=True, slots=True)
class Alike:
    """One segment, and how far its members are."""

    segment: Segment
    tally: Tally
    tones: Mapping[str, int]
    waiting: int
    """Its members that are not told yet."""


def alike(progress: Progress) -> list[Alike]:
    """How far each segment is; none where there is one that nobody holds."""
    segments = progress.rollout.segments
    if len(segments) < 2 and not progress.rollout.held:
        return []
    tallies = [progress.evidence.segment(segment.index) for segment in segments]
    return [Alike(s, t, tones(t), t.of(State.SCHEDULED)) for s, t in zip(segments, tallies, strict=True)]


def percent(value: float) -> str:
    """A threshold as it was written: 90%, 99.5%."""
    return share(value, _digits(value))


def _digits(value: float) -> int:
    return next((digits for digits in range(4) if abs(round(value * 100, digits) - value * 100) < 1e-9), 4)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a rollout is where it is, in a sentence. `at` is the time it speaks of."""

    tone: Tone
    words: str
    at: datetime | None = None


def why(progress: Progress, ruling: Ruling) -> Why:
    """Why a rollout is where it is."""
    rollout = progress.rollout
    match rollout.state:
        case RolloutState.RUNNING:
            return _running(progress, ruling)
        case RolloutState.AWAITING_APPROVAL:
            return Why(Tone.HELD, f"Nobody is offered anything until it is approved; {_author(rollout)} planned it")
        case RolloutState.SCHEDULED if rollout.policy.after is not None:
            return Why(Tone.IDLE, rollout.reason or f"It starts when rollout {rollout.policy.after} has finished well")
        case RolloutState.SCHEDULED:
            return Why(Tone.IDLE, "It starts by itself", rollout.start_at)
        case RolloutState.PAUSED:
            because = rollout.reason or "no reason was given"
            return Why(Tone.HELD, f"Nobody new is offered the release: {because}")
        case RolloutState.STOPPING:
            left = together(progress).of(*OPEN)
            asked = f"{devices(left)} {'was' if left == 1 else 'were'} asked to cancel" if left else "Nobody is left"
            return Why(Tone.HELD, asked + (f": {rollout.reason}" if rollout.reason else ""))
        case RolloutState.STOPPED:
            return Why(Tone.FAILED, f"Stopped for good: {rollout.reason or 'no reason was given'}")
        case RolloutState.FINISHED:
            ended = {"": "Every device has ended", "expired": "It expired: who was not reached was skipped"}
            return Why(Tone.DONE, ended.get(rollout.reason, rollout.reason.capitalize()))
        case _:
            return Why(Tone.IDLE, "Nobody is offered anything until it is started")


def _author(rollout: Rollout) -> str:
    return actor(rollout.created_by) if rollout.created_by else "somebody"


def _running(progress: Progress, ruling: Ruling) -> Why:
    rollout = progress.rollout
    wave = rollout.wave
    if len(rollout.waves) < 2 and rollout.policy.rule is None and rollout.policy.sequential is None:
        return Why(Tone.BUSY, _simple(progress))
    if wave is None:
        return Why(
            Tone.BUSY,
            f"Every wave has passed; {devices(_left(progress))} {'has' if _left(progress) == 1 else 'have'} not ended",
        )
    if (waits := waiting(rollout, ruling)) is not None:
        return Why(_WAITS.get(waits.what, Tone.BUSY), waits.words, waits.until)
    tally = progress.tallies.get(wave.index, _NOBODY)
    name = f"Wave {wave.index + 1} of {len(rollout.waves)}" if len(rollout.waves) > 1 else "It"
    return Why(Tone.BUSY, f"{name} is open: {counted_words(tally)}")


_WAITS = {For.APPROVAL: Tone.HELD, For.WATCH: Tone.TRIAL}


@dataclass(frozen=True, slots=True)
class Waits:
    """What a rollout that runs waits for."""

    untold: int
    under_way: int
    silent: int
    """Of both, those that have missed polls or never polled."""
    named: Sequence[DeviceId]
    """Some of those."""
    more: bool
    """There may be more silent ones than were counted."""

    @property
    def words(self) -> str:
        """All of it but the silent ones."""
        parts = [f"{devices(self.untold)} {_are(self.untold)} still to be told at the next poll"] if self.untold else []
        parts += [f"{devices(self.under_way)} {_are(self.under_way)} under way"] if self.under_way else []
        return ", ".join(parts)


def awaited(progress: Progress) -> tuple[Wave | None, Tally] | None:
    """The open wave and its members, or where every wave has passed all members; None where nobody is waited for."""
    rollout = progress.rollout
    if rollout.state is not RolloutState.RUNNING:
        return None
    wave = rollout.wave
    tally = together(progress) if wave is None else progress.tallies.get(wave.index, _NOBODY)
    open_one = wave is None or wave.state is WaveState.OPEN
    return (wave, tally) if open_one and tally.of(*OPEN, State.SCHEDULED) else None


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _simple(progress: Progress) -> str:
    size, tally = progress.rollout.size, together(progress)
    ended, waiting, under_way = tally.of(*FINAL), tally.of(State.SCHEDULED), tally.of(*OPEN)
    parts = [f"{number(ended)} of {number(size)} {'has' if ended == 1 else 'have'} ended"]
    parts += [f"{number(under_way)} {_are(under_way)} under way"] if under_way else []
    if waiting:
        parts.append(f"{number(waiting)} {'waits for its' if waiting == 1 else 'wait for their'} next poll")
    return f"Offered to everybody at once; {', '.join(parts)}"


def _left(progress: Progress) -> int:
    return together(progress).of(*OPEN, State.SCHEDULED)


def devices(count: int) -> str:
    """`1 device`, `12,430 devices`."""
    return f"{number(count)} {'device' if count == 1 else 'devices'}"


def heights(waves: Sequence[Wave]) -> str:
    """`2, then 10, then all 48`."""
    if not waves:
        return "nobody"
    words = [number(wave.height) for wave in waves[:-1]]
    return ", then ".join([*words, f"all {number(waves[-1].height)}"])


def resumed(rollout: Rollout) -> str:
    """What resuming does."""
    failed = next((w for w in rollout.waves if w.state is WaveState.FAILED), None)
    if failed is None:
        return "It goes on where it was: devices of open waves are offered the release at their next poll."
    words = f"Wave {failed.index + 1} failed: {failed.reason}. Resuming overrules it by your word: it is not judged any more"
    following = next((w for w in rollout.waves if w.state is WaveState.PENDING), None)
    if following is None:
        return f"{words}, and its devices go on."
    return f"{words}, and wave {following.index + 1} opens with {devices(following.size)}."


def summary(intention: Intention, preview: Preview) -> list[str]:
    """What a rollout would do, in sentences."""
    policy, waves = intention.policy, preview.waves
    whom = f"Brings {intention.product} {intention.version} to {devices(preview.members)}"
    first = (
        f" in {len(waves)} waves: {heights(waves)}."
        if 1 < len(waves) <= _TOLD
        else f" in {len(waves)} waves, from {devices(waves[0].height)} on."
        if len(waves) > 1
        else ", at its next poll."
        if preview.members == 1
        else ", each at its next poll."
    )
    return [whom + first, *_split(preview.segments), *_judging(policy), *_manner(policy), _beginning(intention)]


_TOLD = 6
"""Up to so many waves are told one by one."""


def _split(segments: Sequence[Segment]) -> Iterator[str]:
    if len(segments) > 1:
        yield f"They are of {len(segments)} kinds. The canaries of each come first, and one that fails can be held alone."


_DOES: Mapping[OnError, str] = {
    OnError.ADVISE: "says so and goes on",
    OnError.PAUSE: "pauses",
    OnError.STOP: "stops for good",
    OnError.ROLLBACK: "stops for good, and devices that took it are brought back where that is safe",
}


def _judging(policy: Policy) -> Iterator[str]:
    if policy.sequential is not None:
        alpha = percent(policy.sequential.alpha)
        yield f"How fast depends on what is seen; a good release is stopped or held wrongly with a chance of {alpha} at most."
    if policy.rule is None:
        return
    watched = f" and {told_span(policy.observe)} more have gone by" if policy.observe else ""
    yield f"A wave passes when {percent(policy.rule.success)} of its devices succeeded{watched}."
    yield f"When more than {percent(policy.rule.error)} failed, the rollout {_DOES[policy.on_error]}."


def _manner(policy: Policy) -> Iterator[str]:
    if policy.validate:
        yield f"A device succeeds after {_trial(policy)}."
    if policy.consent:
        yield "Each device or its owner is asked first."
    if policy.urgency is Urgency.SOFT:
        yield "Devices choose the moment themselves."
    if policy.conditions:
        yield f"A device begins only where this holds: {', '.join(map(str, policy.conditions))}."
    if policy.window:
        yield f"Devices are told only in the window {policy.window}."
    if policy.end_at:
        yield f"Nothing new is offered from {policy.end_at:%Y-%m-%d %H:%M} UTC on."
    if policy.limits.any:
        yield f"Limited to {', '.join(_limits(policy.limits)).removeprefix('at most ')}."
    if policy.expires_after:
        yield f"Who is not reached {told_span(policy.expires_after)} after the start is skipped."


def _trial(policy: Policy) -> str:
    allowed = policy.validate_events
    bad = "a bad health event" if allowed == 1 else f"{number(allowed)} bad health events"
    return f"{told_span(policy.validate)} on trial, heard of and without {bad}"


def taken(progress: Progress) -> bool:
    """Whether some may run what it brought, and could be brought back: a trial that was cut short ends as cancelled."""
    may = together(progress).of(State.SUCCEEDED, State.ON_TRIAL, State.FAILED, State.SILENT, State.CANCELLED)
    return may > 0 and progress.rollout.started_at is not None and progress.rollout.rolls_back is None


def _beginning(intention: Intention) -> str:
    if intention.start_at is not None:
        return f"It starts by itself on {intention.start_at:%Y-%m-%d at %H:%M} UTC."
    return "It starts at once." if intention.start else "Nobody is offered anything until somebody starts it."


def policy_words(rollout: Rollout) -> Iterator[tuple[str, str]]:
    """A policy by what each part is about."""
    policy = rollout.policy
    if policy.rule is None and len(rollout.waves) < 2:
        yield "Waves", "none: every device is offered it at its next poll"
    else:
        yield "Waves", f"first {heights(rollout.waves)}" if len(rollout.waves) > 1 else "one, of all"
    yield from _rule_words(policy)
    if policy.split:
        yield "Segments", f"by {', '.join(policy.split)}; each can be held on its own"
    if policy.validate:
        yield "Succeeds", f"a device after {_trial(policy)}"
    yield from _kind_words(policy)
    yield from _manner_words(policy)


def _kind_words(policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.approve is not Approve.NONE:
        yield "Approval", "of the start" + (" and of each further wave" if policy.approve is Approve.WAVES else "")
    if policy.after is not None:
        yield "After", f"rollout {policy.after} has finished well"
    if policy.continuous:
        yield "Continuous", "devices that match later join it, until it is stopped, expires or ends"
    if policy.priority != Policy().priority:
        yield "Priority", f"{policy.priority} of 0 to {MAX_PRIORITY}; the highest goes first"


def _manner_words(policy: Policy) -> Iterator[tuple[str, str]]:
    soft = policy.urgency is Urgency.SOFT
    late = f", forced from {policy.forced_at:%Y-%m-%d %H:%M} UTC on" if policy.forced_at else ""
    yield "Moment", f"the device's choice (soft){late}" if soft else "as soon as the device can (forced)"
    if policy.conditions:
        yield "Requires", ", ".join(map(str, policy.conditions))
    yield "Consent", _consent(policy)
    if policy.window:
        yield "Window", f"devices are told in {policy.window}" + ("" if policy.window.rule else ", each day")
    if policy.install_takes:
        yield "Installing", f"takes {told_span(policy.install_takes)}: so much of the window has to be left"
    if policy.limits.any:
        yield "Limits", "; ".join(_limits(policy.limits))
    if policy.ignore_blackout:
        yield "Blackouts", "are ignored: it is an emergency"
    if policy.end_at:
        yield "Ends", f"{policy.end_at:%Y-%m-%d %H:%M} UTC; then who has not been told is skipped"
    yield "Expires", _expiry(policy.expires_after)


def _limits(limits: Limits) -> Iterator[str]:
    if limits.in_flight is not None:
        yield f"at most {devices(limits.in_flight)} in flight"
    if limits.per_minute is not None:
        yield f"{devices(limits.per_minute)} a minute"
    for place in limits.places:
        yield f"{devices(place.most)} in flight for each {place.attribute}"


def _consent(policy: Policy) -> str:
    if not policy.consent:
        return "not asked"
    after = (
        ""
        if policy.consent_deadline is None
        else f"; who says nothing for {told_span(policy.consent_deadline)} has consented"
    )
    return f"asked of each device or its owner{after}; not for a security release"


def _rule_words(policy: Policy) -> Iterator[tuple[str, str]]:
    does = _DOES[policy.on_error]
    if policy.sequential is not None:
        past, alpha = policy.sequential.releases, percent(policy.sequential.alpha)
        yield "Judge", f"by e-values; a good release is stopped or held by mistake in {alpha} of rollouts at most"
        learned = f"what {past} past {'release' if past == 1 else 'releases'} did"
        yield "Tolerates", learned if past else "a cautious guess: no past"
        if policy.sequential.telemetry:
            yield "Compares", ", ".join(f"{m.name} ({m.worse} is worse)" for m in policy.sequential.telemetry)
        back = ", and its devices are brought back where that is safe" if policy.on_error is OnError.ROLLBACK else ""
        yield "Stopped", f"the rollout {does}; a bad segment is held{back}"
    if policy.rate is not None:
        rate = policy.rate
        what = "succeeded" if rate.succeeded else "were told"
        yield (
            "Rate",
            (
                f"{rate.base} devices a minute, times {rate.factor:g} for each {rate.every} that {what}, "
                f"at most {rate.maximum}"
            ),
        )
        for one in rate.aborts:
            kind = "any failure" if one.failure is FailureType.ALL else str(one.failure).replace("_", " ")
            yield "Aborts", f"at {one.threshold:g} % {kind} of at least {one.minimum}; then the rollout {does}"
    if policy.rule is not None:
        yield "Passes", f"when {percent(policy.rule.success)} of a wave succeeded"
        yield "Fails", f"when more than {percent(policy.rule.error)} failed; then the rollout {does}"
        late = f", or after {told_span(policy.wave_timeout)}" if policy.wave_timeout is not None else ""
        yield "Complete", f"when {percent(policy.quorum)} of a wave have ended{late}"
        if policy.observe:
            yield "Watched", f"for {told_span(policy.observe)} before the next wave opens"


def _expiry(after: timedelta | None) -> str:
    return "never" if after is None else f"{told_span(after)} after the start; then who is not reached is skipped"
