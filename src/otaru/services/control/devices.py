"""The inventory by hand: devices are added, changed, quarantined, decommissioned, and given new credentials.

A device's token is stored as SHA-256 and shown once. What a person says of a device meets what the device says of
itself in one row; `edition` counts the changes of people only.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from otaru.domain.device import (
    LIFECYCLE,
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    MAX_COMPONENTS,
    MAX_TAGS,
    UNKNOWN_HARDWARE,
    Assurance,
    Device,
    Hardware,
    Installed,
    Lifecycle,
    LifecycleEvent,
    Source,
)
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, TenantId, Version
from otaru.errors import (
    AlreadyExistsError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    PreconditionFailedError,
    TooLargeError,
)
from otaru.ports.registry import Entry
from otaru.ports.store import Tx, one
from otaru.services.control import leaving
from otaru.services.control.world import Actor, World

MAX_BATCH = 1000
_CHANGED = ("hardware", "tags", "attributes", "installed", "assurance", "pins")
"""What a person may change."""
_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device as somebody adds it. Without `token` it is given one."""

    id: DeviceId
    hardware: Hardware
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    installed: Mapping[str, Version] = field(default_factory=dict)
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """A new device with its token: the only time that it is seen."""

    device: Device
    token: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of many new devices: those added, in order, and the ids that were taken."""

    added: Sequence[Added]
    taken: Sequence[DeviceId]


@dataclass(frozen=True, slots=True)
class Change:
    """What a person changes of a device; None leaves it as it is. An attribute that is None is removed."""

    hardware: Hardware | None = None
    tags: frozenset[str] | None = None
    attributes: Mapping[str, str | None] | None = None
    installed: Mapping[str, Version] | None = None
    assurance: Assurance | None = None
    pins: frozenset[str] | None = None
    reason: str = ""
    """Why, for the record."""


async def add(world: World, tenant: TenantId, actor: Actor, new: NewDevice) -> Added:
    """Add a device, active at once: who adds it by hand vouches for it.

    Raises:
        AlreadyExistsError: the id is taken, also by a decommissioned device.
        InvalidInputError, TooLargeError: as `add_many`.
    """
    return await world.store.write(_add, _adding(world, tenant, actor, [new]))


async def add_many(world: World, tenant: TenantId, actor: Actor, new: Sequence[NewDevice]) -> Batch:
    """Add devices; those whose id is taken, also within `new`, are left out and named.

    Raises:
        InvalidInputError: a given token is not 16 to 256 visible ASCII characters.
        TooLargeError: more than MAX_BATCH, or a device has more tags, attributes or components than it may.
    """
    if len(new) > MAX_BATCH:
        raise TooLargeError(f"{len(new)} devices at once, {MAX_BATCH} are allowed", limit=MAX_BATCH)
    return await world.store.write(_add_many, _adding(world, tenant, actor, new))


async def register(world: World, tenant: TenantId, device: DeviceId) -> Entry:
    """Take a device in that a gateway vouches for, pending until somebody accepts it; where it is known, as it is.

    Nobody knows its own token: it goes on by the gateway's, or is given one by hand.
    """
    now = world.clock.now()
    new = Device(device, Lifecycle.PENDING, Hardware(UNKNOWN_HARDWARE), now, now)
    entry = await world.store.write(_register, (tenant, new, world.clock.token()))
    world.registry.forget(tenant, device)
    return entry


async def change(
    world: World, tenant: TenantId, actor: Actor, device: DeviceId, wanted: Change, edition: int | None = None
) -> Device:
    """Change what a person may change; what changes nothing is not written. `edition` is what If-Match names.

    An open deployment whose release has nothing for the new hardware is cancelled.

    Raises:
        NotFoundError: there is no such device.
        PreconditionFailedError: it has changed since `edition`.
        InvalidStateError: it is decommissioned.
        TooLargeError: too many tags, attributes or components.
    """
    changing = _Changing(tenant, actor, device, wanted, edition, world.clock.now())
    changed = await world.store.write(_change, changing)
    world.registry.forget(tenant, device)
    return changed


async def move(
    world: World,
    tenant: TenantId,
    actor: Actor,
    device: DeviceId,
    event: LifecycleEvent,
    edition: int | None = None,
) -> Device:
    """Move a device along its lifecycle: a quarantined one is offered nothing, a decommissioned one is gone for good.

    Decommissioning kills all credentials at once and ends the device's deployments.

    Raises:
        NotFoundError: there is no such device.
        InvalidStateError: its lifecycle has no such edge; `allowed` lists those it has.
        PreconditionFailedError: it has changed since `edition`.
    """
    moved = await world.store.write(_move, _Moving(tenant, actor, device, event, edition, world.clock.now()))
    world.registry.forget(tenant, device)
    return moved


async def decommission(world: World, tenant: TenantId, actor: Actor, device: DeviceId) -> None:
    """Decommission a device; where it is so already nothing changes.

    Raises:
        NotFoundError: there is no such device.
    """
    asked = _Moving(tenant, actor, device, LifecycleEvent.DECOMMISSION, None, world.clock.now())
    await world.store.write(_decommission, asked)
    world.registry.forget(tenant, device)


async def new_token(
    world: World, tenant: TenantId, actor: Actor, device: DeviceId, token: str | None = None
) -> tuple[DeviceId, str]:
    """Give a device a new token (`token`, or one of ours); the old one dies.

    Raises:
        NotFoundError: there is no such device.
        InvalidStateError: it is decommissioned.
        InvalidInputError: the given token is not 16 to 256 visible ASCII characters.
    """
    secret = checked_token(token) if token is not None else world.clock.token()
    renewed = await world.store.write(_new_token, (tenant, actor, device, secret, world.clock.now()))
    world.registry.forget(tenant, device)
    return renewed


def checked_token(token: str) -> str:
    """A token that somebody gives a device.

    Raises:
        InvalidInputError: it is not 16 to 256 visible ASCII characters.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidInputError("a device's token has 16 to 256 visible ASCII characters and no spaces")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class _Adding:
    tenant: TenantId
    actor: Actor
    added: Sequence[Added]


