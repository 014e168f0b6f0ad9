"""Permissions to downgrade: brought signed, judged, kept; the offer rule and the director go by them until they expire.

The server never makes one by itself: the keys of the image repository's top-level targets sign it, offline.
"""

import json
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import NotFoundError, PermitError
from otaru.ports.store import Tx, one
from otaru.services.control import devices, signing
from otaru.services.control.world import Actor, World
from otaru.trust.permit import Permit, check_permit
from otaru.trust.tuf.director import KeptPermit


async def bring(world: World, tenant: TenantId, actor: Actor, permit: Permit) -> Permit:
    """Keep a permission that was signed elsewhere, in place of the one that its component had.

    Raises:
        NotFoundError: there is no such device, or the tenant has no image repository.
        PermitError: it is for another tenant.
        MetadataUnsignedError, MetadataSignatureError, MetadataThresholdError, MetadataExpiredError: it does not hold.
    """
    kept = await world.store.write(_bring, (tenant, actor, permit, world.clock.now()))
    world.registry.forget(tenant, permit.device)
    return kept


async def of_device(world: World, tenant: TenantId, device: DeviceId) -> list[KeptPermit]:
    """A device's permissions, also expired ones.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[KeptPermit]:
        devices.found(tx, tenant, device)
        return tx.directions.permits(tenant, device)

    return await world.store.glance(look)


@one
def _bring(tx: Tx, asked: tuple[TenantId, Actor, Permit, datetime]) -> Permit:
    tenant, actor, permit, now = asked
    repository = signing.load(tx, tenant, [])
    if repository is None:
        raise NotFoundError("the tenant has no keys yet", hint="Begin with otaru keys init, or publish a release.")
    if permit.tenant != tenant:
        raise PermitError("the permission is for another tenant")
    check_permit(
        permit,
        repository.root.signed,
        tenant=tenant,
        device=permit.device,
        component=permit.component,
        counter=permit.counter,
        now=now,
    )
    devices.found(tx, tenant, permit.device)
    kept = KeptPermit(permit.component, permit.counter, permit.expires, json.dumps(permit.to_dict()).encode())
    tx.directions.permit(tenant, permit.device, kept, now)
    facts = {"component": permit.component, "counter": permit.counter, "until": permit.expires.isoformat()}
    tx.events.add([Happening(tenant, now, actor.name, Kind.DEVICE_PERMITTED, permit.device, facts)])
    return permit
