"""TUF metadata and keys in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, select, update

from otaru.adapters.sql.lean import run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, tuf_key, tuf_metadata
from otaru.domain.ids import TenantId
from otaru.trust.tuf.kept import End, Kept, KnownKey, Place

_M, _K = tuf_metadata.c, tuf_key.c
_ADD = """
INSERT INTO tuf_metadata (tenant, repository, role, version, content, expires_at, signed_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, repository, role, version) DO NOTHING"""
_ADD_KEY = """
INSERT INTO tuf_key (tenant, "key", public, role, place, development, created_at, revoked_at, repository)
VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?) ON CONFLICT (tenant, "key") DO NOTHING"""

_newer = tuf_metadata.alias("newer")
_NEWEST: ColumnElement[bool] = ~(
    select(_newer.c.version)
    .where(
        _newer.c.tenant == _M.tenant,
        _newer.c.repository == _M.repository,
        _newer.c.role == _M.role,
        _newer.c.version > _M.version,
    )
    .exists()
)


@dataclass(frozen=True, slots=True)
class SqlSignatures:
    """`ports.store.Signatures`."""

    session: Session

    def newest(self, tenant: TenantId, repository: str, roles: Collection[str] | None = None) -> dict[str, Kept]:
        where = and_(_M.tenant == tenant, _M.repository == repository, _NEWEST)
        if roles is not None:
            where = and_(where, _M.role.in_(roles))
        return {kept.role: kept for kept in self._kept(where)}

    def get(self, tenant: TenantId, repository: str, role: str, version: int) -> Kept | None:
        where = and_(_M.tenant == tenant, _M.repository == repository, _M.role == role, _M.version == version)
        return next(iter(self._kept(where)), None)

    def ends(self, tenant: TenantId, repository: str) -> dict[str, End]:
        query = select(_M.role, _M.version, _M.expires_at).where(
            _M.tenant == tenant, _M.repository == repository, _NEWEST
        )
        return {
            role: End(version, at) for role, version, at in self.session.connection.execute(query.order_by(_M.role))
        }

    def add(self, tenant: TenantId, repository: str, kept: Kept) -> bool:
        row = (kept.role, kept.version, kept.content, micros(kept.expires_at), micros(kept.signed_at))
        return run(self.session, _ADD, tenant, repository, *row) == 1

    def forget(self, tenant: TenantId, repository: str, role: str, before: int | None = None) -> int:
        where = and_(_M.tenant == tenant, _M.repository == repository, _M.role == role)
        if before is not None:
            where = and_(where, _M.version < before)
        return self.session.connection.execute(delete(tuf_metadata).where(where)).rowcount

    def every_ending(self, before: datetime) -> list[tuple[TenantId, str]]:
        query = (
            select(_M.tenant, _M.repository)
            .where(_NEWEST)
            .group_by(_M.tenant, _M.repository)
            .having(func.min(_M.expires_at) <= before)
            .order_by(_M.tenant, _M.repository)
        )
        return [(TenantId(tenant), repository) for tenant, repository in self.session.connection.execute(query)]

    def add_key(self, tenant: TenantId, key: KnownKey) -> bool:
        public = msgspec.json.encode(key.public).decode()
        row = (key.id, public, key.role, key.place.value, key.development, micros(key.created_at), key.repository)
        return run(self.session, _ADD_KEY, tenant, *row) == 1

    def keys(self, tenant: TenantId) -> list[KnownKey]:
        query = select(tuf_key).where(_K.tenant == tenant).order_by(_K.created_at, _K.key)
        return [
            KnownKey(
                row.key,
                msgspec.json.decode(row.public),
                row.role,
                Place(row.place),
                row.development,
                row.created_at,
                row.revoked_at,
                row.repository,
            )
            for row in self.session.connection.execute(query)
        ]

    def revoke_keys(self, tenant: TenantId, keys: Collection[str], at: datetime) -> int:
        revoked = update(tuf_key).where(_K.tenant == tenant, _K.key.in_(keys), _K.revoked_at.is_(None))
        return self.session.connection.execute(revoked.values(revoked_at=at)).rowcount

    def every_development(self) -> list[TenantId]:
        query = select(_K.tenant).where(_K.development, _K.revoked_at.is_(None)).distinct().order_by(_K.tenant)
        return [TenantId(tenant) for tenant in self.session.connection.execute(query).scalars()]

    def _kept(self, where: ColumnElement[bool]) -> Sequence[Kept]:
        query = select(_M.role, _M.version, _M.content, _M.expires_at, _M.signed_at).where(where).order_by(_M.role)
        return [Kept(*row) for row in self.session.connection.execute(query)]
