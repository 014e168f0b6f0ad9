"""The record of what happened, in SQL.

Positions are (transaction, sequence). On SQLite there is one writer: sequences commit in order and the transaction is
0. On PostgreSQL a sequence number is drawn before its transaction commits, so a reader that follows numbers alone would
step over what commits late. There the transaction's id leads, and who reads *in order* (`page`, `every_after`) sees no
further than the oldest transaction that still runs: nothing can appear behind a position that was handed out.

Registries need no order, only to miss nothing, and must not wait for a long transaction of somebody else.
`every_since` gives them what was committed between two snapshots, whatever else runs.

What the transparency log wants of it becomes entries here, so that no service can forget to log what it records.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from secrets import token_bytes
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, delete, select, text, tuple_

from otaru.adapters.sql import logs, tables
from otaru.adapters.sql.lean import AnyRow, fetch, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.events import START, Happening, Kind, Position
from otaru.domain.ids import TenantId
from otaru.ports.store import Committed, Recorded
from otaru.trust.log.entries import SALT_SIZE, drafts, is_logged

_E = tables.event.c
_SELECT = select(_E.transaction, _E.sequence, _E.tenant, _E.at, _E.actor, _E.kind, _E.subject, _E.data)
_ORDER = (_E.transaction, _E.sequence)

# "transaction" is a word of SQL's own.
_ADD = """
INSERT INTO event ("transaction", tenant, at, actor, kind, subject, data) VALUES (?, ?, ?, ?, ?, ?, ?)"""
_THIS_TRANSACTION = "SELECT pg_current_xact_id()::text::bigint"
_LAST_ROWID = "SELECT last_insert_rowid()"
_SNAPSHOT = "SELECT pg_current_snapshot()::text"
_NEWEST = "SELECT max(sequence) FROM event"
_SINCE = 'SELECT "transaction", sequence, tenant, at, actor, kind, subject, data FROM event WHERE'
# The mark is a snapshot: an event is new where its transaction was not in it, which all below its xmin were.
_UNSEEN_POSTGRES = f"""
{_SINCE} "transaction" >= pg_snapshot_xmin(?::pg_snapshot)::text::bigint
AND NOT pg_visible_in_snapshot("transaction"::text::xid8, ?::pg_snapshot) AND "transaction" <> ALL (?)
ORDER BY "transaction", sequence LIMIT ?"""
_UNSEEN_SQLITE = f"""
{_SINCE} sequence > ? AND sequence NOT IN (SELECT value FROM json_each(?)) ORDER BY sequence LIMIT ?"""
_SETTLED = text("event.transaction < pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


def _encode(data: Any) -> str:
    return msgspec.json.encode(data).decode()


def _recorded(row: AnyRow, at: datetime) -> Recorded:
    transaction, sequence, tenant, _, actor, kind, subject, data = row
    happening = Happening(TenantId(tenant), at, actor, Kind(kind), subject, msgspec.json.decode(data))
    return Recorded(Position(transaction, sequence), happening)


def _after(position: Position) -> ColumnElement[bool]:
    return tuple_(*_ORDER) > tuple_(*_bound(position))


def _before(position: Position) -> ColumnElement[bool]:
    return tuple_(*_ORDER) < tuple_(*_bound(position))


def _bound(position: Position) -> Sequence[ColumnElement[Any]]:
    return (
        bindparam("transaction", position.transaction, _E.transaction.type),
        bindparam("sequence", position.sequence, _E.sequence.type),
    )


class SqlEvents:
    """`ports.store.Events`; remembers what its transaction added, for the writer to pass on after the commit."""

    __slots__ = ("_added", "_keys", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self._added: list[Happening] = []
        self._keys: list[int] = []

    def add(self, happenings: Sequence[Happening]) -> None:
        if not happenings:
            return
        transaction = fetch(self.session, _THIS_TRANSACTION)[0][0] if self.session.postgres else 0
        rows = [
            (transaction, what.tenant, micros(what.at), what.actor, what.kind.value, what.subject, _encode(what.data))
            for what in happenings
        ]
        run_each(self.session, _ADD, rows)
        logged = [
            replace(what, data=msgspec.json.decode(row[-1]))
            for what, row in zip(happenings, rows, strict=True)
            if is_logged(what)
        ]
        if logged:
            logs.add(self.session, drafts(logged, lambda: token_bytes(SALT_SIZE)))
        if transaction:
            self._keys = [transaction]
        else:
            last = fetch(self.session, _LAST_ROWID)[0][0]
            self._keys.extend(range(last - len(rows) + 1, last + 1))
        self._added.extend(happenings)

    def take_added(self) -> Committed | None:
        """What was added since this was last asked."""
        added, keys = self._added, self._keys
        if not added:
            return None
        self._added, self._keys = [], []
        if self.session.postgres:
            return Committed(added, keys)
        # One transaction at a time: its numbers follow those of all before it, without a gap.
        return Committed(added, keys, str(keys[0] - 1), str(keys[-1]))

    def page(
        self,
        tenant: TenantId,
        after: Position,
        limit: int,
        subject: str | None = None,
        newest_first: bool = False,
        kinds: Collection[Kind] = (),
    ) -> list[Recorded]:
        query: Select[Any] = _SELECT.where(_E.tenant == tenant)
        if newest_first:
            # People want to see what they just did, so this looks past the horizon.
            query = query.order_by(*(column.desc() for column in _ORDER))
            if after != START:
                query = query.where(_before(after))
        else:
            query = self._settled(query.where(_after(after)).order_by(*_ORDER))
        if subject is not None:
            query = query.where(_E.subject == subject)
            if kinds:
                query = query.where(_E.kind.in_(sorted(kinds)))
            return self._recorded(query.limit(limit))
        if not kinds:
            return self._recorded(query.limit(limit))
        # Each kind is an index range in the order of positions: the first of all are among the first of each.
        found = [
            one for kind in sorted(set(kinds)) for one in self._recorded(query.where(_E.kind == kind).limit(limit))
        ]
        return sorted(found, key=lambda one: one.at, reverse=newest_first)[:limit]

    def _recorded(self, query: Select[Any]) -> list[Recorded]:
        return [_recorded(row, row.at) for row in self.session.connection.execute(query)]

    def every_after(self, after: Position, limit: int) -> list[Recorded]:
        query = self._settled(_SELECT.where(_after(after)).order_by(*_ORDER)).limit(limit)
        return [_recorded(row, row.at) for row in self.session.connection.execute(query)]

    def last(self) -> Position:
        query = self._settled(select(*_ORDER).order_by(*(column.desc() for column in _ORDER))).limit(1)
        row = self.session.connection.execute(query).one_or_none()
        return START if row is None else Position(row.transaction, row.sequence)

    def mark(self) -> str:
        return str(fetch(self.session, _SNAPSHOT if self.session.postgres else _NEWEST)[0][0] or 0)

    def every_since(self, mark: str, limit: int, known: Collection[int] = ()) -> tuple[list[Recorded] | None, str]:
        left_out = list(known)
        if self.session.postgres:
            rows = fetch(self.session, _UNSEEN_POSTGRES, mark, mark, left_out, limit + 1)
        else:
            rows = fetch(self.session, _UNSEEN_SQLITE, int(mark), msgspec.json.encode(left_out).decode(), limit + 1)
        present = self.mark() if rows or known or self.session.postgres else mark
        if len(rows) > limit:
            return None, present
        try:
            return [_recorded(row, moment(row[3])) for row in rows], present
        except ValueError:  # a kind that a newer program records: old workers serve on while new ones start
            return None, present

    def prune(self, before: datetime, limit: int) -> int:
        # By position, which has an index and grows with time: what is young is not looked at.
        oldest = select(_E.sequence).order_by(_E.transaction, _E.sequence).limit(limit)
        old = delete(tables.event).where(_E.sequence.in_(oldest), _E.at < before)
        return self.session.connection.execute(old).rowcount

    def _settled(self, query: Select[Any]) -> Select[Any]:
        return query.where(_SETTLED) if self.session.postgres else query
