"""A device says what it is: its attributes, and whether it says yes to every update."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.device import (
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    AutoConfirm,
    Merge,
    merged,
)
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import InvalidInputError, NotFoundError, TooLargeError
from otaru.ports.store import Tx, one
from otaru.services.control.world import World

MAX_NAME = 128


async def merge(world: World, tenant: TenantId, device: DeviceId, reported: dict[str, str], mode: Merge) -> None:
    """Take over what a device reports of itself, durably. What changes nothing is not written.

    Raises:
        InvalidInputError: a name is empty or holds control characters.
        TooLargeError: too many attributes, or a name or value is too long.
        NotFoundError: no such device.
    """
    check(reported)
    await world.store.write(_merge, _Reported(tenant, device, reported, mode, world.clock.now()))
    world.registry.forget(tenant, device)


async def auto_confirm(world: World, tenant: TenantId, device: DeviceId, standing: AutoConfirm | None) -> None:
    """Set or lift a device's standing yes; a deployment that waits for consent gets it at the next poll that may begin it.

    Raises:
        NotFoundError: no such device.
    """
    await world.store.write(_auto_confirm, (tenant, device, standing, world.clock.now()))
    world.registry.forget(tenant, device)


def check(reported: Mapping[str, str]) -> None:
    """Check what a device says of itself.

    Raises:
        InvalidInputError: a name is empty or holds control characters.
        TooLargeError: too many attributes, or a name or value is too long.
    """
    if len(reported) > MAX_ATTRIBUTES:
        raise TooLargeError(f"{len(reported)} attributes, {MAX_ATTRIBUTES} are allowed", limit=MAX_ATTRIBUTES)
    for name, value in reported.items():
        if not name or not name.isprintable():
            raise InvalidInputError("an attribute's name is empty or holds control characters")
        if len(name) > MAX_NAME:
            raise TooLargeError(f"an attribute's name has {len(name)} characters", limit=MAX_NAME)
        if len(value) > MAX_ATTRIBUTE_VALUE:
            raise TooLargeError(f"the value of {name!r} has {len(value)} characters", limit=MAX_ATTRIBUTE_VALUE)


@dataclass(frozen=True, slots=True)
class _Reported:
    tenant: TenantId
    device: DeviceId
    attributes: dict[str, str]
    mode: Merge
    at: datetime


@one
def _merge(tx: Tx, said: _Reported) -> None:
    device = tx.devices.get(said.tenant, said.device)
    if device is None:
        raise NotFoundError(f"there is no device {said.device}")
    attributes = merged(device.attributes, said.attributes, said.mode)
    if len(attributes) > MAX_ATTRIBUTES:
        raise TooLargeError(f"the device would have {len(attributes)} attributes", limit=MAX_ATTRIBUTES)
    if attributes == device.attributes and not device.attributes_requested:
        return
    after = replace(device, attributes=attributes, attributes_requested=False, updated_at=said.at)
    tx.devices.save(said.tenant, after)
    if attributes != device.attributes:
        names = {n for n in {*attributes, *device.attributes} if attributes.get(n) != device.attributes.get(n)}
        data = {"changed": sorted(names)}
        actor = f"device:{said.device}"
        tx.events.add([Happening(said.tenant, said.at, actor, Kind.DEVICE_ATTRIBUTES, said.device, data)])


@one
def _auto_confirm(tx: Tx, asked: tuple[TenantId, DeviceId, AutoConfirm | None, datetime]) -> None:
    tenant, device_id, standing, now = asked
    if tx.devices.get(tenant, device_id) is None:
        raise NotFoundError(f"there is no device {device_id}")
    tx.devices.set_auto_confirm(tenant, device_id, standing)
    actor = f"device:{device_id}"
    data = {"auto_confirm": standing is not None}
    tx.events.add([Happening(tenant, now, actor, Kind.DEVICE_CHANGED, device_id, data)])
