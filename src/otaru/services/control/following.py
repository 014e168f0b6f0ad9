"""Groups follow channels: standing orders are given and withdrawn by people, and kept by the worker.

An order is looked at when it is given, and by the worker whenever there is another newest release of its channel or its
last rollout has moved (`Followings.every_stirred`). A look is decided and taken in one transaction, which makes the new
rollout, has it supersede the old one and notes that this was dealt with: so it happens once, whoever is killed meanwhile.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from otaru.domain.events import Happening, Kind
from otaru.domain.following import MAX_FOLLOWINGS, MAX_WAITS, Following, Look, Stream, check, look
from otaru.domain.group import GroupName
from otaru.domain.ids import ProductName, RolloutId, TenantId
from otaru.domain.release import Release
from otaru.domain.rollout import Growth, Policy, Rollout, supersede
from otaru.domain.token import is_one_person
from otaru.errors import (
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    PreconditionFailedError,
    TooLargeError,
)
from otaru.ports.store import Tx, one
from otaru.services.control import groups
from otaru.services.control.planning import Foresight, plan
from otaru.services.control.rollouts import Intention, Planning, apply, check_policy, check_told_apart, create_in, draft
from otaru.services.control.world import SYSTEM, Actor, World

BATCH = 100
"""Orders looked at in one round."""
MANY = 10_000
"""Orders looked at again in one round."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A standing order as somebody gives it."""

    stream: Stream
    policy: Policy
    growth: Growth | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A standing order, and how it stands."""

    following: Following
    newest: Release | None
    """The newest published release of its channel."""
    last: Rollout | None
    """The rollout that it made last."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What an order would do now; nothing was changed."""

    look: Look
    newest: Release | None
    supersedes: RolloutId | None
    foresight: Foresight | None
    """Its rollout, where it would make one."""


async def follow(world: World, tenant: TenantId, actor: Actor, wanted: Wanted, edition: int | None = None) -> Kept:
    """Have a group follow a channel, or do so in another way; what there is to do now is done now.

    A rollout that is live goes on as it was planned: what is said anew holds from the next release on.

    Raises:
        NotFoundError: there is no such group, or product.
        InvalidInputError: the policy makes no sense, or none for releases to come.
        QuerySyntaxError: the group's query makes no sense any more.
        TooLargeError: there are MAX_FOLLOWINGS.
        PreconditionFailedError: it has changed since `edition`.
    """
    _check(wanted)
    asked = _Following(tenant, actor, wanted, edition, world.clock.seed(), world.clock.now())
    return await world.store.write(_follow, asked)


async def unfollow(world: World, tenant: TenantId, actor: Actor, stream: Stream) -> Kept:
    """End a standing order. A live rollout of it goes on for the members that it has; nobody joins it any more.

    Raises:
        NotFoundError: the group does not follow it.
    """
    return await world.store.write(_unfollow, (tenant, actor, stream, world.clock.now()))


async def propose(world: World, tenant: TenantId, wanted: Wanted) -> Proposed:
    """What `follow` would do now, without doing it.

    Raises:
        NotFoundError, InvalidInputError, InvalidStateError, QuerySyntaxError: as `follow`, or as the plan of a rollout.
    """
    _check(wanted)
    now = world.clock.now()

    def sight(tx: Tx) -> tuple[Look, Release | None, Rollout | None]:
        _admit(tx, tenant, wanted.stream, now)
        return _look(tx, tenant, wanted.stream)

    found, newest, last = await world.store.read(sight)
    if not found.make or newest is None:
        return Proposed(found, newest, None, None)
    foresight = await plan(world, tenant, _intention(wanted, newest, ""))
    if not foresight.rollout.size:
        return Proposed(_nobody(wanted.stream, newest), newest, None, foresight)
    return Proposed(found, newest, last.id if last is not None and last.is_live else None, foresight)


async def show(world: World, tenant: TenantId, stream: Stream) -> Kept:
    """A standing order, and how it stands.

    Raises:
        NotFoundError: the group does not follow it.
    """
    return await world.store.read(lambda tx: _kept(tx, tenant, _found(tx, tenant, stream)))


async def page(
    world: World,
    tenant: TenantId,
    after: Stream | None,
    limit: int,
    *,
    group: GroupName | None = None,
    product: ProductName | None = None,
    channel: str | None = None,
    stuck: bool = False,
) -> list[Kept]:
    """Standing orders by group, product and channel; with `stuck` those that need a person."""

    def read(tx: Tx) -> list[Kept]:
        found = tx.followings.page(tenant, after, limit, group=group, product=product, channel=channel, stuck=stuck)
        return [_kept(tx, tenant, following) for following in found]

    return await world.store.read(read)


