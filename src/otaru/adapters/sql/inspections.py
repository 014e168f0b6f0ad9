"""What tenants' bytes say of themselves, in SQL."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from otaru.adapters.sql.lean import run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import inspection, micros
from otaru.domain.ids import Sha256, TenantId
from otaru.images.facts import Facts, Format
from otaru.ports.store import Inspection

_I = inspection.c
_FACTS = msgspec.json.Decoder(Facts)
_PUT = """
INSERT INTO inspection (tenant, sha256, format, facts, broken, reader, stale, read_at)
SELECT tenant, sha256, ?, ?, ?, ?, ?, ? FROM blob WHERE tenant = ? AND sha256 = ?
ON CONFLICT (tenant, sha256) DO UPDATE SET format = excluded.format, facts = excluded.facts, broken = excluded.broken,
reader = excluded.reader, stale = excluded.stale, read_at = excluded.read_at"""
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class SqlInspections:
    """`ports.store.Inspections`."""

    session: Session

    def of(self, tenant: TenantId, digests: Collection[Sha256]) -> dict[Sha256, Inspection]:
        found: dict[Sha256, Inspection] = {}
        asked = list(digests)
        for start in range(0, len(asked), _CHUNK):
            query = select(inspection).where(_I.tenant == tenant, _I.sha256.in_(asked[start : start + _CHUNK]))
            found |= {Sha256(row.sha256): _inspection(row) for row in self.session.connection.execute(query)}
        return found

    def put(self, tenant: TenantId, sha256: Sha256, found: Inspection) -> None:
        facts = None if found.facts is None else msgspec.json.encode(found.facts).decode()
        kind = None if found.facts is None else found.facts.format.value
        row = (kind, facts, found.broken, found.reader, found.stale, micros(found.at))
        run(self.session, _PUT, *row, tenant, sha256)

    def expire(self, tenant: TenantId, form: Format) -> None:
        of_it = (_I.tenant == tenant, _I.format == form.value)
        self.session.connection.execute(update(inspection).where(*of_it).values(stale=True))

    def every_stale(self, limit: int) -> list[tuple[TenantId, Sha256]]:
        query = select(_I.tenant, _I.sha256).where(_I.stale).order_by(_I.tenant, _I.sha256).limit(limit)
        return [(TenantId(tenant), Sha256(sha256)) for tenant, sha256 in self.session.connection.execute(query)]


def _inspection(row: Row[*tuple[Any, ...]]) -> Inspection:
    facts = None if row.facts is None else _FACTS.decode(row.facts)
    return Inspection(facts, row.broken, row.reader, row.read_at, row.stale)
