"""A rollout is planned: who asks for what, what it would be, and the transaction that freezes its members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, RolloutId, TenantId, Version
from otaru.domain.release import Release, ReleaseState
from otaru.domain.rollout import (
    ROLLOUT,
    Approve,
    Follows,
    Growth,
    Install,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Segment,
    Shape,
    Stratum,
    Wave,
    check,
    check_end,
    check_growth,
    check_install,
    grown,
    laid_out,
    layout,
    obey,
)
from otaru.domain.targeting import MAX_VERSIONS, And, Field, Not, OneOf, Query, parse
from otaru.errors import (
    AlreadyExistsError,
    InvalidInputError,
    InvalidStateError,
    NeverDueError,
    NotFoundError,
    NothingToDoError,
    PreconditionFailedError,
)
from otaru.ports.store import Tx, one
from otaru.services.control import groups
from otaru.services.control.judging import taught
from otaru.services.control.rollouts.applying import apply, found, started_after
from otaru.services.control.rollouts.approving import check_told_apart, watched
from otaru.services.control.world import Actor, World


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
    follows: Follows | None = None
    """The standing order that makes it, in the name of `ordered_by`."""
    ordered_by: str = ""
    install: Install | None = None
    """The order to install, where it is given with the plan of a rollout that only downloads."""


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


LAST_YEAR = 9000
"""No rollout starts later: what counts from its start (its expiry, the windows after it) has to be a time, too."""


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
        AlreadyExistsError: somebody has started that plan meanwhile.
        ForbiddenError: the tenant wants four eyes, and it cannot be told whose these are.
    """
    check_intention(intention)
    now = world.clock.now()
    parse(intention.target, now)  # refused before it is queued
    seed = world.clock.seed() if intention.planned is None else intention.planned.seed
    planning = Planning(tenant, actor, intention, seed, now)
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
    check_policy(intention.policy, intention.growth, intention.reason)


def check_policy(policy: Policy, growth: Growth | None, reason: str) -> None:
    """Check how a rollout is to go about it.

    Raises:
        InvalidInputError: that makes no sense.
    """
    check(policy)
    if growth is None:
        return
    check_growth(growth)
    if any(not share.percent or share.value != 100 for share in policy.waves):
        raise InvalidInputError("a rollout has waves or a shape, which writes them", hint="Leave out one of them.")
    if growth.shape is Shape.ALL and not reason:
        raise InvalidInputError("all at once needs a reason", hint="Say why nobody goes first: it is recorded.")


def draft(tx: Tx, tenant: TenantId, wanted: Intention, number: RolloutId, seed: int, now: datetime) -> Drafted:
    """What somebody asks for as a rollout, within a transaction.

    Raises:
        NotFoundError, InvalidStateError, NeverDueError, InvalidInputError: as `create`.
    """
    release = published(tx, tenant, wanted.product, wanted.version)
    check_install(wanted.policy, wanted.install, now)
    _check_after(tx, tenant, wanted)
    _check_times(tx, tenant, wanted, now)
    query = aimed(tx, tenant, wanted.target, wanted.follows, release, now)
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
        follows=wanted.follows,
        install=wanted.install,
    )
    rollout = laid_out(rollout, strata)
    check_end(rollout)
    return Drafted(rollout, query, release, strata)


def aimed(tx: Tx, tenant: TenantId, target: str, follows: Follows | None, release: Release, now: datetime) -> Query:
    """What a rollout's target means now: by a standing order nobody goes back, so who runs something newer is left out.

    Where too many versions run to name those, the poll skips them alone.

    Raises:
        QuerySyntaxError: it makes no sense, or names a group that is none.
    """
    query = groups.target(tx, tenant, target, now)
    if follows is None:
        return query
    for component in release.components:
        run = tx.devices.words(tenant, Field.INSTALLED, MAX_VERSIONS + 1, component)
        newer = tuple(version for version in run if release.older_than(Version(version)))
        if newer and len(run) <= MAX_VERSIONS:
            query = And((query, Not(OneOf(Field.INSTALLED, component, newer))))
    return query


