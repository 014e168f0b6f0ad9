"""Claims: made, listed, revoked. What devices do with them is in `enrolling`.

A claim token has more than 256 random bits, is stored as SHA-256 and shown once. A claim certificate is known by its key and
its authority's: what else stands in it says nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.authority import Authority
from otaru.domain.device import MAX_TAGS, Device, Hardware, Lifecycle
from otaru.domain.enrollment import MAX_QUOTA, MAX_SERIALS, Approval, Enrollment, EnrollmentId
from otaru.domain.events import Happening, Kind
from otaru.domain.fleet import TO_ACCEPT
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.targeting import parse
from otaru.errors import AlreadyExistsError, InvalidInputError, InvalidStateError, NotFoundError, TooLargeError
from otaru.ports.store import Claim, Dispute, Tx, one
from otaru.services.control.credentials import issuer_of, know
from otaru.services.control.world import Actor, World
from otaru.trust.pki import certificates as pki

MAX_LABEL = 128
MAX_LIFE = timedelta(days=3650)
MAX_BATCH = 5000
"""Serials listed at once."""
PREFIX = "otaru-claim-"
"""Claim tokens begin with it, so that who finds one knows what it is."""


@dataclass(frozen=True, slots=True)
class NewEnrollment:
    """A claim as somebody wants it. `certificate`: by this client certificate (PEM, and its authority's), not a token."""

    label: str
    quota: int
    life: timedelta
    approval: Approval = Approval.AUTO
    hardware: Hardware | None = None
    tags: frozenset[str] = frozenset()
    listed: bool = False
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new claim with its token, the only time that it is seen; None where the claim is a certificate."""

    enrollment: Enrollment
    token: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A device that waits to be accepted, and the claim that it came by; None where a gateway vouched for it."""

    device: Device
    by: Enrollment | None


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a person; `total` counts the devices that wait, shown or not."""

    waiting: Sequence[Waiting]
    total: int
    disputes: Sequence[Dispute]


async def create(world: World, tenant: TenantId, actor: Actor, new: NewEnrollment) -> Made:
    """Make a claim.

    Raises:
        InvalidInputError: label, quota or life are out of their bounds, or the certificate is none.
        AlreadyExistsError: the certificate opens another one.
        TooLargeError: too many tags.
    """
    _check(new)
    now = world.clock.now()
    secret = None if new.certificate is not None else PREFIX + world.clock.token() + world.clock.token()
    authority = None
    if secret is not None:
        claim = by_token(secret)
    else:
        claim, authority = await _by_chain(world, tenant, new.certificate or "", now)
    enrollment = Enrollment(
        id=EnrollmentId(world.clock.unique()),
        label=new.label,
        quota=new.quota,
        created_at=now,
        expires_at=now + new.life,
        approval=new.approval,
        hardware=new.hardware,
        tags=new.tags,
        by_certificate=secret is None,
        listed=new.listed,
    )
    return await world.store.write(_create, _Creating(tenant, actor, Made(enrollment, secret), claim, authority))


async def list_serials(
    world: World, tenant: TenantId, actor: Actor, enrollment: EnrollmentId, serials: Sequence[DeviceId]
) -> tuple[Enrollment, int]:
    """List more serials that may come by a claim; how many of them are new.

    Raises:
        NotFoundError: there is no such enrollment.
        InvalidStateError: it is for every serial, or revoked.
        TooLargeError: more than MAX_BATCH at once, or more than MAX_SERIALS in all.
    """
    if len(serials) > MAX_BATCH:
        raise TooLargeError(f"{len(serials)} serials at once, {MAX_BATCH} are allowed", limit=MAX_BATCH)
    return await world.store.write(_list_serials, _Listing(tenant, actor, enrollment, serials, world.clock.now()))


async def revoke(world: World, tenant: TenantId, actor: Actor, enrollment: EnrollmentId) -> None:
    """Revoke a claim at once; a second time changes nothing. Devices that came by it stay.

    Raises:
        NotFoundError: there is none.
    """
    await world.store.write(_revoke, (tenant, actor, enrollment, world.clock.now()))


async def show(world: World, tenant: TenantId, enrollment: EnrollmentId) -> Enrollment:
    """One of them.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.glance(lambda tx: found(tx, tenant, enrollment))


async def page(
    world: World, tenant: TenantId, after: EnrollmentId | None, limit: int, *, newest: bool = False
) -> list[Enrollment]:
    """In the order of their making, the revoked ones too."""
    return await world.store.read(lambda tx: tx.enrollments.page(tenant, after, limit, newest))


async def queue(world: World, tenant: TenantId, limit: int) -> Queue:
    """What waits for a person: devices to be accepted, and those that somebody else asked for."""
    now = world.clock.now()
    pending = parse(TO_ACCEPT, now)

    def look(tx: Tx) -> Queue:
        waiting = tx.devices.page(tenant, pending, None, limit)
        came = tx.enrollments.enrolled(tenant, [device.id for device in waiting])
        names = {one.enrollment for one in came.values()}
        claims = {name: claim for name in names if (claim := tx.enrollments.get(tenant, name)) is not None}
        by = {device: claims.get(one.enrollment) for device, one in came.items()}
        total = tx.fleet.counts(tenant, now).lifecycles.get(Lifecycle.PENDING, 0)
        return Queue(
            [Waiting(device, by.get(device.id)) for device in waiting], total, tx.enrollments.disputes(tenant, limit)
        )

    return await world.store.read(look)


def by_token(secret: str) -> Claim:
    """A claim token as it is known."""
    return Claim(hashlib.sha256(secret.encode(errors="surrogatepass")).digest())


def found(tx: Tx, tenant: TenantId, enrollment: EnrollmentId) -> Enrollment:
    """One of them, within a transaction.

    Raises:
        NotFoundError: there is none.
    """
    known = tx.enrollments.get(tenant, enrollment)
    if known is None:
        raise NotFoundError(f"there is no enrollment {enrollment}")
    return known


def _check(new: NewEnrollment) -> None:
    if not 0 < len(new.label) <= MAX_LABEL or not new.label.isprintable():
        raise InvalidInputError(f"a label has 1 to {MAX_LABEL} characters and no control characters")
    if not 0 < new.quota <= MAX_QUOTA:
        raise InvalidInputError(f"the quota is between 1 and {MAX_QUOTA} devices")
    if not timedelta(0) < new.life <= MAX_LIFE:
        raise InvalidInputError(f"a claim lives between 1 second and {MAX_LIFE.days} days")
    if len(new.tags) > MAX_TAGS:
        raise TooLargeError(f"devices would have {len(new.tags)} tags, {MAX_TAGS} are allowed", limit=MAX_TAGS)


async def _by_chain(world: World, tenant: TenantId, pem: str, now: datetime) -> tuple[Claim, Authority | None]:
    """A claim certificate as it is known, and its authority, where the tenant may not know it yet."""
    leaf, *above = pki.read_certificates(pem)
    if not pki.is_for_clients(leaf):
        raise InvalidInputError("the certificate is not for clients", hint="Its extended key usages lack TLS client.")
    issuer, authority = await issuer_of(world, tenant, leaf, above, now)
    return Claim(pki.key_in(leaf), issuer), authority


@dataclass(frozen=True, slots=True)
class _Creating:
    tenant: TenantId
    actor: Actor
    made: Made
    claim: Claim
    authority: Authority | None


@one
def _create(tx: Tx, asked: _Creating) -> Made:
    new = asked.made.enrollment
    if not tx.enrollments.add(asked.tenant, new, asked.claim):
        raise AlreadyExistsError("the certificate opens another enrollment", hint="Revoke that one first.")
    if asked.authority is not None:
        know(tx, asked.tenant, asked.actor, asked.authority, new.created_at)
    data = {
        "label": new.label,
        "quota": new.quota,
        "expires_at": new.expires_at.isoformat(),
        "approval": str(new.approval),
        "listed": new.listed,
    }
    tx.events.add([Happening(asked.tenant, new.created_at, asked.actor.name, Kind.ENROLLMENT_CREATED, new.id, data)])
    return asked.made


@dataclass(frozen=True, slots=True)
class _Listing:
    tenant: TenantId
    actor: Actor
    enrollment: EnrollmentId
    serials: Sequence[DeviceId]
    at: datetime


@one
def _list_serials(tx: Tx, asked: _Listing) -> tuple[Enrollment, int]:
    known = found(tx, asked.tenant, asked.enrollment)
    if not known.listed:
        raise InvalidStateError(
            f"enrollment {known.id} is for every serial", hint="Whether it has a list is said when it is made."
        )
    if known.revoked_at is not None:
        raise InvalidStateError(f"enrollment {known.id} is revoked")
    new = tx.enrollments.list_serials(asked.tenant, known.id, asked.serials)
    after = found(tx, asked.tenant, known.id)
    if after.serials > MAX_SERIALS:
        raise TooLargeError(f"{after.serials} serials, {MAX_SERIALS} are allowed", limit=MAX_SERIALS)
    if new:
        data = {"label": known.label, "added": new, "serials": after.serials}
        tx.events.add([Happening(asked.tenant, asked.at, asked.actor.name, Kind.ENROLLMENT_CHANGED, known.id, data)])
    return after, new


@one
def _revoke(tx: Tx, asked: tuple[TenantId, Actor, EnrollmentId, datetime]) -> None:
    tenant, actor, name, now = asked
    known = found(tx, tenant, name)
    if tx.enrollments.revoke(tenant, name, now):
        data = {"label": known.label, "used": known.used}
        tx.events.add([Happening(tenant, now, actor.name, Kind.ENROLLMENT_REVOKED, name, data)])
