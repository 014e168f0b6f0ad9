"""Tenants in SQL."""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from otaru.adapters.sql import tables
from otaru.adapters.sql.lean import run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain.ids import TenantId
from otaru.domain.schedule import Blackout
from otaru.domain.tenant import Tenant, TenantSettings

_T = tables.tenant.c
_SELECT = select(_T.tenant, _T.created_at, _T.settings, _T.halted, _T.halt_reason, _T.edition, _T.blackouts)
_ADD = """
INSERT INTO tenant (tenant, created_at, settings, halted, halt_reason, edition, blackouts)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""


def _tenant(row: Row[*tuple[Any, ...]]) -> Tenant:
    return Tenant(
        id=TenantId(row.tenant),
        created_at=row.created_at,
        # Settings that a newer program added are read with their defaults: a database outlives a program.
        settings=msgspec.json.decode(row.settings, type=TenantSettings),
        halted=row.halted,
        halt_reason=row.halt_reason,
        edition=row.edition,
        blackouts=msgspec.json.decode(row.blackouts, type=tuple[Blackout, ...]),
    )


def _packed(blackouts: tuple[Blackout, ...]) -> str:
    return msgspec.json.encode(blackouts).decode()


@dataclass(frozen=True, slots=True)
class SqlTenants:
    """`ports.store.Tenants`."""

    session: Session

    def get(self, tenant: TenantId) -> Tenant | None:
        row = self.session.connection.execute(_SELECT.where(_T.tenant == tenant)).one_or_none()
        return None if row is None else _tenant(row)

    def add(self, tenant: Tenant) -> bool:
        settings = msgspec.json.encode(tenant.settings).decode()
        row = (
            tenant.id,
            micros(tenant.created_at),
            settings,
            tenant.halted,
            tenant.halt_reason,
            tenant.edition,
            _packed(tenant.blackouts),
        )
        return run(self.session, _ADD, *row) == 1

    def save(self, tenant: Tenant) -> None:
        self.session.connection.execute(
            update(tables.tenant)
            .where(_T.tenant == tenant.id)
            .values(
                settings=msgspec.json.encode(tenant.settings).decode(),
                halted=tenant.halted,
                halt_reason=tenant.halt_reason,
                edition=tenant.edition,
                blackouts=_packed(tenant.blackouts),
            )
        )

    def every_tenant(self) -> list[Tenant]:
        return [_tenant(row) for row in self.session.connection.execute(_SELECT.order_by(_T.tenant))]
