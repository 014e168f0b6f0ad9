"""Credentials of a device beside its target token: another token, certificates, keys. Each is shown, added and revoked alone.

Revoking works at once on every road: the entry that a door is opened by holds what is not revoked, and it is forgotten
before this answers, in other workers within the tail of the record. What was revoked never comes back: its row stays.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from otaru.domain.authority import MAX_AUTHORITIES, Authority
from otaru.domain.credential import MAX_CREDENTIALS, Credential, CredentialKind
from otaru.domain.device import Lifecycle
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import CredentialId, DeviceId, TenantId
from otaru.errors import (
    AlreadyExistsError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    RefusedError,
    TooLargeError,
)
from otaru.ports.store import Tx, one
from otaru.services.control.devices import checked_token, found
from otaru.services.control.world import Actor, World
from otaru.trust.pki import certificates as pki

MAX_LABEL = 128
MAX_LIFE = timedelta(days=3650)
KEPT = timedelta(days=30)
"""So long after its end a credential is still shown."""


@dataclass(frozen=True, slots=True)
class Given:
    """A credential as it was made; of a token with its secret, which is shown once."""

    credential: Credential
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Keeping:
    """A credential that somebody gives a device."""

    tenant: TenantId
    actor: Actor
    device: DeviceId
    credential: Credential
    change: str = "added"
    authority: Authority | None = None
    """The one that a certificate comes from, where it may not be known yet."""


async def page(world: World, tenant: TenantId, device: DeviceId) -> list[Credential]:
    """All of a device, in the order of their making, with the revoked ones, and those that have ended of late.

    Raises:
        NotFoundError: there is no such device.
    """

    def read(tx: Tx) -> list[Credential]:
        found(tx, tenant, device)
        return tx.credentials.of(tenant, device)

    return await world.store.glance(read)


async def add_token(
    world: World,
    tenant: TenantId,
    actor: Actor,
    device: DeviceId,
    label: str = "",
    life: timedelta | None = None,
    token: str | None = None,
) -> Given:
    """Give a device another token (`token`, or one of ours), beside those that it has: for a change without a gap.

    Raises:
        NotFoundError: there is no such device.
        InvalidStateError: it is decommissioned.
        InvalidInputError: token, label or life is none.
        TooLargeError: it has MAX_CREDENTIALS.
        AlreadyExistsError: some device has this token.
        RefusedError: it was revoked.
    """
    secret = checked_token(token) if token is not None else world.clock.token()
    digest = hashlib.sha256(secret.encode()).digest()
    made = _made(world, CredentialKind.TOKEN, digest, b"", label, life)
    return await _add(world, Keeping(tenant, actor, device, made), secret)


async def add_key(
    world: World,
    tenant: TenantId,
    actor: Actor,
    device: DeviceId,
    pem: str,
    label: str = "",
    life: timedelta | None = None,
) -> Given:
    """Give a device a public key that it signs requests with.

    Raises:
        as `add_token`; InvalidInputError also where it is no public key that we take.
    """
    digest = pki.fingerprint(pki.read_key(pem))
    made = _made(world, CredentialKind.KEY, digest, b"", label, life)
    return await _add(world, Keeping(tenant, actor, device, made))


async def add_certificate(
    world: World, tenant: TenantId, actor: Actor, device: DeviceId, pem: str, label: str = ""
) -> Given:
    """Let a device in by a certificate that somebody else has issued, as long as that is good.

    It is named by its key and its authority's. `pem` holds the authority's certificate after the device's, unless the
    tenant knows it already, or the certificate is signed with its own key.

    Raises:
        as `add_token`; InvalidInputError also where it is no certificate for clients that is good now, or the authority
        is missing.
    """
    now = world.clock.now()
    leaf, *above = pki.read_certificates(pem)
    public = pki.taken(leaf.public_key())
    if not pki.is_for_clients(leaf):
        raise InvalidInputError("the certificate is not for clients", hint="Its extended key usages lack TLS client.")
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise InvalidInputError("the certificate has expired, or its time has not come yet")
    issuer, authority = await issuer_of(world, tenant, leaf, above, now)
    made = _made(world, CredentialKind.CERTIFICATE, pki.fingerprint(public), issuer, label, None)
    made = replace(made, expires_at=leaf.not_valid_after_utc)
    return await _add(world, Keeping(tenant, actor, device, made, authority=authority))


async def revoke(world: World, tenant: TenantId, actor: Actor, device: DeviceId, credential: CredentialId) -> None:
    """Revoke a credential: it opens nothing any more, on no road. Revoking twice changes nothing.

    Raises:
        NotFoundError: there is no such device, or it has no such credential.
    """
    await world.store.write(_revoke, (tenant, actor, device, credential, world.clock.now()))
    world.registry.forget(tenant, device)


def keep(tx: Tx, keeping: Keeping) -> None:
    """Give a device a credential, within a transaction.

    Raises:
        NotFoundError: there is no such device.
        InvalidStateError: it is decommissioned.
        RefusedError: this key or token was revoked, from whomever.
        AlreadyExistsError: some device has it.
        TooLargeError: the device has MAX_CREDENTIALS, or the tenant MAX_AUTHORITIES.
    """
    tenant, device, credential, now = keeping.tenant, keeping.device, keeping.credential, keeping.credential.created_at
    if found(tx, tenant, device).lifecycle is Lifecycle.DECOMMISSIONED:
        raise InvalidStateError(f"device {device} is decommissioned: nothing of it changes any more", allowed=[])
    refuse_denied(tx, tenant, credential.digest)
    tx.credentials.prune(tenant, device, now - KEPT)
    if sum(known.good(now) for known in tx.credentials.of(tenant, device)) >= MAX_CREDENTIALS:
        raise TooLargeError(
            f"device {device} has {MAX_CREDENTIALS} credentials",
            hint="Revoke those that it does not use any more.",
            limit=MAX_CREDENTIALS,
        )
    if keeping.authority is not None:
        know(tx, tenant, keeping.actor, keeping.authority, now)
    if not tx.credentials.add(tenant, device, credential):
        raise AlreadyExistsError(f"some device has this {credential.kind} already")
    tx.events.add([happening(keeping, now)])


def refuse_denied(tx: Tx, tenant: TenantId, digest: bytes) -> None:
    """Refuse what was revoked.

    Raises:
        RefusedError: it was.
    """
    if tx.credentials.is_denied(tenant, digest):
        raise RefusedError("this was revoked and does not come back", hint="Use a new key or token.")


def know(tx: Tx, tenant: TenantId, actor: Actor, authority: Authority, now: datetime) -> None:
    """Note an authority, within a transaction.

    Raises:
        TooLargeError: the tenant has MAX_AUTHORITIES.
    """
    known = tx.authorities.of(tenant)
    if any(one.id == authority.id for one in known):
        return
    if len(known) >= MAX_AUTHORITIES:
        raise TooLargeError(f"the tenant has {MAX_AUTHORITIES} authorities", limit=MAX_AUTHORITIES)
    tx.authorities.add(tenant, authority)
    data = {"own": bool(authority.key), "certificate": authority.certificate is not None}
    tx.events.add([Happening(tenant, now, actor.name, Kind.AUTHORITY_ADDED, authority.id, data)])


def happening(keeping: Keeping, at: datetime) -> Happening:
    """What the record says of a credential. The hash of a token is kept from it."""
    credential = keeping.credential
    data = {
        "change": keeping.change,
        "credential": credential.id,
        "kind": str(credential.kind),
        "label": credential.label,
    }
    if credential.kind is not CredentialKind.TOKEN:
        data["key"] = credential.digest.hex()
    return Happening(keeping.tenant, at, keeping.actor.name, Kind.DEVICE_CREDENTIAL, keeping.device, data)


def _made(
    world: World, kind: CredentialKind, digest: bytes, issuer: bytes, label: str, life: timedelta | None
) -> Credential:
    if len(label) > MAX_LABEL or not (label.isprintable() or not label):
        raise InvalidInputError(f"a label has at most {MAX_LABEL} characters and no control characters")
    if life is not None and not timedelta(0) < life <= MAX_LIFE:
        raise InvalidInputError(f"a credential lives between 1 second and {MAX_LIFE.days} days, or without an end")
    now = world.clock.now()
    end = None if life is None else now + life
    return Credential(CredentialId(world.clock.unique()), kind, digest, issuer, label, now, end)


async def issuer_of(
    world: World, tenant: TenantId, leaf: x509.Certificate, above: list[x509.Certificate], now: datetime
) -> tuple[bytes, Authority | None]:
    """The hash of the key that has signed a certificate, and its authority, where the tenant may not know it yet.

    Raises:
        InvalidInputError: the authority is missing.
    """
    for authority in await world.store.glance(lambda tx: tx.authorities.of(tenant)):
        der = authority.certificate
        if der is not None and pki.signed_by(leaf, x509.load_der_x509_certificate(der)):
            return bytes.fromhex(authority.id), None
    for one_above in above:
        if pki.is_authority(one_above) and pki.signed_by(leaf, one_above):
            digest, der = pki.key_in(one_above), pki.der(one_above)
            return digest, Authority(digest.hex(), "", der, "", now, one_above.not_valid_after_utc)
    if pki.signed_by(leaf, leaf):
        return pki.key_in(leaf), None
    raise InvalidInputError(
        "none of the authorities that this tenant knows has signed the certificate",
        hint="Put the authority's certificate after the device's, in the same PEM.",
    )


async def _add(world: World, keeping: Keeping, token: str | None = None) -> Given:
    given = await world.store.write(_keep, (keeping, token))
    world.registry.forget(keeping.tenant, keeping.device)
    return given


@one
def _keep(tx: Tx, asked: tuple[Keeping, str | None]) -> Given:
    keeping, token = asked
    keep(tx, keeping)
    return Given(keeping.credential, token)


@one
def _revoke(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, CredentialId, datetime]) -> None:
    tenant, actor, device, wanted, now = asked
    found(tx, tenant, device)
    credential = next((one for one in tx.credentials.of(tenant, device) if one.id == wanted), None)
    if credential is None:
        raise NotFoundError(f"device {device} has no credential {wanted}")
    if tx.credentials.revoke(tenant, device, wanted, now):
        tx.events.add([happening(Keeping(tenant, actor, device, credential, "revoked"), now)])
