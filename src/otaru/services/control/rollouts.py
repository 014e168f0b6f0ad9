"""People plan, start, pause, resume, stop and retry rollouts, and cancel single deployments."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from otaru.domain.deployment import DEPLOYMENT, FAILURES, OPEN, RETRIABLE, WAITING, Deployment, Event, State
from otaru.domain.events import Happening, Kind
from otaru.domain.evidence import Evidence, Said, Tally
from otaru.domain.ids import DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.release import Release, ReleaseState
from otaru.domain.rollout import (
    ROLLOUT,
    Approve,
    Growth,
    Order,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Segment,
    Shape,
    Step,
    Stratum,
    Wave,
    check,
    check_end,
    check_growth,
    grown,
    hold,
    laid_out,
    layout,
    obey,
    orders,
    release,
    reopened,
)
from otaru.domain.targeting import Query, parse
from otaru.errors import (
    ForbiddenError,
    InvalidInputError,
    InvalidStateError,
    NeverDueError,
    NotFoundError,
    NothingToDoError,
    PreconditionFailedError,
)
from otaru.ports.judge import Judge
from otaru.ports.store import Tx, one
from otaru.services.control import groups
from otaru.services.control.judging import evidence_in, taught
from otaru.services.control.poll import moved_event
from otaru.services.control.world import SYSTEM, Actor, World


@dataclass(frozen=True, slots=True)
class Intention:
    """A rollout as somebody asks for it."""

    product: ProductName
    version: Version
    target: str
    policy: Policy
    name: str = ""
    start_at: datetime | None = None
    start: bool = False
    growth: Growth | None = None
    """What writes the heights of its waves, in place of those of the policy."""
    reason: str = ""
    """Why, for the record; what is brought to all at once by its shape needs one."""
    planned: "Planned | None" = None
    """The plan that somebody looked at, where it is to be that one."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What makes a plan the same again: the seed of its ranking, and how many members it had."""

    seed: int
    members: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a rollout would be."""

    members: int
    left_out: Mapping[str, int]
    waves: tuple[Wave, ...]
    segments: tuple[Segment, ...] = ()
    warnings: Sequence[str] = ()
    """Why nobody should begin to use the release, though nothing forbids it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A rollout with its members counted by segment and wave, and the most frequent reasons of failure, in one snapshot."""

    rollout: Rollout
    evidence: Evidence
    failures: Sequence[tuple[State, str, int]]
    verdicts: Mapping[int | None, Said] = field(default_factory=dict)
    """The newest finding of each segment and of all members (None), where it is judged by e-values."""
    rolled_back_by: Sequence[RolloutId] = ()
    """The rollouts that bring its devices back."""

    @property
    def tallies(self) -> Mapping[int, Tally]:
        """Members by wave."""
        return self.evidence.waves


STOPPABLE = tuple(str(s) for s in RolloutState if ROLLOUT.next(s, RolloutEvent.STOP) is not None)
"""The states of rollouts that can be stopped."""
MAX_REASONS = 20
LAST_YEAR = 9000
"""No rollout starts later: what counts from its start (its expiry, the windows after it) has to be a time, too."""
_PAGE = 100


async def preview(world: World, tenant: TenantId, intention: Intention) -> Preview:
    """What `create` would make of it, without making it.

    Raises:
        QuerySyntaxError, InvalidInputError, NotFoundError, InvalidStateError: as `create`.
    """
    check_intention(intention)
    now = world.clock.now()
    parse(intention.target, now)

    def look(tx: Tx) -> Preview:
        drafted = draft(tx, tenant, intention, RolloutId(0), 0, now)
        members, left_out = tx.rollouts.candidates(tenant, drafted.query, drafted.release)
        waves = layout(drafted.rollout.policy, members)
        return Preview(members, left_out, waves, drafted.rollout.segments, drafted.release.warnings(now))

    return await world.store.read(look)


async def create(world: World, tenant: TenantId, actor: Actor, intention: Intention) -> Rollout:
    """Plan a rollout, freezing its members and their ranks; start it where `intention.start` says so.

    Raises:
        QuerySyntaxError: the target makes no sense.
        InvalidInputError: the policy makes no sense.
        NotFoundError: there is no such release.
        InvalidStateError: the release is not published.
        NeverDueError: its window, its end and the tenant's blackouts leave no moment for it.
        NothingToDoError: no device would be a member.
    """
    check_intention(intention)
    now = world.clock.now()
    parse(intention.target, now)  # refused before it is queued
    seed = world.clock.seed() if intention.planned is None else intention.planned.seed
    planning = _Planning(tenant, actor, intention, seed, now)
    return await world.store.write(_create, planning)


@dataclass(frozen=True, slots=True)
class Drafted:
    """A rollout before it has members: with waves and segments, where it is staged and not for nobody."""

    rollout: Rollout
    query: Query
    """Whom its target means, with the groups as they are now."""
    release: Release
    strata: tuple[Stratum, ...]


def check_intention(intention: Intention) -> None:
    """Check what needs no store.

    Raises:
        InvalidInputError: it says what makes no sense.
    """
    check(intention.policy)
    if (growth := intention.growth) is None:
        return
    check_growth(growth)
    if any(not share.percent or share.value != 100 for share in intention.policy.waves):
        raise InvalidInputError("a rollout has waves or a shape, which writes them", hint="Leave out one of them.")
    if growth.shape is Shape.ALL and not intention.reason:
        raise InvalidInputError("all at once needs a reason", hint="Say why nobody goes first: it is recorded.")


def draft(tx: Tx, tenant: TenantId, wanted: Intention, number: RolloutId, seed: int, now: datetime) -> Drafted:
    """What somebody asks for as a rollout, within a transaction.

    Raises:
        NotFoundError, InvalidStateError, NeverDueError, InvalidInputError: as `create`.
    """
    release = _release(tx, tenant, wanted.product, wanted.version)
    _check_after(tx, tenant, wanted)
    _check_times(tx, tenant, wanted, now)
    query = groups.target(tx, tenant, wanted.target, now)
    policy, growth = wanted.policy, wanted.growth
    staged = policy.staged or (growth is not None and growth.shape is not Shape.ALL)
    strata = tx.rollouts.strata(tenant, query, release, policy.split) if staged else ()
    if growth is not None:
        policy = replace(policy, waves=grown(growth, strata))
    rollout = Rollout(
        id=number,
        product=wanted.product,
        version=wanted.version,
        target=wanted.target,
        state=RolloutState.DRAFT,
        policy=policy,
        seed=seed,
        created_at=now,
        name=wanted.name,
        start_at=wanted.start_at,
    )
    rollout = laid_out(rollout, strata)
    check_end(rollout)
    return Drafted(rollout, query, release, strata)


async def progress(world: World, tenant: TenantId, rollout: RolloutId, *, among: int | None = None) -> Progress:
    """A rollout and how far it is. `among` is how many failures of each state are asked for their reasons; None is all.

    Raises:
        NotFoundError: there is none.
    """

    def look(tx: Tx) -> Progress:
        so_far = progress_in(tx, tenant, found(tx, tenant, rollout), among=among)
        return replace(so_far, evidence=evidence_in(tx, tenant, so_far.rollout))

    return await world.store.read(look)


def progress_in(tx: Tx, tenant: TenantId, rollout: Rollout, *, among: int | None = None) -> Progress:
    """As `progress`, within a transaction. Where nobody is asked for reasons it costs the same at any size."""
    evidence = tx.rollouts.evidence(tenant, rollout.id)
    ask = among != 0 and evidence.whole.of(*FAILURES, State.REJECTED) > 0
    reasons = tx.deployments.reasons(tenant, rollout.id, MAX_REASONS, among) if ask else []
    judged = rollout.policy.sequential is not None
    verdicts = tx.verdicts.newest(tenant, rollout.id) if judged else {}
    back = tx.rollouts.rolling_back(tenant, [rollout.id]).get(rollout.id, ())
    return Progress(rollout, evidence, reasons, verdicts, back)


async def order(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    event: RolloutEvent,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Approve, start, pause, resume or stop a rollout. `edition` is what If-Match names.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: its state does not allow it; `allowed` says what it allows.
        ForbiddenError: who planned it approves it, and the tenant wants four eyes.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Asked(tenant, actor, rollout, event, reason, edition, world.clock.now())
    return await world.store.write(_order, asked)


async def hold_segment(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    segment: int,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Hold a segment: who has begun goes on, nobody else of it is offered the release; the other segments go on.

    Raises:
        NotFoundError: there is no such rollout, or segment.
        NothingToDoError: it is held already.
        InvalidStateError: the rollout has ended.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Holding(tenant, actor, rollout, segment, reason, edition, world.clock.now())
    return await world.store.write(_hold, asked)


async def release_segment(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    segment: int,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Have a held segment go on. Where the judge would stop it, your word counts from now on.

    Raises:
        NotFoundError: there is no such rollout, or segment.
        NothingToDoError: it is not held.
        InvalidStateError: the rollout has ended.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Holding(tenant, actor, rollout, segment, reason, edition, world.clock.now(), world.judge)
    return await world.store.write(_hold, asked)


async def retry(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    states: Collection[State] = FAILURES,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Give members that ended in `states` another attempt; their waves are judged again.

    Raises:
        NotFoundError: there is no such rollout.
        InvalidStateError: it is not running, paused or finished, or has expired; its release is not published; or a
            state cannot be retried.
        NothingToDoError: no member is in one of `states`, decommissioned ones aside.
        PreconditionFailedError: it has changed since `edition`.
    """
    if not_retriable := set(states) - RETRIABLE:
        allowed = sorted(map(str, RETRIABLE))
        raise InvalidStateError(f"{', '.join(sorted(not_retriable))} cannot be retried", allowed=allowed)
    return await world.store.write(
        _retry, _Retrying(tenant, actor, rollout, frozenset(states), reason, edition, world.clock.now())
    )


