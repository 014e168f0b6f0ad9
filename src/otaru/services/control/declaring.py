"""The types of attributes, and what became of them.

A declared attribute is read by its type and compared in targets. What devices have of it already is read in steps, each
a transaction of its own; until the last one the attribute is not `ready`, and a target that compares it is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from otaru.domain.attribute import MAX_DECLARED, AttributeChange, AttributeKind, Declared, sort_key
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import NotFoundError, TooLargeError
from otaru.ports.store import Tx, one
from otaru.services.control import devices
from otaru.services.control.world import Actor, World

STEP = 5_000
"""Values that are read in one transaction."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A declared attribute; `unreadable` counts devices that say of it what is no value of its type."""

    declared: Declared
    unreadable: int


@dataclass(frozen=True, slots=True)
class Fact:
    """An attribute of a device; `readable` where its type is declared: whether the value is one."""

    name: str
    value: str
    kind: AttributeKind | None
    readable: bool | None


@dataclass(frozen=True, slots=True)
class _Declaring:
    tenant: TenantId
    actor: Actor
    declared: Declared


@dataclass(frozen=True, slots=True)
class _Step:
    tenant: TenantId
    declared: Declared
    after: DeviceId | None


async def declare(world: World, tenant: TenantId, actor: Actor, name: str, kind: AttributeKind) -> Declared:
    """Declare an attribute's type, in place of the one it had; done when all that devices have of it is read.

    Declared again it goes on where it was interrupted, and where nothing was, changes nothing.

    Raises:
        TooLargeError: MAX_DECLARED are declared.
    """
    wanted = Declared(name, kind, world.clock.now())
    declared = await world.store.write(_declare, _Declaring(tenant, actor, wanted))
    if declared.ready:
        return declared
    await _clear(world, tenant, declared.name)
    step: _Step | None = _Step(tenant, declared, None)
    while step is not None:
        step = await world.store.write(_sort, step)
    return await world.store.read(lambda tx: found(tx, tenant, name).declared)


async def drop(world: World, tenant: TenantId, actor: Actor, name: str) -> None:
    """Declare no type any more: the values stay, as text.

    Raises:
        NotFoundError: none is declared.
    """
    await world.store.write(_drop, (tenant, actor, name, world.clock.now()))
    await _clear(world, tenant, name)


async def listed(world: World, tenant: TenantId) -> list[Seen]:
    """All that are declared, by name."""

    def look(tx: Tx) -> list[Seen]:
        return [Seen(one, tx.attributes.unreadable(tenant, one.name)) for one in tx.attributes.declared(tenant)]

    return await world.store.read(look)


async def of_device(world: World, tenant: TenantId, device: DeviceId) -> list[Fact]:
    """A device's attributes by name, with their types.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[Fact]:
        known = devices.found(tx, tenant, device).attributes
        kinds = {one.name: one.kind for one in tx.attributes.declared(tenant)}
        return [_fact(name, value, kinds.get(name)) for name, value in sorted(known.items())]

    return await world.store.glance(look)


async def changes(
    world: World, tenant: TenantId, device: DeviceId, before: tuple[datetime, str] | None, limit: int
) -> Sequence[AttributeChange]:
    """What became of a device's attributes, newest first.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[AttributeChange]:
        devices.found(tx, tenant, device)
        return tx.attributes.changes(tenant, device, before, limit)

    return await world.store.read(look)


async def purge(world: World, tenant: TenantId, actor: Actor, device: DeviceId) -> None:
    """Forget what became of a device's attributes; what they are stays.

    Raises:
        NotFoundError: there is no such device.
    """
    await world.store.write(_purge, (tenant, actor, device, world.clock.now()))


def found(tx: Tx, tenant: TenantId, name: str) -> Seen:
    """A declared attribute, within a transaction.

    Raises:
        NotFoundError: none of this name is declared.
    """
    for one_ in tx.attributes.declared(tenant):
        if one_.name == name:
            return Seen(one_, tx.attributes.unreadable(tenant, name))
    raise NotFoundError(f"no attribute {name[:128]!r} is declared", hint="See otaru attribute list.")


def _fact(name: str, value: str, kind: AttributeKind | None) -> Fact:
    return Fact(name, value, kind, None if kind is None else sort_key(kind, value) is not None)


@one
def _declare(tx: Tx, asked: _Declaring) -> Declared:
    tenant, wanted = asked.tenant, asked.declared
    known = {one_.name: one_ for one_ in tx.attributes.declared(tenant)}
    before = known.get(wanted.name)
    if before is not None and before.kind is wanted.kind and before.ready:
        return before
    if before is None and len(known) >= MAX_DECLARED:
        raise TooLargeError(f"{MAX_DECLARED} attributes are declared already", limit=MAX_DECLARED)
    tx.attributes.declare(tenant, wanted)
    if before is None or before.kind is not wanted.kind:
        _note(tx, tenant, asked.actor, wanted.name, wanted.created_at)
    return wanted


@one
def _sort(tx: Tx, step: _Step) -> _Step | None:
    """One step; None where it was the last, or where somebody has declared it anew or not at all meanwhile."""
    if step.declared not in tx.attributes.declared(step.tenant):
        return None
    last = tx.attributes.sort(step.tenant, step.declared, step.after, STEP)
    return None if last is None else _Step(step.tenant, step.declared, last)


@one
def _drop(tx: Tx, asked: tuple[TenantId, Actor, str, datetime]) -> None:
    tenant, actor, name, now = asked
    found(tx, tenant, name)
    tx.attributes.drop(tenant, name)
    _note(tx, tenant, actor, name, now)


async def _clear(world: World, tenant: TenantId, name: str) -> None:
    while await world.store.write(_clear_some, (tenant, name)) == STEP:
        pass


@one
def _clear_some(tx: Tx, asked: tuple[TenantId, str]) -> int:
    return tx.attributes.clear(*asked, STEP)


@one
def _purge(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, datetime]) -> None:
    tenant, actor, device, now = asked
    devices.found(tx, tenant, device)
    if purged := tx.attributes.purge(tenant, device):
        facts = {"purged": purged}
        tx.events.add([Happening(tenant, now, actor.name, Kind.DEVICE_CHANGED, device, facts)])


def _note(tx: Tx, tenant: TenantId, actor: Actor, name: str, at: datetime) -> None:
    facts = {"settings": [f"attribute {name}"]}
    tx.events.add([Happening(tenant, at, actor.name, Kind.TENANT_CHANGED, tenant, facts)])