def _adding(world: World, tenant: TenantId, actor: Actor, new: Sequence[NewDevice]) -> _Adding:
    now = world.clock.now()
    return _Adding(tenant, actor, [Added(_device(n, now), _token_for(world, n)) for n in new])


def _token_for(world: World, new: NewDevice) -> str:
    return world.clock.token() if new.token is None else checked_token(new.token)


def _device(new: NewDevice, now: datetime) -> Device:
    device = Device(
        id=new.id,
        lifecycle=Lifecycle.ACTIVE,
        hardware=new.hardware,
        created_at=now,
        updated_at=now,
        tags=new.tags,
        attributes=dict(new.attributes),
        installed=tuple(Installed(c, v, Source.FACTORY, now) for c, v in sorted(new.installed.items())),
    )
    _check(device)
    return device


def _check(device: Device) -> None:
    for what, count, limit in (
        ("tags", len(device.tags), MAX_TAGS),
        ("attributes", len(device.attributes), MAX_ATTRIBUTES),
        ("components", len(device.installed), MAX_COMPONENTS),
    ):
        if count > limit:
            raise TooLargeError(f"device {device.id} would have {count} {what}, {limit} are allowed", limit=limit)
    for name, value in device.attributes.items():
        if len(value) > MAX_ATTRIBUTE_VALUE:
            raise TooLargeError(f"the value of {name!r} has {len(value)} characters", limit=MAX_ATTRIBUTE_VALUE)


@one
def _add(tx: Tx, adding: _Adding) -> Added:
    (added,) = adding.added
    if not _insert(tx, adding):
        raise AlreadyExistsError(f"there is a device {added.device.id} already")
    return added


@one
def _add_many(tx: Tx, adding: _Adding) -> Batch:
    added = _insert(tx, adding)
    fresh = {id(a) for a in added}
    return Batch(added, [a.device.id for a in adding.added if id(a) not in fresh])


def _insert(tx: Tx, adding: _Adding) -> list[Added]:
    """Add those whose id is free, the first of each id, with all that belongs to them."""
    free = tx.devices.add(adding.tenant, [(a.device, _digest(a.token)) for a in adding.added])
    added = [a for a, is_free in zip(adding.added, free, strict=True) if is_free]
    tx.events.add([_added_event(adding.tenant, adding.actor, a.device) for a in added])
    return added


def _added_event(tenant: TenantId, actor: Actor, device: Device) -> Happening:
    data = {"hardware": str(device.hardware), "lifecycle": str(device.lifecycle)}
    return Happening(tenant, device.created_at, actor.name, Kind.DEVICE_ADDED, device.id, data)


@one
def _register(tx: Tx, asked: tuple[TenantId, Device, str]) -> Entry:
    tenant, device, secret = asked
    (added,) = tx.devices.add(tenant, [(device, _digest(secret))])
    if added:
        tx.events.add([_added_event(tenant, Actor(f"device:{device.id}"), device)])
    entry = tx.devices.entry(tenant, device.id)
    if entry is None:
        raise NotFoundError(f"there is no device {device.id}")
    return entry


@dataclass(frozen=True, slots=True)
class _Changing:
    tenant: TenantId
    actor: Actor
    device: DeviceId
    wanted: Change
    edition: int | None
    at: datetime