async def cancel(
    world: World, tenant: TenantId, actor: Actor, rollout: RolloutId, device: DeviceId, *, force: bool = False
) -> Deployment:
    """Have one device not do it: at once where it knows nothing yet, else as soon as it confirms; `force` does not wait.

    Raises:
        NotFoundError: the device is no member of this rollout.
        InvalidStateError: its deployment has ended.
    """
    asked = (tenant, actor, rollout, device, force, world.clock.now())
    deployment = await world.store.write(_cancel, asked)
    world.registry.forget(tenant, device)
    return deployment


RETRIED_IN = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.FINISHED})
"""States of a rollout in which members may be given another attempt."""


def allowed(rollout: Rollout) -> list[str]:
    """The orders that a person may give a rollout now."""
    return [str(event) for event in orders(rollout)]


def segments_move(rollout: Rollout) -> bool:
    """Whether its segments can be held and released now."""
    return bool(rollout.segments) and rollout.state not in {*ROLLOUT.final, RolloutState.STOPPING}


def stop_all(
    tx: Tx, tenant: TenantId, actor: Actor, product: ProductName, version: Version, reason: str, at: datetime
) -> None:
    """Stop every rollout of a release that can be stopped."""
    after: RolloutId | None = None
    while page := tx.rollouts.page(tenant, STOPPABLE, after, _PAGE, (product, version)):
        for rollout in page:
            apply(tx, tenant, rollout, obey(rollout, RolloutEvent.STOP, reason, at), actor, at)
        after = page[-1].id


