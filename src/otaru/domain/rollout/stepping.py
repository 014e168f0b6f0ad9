"""What moves a rollout: the orders of people (`obey`), and time, reports and the judge (`step`).

Both are pure: they return what is to be so (`Step`), the caller makes it so in one transaction. Repeating a step after a
crash is harmless, since a step that has been taken has nothing left to do.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import assert_never

from otaru.domain.deployment import OPEN, WAITING, State
from otaru.domain.duration import written
from otaru.domain.evidence import Call, Evidence, Ruling, Tally, Verdict
from otaru.domain.rollout.holding import Order, Step, brought_back, held_by_judge, hold_failing
from otaru.domain.rollout.machine import PERSONS, ROLLOUT, RolloutEvent, RolloutState
from otaru.domain.rollout.plan import Rollout, Wave, WaveState
from otaru.domain.rollout.policy import Approve, OnError, Policy
from otaru.errors import InvalidStateError

ADVISED = "advised to stop: "
"""How the reason of a wave begins that would have failed, where the judge only advises."""
STOP_PATIENCE = timedelta(days=1)
"""How long a stopping rollout waits for devices to confirm that they cancelled."""


def obey(rollout: Rollout, event: RolloutEvent, reason: str, now: datetime) -> Step:
    """Carry out a person's order.

    Raises:
        InvalidStateError: the rollout's state does not allow it; `allowed` lists what it allows.
    """
    state = ROLLOUT.next(rollout.state, event)
    if state is None or (event in PERSONS and event not in orders(rollout)):
        allowed = [str(e) for e in orders(rollout)]
        raise InvalidStateError(
            f"rollout {rollout.id} is {rollout.state}: it cannot {event}",
            hint=f"Allowed now: {', '.join(allowed) or 'nothing'}.",
            allowed=allowed,
        )
    after = replace(rollout, state=state, reason=reason, edition=rollout.edition + 1)
    match event:
        case RolloutEvent.START:
            # Who only downloads needs no wave for it: the first one opens with the order to install.
            after = replace(opened(after, now) if after.may_install(now) else after, started_at=now)
        case RolloutEvent.APPROVE:
            return _approved(after, now)
        case RolloutEvent.RESUME:
            after = _overruled(after, reason, now)
        case RolloutEvent.STOP:
            after = replace(after, ended_at=now)
            return Step(after, (Order.CANCEL_SCHEDULED, Order.CANCEL_OPEN), ("stopping",))
        case _:
            pass
    return Step(after, notes=(str(state),))


def orders(rollout: Rollout) -> list[RolloutEvent]:
    """What a person may order now."""
    found = [event for event in ROLLOUT.allowed(rollout.state) if event in PERSONS]
    if rollout.state is RolloutState.RUNNING and rollout.unapproved is None:
        found.remove(RolloutEvent.APPROVE)
    if rollout.superseded_by is not None:  # it only waits for those that were told
        found = [event for event in found if event is RolloutEvent.STOP]
    return found


def _approved(rollout: Rollout, now: datetime) -> Step:
    """The next wave opens; or it starts, unless it has a time for that."""
    if (wave := rollout.unapproved) is not None:
        return Step(opened(rollout, now), notes=(f"approved: wave {wave.index + 1} opened",))
    if rollout.policy.after is not None:
        return Step(rollout, notes=(f"approved: it starts after rollout {rollout.policy.after}",))
    if rollout.start_at is not None:
        return Step(rollout, notes=(f"approved: it starts at {rollout.start_at:%Y-%m-%d %H:%M} UTC",))
    started = obey(rollout, RolloutEvent.START, rollout.reason, now)
    return replace(started, notes=("approved", *started.notes))


def supersede(rollout: Rollout, by: Rollout, now: datetime) -> Step:
    """Have the rollout of a newer release take its place: who was not told is skipped, who was goes on as they are.

    Who was asked for consent and has not given it is skipped too, since they will be asked for the newer one.

    Raises:
        InvalidStateError: it has ended, or is about to.
    """
    state = ROLLOUT.next(rollout.state, RolloutEvent.SUPERSEDE)
    if state is None:
        raise InvalidStateError(f"rollout {rollout.id} is {rollout.state}: it cannot be superseded")
    reason = f"superseded by rollout {by.id}: {by.product} {by.version}"
    ended = now if state in ROLLOUT.final else None
    after = replace(
        rollout, state=state, reason=reason, superseded_by=by.id, ended_at=ended, edition=rollout.edition + 1
    )
    return Step(after, _over(rollout), (reason,))


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


def step(rollout: Rollout, evidence: Evidence, ruling: Ruling, now: datetime) -> Step | None:
    """What time, reports and the judge make of a rollout; None where there is nothing to do."""
    match rollout.state:
        case RolloutState.SCHEDULED:
            if rollout.start_at is not None and now >= rollout.start_at:
                return obey(rollout, RolloutEvent.START, "its time has come", now)
            return None
        case RolloutState.STOPPING:
            return _stopping(rollout, evidence, now)
        case RolloutState.RUNNING:
            return _running(rollout, evidence, ruling, now)
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


def _stopping(rollout: Rollout, evidence: Evidence, now: datetime) -> Step | None:
    # Who had begun when it was told to stop may have taken it since.
    failed = any(wave.state is WaveState.FAILED for wave in rollout.waves)
    back = _back(rollout, "taken while it was stopped") if failed or held_by_judge(rollout) else ""
    of = () if failed else held_by_judge(rollout)
    if _left(rollout, evidence) == 0:
        return Step(_ended(rollout, RolloutEvent.HALT_DONE, now), notes=("stopped",), back=back, segments=of)
    if rollout.ended_at is not None and now >= rollout.ended_at + STOP_PATIENCE:
        note = "gave up waiting for devices to confirm that they cancelled"
        return Step(_ended(rollout, RolloutEvent.HALT_DONE, now), _give_up(rollout), (note, "stopped"), back, of)
    return None


def _back(rollout: Rollout, why: str) -> str:
    """Why it rolls back by itself; empty where it does not. What brings devices back never does: that would be a loop."""
    return why if rollout.policy.on_error is OnError.ROLLBACK and rollout.rolls_back is None else ""


def _holding(rollout: Rollout, evidence: Evidence, ruling: Ruling, now: datetime, *, waiting: bool) -> Step | None:
    """What becomes of segments that the judge stops, and of devices of theirs that took the release."""
    if rollout.policy.on_error is not OnError.ADVISE and (held := hold_failing(rollout, ruling)) is not None:
        if held.all_held and waiting:
            return _broken(held, held.policy.on_error, "every segment is held", now)
        new = _changed(rollout, held)
        named = "; ".join(f"{held.segments[i].name}: {held.segments[i].reason}" for i in new)
        return Step(held, back=_back(held, f"held: {named}"), segments=new)
    if _back(rollout, "held") and (ended := brought_back(rollout, evidence)) is not None:
        # Who had begun when its segment was held may have taken it since.
        return Step(ended, back="taken while their segment was held", segments=_changed(rollout, ended))
    if rollout.all_held and waiting:
        return _broken(rollout, OnError.PAUSE, "every segment is held", now)
    return None


def _changed(before: Rollout, after: Rollout) -> tuple[int, ...]:
    """The segments that are another than before."""
    return tuple(a.index for b, a in zip(before.segments, after.segments, strict=True) if a != b)


def _running(rollout: Rollout, evidence: Evidence, ruling: Ruling, now: datetime) -> Step | None:
    # Who is on trial when it expires has its health window still.
    on_trial = rollout.policy.validate if evidence.whole.of(State.ON_TRIAL) else timedelta(0)
    if (expires := rollout.expires_at) is not None and now >= expires + on_trial:
        after = replace(_ended(_given_up(rollout), RolloutEvent.FINISH, now), reason="expired")
        return Step(after, _give_up(rollout), ("finished: it expired, unreached members are skipped",))
    if _is_over(rollout, evidence, now):
        after = replace(rollout, reason="its end has come", edition=rollout.edition + 1)
        return Step(after, _over(rollout), ("its end has come: who has not been told is skipped",))
    if rollout.superseded_by is not None:
        return _superseded(rollout, evidence, now)
    waiting = evidence.whole.of(State.SCHEDULED) > 0
    if (held := _holding(rollout, evidence, ruling, now, waiting=waiting)) is not None:
        return held
    left = _left(rollout, evidence)
    if left > 0 and (bad := _stopped(rollout, ruling)) is not None:
        late = "after it had passed: " if bad.state is WaveState.PASSED else ""
        return _failed(rollout, bad, f"{late}{ruling.waves[bad.index].reason}", now)
    if (further := _opened_ahead(rollout, ruling.ahead, now)) is not None:
        return further
    wave = rollout.wave
    if wave is None:
        return _finished(rollout, evidence, now) if left == 0 and not rollout.joins(now) else None
    if wave.state is WaveState.PENDING:
        may = rollout.unapproved is None and (ruling.ahead is None or wave.index == 0)
        may = may and (rollout.may_install(now) or left == 0)
        return Step(opened(rollout, now), notes=(f"wave {wave.index + 1} opened",)) if may else None
    return _judged(rollout, wave, evidence, ruling, now)


def _superseded(rollout: Rollout, evidence: Evidence, now: datetime) -> Step | None:
    """It waits for those that were told; who has only fetched it by now is not told to install it any more."""
    if rollout.policy.downloads_first and evidence.whole.of(State.DOWNLOADED):
        return Step(rollout, _held_back(rollout), (rollout.reason,))
    return _finished(rollout, evidence, now) if _left(rollout, evidence) == 0 else None


def _stopped(rollout: Rollout, ruling: Ruling) -> Wave | None:
    """A wave that has been opened, and that its members make fail: also one that passed while some were under way."""
    begun = (w for w in rollout.waves if w.state in {WaveState.PASSED, WaveState.OPEN, WaveState.OBSERVING})
    return next((w for w in begun if ruling.waves[w.index].call is Call.STOP and not _is_advised(rollout, w)), None)


def _is_advised(rollout: Rollout, wave: Wave) -> bool:
    """Whether it was told already that the wave should stop, by a judge that only advises."""
    return rollout.policy.on_error is OnError.ADVISE and wave.reason.startswith(ADVISED)


def _opened_ahead(rollout: Rollout, ahead: int | None, now: datetime) -> Step | None:
    """With every wave open that the pace permits, whether or not the ones below have passed."""
    if ahead is None or rollout.policy.approve is Approve.WAVES or not rollout.may_install(now):
        return None
    pending = [w for w in rollout.waves if w.state is WaveState.PENDING and w.height <= ahead]
    after = rollout
    for wave in pending:
        after = _with_wave(after, replace(wave, state=WaveState.OPEN, opened_at=now))
    return Step(after, notes=tuple(f"wave {w.index + 1} opened" for w in pending)) if pending else None


def _finished(rollout: Rollout, evidence: Evidence, now: datetime, *notes: str) -> Step:
    """At its end. Who is still scheduled is in a held segment, and will not be waited for."""
    after = _ended(rollout, RolloutEvent.FINISH, now)
    if not evidence.whole.of(State.SCHEDULED):
        return Step(after, notes=(*notes, "finished"))
    named = "; ".join(s.name for s in rollout.segments if s.held)
    reason = f"without what was left of held segments: {named}"
    return Step(replace(after, reason=reason), (Order.SKIP_SCHEDULED,), (*notes, f"finished {reason}"))


def _given_up(rollout: Rollout) -> Rollout:
    """With the waves that time ran out on named so."""
    under_way = {WaveState.OPEN, WaveState.OBSERVING}
    waves = (replace(w, state=WaveState.FAILED, reason="expired") if w.state in under_way else w for w in rollout.waves)
    return replace(rollout, waves=tuple(waves))


def _over(rollout: Rollout) -> tuple[Order, ...]:
    """What its end does to members that have not begun."""
    return (Order.SKIP_SCHEDULED, Order.SKIP_WAITING, *_held_back(rollout))


def _held_back(rollout: Rollout) -> tuple[Order, ...]:
    """Who has fetched it and was not told to install it is nobody who fell silent."""
    return (Order.SKIP_HELD,) if rollout.policy.downloads_first else ()


def _is_over(rollout: Rollout, evidence: Evidence, now: datetime) -> bool:
    """Whether its end has come for members that have not begun."""
    end = rollout.policy.end_at
    held = (State.DOWNLOADED,) if rollout.policy.downloads_first else ()
    return end is not None and now >= end and evidence.whole.of(State.SCHEDULED, *WAITING, *held) > 0


def _give_up(rollout: Rollout) -> tuple[Order, ...]:
    """What is done with members that time has run out for; whoever is skipped is so before the rest falls silent."""
    return (Order.SKIP_SCHEDULED, *_held_back(rollout), Order.SILENCE_OPEN)


def _judged(rollout: Rollout, wave: Wave, evidence: Evidence, ruling: Ruling, now: datetime) -> Step | None:
    verdict, tally = ruling.waves[wave.index], evidence.without(rollout.held).wave(wave.index)
    watched = wave.complete_at is not None and now >= wave.complete_at + rollout.policy.observe
    watched = watched or rollout.policy.observe == timedelta(0)
    last = wave.index == len(rollout.waves) - 1 and not rollout.joins(now)
    if last and _left(rollout, evidence) == 0 and watched:
        return _closed(rollout, wave, verdict, evidence, now)
    if rollout.held and tally.members == 0:
        return _passed(rollout, wave, "all its members are in held segments", ruling.ahead, now)
    if verdict.call is Call.STOP and not _is_advised(rollout, wave):
        return _failed(rollout, wave, verdict.reason, now)
    if verdict.call is Call.EXPAND and watched:
        return _passed(rollout, wave, verdict.reason, ruling.ahead, now)
    if not _complete(rollout.policy, wave, tally, now):
        return None
    if wave.complete_at is None:
        observing = replace(wave, state=WaveState.OBSERVING, complete_at=now)
        note = f"wave {wave.index + 1} is complete, watched for {written(rollout.policy.observe.total_seconds())}"
        return Step(_with_wave(rollout, observing), notes=(note,))
    if watched and rollout.policy.on_error is OnError.ADVISE:
        return _gone_on(rollout, wave, verdict.reason, now)
    if watched and ruling.ahead is None:
        return _failed(rollout, wave, f"complete, but {verdict.reason}", now)
    return None


def _closed(rollout: Rollout, wave: Wave, verdict: Verdict, evidence: Evidence, now: datetime) -> Step:
    """Every member of every wave has ended: nothing is left that a verdict could protect, so it only names the result."""
    state = WaveState.PASSED if verdict.call is Call.EXPAND else WaveState.FAILED
    after = _with_wave(rollout, replace(wave, state=state, complete_at=now, reason=verdict.reason))
    finished = _finished(after, evidence, now, f"wave {wave.index + 1} {state}: {verdict.reason}")
    bad = verdict.call is Call.STOP
    return replace(finished, back=_back(rollout, f"wave {wave.index + 1}: {verdict.reason}")) if bad else finished


def _complete(policy: Policy, wave: Wave, tally: Tally, now: datetime) -> bool:
    if tally.final >= ceil(policy.quorum * tally.members - 1e-9):
        return True
    return (
        policy.wave_timeout is not None and wave.opened_at is not None and now >= wave.opened_at + policy.wave_timeout
    )


def _passed(rollout: Rollout, wave: Wave, reason: str, ahead: int | None, now: datetime) -> Step:
    """With a wave passed; the next one opens, unless the pace is what opens waves."""
    after = _with_wave(rollout, replace(wave, state=WaveState.PASSED, complete_at=now, reason=reason))
    notes = [f"wave {wave.index + 1} passed: {reason}"]
    if (unapproved := after.unapproved) is not None:
        notes.append(f"wave {unapproved.index + 1} waits for approval")
    elif ahead is None and (following := after.wave) is not None and following.state is WaveState.PENDING:
        after = opened(after, now)
        notes.append(f"wave {following.index + 1} opened")
    return Step(after, notes=tuple(notes))


def _gone_on(rollout: Rollout, wave: Wave, why: str, now: datetime) -> Step:
    """Where the judge only advises: past a wave that is complete and did not pass."""
    word = f"went on, though {why}"
    after = _with_wave(rollout, replace(wave, state=WaveState.OVERRULED, complete_at=now, reason=word))
    return Step(opened(after, now), notes=(f"wave {wave.index + 1} {word}",))


def _failed(rollout: Rollout, wave: Wave, why: str, now: datetime) -> Step:
    if rollout.policy.on_error is OnError.ADVISE:
        advice = f"{ADVISED}{why}"
        return Step(_with_wave(rollout, replace(wave, reason=advice)), notes=(f"wave {wave.index + 1}: {advice}",))
    after = _with_wave(rollout, replace(wave, state=WaveState.FAILED, reason=why))
    return _broken(after, rollout.policy.on_error, f"wave {wave.index + 1}: {why}", now)


def _broken(after: Rollout, on_error: OnError, reason: str, now: datetime) -> Step:
    match on_error:
        case OnError.PAUSE | OnError.ADVISE:
            return Step(replace(after, state=RolloutState.PAUSED, reason=reason), notes=(f"paused: {reason}",))
        case OnError.STOP | OnError.ROLLBACK:
            after = replace(after, state=RolloutState.STOPPING, reason=reason, ended_at=now)
            return Step(
                after, (Order.CANCEL_SCHEDULED, Order.CANCEL_OPEN), (f"stopping: {reason}",), _back(after, reason)
            )
        case _:
            assert_never(on_error)


def opened(rollout: Rollout, now: datetime) -> Rollout:
    """A rollout with the wave under way open; unchanged where it is open already or none is left."""
    wave = rollout.wave
    if wave is None or wave.state is not WaveState.PENDING:
        return rollout
    return _with_wave(rollout, replace(wave, state=WaveState.OPEN, opened_at=now))


def _overruled(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """After a person resumed: a failed wave is overruled by that person's word, and the next one opens."""
    failed = [wave for wave in rollout.waves if wave.state is WaveState.FAILED]
    for wave in failed:
        word = f"overruled by hand ({wave.reason})" + (f": {reason}" if reason else "")
        rollout = _with_wave(rollout, replace(wave, state=WaveState.OVERRULED, complete_at=now, reason=word))
    return opened(rollout, now) if failed and rollout.unapproved is None else rollout


def _ended(rollout: Rollout, event: RolloutEvent, now: datetime) -> Rollout:
    state = ROLLOUT.next(rollout.state, event)
    if state is None:
        raise InvalidStateError(f"rollout {rollout.id} is {rollout.state}: it cannot {event}")
    return replace(rollout, state=state, ended_at=now, edition=rollout.edition + 1)


def _with_wave(rollout: Rollout, wave: Wave) -> Rollout:
    waves = tuple(wave if w.index == wave.index else w for w in rollout.waves)
    return replace(rollout, waves=waves, edition=rollout.edition + 1)


def _left(rollout: Rollout, evidence: Evidence) -> int:
    """Members that have not ended; who has not begun in a held segment is not waited for."""
    going = evidence.without(rollout.held)
    return evidence.whole.of(*OPEN) + going.whole.of(State.SCHEDULED)
