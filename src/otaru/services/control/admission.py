"""Who knocks: the tenant and the device that a request names, with the digests of their credentials."""

from otaru.domain.authority import Authority
from otaru.domain.credential import CredentialKind
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


async def authorities(world: World, name: TenantId) -> tuple[Authority, ...]:
    """The tenant's certificate authorities."""
    if world.registry.fresh:
        return await world.registry.authorities(name)
    return await world.store.glance(lambda tx: tuple(tx.authorities.of(name)))


async def is_denied(world: World, name: TenantId, digest: bytes) -> bool:
    """Whether a key was revoked, whosever and under whichever authority: it is refused always."""
    if world.registry.fresh:
        return await world.registry.is_denied(name, digest)
    return await world.store.glance(lambda tx: tx.credentials.is_denied(name, digest))


async def holder(world: World, name: TenantId, issuer: bytes, digest: bytes) -> DeviceId | None:
    """Whose a certificate is, by its authority's key and its own."""
    found = await world.store.glance(lambda tx: tx.credentials.holder(name, CredentialKind.CERTIFICATE, issuer, digest))
    return None if found is None else found[0]