def apply(tx: Tx, tenant: TenantId, before: Rollout, taken: Step, actor: Actor, at: datetime) -> None:
    """Make a step so: the rollout, its members, the record."""
    after = taken.rollout
    tx.rollouts.save(tenant, after)
    moved = {str(o): n for o in taken.orders if (n := _carry_out(tx, tenant, after, o, at))}
    data = {
        "from": str(before.state),
        "to": str(after.state),
        "notes": list(taken.notes),
        "reason": after.reason,
        "moved": moved,
    }
    tx.events.add(_segments_moved(tenant, before, after, actor, at))
    if after.state is before.state and not (moved or taken.notes):
        return
    kind = Kind.ROLLOUT_MOVED if after.state is not before.state or moved else Kind.ROLLOUT_WAVE
    tx.events.add([Happening(tenant, at, actor.name, kind, str(after.id), data)])
    if after.state in ROLLOUT.final and before.state is not after.state:
        _ended(tx, tenant, after, at)


def _segments_moved(tenant: TenantId, before: Rollout, after: Rollout, actor: Actor, at: datetime) -> list[Happening]:
    was = before.held
    changed = [segment for segment in after.segments if segment.held is not (segment.index in was)]
    return [
        Happening(
            tenant,
            at,
            actor.name,
            Kind.ROLLOUT_SEGMENT,
            str(after.id),
            {"segment": s.index, "name": s.name, "held": s.held, "reason": s.reason},
        )
        for s in changed
    ]


