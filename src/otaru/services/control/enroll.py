"""A device that nobody added comes by itself, with a credential that speaks for it."""

from contextlib import suppress

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import AlreadyExistsError, NotFoundError
from otaru.ports.registry import Entry
from otaru.services.control import devices
from otaru.services.control.world import Actor, World

UNKNOWN = Hardware("unknown")
"""What a device that registered itself runs on, until somebody says it: no release fits, so nothing is offered."""


async def register(world: World, tenant: TenantId, device: DeviceId) -> Entry:
    """Add a device that a gateway speaks for. The caller has checked the gateway's credential and the tenant's leave.

    Two that come at once are one.
    """
    with suppress(AlreadyExistsError):  # then another request was faster
        await devices.add(world, tenant, Actor(f"device:{device}"), devices.NewDevice(device, UNKNOWN))
    world.registry.forget(tenant, device)
    entry = await world.registry.device(tenant, device)
    if entry is None:
        raise NotFoundError(f"there is no device {device}")
    return entry
