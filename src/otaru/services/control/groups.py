"""Groups of devices: queries that are saved under a name, and lists. In a target `group==NAME` stands for either.

What a query means is asked in the transaction that asks the devices, so a rollout's members are those of its group when
it was planned, and stay so.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.group import MAX_DESCRIPTION, MAX_GROUPS, MAX_MEMBERS, Group, GroupName
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.targeting import MAX_VERSIONS, Catalogue, Field, Query, groups_in, meaning, parse
from otaru.domain.versions import VersionOrder
from otaru.errors import (
    AlreadyExistsError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    PreconditionFailedError,
    QuerySyntaxError,
    TooLargeError,
)
from otaru.ports.store import Tx, one
from otaru.services.control.world import Actor, World

MAX_BATCH = 1000
_NAMED_EVENT = 20
"""Devices that the record of a change names."""


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group as somebody makes it: dynamic with a query, static without one."""

    name: GroupName
    query: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody changes of a group; None leaves it as it is."""

    query: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """A group, and how many devices are in it now."""

    group: Group
    devices: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What became of devices that were put on a list, or taken off it."""

    changed: int
    unchanged: int
    unknown: Sequence[DeviceId] = ()
    """There are none of these."""


def target(tx: Tx, tenant: TenantId, text: str, now: datetime) -> Query:
    """What a target means, its groups looked up.

    Raises:
        QuerySyntaxError: it makes no sense, or names a group that is none.
    """
    query = parse(text, now)
    try:
        return meaning(query, _catalogue(tx, tenant), now)
    except QuerySyntaxError as error:
        raise _broken(error, text) from None
    except InvalidInputError as error:
        raise QuerySyntaxError(error.message, hint=error.hint, column=_place(text, error.message)) from None


async def check(world: World, tenant: TenantId, text: str) -> None:
    """Whether a target makes sense in this tenant.

    Raises:
        QuerySyntaxError: it makes none.
    """
    now = world.clock.now()
    await world.store.glance(lambda tx: target(tx, tenant, text, now))


async def create(world: World, tenant: TenantId, actor: Actor, new: NewGroup) -> Group:
    """Make a group.

    Raises:
        AlreadyExistsError: the name is taken.
        QuerySyntaxError: its query makes no sense, or stands too deep in groups.
        TooLargeError: there are MAX_GROUPS.
    """
    _check_description(new.description)
    now = world.clock.now()
    group = Group(new.name, new.query, new.description, now, now)
    return await world.store.write(_create, (tenant, actor, group))


async def change(
    world: World, tenant: TenantId, actor: Actor, name: GroupName, wanted: Change, edition: int | None = None
) -> Group:
    """Change a group. `edition` is what If-Match names. Rollouts that were planned keep their members.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: a query for a static group.
        QuerySyntaxError: the query makes no sense, or the group would be part of itself.
        PreconditionFailedError: it has changed since `edition`.
    """
    _check_description(wanted.description or "")
    return await world.store.write(_change, _Changing(tenant, actor, name, wanted, edition, world.clock.now()))


async def remove(world: World, tenant: TenantId, actor: Actor, name: GroupName) -> None:
    """Delete a group, its devices stay.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: other groups are made of it, which `used_by` names; or it follows a channel, or has a say in monitoring.
    """
    await world.store.write(_remove, (tenant, actor, name, world.clock.now()))


async def enter(world: World, tenant: TenantId, actor: Actor, name: GroupName, devices: Collection[DeviceId]) -> Listed:
    """Put devices on a static group's list; who is unknown is named and left out.

    Raises:
        NotFoundError: there is no such group.
        InvalidStateError: it is dynamic.
        TooLargeError: more than MAX_BATCH at once, or MAX_MEMBERS in all.
    """
    return await _list(world, _enter, tenant, actor, name, devices)


async def leave(world: World, tenant: TenantId, actor: Actor, name: GroupName, devices: Collection[DeviceId]) -> Listed:
    """Take devices off a static group's list.

    Raises:
        NotFoundError, InvalidStateError, TooLargeError: as `enter`.
    """
    return await _list(world, _leave, tenant, actor, name, devices)


async def show(world: World, tenant: TenantId, name: str) -> Sized:
    """A group, its devices counted now: up to a second where a query matches a million.

    Raises:
        NotFoundError: there is none.
    """
    now = world.clock.now()
    return await world.store.read(lambda tx: sized(tx, tenant, found(tx, tenant, name), now))