_ORDERS: Mapping[Order, tuple[Collection[State], Event]] = {
    Order.CANCEL_OPEN: (OPEN, Event.CANCEL),
    Order.CANCEL_SCHEDULED: ((State.SCHEDULED,), Event.CANCEL),
    Order.SKIP_SCHEDULED: ((State.SCHEDULED,), Event.SKIP),
    Order.SILENCE_OPEN: (OPEN, Event.SILENCE),
    Order.SKIP_WAITING: (WAITING, Event.SKIP),
}


def _carry_out(tx: Tx, tenant: TenantId, rollout: Rollout, wanted: Order, at: datetime) -> int:
    states, event = _ORDERS[wanted]
    by_target: dict[State, set[State]] = {}
    for state in states:
        if (target := DEPLOYMENT.next(state, event)) is not None:
            by_target.setdefault(target, set()).add(state)
    reason = f"rollout {rollout.state}" + (f": {rollout.reason}" if rollout.reason else "")
    return sum(
        tx.rollouts.move_all(tenant, rollout.id, sources, target, reason, at) for target, sources in by_target.items()
    )


@dataclass(frozen=True, slots=True)
class _Planning:
    tenant: TenantId
    actor: Actor
    intention: Intention
    seed: int
    at: datetime


@one
def _create(tx: Tx, planning: _Planning) -> Rollout:
    tenant, wanted, now = planning.tenant, planning.intention, planning.at
    drafted = draft(tx, tenant, wanted, tx.rollouts.next_id(tenant), planning.seed, now)
    rollout, query, release, strata = drafted.rollout, drafted.query, drafted.release, drafted.strata
    rollout = replace(rollout, policy=watched(tx, tenant, rollout.policy), created_by=planning.actor.name)
    tx.rollouts.add(tenant, rollout)
    members = tx.rollouts.enlist(tenant, rollout, query, release, strata)
    if members == 0:
        _, left_out = tx.rollouts.candidates(tenant, query, release)
        out = ", ".join(f"{n} {why}" for why, n in left_out.items() if n)
        raise NothingToDoError(
            "the target holds no device that this release is for",
            hint=f"Left out: {out}." if out else "The target matches no device at all.",
            left_out=dict(left_out),
        )
    if wanted.planned is not None and wanted.planned.members != members:
        raise PreconditionFailedError(
            f"the fleet has changed: the plan had {wanted.planned.members} members, now there are {members}",
            hint="Look at the plan again.",
        )
    if not strata:
        rollout = laid_out(rollout, [Stratum((), members)])
    rollout = replace(rollout, policy=taught(tx, tenant, rollout))
    planned = obey(rollout, RolloutEvent.PLAN, "", now).rollout
    data = {"product": wanted.product, "version": wanted.version, "target": wanted.target, "size": members}
    if wanted.policy.ignore_blackout:
        data["ignore_blackout"] = True
    if wanted.reason:
        data["reason"] = wanted.reason
    tx.events.add([Happening(tenant, now, planning.actor.name, Kind.ROLLOUT_CREATED, str(rollout.id), data)])
    if planned.policy.approve is not Approve.NONE:
        asked = obey(planned, RolloutEvent.ASK_APPROVAL, "", now)
        apply(tx, tenant, planned, asked, planning.actor, now)
        return asked.rollout
    if wanted.start_at is not None or planned.policy.after is not None:
        planned = obey(planned, RolloutEvent.SCHEDULE, "", now).rollout
    tx.rollouts.save(tenant, planned)
    if planned.policy.after is not None:
        return _started_after(tx, tenant, planned, now)
    if wanted.start and wanted.start_at is None:
        started = obey(planned, RolloutEvent.START, "", now)
        apply(tx, tenant, planned, started, planning.actor, now)
        return started.rollout
    return planned


@dataclass(frozen=True, slots=True)
class _Asked:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    event: RolloutEvent
    reason: str
    edition: int | None
    at: datetime


@one
def _order(tx: Tx, asked: _Asked) -> Rollout:
    before = found(tx, asked.tenant, asked.rollout)
    check_edition(before, asked.edition)
    # Whoever starts what was planned before the four-eyes rule, and so waits for nobody's approval, approves it.
    unseen = asked.event is RolloutEvent.START and before.policy.approve is Approve.NONE
    if unseen or asked.event is RolloutEvent.APPROVE:
        _check_eyes(tx, asked.tenant, before, asked.actor)
    taken = obey(before, asked.event, asked.reason, asked.at)
    apply(tx, asked.tenant, before, taken, asked.actor, asked.at)
    return _started_after(tx, asked.tenant, taken.rollout, asked.at)


