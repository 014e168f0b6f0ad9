"""A tenant's certificate authority: made here, or below a root of the tenant's own that never comes near this server.

Its private key lies in the keyring: in a file, or in a token. Whatever it signs opens no door without a credential that
names it, so a request to an offline root, or a stolen key, are no more than that.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from otaru.domain.authority import Authority
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, RefusedError
from otaru.ports.signing import Signer
from otaru.ports.store import Tx, one
from otaru.services.control.credentials import know
from otaru.services.control.world import Actor, World
from otaru.trust.pki import certificates as pki
from otaru.trust.tuf.keys import as_pem

KEY_KIND = "p256"
"""What its keys are: every TLS library checks their signatures, and tokens have them."""


@dataclass(frozen=True, slots=True)
class Made:
    """An authority as it was made; `request` is for the root that is to sign it, in PEM."""

    authority: Authority
    request: str | None


async def page(world: World, tenant: TenantId) -> list[Authority]:
    """The tenant's authorities in the order of their making, the retired ones and those of others too."""
    return await world.store.glance(lambda tx: tx.authorities.of(tenant))


async def create(world: World, tenant: TenantId, actor: Actor, *, key: str | None = None, below: bool = False) -> Made:
    """Make the tenant's authority: its own root, or `below` one whose certificate `certify` brings.

    `key` is the id of a key of the keyring (of a token, say); else one is made.

    Raises:
        InvalidStateError: one signs already, or waits for its certificate.
        NotFoundError: this server does not hold that key.
        RefusedError: that key signs other things.
    """
    now = world.clock.now()
    refuse_second(await page(world, tenant), now)
    signer = await asyncio.to_thread(_signer, world, tenant, key)
    if key is not None:
        await _refuse_other_use(world, tenant, key)
    public = _public(signer)
    digest = pki.fingerprint(public).hex()
    made = Authority(digest, signer.key.keyid, None, "", now, None)
    request = None
    if below:
        request = (await asyncio.to_thread(pki.authority_request, _name(tenant), public, signer.sign)).decode()
    else:
        serial = int(world.clock.unique(), 16)
        root = await asyncio.to_thread(pki.root_certificate, _name(tenant), public, signer.sign, serial, now)
        made = replace(made, certificate=pki.der(root), expires_at=root.not_valid_after_utc)
    return await world.store.write(_create, (tenant, actor, Made(made, request)))


async def certify(world: World, tenant: TenantId, actor: Actor, wanted: str, pem: str) -> Authority:
    """Bring the certificate that an offline root has given the tenant's authority, with those above it.

    Raises:
        NotFoundError: the tenant has no such authority of its own.
        InvalidInputError: the certificate is not good, or not an authority's.
        InvalidStateError: it is retired.
    """
    now = world.clock.now()
    await world.store.glance(lambda tx: _own(tx, tenant, wanted))
    chain = pki.read_certificates(pem)
    pki.check_authority(chain, bytes.fromhex(wanted), now)
    above = "".join(pki.pem(one_above) for one_above in chain[1:])
    told = Authority(wanted, "", pki.der(chain[0]), above, now, chain[0].not_valid_after_utc)
    return await world.store.write(_certify, (tenant, actor, told))


async def retire(world: World, tenant: TenantId, actor: Actor, authority: str) -> Authority:
    """Have an authority sign nothing new. What it has signed stays good until its end, or until it is revoked.

    Raises:
        NotFoundError: there is no such authority.
    """
    return await world.store.write(_retire, (tenant, actor, authority, world.clock.now()))


def signing(known: list[Authority] | tuple[Authority, ...], now: datetime) -> Authority:
    """The authority that signs for devices now.

    Raises:
        NotFoundError: there is none.
    """
    found = [authority for authority in known if authority.signs(now)]
    if not found:
        raise NotFoundError("this tenant has no certificate authority", hint="Make one: otaru ca init")
    return found[-1]


def chain_of(authority: Authority) -> list[x509.Certificate]:
    """An authority's certificate and those above it."""
    assert authority.certificate is not None  # noqa: S101 - it signs
    above = pki.read_certificates(authority.chain) if authority.chain else []
    return [x509.load_der_x509_certificate(authority.certificate), *above]


