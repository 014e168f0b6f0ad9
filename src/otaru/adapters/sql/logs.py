"""Tenants' transparency logs, in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, or_, select, union, update

from otaru.adapters.sql import tables
from otaru.adapters.sql.lean import fetch, run, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain.events import Kind
from otaru.domain.ids import TenantId
from otaru.ports.store import Signed, Tree
from otaru.trust.log.entries import Draft, Log
from otaru.trust.log.merkle import HASH_SIZE
from otaru.trust.log.tiles import Tile

_W = tables.log_waiting.c
_E = tables.log_entry.c
_T = tables.log_tree.c
_C = tables.log_checkpoint.c
_FACTS = "at, kind, subject, entry, salt, text"
_WAIT = f"INSERT INTO log_waiting (tenant, log, {_FACTS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_WAITING = "SELECT number, entry FROM log_waiting WHERE tenant = ? AND log = ? ORDER BY number LIMIT ?"
_PLACE = f"""
INSERT INTO log_entry (tenant, log, place, {_FACTS})
SELECT tenant, log, ?, {_FACTS} FROM log_waiting WHERE number = ?"""
_PLACED = "DELETE FROM log_waiting WHERE tenant = ? AND log = ? AND number <= ?"
_GROW = """
INSERT INTO log_tree (tenant, log, size, signed) VALUES (?, ?, ?, 0)
ON CONFLICT (tenant, log) DO UPDATE SET size = excluded.size"""
_PUT = """
INSERT INTO log_tile (tenant, log, level, number, hashes) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, log, level, number) DO UPDATE SET hashes = excluded.hashes"""
_ENTRIES = "SELECT place, entry FROM log_entry WHERE tenant = ? AND log = ? AND place >= ? AND place < ?"
_TILE = "SELECT hashes FROM log_tile WHERE tenant = ? AND log = ? AND level = ? AND number = ?"
_PUBLISH = """
INSERT INTO log_checkpoint (tenant, log, size, note, signed_at, witnessed) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, log, size) DO UPDATE SET note = excluded.note, witnessed = excluded.witnessed"""
_COLUMNS = (_E.place, _E.at, _E.kind, _E.subject, _E.entry, _E.salt, _E.text)


def add(session: Session, drafts: Sequence[Draft]) -> None:
    """Have entries wait for their place, in the transaction of what they record."""
    run_each(
        session,
        _WAIT,
        [(d.tenant, d.log.value, micros(d.at), d.kind.value, d.subject, d.entry, d.salt, d.text) for d in drafts],
    )


@dataclass(frozen=True, slots=True)
class SqlLogs:
    """`ports.store.Logs`."""

    session: Session

    def every_unsettled(self) -> list[tuple[TenantId, Log]]:
        unsigned = select(_T.tenant, _T.log).where(_T.size > _T.signed)
        rows = self.session.connection.execute(union(select(_W.tenant, _W.log), unsigned))
        return sorted((TenantId(row.tenant), Log(row.log)) for row in rows)

    def tree(self, tenant: TenantId, log: Log) -> Tree:
        query = select(_T.size, _T.signed, _T.verifier).where(_T.tenant == tenant, _T.log == log)
        row = self.session.connection.execute(query).one_or_none()
        return Tree() if row is None else Tree(row.size, row.signed, row.verifier)

    def place_waiting(self, tenant: TenantId, log: Log, limit: int) -> list[bytes]:
        waiting = fetch(self.session, _WAITING, tenant, log.value, limit)
        if not waiting:
            return []
        first = self.tree(tenant, log).size
        # Of two workers the second waits here, and then begins anew (PostgreSQL).
        run(self.session, _GROW, tenant, log.value, first + len(waiting))
        run_each(self.session, _PLACE, [(first + at, number) for at, (number, _) in enumerate(waiting)])
        # On PostgreSQL one with a lower number may come to be seen later: none of those is deleted here unseen, since
        # this snapshot does not see it either.
        run(self.session, _PLACED, tenant, log.value, waiting[-1][0])
        return [bytes(entry) for _, entry in waiting]

    def put(self, tenant: TenantId, log: Log, tiles: Mapping[Tile, bytes]) -> None:
        run_each(self.session, _PUT, [(tenant, log.value, t.level, t.number, hashes) for t, hashes in tiles.items()])

    def behind(self, tenant: TenantId, log: Log) -> tuple[int, datetime | None]:
        waiting = select(func.count(), func.min(_W.at)).where(_W.tenant == tenant, _W.log == log)
        number, oldest = self.session.connection.execute(waiting).one()
        tree = self.tree(tenant, log)
        if tree.size > tree.signed:  # what has its place came before what waits for one
            placed = select(_E.at).where(_E.tenant == tenant, _E.log == log, _E.place == tree.signed)
            oldest = self.session.connection.execute(placed).scalar()
        return number + tree.size - tree.signed, oldest

    def tile(self, tenant: TenantId, log: Log, tile: Tile) -> bytes:
        rows = fetch(self.session, _TILE, tenant, log.value, tile.level, tile.number)
        return bytes(rows[0][0])[: tile.width * HASH_SIZE] if rows else b""

    def entries(self, tenant: TenantId, log: Log, start: int, end: int) -> list[bytes | None]:
        rows = fetch(self.session, _ENTRIES, tenant, log.value, start, end)
        known = {place: bytes(entry) for place, entry in rows}
        return [known.get(place) for place in range(start, end)]

    def found(
        self, tenant: TenantId, log: Log, subject: str | None, before: int | None, limit: int
    ) -> list[tuple[int, Draft]]:
        query = _of(tenant, log).order_by(_E.place.desc()).limit(limit)
        if subject is not None:
            query = query.where(_E.subject == subject)
        if before is not None:
            query = query.where(_E.place < before)
        return [(row.place, _draft(tenant, log, row)) for row in self.session.connection.execute(query)]

    def name(self, tenant: TenantId, log: Log, verifier: str) -> None:
        where = (_T.tenant == tenant, _T.log == log, _T.verifier.is_(None))
        self.session.connection.execute(update(tables.log_tree).where(*where).values(verifier=verifier))

    def publish(self, tenant: TenantId, log: Log, checkpoint: Signed) -> None:
        row = (tenant, log.value, checkpoint.size, checkpoint.note, micros(checkpoint.at), checkpoint.witnessed)
        run(self.session, _PUBLISH, *row)
        signed = update(tables.log_tree).where(_T.tenant == tenant, _T.log == log, _T.signed < checkpoint.size)
        self.session.connection.execute(signed.values(signed=checkpoint.size))
        kept = self.checkpoints(tenant, log)
        witnessed = [one.size for one in kept if one.witnessed]
        needed = {kept[0].size, *witnessed[:1]}
        old = delete(tables.log_checkpoint).where(_C.tenant == tenant, _C.log == log, _C.size.not_in(sorted(needed)))
        self.session.connection.execute(old)

    def checkpoints(self, tenant: TenantId, log: Log) -> list[Signed]:
        query = select(_C.size, _C.note, _C.signed_at, _C.witnessed).where(_C.tenant == tenant, _C.log == log)
        rows = self.session.connection.execute(query.order_by(_C.size.desc()))
        return [Signed(row.size, row.note, row.signed_at, row.witnessed) for row in rows]

    def erase(self, tenant: TenantId, place: int) -> bool:
        where = (_E.tenant == tenant, _E.log == Log.AUDIT, _E.place == place)
        known = or_(_E.salt.is_not(None), _E.text.is_not(None))
        erased = update(tables.log_entry).where(*where, known).values(salt=None, text=None)
        return self.session.connection.execute(erased).rowcount == 1


def _of(tenant: TenantId, log: Log) -> Select[Any]:
    return select(*_COLUMNS).where(_E.tenant == tenant, _E.log == log)


def _draft(tenant: TenantId, log: Log, row: Row[*tuple[Any, ...]]) -> Draft:
    return Draft(tenant, log, row.at, Kind(row.kind), row.entry, row.subject, row.salt, row.text)