def _started_after(tx: Tx, tenant: TenantId, rollout: Rollout, at: datetime) -> Rollout:
    """A rollout that waits for another one, started where that has finished well."""
    if rollout.policy.after is None or rollout.state is not RolloutState.SCHEDULED:
        return rollout
    if not found(tx, tenant, rollout.policy.after).finished_well:
        return rollout
    started = obey(rollout, RolloutEvent.START, f"rollout {rollout.policy.after} has finished well", at)
    apply(tx, tenant, rollout, started, SYSTEM, at)
    return started.rollout


def _ended(tx: Tx, tenant: TenantId, rollout: Rollout, at: datetime) -> None:
    """Start what waits for a rollout that has finished well; tell of it where it did not."""
    after: RolloutId | None = None
    while page := tx.rollouts.page(tenant, [RolloutState.SCHEDULED], after, _PAGE):
        for waiting in page:
            if waiting.policy.after != rollout.id:
                continue
            if rollout.finished_well:
                _started_after(tx, tenant, waiting, at)
                continue
            why = f"rollout {rollout.id} has {rollout.state}" + (f": {rollout.reason}" if rollout.reason else "")
            kept = replace(waiting, reason=f"{why}; start it by hand, or stop it", edition=waiting.edition + 1)
            apply(tx, tenant, waiting, Step(kept, notes=(f"does not start: {why}",)), SYSTEM, at)
        after = page[-1].id


def _four_eyes(tx: Tx, tenant: TenantId) -> bool:
    known = tx.tenants.get(tenant)
    return known is not None and known.settings.four_eyes


def watched(tx: Tx, tenant: TenantId, policy: Policy) -> Policy:
    """The policy, with an approval where the tenant asks for one."""
    if policy.approve is Approve.NONE and _four_eyes(tx, tenant):
        return replace(policy, approve=Approve.START)
    return policy


def _check_eyes(tx: Tx, tenant: TenantId, rollout: Rollout, actor: Actor) -> None:
    if rollout.created_by == actor.name and _four_eyes(tx, tenant):
        raise ForbiddenError(
            f"you planned rollout {rollout.id}: nobody approves their own (the tenant's four-eyes rule)",
            hint="Have somebody else approve or start it, with a token of their own.",
        )


@dataclass(frozen=True, slots=True)
class _Holding:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    segment: int
    reason: str
    edition: int | None
    at: datetime
    judge: Judge | None = None
    """Who would have held it: to release is to ask."""


@one
def _hold(tx: Tx, asked: _Holding) -> Rollout:
    before = found(tx, asked.tenant, asked.rollout)
    check_edition(before, asked.edition)
    if asked.judge is None:
        taken = hold(before, asked.segment, asked.reason)
    else:
        ruling = asked.judge.ruling(before, evidence_in(tx, asked.tenant, before), asked.at)
        taken = release(before, asked.segment, asked.reason, ruling)
    apply(tx, asked.tenant, before, taken, asked.actor, asked.at)
    return taken.rollout


@dataclass(frozen=True, slots=True)
class _Retrying:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    states: frozenset[State]
    reason: str
    edition: int | None
    at: datetime


@one
def _retry(tx: Tx, asked: _Retrying) -> Rollout:
    tenant, states, now = asked.tenant, asked.states, asked.at
    before = found(tx, tenant, asked.rollout)
    check_edition(before, asked.edition)
    if before.state not in RETRIED_IN:
        raise InvalidStateError(
            f"rollout {before.id} is {before.state}: its members cannot be retried", allowed=allowed(before)
        )
    if (expires := before.expires_at) is not None and now >= expires:
        raise InvalidStateError(
            f"rollout {before.id} has expired ({expires:%Y-%m-%d %H:%M} UTC): who is retried would be given up at once",
            hint="Create a new rollout for these devices.",
            allowed=allowed(before),
        )
    if (end := before.policy.end_at) is not None and now >= end:
        raise InvalidStateError(
            f"rollout {before.id} offers nothing new since its end, {end:%Y-%m-%d %H:%M} UTC",
            hint="Create a new rollout for these devices.",
            allowed=allowed(before),
        )
    _release(tx, tenant, before.product, before.version)
    by_wave = tx.rollouts.retry(tenant, before.id, states, now)
    if not by_wave:
        raise NothingToDoError(
            f"no member of rollout {before.id} is {' or '.join(sorted(states))}",
            hint="Decommissioned devices are left out.",
        )
    after = reopened(before, list(by_wave), now)
    tx.rollouts.save(tenant, after)
    data = {"states": sorted(states), "members": sum(by_wave.values()), "reason": asked.reason}
    tx.events.add([Happening(tenant, now, asked.actor.name, Kind.ROLLOUT_RETRIED, str(before.id), data)])
    return after