def signer_of(world: World, tenant: TenantId, authority: Authority) -> Signer:
    """Who signs for an authority.

    Raises:
        NotFoundError: this server does not hold its key.
    """
    return _signer(world, tenant, authority.key)


def refuse_second(known: list[Authority], now: datetime) -> None:
    """Refuse to make another authority beside one.

    Raises:
        InvalidStateError: one signs already, or waits for its certificate.
    """
    for authority in known:
        waits = bool(authority.key) and authority.certificate is None and authority.retired_at is None
        if waits or authority.signs(now):
            told = "waits for its certificate" if waits else "signs"
            raise InvalidStateError(
                f"authority {authority.id[:16]} {told} already",
                hint="Retire it first: otaru ca retire ID",
                allowed=["retire"],
            )


async def _refuse_other_use(world: World, tenant: TenantId, key: str) -> None:
    def read(tx: Tx) -> bool:
        return any(known.id == key for known in tx.signatures.keys(tenant))

    if await world.store.glance(read):
        raise RefusedError("this key signs metadata: it signs nothing else", hint="Use another key.")


def _signer(world: World, tenant: TenantId, key: str | None) -> Signer:
    if key is None:
        return world.keyring.make(tenant, KEY_KIND)
    signer = world.keyring.of(tenant, [key]).get(key)
    if signer is None:
        raise NotFoundError(f"this server does not hold the key {key[:64]}", hint="See docs/identity.md.")
    return signer


def _public(signer: Signer) -> pki.PublicKey:
    return pki.read_key(as_pem(signer.key))


def _name(tenant: TenantId) -> str:
    return f"Devices of {tenant}"


@one
def _create(tx: Tx, asked: tuple[TenantId, Actor, Made]) -> Made:
    tenant, actor, whole = asked
    made = whole.authority
    refuse_second(tx.authorities.of(tenant), made.created_at)
    if any(known.id == made.id for known in tx.authorities.of(tenant)):
        raise InvalidStateError("an authority of this key was retired", hint="Use another key.", allowed=[])
    know(tx, tenant, actor, made, made.created_at)
    return whole


@one
def _certify(tx: Tx, asked: tuple[TenantId, Actor, Authority]) -> Authority:
    tenant, actor, told = asked
    known = _own(tx, tenant, told.id)
    if known.retired_at is not None:
        raise InvalidStateError(f"authority {known.id[:16]} is retired", allowed=[])
    after = replace(known, certificate=told.certificate, chain=told.chain, expires_at=told.expires_at)
    if known.certificate is not None:
        before = x509.load_der_x509_certificate(known.certificate)
        assert after.certificate is not None  # noqa: S101 - `certify` has read it
        if before.subject != x509.load_der_x509_certificate(after.certificate).subject:
            raise InvalidInputError(
                "the certificate gives the authority another name: devices' certificates have the old"
            )
    tx.authorities.save(tenant, after)
    data = {"own": True, "certificate": True}
    tx.events.add([Happening(tenant, told.created_at, actor.name, Kind.AUTHORITY_ADDED, known.id, data)])
    return after


@one
def _retire(tx: Tx, asked: tuple[TenantId, Actor, str, datetime]) -> Authority:
    tenant, actor, wanted, now = asked
    known = _found(tx, tenant, wanted)
    if known.retired_at is not None:
        return known
    after = replace(known, retired_at=now)
    tx.authorities.save(tenant, after)
    tx.events.add([Happening(tenant, now, actor.name, Kind.AUTHORITY_RETIRED, known.id)])
    return after


def _own(tx: Tx, tenant: TenantId, wanted: str) -> Authority:
    known = _found(tx, tenant, wanted)
    if not known.key:
        raise NotFoundError("this is no authority of the tenant's own")
    return known


def _found(tx: Tx, tenant: TenantId, wanted: str) -> Authority:
    known = next((one_known for one_known in tx.authorities.of(tenant) if one_known.id == wanted), None)
    if known is None:
        raise NotFoundError(f"there is no authority {wanted[:64]}")
    return known