@dataclass(frozen=True, slots=True)
class Planning:
    """Who plans what, and when."""

    tenant: TenantId
    actor: Actor
    intention: Intention
    seed: int
    at: datetime


@one
def _create(tx: Tx, planning: Planning) -> Rollout:
    tenant = planning.tenant
    number = tx.rollouts.next_id(tenant)
    return create_in(tx, planning, draft(tx, tenant, planning.intention, number, planning.seed, planning.at))


def create_in(tx: Tx, planning: Planning, drafted: Drafted) -> Rollout:
    """Make a rollout of what was drafted in this transaction, with its members; start it where that was asked for.

    Raises:
        NothingToDoError, PreconditionFailedError: as `create`.
    """
    tenant, wanted, now = planning.tenant, planning.intention, planning.at
    rollout, query, release, strata = drafted.rollout, drafted.query, drafted.release, drafted.strata
    by = wanted.ordered_by or planning.actor.name
    check_told_apart(tx, tenant, planning.actor)
    _check_started(tx, tenant, wanted)
    rollout = replace(rollout, policy=watched(tx, tenant, rollout.policy), created_by=by)
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
    data = _recorded(wanted, members)
    tx.events.add([Happening(tenant, now, planning.actor.name, Kind.ROLLOUT_CREATED, str(rollout.id), data)])
    if planned.policy.approve is not Approve.NONE:
        asked = obey(planned, RolloutEvent.ASK_APPROVAL, "", now)
        apply(tx, tenant, planned, asked, planning.actor, now)
        return asked.rollout
    if wanted.start_at is not None or planned.policy.after is not None:
        planned = obey(planned, RolloutEvent.SCHEDULE, "", now).rollout
    tx.rollouts.save(tenant, planned)
    if planned.policy.after is not None:
        return started_after(tx, tenant, planned, now)
    if wanted.start and wanted.start_at is None:
        started = obey(planned, RolloutEvent.START, "", now)
        apply(tx, tenant, planned, started, planning.actor, now)
        return started.rollout
    return planned


def _recorded(wanted: Intention, members: int) -> dict[str, object]:
    """What the record keeps of a rollout that is made."""
    data: dict[str, object] = {"product": wanted.product, "version": wanted.version, "target": wanted.target}
    data["size"] = members
    if wanted.follows is not None:
        data |= {"group": wanted.follows.group, "channel": wanted.follows.channel}
    if wanted.policy.ignore_blackout:
        data["ignore_blackout"] = True
    if wanted.reason:
        data["reason"] = wanted.reason
    return data


_BEGUN = (RolloutState.AWAITING_APPROVAL, RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.PAUSED)
_LOOKED_AT = 100


def _check_started(tx: Tx, tenant: TenantId, wanted: Intention) -> None:
    """Refuse a plan that somebody has started meanwhile: the same release for the same target."""
    if wanted.planned is None:
        return
    begun = tx.rollouts.page(tenant, _BEGUN, None, _LOOKED_AT, (wanted.product, wanted.version))
    same = next((r for r in begun if r.target == wanted.target and r.is_live), None)
    if same is not None:
        raise AlreadyExistsError(
            f"rollout {same.id} brings {wanted.product} {wanted.version} to {wanted.target} already",
            hint=f"otaru rollout show {same.id}. Another one of its own is made by otaru rollout create.",
        )


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


def published(tx: Tx, tenant: TenantId, product: ProductName, version: Version) -> Release:
    """A release that may be rolled out.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: it is not published.
    """
    release = tx.releases.get(tenant, product, version)
    if release is None:
        raise NotFoundError(f"there is no release {product} {version}")
    if release.state not in {ReleaseState.PUBLISHED, ReleaseState.DEPRECATED}:
        raise InvalidStateError(
            f"release {product} {version} is {release.state}: only a published one can be rolled out"
        )
    return release