async def tend(world: World, *, again: bool = False) -> int:
    """Keep the standing orders of all tenants: how many rollouts were made.

    Looked at are those for which something has changed; with `again` also those that wait, whose reason may be gone: a
    device that needs the release has come, a blackout was removed. Where there is nothing to do nothing is written.
    """
    found = await world.store.read(lambda tx: tx.followings.every_stirred(MANY if again else BATCH, again=again))
    made = 0
    for tenant, stream in found:
        made += await world.store.write(_tend, (tenant, stream, world.clock.seed(), world.clock.now()))
    return made


@dataclass(frozen=True, slots=True)
class _Following:
    tenant: TenantId
    actor: Actor
    wanted: Wanted
    edition: int | None
    seed: int
    at: datetime


@one
def _follow(tx: Tx, asked: _Following) -> Kept:
    tenant, wanted, stream, now = asked.tenant, asked.wanted, asked.wanted.stream, asked.at
    _admit(tx, tenant, stream, now)
    check_told_apart(tx, tenant, asked.actor)
    before = tx.followings.get(tenant, stream)
    if asked.edition is not None and asked.edition != (before.edition if before is not None else 0):
        raise PreconditionFailedError(f"what {stream.group} follows has changed")
    if before is None and tx.followings.count(tenant) >= MAX_FOLLOWINGS:
        raise TooLargeError(f"there are {MAX_FOLLOWINGS} standing orders already", limit=MAX_FOLLOWINGS)
    policy = replace(wanted.policy, continuous=True)
    # Where nobody could be told from who gave it, somebody who can be takes it over by giving it anew.
    nameless = before is not None and not is_one_person(before.created_by) and before.created_by != asked.actor.name
    said = None if before is None or nameless else (before.policy, before.growth, before.reason)
    if said != (policy, wanted.growth, wanted.reason):
        tx.followings.put(tenant, _ordered(before, wanted, policy, asked.actor, now))
        tx.events.add([_happened(tenant, asked.actor, Kind.GROUP_FOLLOWED, stream, now, reason=wanted.reason)])
    last = tx.rollouts.last_of(tenant, stream.product, stream.follows)
    if last is not None and last.is_live and not last.policy.continuous:  # of an order that was withdrawn before
        _let_join(tx, tenant, last, joins=True)
    _tended(tx, tenant, stream, asked.seed, now)
    return _kept(tx, tenant, _found(tx, tenant, stream))


def _ordered(before: Following | None, wanted: Wanted, policy: Policy, actor: Actor, now: datetime) -> Following:
    made, edition = (now, 1) if before is None else (before.created_at, before.edition + 1)
    return Following(wanted.stream, policy, wanted.growth, wanted.reason, made, now, actor.name, edition)


@one
def _unfollow(tx: Tx, asked: tuple[TenantId, Actor, Stream, datetime]) -> Kept:
    tenant, actor, stream, now = asked
    kept = _kept(tx, tenant, _found(tx, tenant, stream))
    tx.followings.remove(tenant, stream)
    going = kept.last if kept.last is not None and kept.last.is_live else None
    if going is not None:
        _let_join(tx, tenant, going, joins=False)
    rollout = {} if going is None else {"rollout": going.id}
    tx.events.add([_happened(tenant, actor, Kind.GROUP_UNFOLLOWED, stream, now, **rollout)])
    return kept


def _let_join(tx: Tx, tenant: TenantId, rollout: Rollout, *, joins: bool) -> None:
    policy = replace(rollout.policy, continuous=joins)
    tx.rollouts.save(tenant, replace(rollout, policy=policy, edition=rollout.edition + 1))


@one
def _tend(tx: Tx, asked: tuple[TenantId, Stream, int, datetime]) -> bool:
    tenant, stream, seed, now = asked
    return _tended(tx, tenant, stream, seed, now) is not None


