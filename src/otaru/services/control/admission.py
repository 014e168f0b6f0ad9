"""Who knocks: the tenant and the device that a request names, with the digests of their credentials."""

from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.tenant import Tenant
from otaru.ports.registry import Entry
from otaru.services.control.world import World


async def tenant(world: World, name: TenantId) -> Tenant | None:
    """The tenant, or None where there is none."""
    if world.registry.fresh:
        return await world.registry.tenant(name)
    return await world.store.glance(lambda tx: tx.tenants.get(name))


async def device(world: World, name: TenantId, device: DeviceId) -> Entry | None:
    """The device, or None where there is none.

    When the registry may be behind (another worker may have changed a token a second ago), the store is asked.
    """
    if world.registry.fresh:
        return await world.registry.device(name, device)
    return await world.store.glance(lambda tx: tx.devices.entry(name, device))
