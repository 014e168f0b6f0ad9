"""Devices' credentials in SQL."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import update

from otaru.adapters.sql import tables
from otaru.adapters.sql.lean import AnyRow, fetch, run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.ids import CredentialId, DeviceId, TenantId

_T = tables.credential.c
_COLUMNS = "credential, kind, digest, issuer, label, created_at, expires_at, revoked_at"
_ADD = f"""
INSERT INTO credential (tenant, device, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
_OF = f"SELECT {_COLUMNS} FROM credential WHERE tenant = ? AND device = ? ORDER BY credential"
_UNREVOKED = f"""
SELECT {_COLUMNS} FROM credential WHERE tenant = ? AND device = ? AND revoked_at IS NULL ORDER BY credential"""
_HOLDER = f"""
SELECT {_COLUMNS}, device FROM credential WHERE tenant = ? AND digest = ? AND kind = ? AND issuer = ?"""
_DENIED = "SELECT 1 FROM credential WHERE tenant = ? AND digest = ? AND revoked_at IS NOT NULL LIMIT 1"
_PRUNE = "DELETE FROM credential WHERE tenant = ? AND device = ? AND revoked_at IS NULL AND expires_at < ?"

_KINDS = {str(kind): kind for kind in CredentialKind}


def unrevoked(session: Session, tenant: TenantId, device: DeviceId) -> tuple[Credential, ...]:
    """What a device's entry holds of its credentials."""
    return tuple(map(_credential, fetch(session, _UNREVOKED, tenant, device)))


@dataclass(frozen=True, slots=True)
class SqlCredentials:
    """`ports.store.Credentials`."""

    session: Session

    def add(self, tenant: TenantId, device: DeviceId, credential: Credential) -> bool:
        row = (
            credential.id,
            credential.kind.value,
            credential.digest,
            credential.issuer,
            credential.label,
            micros(credential.created_at),
            None if credential.expires_at is None else micros(credential.expires_at),
            None if credential.revoked_at is None else micros(credential.revoked_at),
        )
        return run(self.session, _ADD, tenant, device, *row) == 1

    def of(self, tenant: TenantId, device: DeviceId) -> list[Credential]:
        return [_credential(row) for row in fetch(self.session, _OF, tenant, device)]

    def prolong(self, tenant: TenantId, device: DeviceId, credential: CredentialId, end: datetime | None) -> bool:
        return self._set(tenant, device, credential, expires_at=end) == 1

    def revoke(self, tenant: TenantId, device: DeviceId, credential: CredentialId, at: datetime) -> bool:
        return self._set(tenant, device, credential, revoked_at=at) == 1

    def revoke_all(self, tenant: TenantId, device: DeviceId, at: datetime) -> int:
        return self._set(tenant, device, None, revoked_at=at)

    def prune(self, tenant: TenantId, device: DeviceId, before: datetime) -> None:
        run(self.session, _PRUNE, tenant, device, micros(before))

    def holder(
        self, tenant: TenantId, kind: CredentialKind, issuer: bytes, digest: bytes
    ) -> tuple[DeviceId, Credential] | None:
        rows = fetch(self.session, _HOLDER, tenant, digest, kind.value, issuer)
        return (DeviceId(rows[0][-1]), _credential(rows[0][:-1])) if rows else None

    def is_denied(self, tenant: TenantId, digest: bytes) -> bool:
        return bool(fetch(self.session, _DENIED, tenant, digest))

    def _set(
        self, tenant: TenantId, device: DeviceId, credential: CredentialId | None, **values: datetime | None
    ) -> int:
        where = [_T.tenant == tenant, _T.device == device, _T.revoked_at.is_(None)]
        if credential is not None:
            where.append(_T.credential == credential)
        return self.session.connection.execute(update(tables.credential).where(*where).values(**values)).rowcount


def _credential(row: AnyRow) -> Credential:
    id_, kind, digest, issuer, label, created, expires, revoked = row
    return Credential(
        CredentialId(id_),
        _KINDS[kind],
        bytes(digest),
        bytes(issuer),
        label,
        moment(created),
        None if expires is None else moment(expires),
        None if revoked is None else moment(revoked),
    )
