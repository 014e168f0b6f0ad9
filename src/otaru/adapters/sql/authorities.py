"""Tenants' certificate authorities in SQL."""

from dataclasses import dataclass

from sqlalchemy import select, update

from otaru.adapters.sql.lean import run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import authority as table
from otaru.adapters.sql.tables import micros
from otaru.domain.authority import Authority
from otaru.domain.ids import TenantId

_T = table.c
_ADD = """
INSERT INTO authority (tenant, authority, "key", certificate, chain, created_at, expires_at, retired_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, authority) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class SqlAuthorities:
    """`ports.store.Authorities`."""

    session: Session

    def add(self, tenant: TenantId, authority: Authority) -> bool:
        ends = [None if at is None else micros(at) for at in (authority.expires_at, authority.retired_at)]
        row = (authority.id, authority.key, authority.certificate, authority.chain, micros(authority.created_at), *ends)
        return run(self.session, _ADD, tenant, *row) == 1

    def of(self, tenant: TenantId) -> list[Authority]:
        columns = (_T.authority, _T.key, _T.certificate, _T.chain, _T.created_at, _T.expires_at, _T.retired_at)
        query = select(*columns).where(_T.tenant == tenant).order_by(_T.created_at, _T.authority)
        return [
            Authority(id_, key, None if der is None else bytes(der), chain, created, expires, retired)
            for id_, key, der, chain, created, expires, retired in self.session.connection.execute(query)
        ]

    def save(self, tenant: TenantId, authority: Authority) -> None:
        self.session.connection.execute(
            update(table)
            .where(_T.tenant == tenant, _T.authority == authority.id)
            .values(
                certificate=authority.certificate,
                chain=authority.chain,
                expires_at=authority.expires_at,
                retired_at=authority.retired_at,
            )
        )

    def every_certificate(self) -> list[bytes]:
        query = select(_T.certificate).where(_T.certificate.is_not(None)).order_by(_T.tenant, _T.authority)
        return [bytes(der) for (der,) in self.session.connection.execute(query)]