def sized(tx: Tx, tenant: TenantId, group: Group, now: datetime) -> Sized:
    """A group with its devices counted, within a transaction. Who is part of a group that is none any more is nobody."""
    if group.query is None:
        return Sized(group, tx.groups.members(tenant, group.name))
    try:
        return Sized(group, tx.devices.count(tenant, target(tx, tenant, group.query, now)))
    except QuerySyntaxError:
        return Sized(group, 0)


async def get(world: World, tenant: TenantId, name: str) -> Group:
    """A group, nobody counted.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.glance(lambda tx: found(tx, tenant, name))


async def page(world: World, tenant: TenantId, after: str | None, limit: int) -> list[Group]:
    """Groups by name."""
    return await world.store.read(lambda tx: tx.groups.page(tenant, after, limit))


async def of_device(world: World, tenant: TenantId, device: DeviceId) -> list[GroupName]:
    """The lists that a device is on."""
    return await world.store.glance(lambda tx: tx.groups.of_device(tenant, device))


def found(tx: Tx, tenant: TenantId, name: str) -> Group:
    """A group, within a transaction.

    Raises:
        NotFoundError: there is none.
    """
    group = tx.groups.get(tenant, name)
    if group is None:
        raise NotFoundError(f"there is no group {name[:128]!r}", hint="See otaru group list.")
    return group


@dataclass(frozen=True, slots=True)
class _Changing:
    tenant: TenantId
    actor: Actor
    name: GroupName
    wanted: Change
    edition: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class _Listing:
    tenant: TenantId
    actor: Actor
    name: GroupName
    devices: Sequence[DeviceId]
    at: datetime


@one
def _create(tx: Tx, asked: tuple[TenantId, Actor, Group]) -> Group:
    tenant, actor, group = asked
    if len(tx.groups.page(tenant, None, MAX_GROUPS)) == MAX_GROUPS:
        raise TooLargeError(f"there are {MAX_GROUPS} groups already", limit=MAX_GROUPS)
    _check_query(tx, tenant, group)
    if not tx.groups.add(tenant, group):
        raise AlreadyExistsError(f"there is a group {group.name} already")
    facts = {} if group.query is None else {"query": group.query}
    tx.events.add([Happening(tenant, group.created_at, actor.name, Kind.GROUP_CREATED, group.name, facts)])
    return group


@one
def _change(tx: Tx, asked: _Changing) -> Group:
    before = found(tx, asked.tenant, asked.name)
    if asked.edition is not None and asked.edition != before.edition:
        raise PreconditionFailedError(f"the group has changed: it is at edition {before.edition}")
    wanted = asked.wanted
    if wanted.query is not None and before.query is None:
        raise InvalidStateError(
            f"{before.name} is a list: it has no query", hint="Put devices on it, or take them off."
        )
    query = before.query if wanted.query is None else wanted.query
    description = before.description if wanted.description is None else wanted.description
    if (query, description) == (before.query, before.description):
        return before
    after = replace(before, query=query, description=description, updated_at=asked.at, edition=before.edition + 1)
    _check_query(tx, asked.tenant, after)
    tx.groups.save(asked.tenant, after)
    facts = {"query": query} if query != before.query else {}
    tx.events.add([Happening(asked.tenant, asked.at, asked.actor.name, Kind.GROUP_CHANGED, asked.name, facts)])
    return after


@one
def _remove(tx: Tx, asked: tuple[TenantId, Actor, GroupName, datetime]) -> None:
    tenant, actor, name, now = asked
    found(tx, tenant, name)
    every = tx.groups.page(tenant, None, MAX_GROUPS)
    users = [group.name for group in every if group.query is not None and name in _names(group.query, now)]
    if users:
        raise InvalidStateError(
            f"group {name} is part of {', '.join(users[:_NAMED_EVENT])}", hint="Change those first.", used_by=users
        )
    if follows := tx.followings.page(tenant, None, 1, group=name):
        stream = follows[0].stream
        hint = f"End that first: otaru group unfollow {name} --product {stream.product} --channel {stream.channel}."
        raise InvalidStateError(f"group {name} follows {stream}", hint=hint)
    owner = tx.tenants.get(tenant)
    if owner is not None and any(policy.group == name for policy in owner.settings.group_monitoring):
        hint = f"End that first: otaru group unmonitor {name}."
        raise InvalidStateError(f"group {name} has a say in monitoring", hint=hint)
    tx.groups.remove(tenant, name)
    tx.events.add([Happening(tenant, now, actor.name, Kind.GROUP_DELETED, name)])


@one
def _enter(tx: Tx, asked: _Listing) -> Listed:
    group = _static(tx, asked)
    there = tx.devices.lifecycles(asked.tenant, asked.devices)
    known = [device for device in asked.devices if device in there]
    entered = tx.groups.enter(asked.tenant, group.name, known)
    if entered and tx.groups.members(asked.tenant, group.name) > MAX_MEMBERS:
        raise TooLargeError(
            f"a list holds {MAX_MEMBERS} devices", limit=MAX_MEMBERS, hint="Give them a tag, and save a query."
        )
    return _noted(tx, asked, "entered", entered, len(known), [d for d in asked.devices if d not in there])


@one
def _leave(tx: Tx, asked: _Listing) -> Listed:
    group = _static(tx, asked)
    left = tx.groups.leave(asked.tenant, group.name, asked.devices)
    return _noted(tx, asked, "left", left, len(asked.devices), [])


def _noted(tx: Tx, asked: _Listing, word: str, changed: int, known: int, unknown: list[DeviceId]) -> Listed:
    if changed:
        facts = {word: changed, "devices": list(asked.devices[:_NAMED_EVENT])}
        tx.events.add([Happening(asked.tenant, asked.at, asked.actor.name, Kind.GROUP_CHANGED, asked.name, facts)])
    return Listed(changed, known - changed, tuple(unknown))


def _static(tx: Tx, asked: _Listing) -> Group:
    group = found(tx, asked.tenant, asked.name)
    if group.query is not None:
        raise InvalidStateError(f"{group.name} is a saved query: who matches is in it", hint="Change its query.")
    return group


async def _list(
    world: World,
    work: Callable[[Tx, Sequence[_Listing]], Sequence[Listed]],
    tenant: TenantId,
    actor: Actor,
    name: GroupName,
    devices: Collection[DeviceId],
) -> Listed:
    if len(devices) > MAX_BATCH:
        raise TooLargeError(f"{len(devices)} devices at once, {MAX_BATCH} are allowed", limit=MAX_BATCH)
    return await world.store.write(work, _Listing(tenant, actor, name, list(dict.fromkeys(devices)), world.clock.now()))


def _check_query(tx: Tx, tenant: TenantId, group: Group) -> None:
    if group.query is None:
        return
    query = parse(group.query, group.updated_at)
    try:
        meaning(query, _catalogue(tx, tenant), group.updated_at, (group.name,))
    except InvalidInputError as error:
        raise QuerySyntaxError(error.message, hint=error.hint, column=_place(group.query, error.message)) from None


def _catalogue(tx: Tx, tenant: TenantId) -> Catalogue:
    def versions(component: str) -> tuple[VersionOrder, list[str]]:
        order = tx.releases.orders(tenant, [component]).get(component, VersionOrder.AUTO)
        return order, tx.devices.words(tenant, Field.INSTALLED, MAX_VERSIONS + 1, component)

    return Catalogue(
        saved=lambda name: tx.groups.get(tenant, name),
        declared=lambda name: next((one for one in tx.attributes.declared(tenant) if one.name == name), None),
        versions=versions,
    )


def _check_description(text: str) -> None:
    if len(text) > MAX_DESCRIPTION:
        raise TooLargeError(f"a description has at most {MAX_DESCRIPTION} characters", limit=MAX_DESCRIPTION)


def _names(query: str, now: datetime) -> frozenset[str]:
    try:
        return groups_in(parse(query, now))
    except QuerySyntaxError:  # of a program that knew other words
        return frozenset()


def _place(text: str, message: str) -> int:
    """The column of the name that a message is about, as far as it can be told."""
    quoted = message.partition("'")[2].partition("'")[0]
    return max(text.find(quoted), 0) + 1 if quoted else 1


def _broken(error: QuerySyntaxError, text: str) -> QuerySyntaxError:
    """A saved query that makes no sense any more, told at the place that names it."""
    return QuerySyntaxError(
        f"a group in it makes no sense: {error.message}", hint=error.hint, column=max(text.find("group"), 0) + 1
    )
