"""Certificates for devices, signed by their tenant's authority.

The credential that makes a certificate good is committed before anybody gets the certificate: what a crash leaves behind is
a credential whose certificate nobody has, never a certificate that opens nothing. Who asks again with the same key gets a
new certificate under the same credential.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.device import Lifecycle
from otaru.domain.ids import CredentialId, DeviceId, TenantId
from otaru.errors import AlreadyExistsError, InvalidStateError, RefusedError
from otaru.ports.store import Tx, one
from otaru.services.control import admission
from otaru.services.control.authorities import chain_of, signer_of, signing
from otaru.services.control.credentials import Keeping, happening, keep, refuse_denied
from otaru.services.control.devices import found
from otaru.services.control.world import Actor, World
from otaru.trust.pki import certificates as pki

OVERLAP = timedelta(days=7)
"""So long the credential that a device renews with stays good beside the new one."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that is signed; good once its credential is kept (`record`)."""

    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...]
    """Its authority's certificate, and those above."""
    credential: Credential


async def sign(world: World, tenant: TenantId, device: DeviceId, public: pki.PublicKey, label: str = "") -> Issued:
    """Sign a certificate for a device's key. It opens nothing until `record` has kept its credential.

    Raises:
        NotFoundError: the tenant has no authority, or this server does not hold its key.
        UnavailableError: the place of its key does not answer.
    """
    now = world.clock.now()
    authority = signing(await admission.authorities(world, tenant), now)
    chain = chain_of(authority)
    serial = int(world.clock.unique(), 16)

    def work() -> x509.Certificate:
        by = signer_of(world, tenant, authority)
        return pki.device_certificate(chain[0], by.sign, public, tenant, device, serial, now)

    made = await asyncio.to_thread(work)
    credential = Credential(
        CredentialId(world.clock.unique()),
        CredentialKind.CERTIFICATE,
        pki.fingerprint(public),
        bytes.fromhex(authority.id),
        label,
        now,
        made.not_valid_after_utc,
    )
    return Issued(made, tuple(chain), credential)


def record(tx: Tx, tenant: TenantId, device: DeviceId, issued: Issued, replaced: CredentialId | None = None) -> None:
    """Keep the credential of a certificate, within a transaction. `replaced` is what the device renewed with.

    Raises:
        NotFoundError, InvalidStateError, TooLargeError: as `credentials.keep`.
        RefusedError: this key was revoked.
        AlreadyExistsError: another device has this key.
    """
    new, keeping = issued.credential, Keeping(tenant, Actor(f"device:{device}"), device, issued.credential, "issued")
    known = tx.credentials.holder(tenant, new.kind, new.issuer, new.digest)
    if known is None:
        keep(tx, keeping)
    else:
        _prolong(tx, keeping, *known)
    if replaced is not None and (known is None or known[1].id != replaced):
        old = next((one_old for one_old in tx.credentials.of(tenant, device) if one_old.id == replaced), None)
        end = new.created_at + OVERLAP
        if old is not None and (old.expires_at is None or old.expires_at > end):
            tx.credentials.prolong(tenant, device, replaced, end)


async def issue(
    world: World, tenant: TenantId, device: DeviceId, request: pki.Request, replaced: CredentialId | None = None
) -> Issued:
    """Sign a certificate for a device by its request, and keep the credential.

    Raises:
        InvalidInputError: the request asks for another name.
        NotFoundError, UnavailableError: as `sign`.
        InvalidStateError, RefusedError, AlreadyExistsError, TooLargeError: as `record`.
    """
    pki.check_names(request, tenant, device)
    await world.store.glance(lambda tx: refuse_denied(tx, tenant, request.digest))
    issued = await sign(world, tenant, device, request.public)
    await world.store.write(_record, (tenant, device, issued, replaced))
    world.registry.forget(tenant, device)
    return issued


def _prolong(tx: Tx, keeping: Keeping, holder: DeviceId, known: Credential) -> None:
    tenant, device, new = keeping.tenant, keeping.device, keeping.credential
    if found(tx, tenant, device).lifecycle is Lifecycle.DECOMMISSIONED:
        raise InvalidStateError(f"device {device} is decommissioned: nothing of it changes any more", allowed=[])
    refuse_denied(tx, tenant, new.digest)
    if holder != device:
        raise AlreadyExistsError("another device has this key already", hint="Each device makes a key of its own.")
    if not tx.credentials.prolong(tenant, device, known.id, new.expires_at):
        raise RefusedError("this was revoked and does not come back", hint="Use a new key.")
    prolonged: Credential = replace(known, expires_at=new.expires_at)
    at: datetime = new.created_at
    tx.events.add([happening(replace(keeping, credential=prolonged), at)])


@one
def _record(tx: Tx, asked: tuple[TenantId, DeviceId, Issued, CredentialId | None]) -> None:
    record(tx, *asked)