def _tended(tx: Tx, tenant: TenantId, stream: Stream, seed: int, now: datetime) -> Rollout | None:
    """Look at an order, do what there is to do and note that this was dealt with; the rollout that was made."""
    order, known = tx.followings.get(tenant, stream), tx.tenants.get(tenant)
    if order is None or known is None or known.halted:
        return None
    found, newest, last = _look(tx, tenant, stream)
    made = None
    if found.make and newest is not None:
        made, found = _made(tx, tenant, order, newest, seed, now)
    if made is not None:
        found = look(stream, newest, made, made)
        if last is not None and last.is_live:
            apply(tx, tenant, last, supersede(last, made, now), SYSTEM, now)
    found = replace(found, waits=found.waits[:MAX_WAITS])
    if found.waits and found.waits != order.waits:
        said = {"reason": found.waits, "stuck": found.stuck}
        tx.events.add([_happened(tenant, SYSTEM, Kind.GROUP_WAITS, stream, now, **said)])
    tx.followings.deal(tenant, stream, found)
    return made


def _look(tx: Tx, tenant: TenantId, stream: Stream) -> tuple[Look, Release | None, Rollout | None]:
    newest = tx.releases.newest_of(tenant, stream.product, stream.channel)
    last = tx.rollouts.last_of(tenant, stream.product, stream.follows)
    tried = last
    if newest is not None and last is not None and last.version != newest.version:
        tried = tx.rollouts.last_of(tenant, stream.product, stream.follows, newest.version)
    return look(stream, newest, last, tried), newest, last


def _made(
    tx: Tx, tenant: TenantId, order: Following, newest: Release, seed: int, now: datetime
) -> tuple[Rollout | None, Look]:
    """The rollout of a release by an order; None with the reason where it cannot be made now."""
    wanted = Wanted(order.stream, order.policy, order.growth, order.reason)
    intention = _intention(wanted, newest, order.created_by)
    try:
        drafted = draft(tx, tenant, intention, tx.rollouts.next_id(tenant), seed, now)
    except (InvalidInputError, InvalidStateError, NotFoundError) as error:
        hint = f" {error.hint}" if error.hint else ""
        said = f"{newest.product} {newest.version} cannot be rolled out: {error.message}.{hint}"
        return None, Look(make=False, waits=said, stuck=True)
    if not tx.rollouts.candidates(tenant, drafted.query, drafted.release)[0]:
        return None, _nobody(order.stream, newest)
    return create_in(tx, Planning(tenant, SYSTEM, intention, seed, now), drafted), Look(make=True)


def _intention(wanted: Wanted, newest: Release, by: str) -> Intention:
    """The rollout of a release, as an order asks for it."""
    stream = wanted.stream
    return Intention(
        newest.product,
        newest.version,
        f"group=={stream.group}",
        replace(wanted.policy, continuous=True),
        f"{stream.group} follows {stream}",
        start=True,
        growth=wanted.growth,
        reason=wanted.reason,
        follows=stream.follows,
        ordered_by=by,
    )


def _nobody(stream: Stream, newest: Release) -> Look:
    return Look(make=False, waits=f"no device of {stream.group} needs {newest.product} {newest.version} now")


def _check(wanted: Wanted) -> None:
    """Check what needs no store.

    Raises:
        InvalidInputError: the policy makes no sense, or none for releases to come.
    """
    check(wanted.policy)
    check_policy(replace(wanted.policy, continuous=True), wanted.growth, wanted.reason)


def _admit(tx: Tx, tenant: TenantId, stream: Stream, now: datetime) -> None:
    """Check what an order names.

    Raises:
        NotFoundError, QuerySyntaxError: as `follow`.
    """
    groups.found(tx, tenant, stream.group)
    groups.target(tx, tenant, f"group=={stream.group}", now)
    if not tx.releases.orders(tenant, [stream.product]):
        raise NotFoundError(f"there is no product {stream.product}", hint="Its first release makes it.")


def _found(tx: Tx, tenant: TenantId, stream: Stream) -> Following:
    found = tx.followings.get(tenant, stream)
    if found is None:
        raise NotFoundError(f"{stream.group} does not follow {stream}", hint="See otaru group follows.")
    return found


def _kept(tx: Tx, tenant: TenantId, following: Following) -> Kept:
    stream = following.stream
    newest = tx.releases.newest_of(tenant, stream.product, stream.channel)
    return Kept(following, newest, tx.rollouts.last_of(tenant, stream.product, stream.follows))


def _happened(tenant: TenantId, actor: Actor, kind: Kind, stream: Stream, at: datetime, **facts: Any) -> Happening:
    data = {"product": stream.product, "channel": stream.channel}
    data |= {name: fact for name, fact in facts.items() if fact != ""}
    return Happening(tenant, at, actor.name, kind, stream.group, data)
