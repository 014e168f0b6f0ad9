"""Tenants' trust anchors for images, in SQL."""

from dataclasses import dataclass

from sqlalchemy import delete, select

from otaru.adapters.sql.lean import run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, trust_anchor
from otaru.domain.ids import TenantId
from otaru.images.facts import Format
from otaru.ports.store import Anchor

_T = trust_anchor.c
_ADD = """
INSERT INTO trust_anchor (tenant, format, anchor, pem, name, ends_at, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, format, anchor) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class SqlAnchors:
    """`ports.store.Anchors`."""

    session: Session

    def of(self, tenant: TenantId, form: Format | None = None) -> list[Anchor]:
        query = select(_T.format, _T.anchor, _T.pem, _T.name, _T.ends_at, _T.created_at).where(_T.tenant == tenant)
        if form is not None:
            query = query.where(_T.format == form.value)
        rows = self.session.connection.execute(query.order_by(_T.format, _T.created_at, _T.anchor))
        return [Anchor(Format(kind), *rest) for kind, *rest in rows]

    def add(self, tenant: TenantId, anchor: Anchor) -> bool:
        ends = None if anchor.ends_at is None else micros(anchor.ends_at)
        row = (anchor.format.value, anchor.id, anchor.pem, anchor.name, ends, micros(anchor.created_at))
        return run(self.session, _ADD, tenant, *row) == 1

    def remove(self, tenant: TenantId, form: Format, anchor: str) -> bool:
        of_it = (_T.tenant == tenant, _T.format == form.value, _T.anchor == anchor)
        return self.session.connection.execute(delete(trust_anchor).where(*of_it)).rowcount == 1
