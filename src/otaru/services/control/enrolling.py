"""A device comes to us by itself, with a claim: it is taken in, told to wait, or refused with the reason.

Theory of operation. Everything is decided and counted in one transaction: the claim's time, its list, its quota, whether
the serial is taken and the key known. A device that asks again is the same device, counted once: the answer to its first
request may have been lost with the power, after we had committed. It is given a new token then, and the one that it may
never have read dies. Where it has a key it shows it each time anew; a text that it signed buys a token once, so that who
overhears a request gets nothing by repeating it.

A refusal is an outcome, not a failure: what it leaves in the record is committed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.device import Device, Hardware, Lifecycle
from otaru.domain.enrollment import Approval, Enrolled, Enrollment, EnrollmentId, Wanted, comes_back
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import CredentialId, DeviceId, TenantId
from otaru.errors import (
    ClaimUsedUpError,
    EnrollmentError,
    InvalidInputError,
    KeyTakenError,
    OtaruError,
    SerialNotListedError,
    SerialTakenError,
    UnauthenticatedError,
    UnavailableError,
)
from otaru.ports.store import Claim, Dispute, Tx, one
from otaru.services.control import attributes
from otaru.services.control.enrollments import found
from otaru.services.control.issuing import Issued, record, sign
from otaru.services.control.world import World
from otaru.trust.pki.certificates import PublicKey, Request, check_names, fingerprint
from otaru.trust.possession import Proof, spent, spent_until, to_enroll, verify

DISPUTES_APART = timedelta(hours=1)
"""Of one device, at most one is told of in such a time: who holds a claim could fill the record."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device asks for. `public` and `proof` come together, or neither."""

    device: DeviceId
    wanted: Wanted
    hardware: Hardware | None = None
    attributes: Mapping[str, str] | None = None
    public: PublicKey | None = None
    proof: Proof | None = None
    request: Request | None = None
    """For a certificate: with the same key."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """A device that was taken in, with what it was given: the only time that it is seen."""

    device: Device
    token: str | None = None
    issued: Issued | None = None
    again: bool = False
    """Whether it had been taken in before."""

    @property
    def waits(self) -> bool:
        """Whether somebody has to accept it first."""
        return self.device.lifecycle is Lifecycle.PENDING


async def opened(world: World, claim: Claim, tenant: TenantId | None) -> tuple[TenantId, Enrollment]:
    """Which enrollment a claim opens, whether or not it is still good. A certificate says nothing of its tenant: `tenant`.

    Raises:
        UnauthenticatedError: none.
    """
    if claim.issuer:
        name = tenant or TenantId("")
        one = await world.store.glance(lambda tx: tx.enrollments.by_certificate(name, claim))
        known = None if one is None else (name, one)
    else:
        known = await world.store.glance(lambda tx: tx.enrollments.every_by_token(claim.digest))
    if known is None or (tenant is not None and known[0] != tenant):
        raise UnauthenticatedError(
            "the claim is unknown",
            hint="Make one: otaru enrollment create LABEL --quota N",
            challenge='Bearer realm="otaru"',
        )
    return known


async def issuers(world: World, tenant: TenantId, key: bytes) -> list[bytes]:
    """The authorities that claim certificates with this key are of, by digests."""
    return await world.store.glance(lambda tx: tx.enrollments.issuers(tenant, key))


async def enroll(world: World, claim: Claim, tenant: TenantId | None, asked: Asked) -> tuple[TenantId, Welcome]:
    """Take a device in; into which tenant, the claim says.

    Raises:
        UnauthenticatedError: the claim is unknown.
        EnrollmentError: it may not come; each reason has its class.
        ProofError: it does not show that it has its key, or not anew.
        InvalidInputError, TooLargeError: what it says of itself is out of its bounds.
    """
    name, enrollment = await opened(world, claim, tenant)
    now = world.clock.now()
    enrollment.check(now)
    attributes.check(asked.attributes or {})
    key, spends, until = b"", b"", now
    if asked.public is not None and asked.proof is not None:
        key = fingerprint(asked.public)
        statement = to_enroll(name, asked.device, asked.proof.time_s, claim.digest, key)
        verify(asked.public, statement, asked.proof, now)
        spends, until = hashlib.sha256(statement).digest(), spent_until(asked.proof)
    elif asked.wanted is not Wanted.TOKEN:
        raise InvalidInputError("a key has to be shown: public_key and proof are missing")
    issued = await _signed(world, name, enrollment, asked)
    asking = _Asking(
        name, enrollment.id, asked, key, spends, until, world.clock.token(), world.clock.unique(), issued, now
    )
    outcome = await world.store.write(_enroll, asking)
    world.registry.forget(name, asked.device)
    if isinstance(outcome, OtaruError):
        raise outcome
    return name, outcome


async def _signed(world: World, tenant: TenantId, enrollment: Enrollment, asked: Asked) -> Issued | None:
    """The certificate that a device asks for, if it is likely to be given one. It is good only once it is recorded."""
    if asked.request is None:
        return None
    check_names(asked.request, tenant, asked.device)
    known = await world.store.glance(lambda tx: tx.devices.get(tenant, asked.device))
    waits = enrollment.approval is Approval.MANUAL if known is None else known.lifecycle is Lifecycle.PENDING
    return None if waits else await sign(world, tenant, asked.device, asked.request.public)


@dataclass(frozen=True, slots=True)
class _Asking:
    tenant: TenantId
    enrollment: EnrollmentId
    asked: Asked
    key: bytes
    """The digest of its public key; empty where it has none."""
    spends: bytes
    """The digest of what it signed."""
    until: datetime
    secret: str
    unique: str
    issued: Issued | None
    """A certificate that was signed for it; None where it asks for none, or is to wait."""
    at: datetime

    @property
    def actor(self) -> str:
        """It speaks for itself."""
        return f"device:{self.asked.device}"


@one
def _enroll(tx: Tx, asking: _Asking) -> Welcome | OtaruError:
    try:
        return _decided(tx, asking)
    except (SerialTakenError, KeyTakenError) as refused:
        return _disputed(tx, asking, refused)


def _decided(tx: Tx, asking: _Asking) -> Welcome:
    enrollment = found(tx, asking.tenant, asking.enrollment)
    enrollment.check(asking.at)
    name = asking.asked.device
    known = tx.devices.get(asking.tenant, name)
    if known is None:
        return _taken_in(tx, asking, enrollment)
    before = tx.enrollments.enrolled(asking.tenant, [name]).get(name)
    if (refused := comes_back(known, before, asking.enrollment, asking.key)) is not None:
        raise refused
    _refuse_taken_key(tx, asking)
    if known.lifecycle is Lifecycle.PENDING or asking.asked.wanted is Wanted.KEY:
        return Welcome(known, again=True)
    _spend(tx, asking)
    if asking.asked.wanted is Wanted.CERTIFICATE:
        return Welcome(known, issued=_recorded(tx, asking), again=True)
    tx.devices.set_token(asking.tenant, name, _digest(asking.secret))
    data = {"claim": enrollment.label, "enrollment": enrollment.id}
    tx.events.add([Happening(asking.tenant, asking.at, asking.actor, Kind.DEVICE_CREDENTIAL, name, data)])
    return Welcome(known, asking.secret, again=True)


def _taken_in(tx: Tx, asking: _Asking, enrollment: Enrollment) -> Welcome:
    """Add the device. Whatever refuses it does so before the first change."""
    asked, tenant = asking.asked, asking.tenant
    if enrollment.listed and not tx.enrollments.is_listed(tenant, enrollment.id, asked.device):
        raise SerialNotListedError(
            f"{asked.device} is not on the list of this claim", hint="Add it: otaru enrollment serials ID FILE"
        )
    hardware = enrollment.hardware_of(asked.hardware)
    _refuse_taken_key(tx, asking)
    if not tx.enrollments.use(tenant, enrollment.id):
        raise ClaimUsedUpError(
            f"{enrollment.quota} devices have come by this claim: it is used up",
            hint="Make another one: otaru enrollment create",
            quota=enrollment.quota,
        )
    lifecycle = Lifecycle.ACTIVE if enrollment.approval is Approval.AUTO else Lifecycle.PENDING
    new = replace(
        Device(asked.device, lifecycle, hardware, asking.at, asking.at),
        tags=enrollment.tags,
        attributes=dict(asked.attributes or {}),
        attributes_requested=not asked.attributes,
    )
    active = lifecycle is Lifecycle.ACTIVE
    if active and asked.wanted is not Wanted.KEY:
        _spend(tx, asking)
    # Where it is given none, nobody has this secret.
    tx.devices.add(tenant, [(new, _digest(asking.secret))])
    tx.enrollments.enrol(tenant, Enrolled(new.id, enrollment.id, asking.key, asking.at))
    if asking.key and asked.wanted is not Wanted.CERTIFICATE:
        name = CredentialId(asking.unique)
        tx.credentials.add(tenant, new.id, Credential(name, CredentialKind.KEY, asking.key, b"", "enrolled", asking.at))
    data = {
        "hardware": str(hardware),
        "lifecycle": str(lifecycle),
        "claim": enrollment.label,
        "enrollment": enrollment.id,
    }
    tx.events.add([Happening(tenant, asking.at, asking.actor, Kind.DEVICE_ADDED, new.id, data)])
    if not active or asked.wanted is Wanted.KEY:
        return Welcome(new)
    return Welcome(new, asking.secret) if asked.wanted is Wanted.TOKEN else Welcome(new, issued=_recorded(tx, asking))


def _recorded(tx: Tx, asking: _Asking) -> Issued:
    """Keep the credential of the certificate that was signed for the device.

    Raises:
        UnavailableError: none was signed: somebody has accepted the device in this very moment.
    """
    if asking.issued is None:
        raise UnavailableError("the certificate is not signed yet: ask again", retry_after_s=1)
    record(tx, asking.tenant, asking.asked.device, asking.issued)
    return asking.issued


def _refuse_taken_key(tx: Tx, asking: _Asking) -> None:
    """A key is one device's, and once it was revoked nobody's."""
    if not asking.key:
        return
    credential = tx.credentials.holder(asking.tenant, CredentialKind.KEY, b"", asking.key)
    holders = {tx.enrollments.holder(asking.tenant, asking.key), credential and credential[0]}
    if holders - {None, asking.asked.device} or tx.credentials.is_denied(asking.tenant, asking.key):
        raise KeyTakenError(
            "this key is another device's, or it was revoked", hint="Every device makes a key of its own."
        )


def _spend(tx: Tx, asking: _Asking) -> None:
    if asking.spends and not tx.enrollments.spend(asking.tenant, asking.spends, asking.until):
        raise spent()


def _disputed(tx: Tx, asking: _Asking, refused: EnrollmentError) -> EnrollmentError:
    """Note who was asked for by somebody else: one of the two is not what it says."""
    device, tenant = asking.asked.device, asking.tenant
    if isinstance(refused, SerialTakenError) and tx.enrollments.dispute(
        tenant, Dispute(device, asking.key, asking.at), asking.at - DISPUTES_APART
    ):
        data = {"key": asking.key.hex(), "enrollment": asking.enrollment}
        tx.events.add([Happening(tenant, asking.at, asking.actor, Kind.DEVICE_DISPUTED, device, data)])
    return refused


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
