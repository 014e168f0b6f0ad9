"""Claims in SQL, who came by them, and what they signed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from otaru.adapters.sql.lean import AnyRow, fetch, fetch_keyed, run, run_keyed
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import (
    device_dispute,
    enrollment,
    grant_key,
    micros,
    moment,
    spent_proof,
)
from otaru.domain.device import hardware
from otaru.domain.enrollment import Approval, Enrolled, Enrollment, EnrollmentId
from otaru.domain.ids import DeviceId, TenantId
from otaru.ports.store import Claim, Dispute, GrantKey

_E, _D = enrollment.c, device_dispute.c
_SERIALS = (("serial", "text"),)
_DEVICES = (("device", "text"),)

_ADD = """
INSERT INTO enrollment (tenant, enrollment, label, by_certificate, issuer, digest, quota, used, approval, hardware, tags,
listed, serials, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 0, ?, ?, NULL)
ON CONFLICT DO NOTHING"""
_GET = """
SELECT enrollment, label, quota, created_at, expires_at, approval, hardware, tags, by_certificate, listed, serials, used,
revoked_at FROM enrollment WHERE tenant = ? AND enrollment = ?"""
_ENROL = "INSERT INTO enrolled (tenant, device, enrollment, public_digest, at) VALUES (?, ?, ?, ?, ?)"
_USE = "UPDATE enrollment SET used = used + 1 WHERE tenant = ? AND enrollment = ? AND used < quota"
# `WHERE true` parts the ON CONFLICT from a join, for SQLite's parser.
_LIST = """
INSERT INTO enrollment_serial (tenant, enrollment, serial) SELECT ?, ?, k.serial FROM k WHERE true
ON CONFLICT (tenant, enrollment, serial) DO NOTHING"""
_COUNT_LISTED = "UPDATE enrollment SET serials = serials + ? WHERE tenant = ? AND enrollment = ?"
_LISTED = "SELECT 1 FROM enrollment_serial WHERE tenant = ? AND enrollment = ? AND serial = ?"
_LISTED_OF = """
SELECT s.serial FROM k CROSS JOIN enrollment_serial s
WHERE s.tenant = ? AND s.enrollment = ? AND s.serial = k.serial"""
_ENROLLED = """
SELECT e.device, e.enrollment, e.public_digest, e.at FROM k CROSS JOIN enrolled e
WHERE e.tenant = ? AND e.device = k.device"""
_HOLDER = "SELECT device FROM enrolled WHERE tenant = ? AND public_digest = ? ORDER BY device LIMIT 1"
_DISPUTE = """
INSERT INTO device_dispute (tenant, device, public_digest, at) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, device) DO UPDATE SET public_digest = excluded.public_digest, at = excluded.at
WHERE device_dispute.at <= ?"""
_SPEND = "INSERT INTO spent_proof (tenant, proof, until) VALUES (?, ?, ?) ON CONFLICT (tenant, proof) DO NOTHING"


@dataclass(frozen=True, slots=True)
class SqlEnrollments:
    """`ports.store.Enrollments`."""

    session: Session

    def add(self, tenant: TenantId, enrollment: Enrollment, claim: Claim) -> bool:
        row = (
            enrollment.label,
            enrollment.by_certificate,
            claim.issuer,
            claim.digest,
            enrollment.quota,
            enrollment.approval.value,
            None if enrollment.hardware is None else str(enrollment.hardware),
            msgspec.json.encode(sorted(enrollment.tags)).decode(),
            enrollment.listed,
            micros(enrollment.created_at),
            micros(enrollment.expires_at),
        )
        return run(self.session, _ADD, tenant, enrollment.id, *row) == 1

    def get(self, tenant: TenantId, enrollment: EnrollmentId) -> Enrollment | None:
        found = fetch(self.session, _GET, tenant, enrollment)
        return _read(found[0]) if found else None

    def every_by_token(self, digest: bytes) -> tuple[TenantId, Enrollment] | None:
        query = select(enrollment).where(_E.digest == digest, ~_E.by_certificate)
        row = self.session.connection.execute(query).one_or_none()
        return None if row is None else (TenantId(row.tenant), _enrollment(row))

    def by_certificate(self, tenant: TenantId, claim: Claim) -> Enrollment | None:
        of_claim = (_E.digest == claim.digest) & (_E.issuer == claim.issuer)
        return self._one((_E.tenant == tenant) & of_claim & _E.by_certificate)

    def issuers(self, tenant: TenantId, key: bytes) -> list[bytes]:
        query = select(_E.issuer).where(_E.tenant == tenant, _E.digest == key, _E.by_certificate).distinct()
        return list(self.session.connection.execute(query.order_by(_E.issuer)).scalars())

    def page(self, tenant: TenantId, after: EnrollmentId | None, limit: int, newest: bool = False) -> list[Enrollment]:
        query = select(enrollment).where(_E.tenant == tenant).limit(limit)
        query = query.order_by(_E.enrollment.desc() if newest else _E.enrollment)
        if after is not None:
            query = query.where(_E.enrollment < after if newest else _E.enrollment > after)
        return [_enrollment(row) for row in self.session.connection.execute(query)]

    def revoke(self, tenant: TenantId, enrollment_id: EnrollmentId, at: datetime) -> bool:
        revoked = update(enrollment).where(_E.tenant == tenant, _E.enrollment == enrollment_id, _E.revoked_at.is_(None))
        return self.session.connection.execute(revoked.values(revoked_at=at)).rowcount == 1

    def use(self, tenant: TenantId, enrollment: EnrollmentId) -> bool:
        return run(self.session, _USE, tenant, enrollment) == 1

    def list_serials(self, tenant: TenantId, enrollment: EnrollmentId, serials: Sequence[DeviceId]) -> int:
        keys = [(serial,) for serial in sorted(set(serials))]
        known = {serial for (serial,) in fetch_keyed(self.session, _SERIALS, keys, _LISTED_OF, tenant, enrollment)}
        new = [key for key in keys if key[0] not in known]
        run_keyed(self.session, _SERIALS, new, _LIST, tenant, enrollment)
        if new:
            run(self.session, _COUNT_LISTED, len(new), tenant, enrollment)
        return len(new)

    def is_listed(self, tenant: TenantId, enrollment: EnrollmentId, serial: DeviceId) -> bool:
        return bool(fetch(self.session, _LISTED, tenant, enrollment, serial))

    def enrolled(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, Enrolled]:
        keys = [(device,) for device in devices]
        return {
            device: Enrolled(device, EnrollmentId(by), bytes(key), moment(at))
            for device, by, key, at in fetch_keyed(self.session, _DEVICES, keys, _ENROLLED, tenant)
        }

    def holder(self, tenant: TenantId, key: bytes) -> DeviceId | None:
        found = fetch(self.session, _HOLDER, tenant, key)
        return DeviceId(found[0][0]) if found else None

    def enrol(self, tenant: TenantId, new: Enrolled) -> None:
        run(self.session, _ENROL, tenant, new.device, new.enrollment, new.key, micros(new.at))

    def dispute(self, tenant: TenantId, dispute: Dispute, since: datetime) -> bool:
        row = (dispute.device, dispute.key, micros(dispute.at), micros(since))
        return run(self.session, _DISPUTE, tenant, *row) == 1

    def disputes(self, tenant: TenantId, limit: int) -> list[Dispute]:
        query = select(_D.device, _D.public_digest, _D.at).where(_D.tenant == tenant)
        newest = query.order_by(_D.at.desc(), _D.device).limit(limit)
        return [Dispute(DeviceId(device), key, at) for device, key, at in self.session.connection.execute(newest)]

    def spend(self, tenant: TenantId, proof: bytes, until: datetime) -> bool:
        return run(self.session, _SPEND, tenant, proof, micros(until)) == 1

    def add_grant_key(self, tenant: TenantId, key: GrantKey) -> None:
        self.session.connection.execute(
            insert(grant_key), {"tenant": tenant, "key": key.id, "public": key.public, "created_at": key.created_at}
        )

    def grant_keys(self, tenant: TenantId) -> list[GrantKey]:
        keys = grant_key.c
        query = select(keys.key, keys.public, keys.created_at).where(keys.tenant == tenant)
        return [GrantKey(*row) for row in self.session.connection.execute(query.order_by(keys.created_at.desc()))]

    def prune(self, now: datetime, disputes_before: datetime, keys_before: datetime) -> None:
        self.session.connection.execute(delete(spent_proof).where(spent_proof.c.until < now))
        self.session.connection.execute(delete(device_dispute).where(_D.at < disputes_before))
        self.session.connection.execute(delete(grant_key).where(grant_key.c.created_at < keys_before))

    def _one(self, where: ColumnElement[bool]) -> Enrollment | None:
        query = select(enrollment).where(where).order_by(_E.enrollment.desc()).limit(1)
        row = self.session.connection.execute(query).one_or_none()
        return None if row is None else _enrollment(row)


def _enrollment(row: Row[*tuple[Any, ...]]) -> Enrollment:
    return Enrollment(
        id=EnrollmentId(row.enrollment),
        label=row.label,
        quota=row.quota,
        created_at=row.created_at,
        expires_at=row.expires_at,
        approval=Approval(row.approval),
        hardware=None if row.hardware is None else hardware(row.hardware),
        tags=frozenset(msgspec.json.decode(row.tags, type=list[str])),
        by_certificate=row.by_certificate,
        listed=row.listed,
        serials=row.serials,
        used=row.used,
        revoked_at=row.revoked_at,
    )


def _read(row: AnyRow) -> Enrollment:
    """A row of `_GET`, which each device that comes asks for."""
    name, label, quota, created, expires, approval, model, tags, by_certificate, listed, serials, used, revoked = row
    return Enrollment(
        id=EnrollmentId(name),
        label=label,
        quota=quota,
        created_at=moment(created),
        expires_at=moment(expires),
        approval=Approval(approval),
        hardware=None if model is None else hardware(model),
        tags=frozenset(msgspec.json.decode(tags, type=list[str])),
        by_certificate=bool(by_certificate),
        listed=bool(listed),
        serials=serials,
        used=used,
        revoked_at=None if revoked is None else moment(revoked),
    )