@one
def _change(tx: Tx, asked: _Changing) -> Device:
    before = found(tx, asked.tenant, asked.device)
    _check_edition(before, asked.edition)
    _refuse_decommissioned(before)
    after = _changed(before, asked.wanted, asked.at)
    _check(after)
    names = [n for n in _CHANGED if getattr(after, n) != getattr(before, n)]
    if not names:
        return before
    after = replace(after, edition=before.edition + 1, updated_at=asked.at)
    tx.devices.save(asked.tenant, after)
    if facts := [(after.id, fact) for fact in after.installed if fact not in before.installed]:
        tx.devices.install(asked.tenant, facts)
    data: dict[str, Any] = {"changed": sorted(names)}
    if "pins" in names:
        data["pins"] = sorted(after.pins)
    if asked.wanted.reason:
        data["reason"] = asked.wanted.reason
    happening = Happening(asked.tenant, asked.at, asked.actor.name, Kind.DEVICE_CHANGED, after.id, data)
    misfit = leaving.cancel_misfit(tx, asked.tenant, after, asked.actor, asked.at) if "hardware" in names else []
    tx.events.add([happening, *misfit])
    return after


def _changed(before: Device, wanted: Change, at: datetime) -> Device:
    attributes: dict[str, str | None] = {**before.attributes, **(wanted.attributes or {})}
    running = {i.component: i for i in before.installed}
    for component, version in (wanted.installed or {}).items():
        if component not in running or running[component].version != version:
            # By hand, so not by us: what a person found on the device or put there with another tool.
            counter = running[component].counter if component in running else 0
            running[component] = Installed(component, version, Source.OFFLINE, at, counter=counter)
    return replace(
        before,
        hardware=before.hardware if wanted.hardware is None else wanted.hardware,
        tags=before.tags if wanted.tags is None else wanted.tags,
        attributes={name: value for name, value in attributes.items() if value is not None},
        installed=tuple(sorted(running.values(), key=lambda i: i.component)),
        assurance=before.assurance if wanted.assurance is None else wanted.assurance,
        pins=before.pins if wanted.pins is None else wanted.pins,
    )


@dataclass(frozen=True, slots=True)
class _Moving:
    tenant: TenantId
    actor: Actor
    device: DeviceId
    event: LifecycleEvent
    edition: int | None
    at: datetime


@one
def _decommission(tx: Tx, asked: _Moving) -> None:
    if found(tx, asked.tenant, asked.device).lifecycle is not Lifecycle.DECOMMISSIONED:
        _moved(tx, asked)


@one
def _move(tx: Tx, asked: _Moving) -> Device:
    return _moved(tx, asked)


def _moved(tx: Tx, asked: _Moving) -> Device:
    tenant, actor, device_id, event, now = asked.tenant, asked.actor, asked.device, asked.event, asked.at
    before = found(tx, tenant, device_id)
    _check_edition(before, asked.edition)
    lifecycle = LIFECYCLE.next(before.lifecycle, event)
    if lifecycle is None:
        allowed = [str(e) for e in LIFECYCLE.allowed(before.lifecycle)]
        raise InvalidStateError(
            f"device {device_id} is {before.lifecycle}: it cannot {event}",
            hint=f"Allowed now: {', '.join(allowed) or 'nothing'}.",
            allowed=allowed,
        )
    after = replace(before, lifecycle=lifecycle, edition=before.edition + 1, updated_at=now)
    tx.devices.save(tenant, after)
    data = {"event": str(event), "from": str(before.lifecycle), "to": str(lifecycle)}
    events = [Happening(tenant, now, actor.name, Kind.DEVICE_LIFECYCLE, device_id, data)]
    if lifecycle is Lifecycle.DECOMMISSIONED:
        # No secret has this digest, so nothing opens it any more.
        tx.devices.set_token(tenant, device_id, b"")
        tx.credentials.revoke_all(tenant, device_id, now)
        events += leaving.end_all(tx, tenant, device_id, actor, now)
    tx.events.add(events)
    return after


@one
def _new_token(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, str, datetime]) -> tuple[DeviceId, str]:
    tenant, actor, device_id, secret, now = asked
    _refuse_decommissioned(found(tx, tenant, device_id))
    tx.devices.set_token(tenant, device_id, _digest(secret))
    tx.events.add([Happening(tenant, now, actor.name, Kind.DEVICE_CREDENTIAL, device_id)])
    return device_id, secret


def _check_edition(device: Device, edition: int | None) -> None:
    if edition is not None and edition != device.edition:
        raise PreconditionFailedError(f"device {device.id} has changed: it is at edition {device.edition}")


def _refuse_decommissioned(device: Device) -> None:
    if device.lifecycle is Lifecycle.DECOMMISSIONED:
        raise InvalidStateError(f"device {device.id} is decommissioned: nothing of it changes any more", allowed=[])


def found(tx: Tx, tenant: TenantId, device: DeviceId) -> Device:
    """A device, within a transaction.

    Raises:
        NotFoundError: there is none.
    """
    known = tx.devices.get(tenant, device)
    if known is None:
        raise NotFoundError(f"there is no device {device}")
    return known