@one
def _cancel(tx: Tx, asked: tuple[TenantId, Actor, RolloutId, DeviceId, bool, datetime]) -> Deployment:
    tenant, actor, rollout, device, force, now = asked
    (before,) = tx.deployments.current(tenant, [(rollout, device)])
    if before is None:
        raise NotFoundError(f"device {device} is no member of rollout {rollout}")
    state = DEPLOYMENT.next(before.state, Event.CANCEL)
    if force:
        # Whoever forces gives up waiting for the device's word; that it may still install is on them.
        state = DEPLOYMENT.next(state or before.state, Event.CANCEL_DONE) or state
    if state is None:
        waiting = before.state is State.CANCELLING
        hint = "The device has been told; `force` (`--force`) does not wait for its word." if waiting else None
        raise InvalidStateError(f"the deployment is {before.state}: it cannot be cancelled", hint=hint)
    after = replace(
        before,
        state=state,
        changed_at=now,
        ended_at=now if state is State.CANCELLED else None,
        reason=f"cancelled by {actor.name}",
    )
    tx.deployments.save(tenant, [(before, after)])
    tx.events.add([moved_event(tenant, before, after, actor.name, now)])
    return after


def _check_after(tx: Tx, tenant: TenantId, wanted: Intention) -> None:
    if wanted.policy.after is None:
        return
    if wanted.start_at is not None or wanted.start:
        raise InvalidInputError("a rollout starts after another one, or at a time", hint="Leave out one of them.")
    first = found(tx, tenant, wanted.policy.after)
    if first.state in ROLLOUT.final and not first.finished_well:
        raise InvalidStateError(f"rollout {first.id} has {first.state}, not well: nothing starts after it")


def _check_times(tx: Tx, tenant: TenantId, wanted: Intention, now: datetime) -> None:
    """Refuse what could never offer anything: its window, its end and the tenant's blackouts leave no moment."""
    known, policy = tx.tenants.get(tenant), wanted.policy
    if known is None:
        return
    begin = max(wanted.start_at or now, now)
    if begin.year > LAST_YEAR:
        raise InvalidInputError(f"a rollout starts before the end of the year {LAST_YEAR}")
    ends = [policy.end_at, None if policy.expires_after is None else begin + policy.expires_after]
    end = min((one for one in ends if one is not None), default=None)
    blackouts = not policy.ignore_blackout
    why = known.calendar.never(policy.window, begin, end, takes=policy.install_takes, blackouts=blackouts)
    if why is not None:
        raise NeverDueError(f"the rollout could never offer anything: {why}")


def _release(tx: Tx, tenant: TenantId, product: ProductName, version: Version) -> Release:
    release = tx.releases.get(tenant, product, version)
    if release is None:
        raise NotFoundError(f"there is no release {product} {version}")
    if release.state not in {ReleaseState.PUBLISHED, ReleaseState.DEPRECATED}:
        raise InvalidStateError(
            f"release {product} {version} is {release.state}: only a published one can be rolled out"
        )
    return release


def found(tx: Tx, tenant: TenantId, rollout: RolloutId) -> Rollout:
    """A rollout.

    Raises:
        NotFoundError: there is none.
    """
    known = tx.rollouts.get(tenant, rollout)
    if known is None:
        raise NotFoundError(f"there is no rollout {rollout}")
    return known


def check_edition(rollout: Rollout, edition: int | None) -> None:
    """Check that a rollout is as it was when somebody looked at it.

    Raises:
        PreconditionFailedError: it has changed since.
    """
    if edition is not None and edition != rollout.edition:
        raise PreconditionFailedError(f"rollout {rollout.id} has changed: it is at edition {rollout.edition}")
