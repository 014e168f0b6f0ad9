"""Hot statements as plain SQL, one text for both engines.

SQLAlchemy's own statements cost two to four times the work of SQLite itself, which is what a poll or a report waits
for. So hot paths send text to the driver. Placeholders are `?` here and become what the driver wants; a text must hold
no other `?` and no `%`. Times are microseconds (`tables.micros`). Driver errors come as SQLAlchemy's, as elsewhere.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Row

from otaru.adapters.sql.session import Session

AnyRow = Row[*tuple[Any, ...]]

Columns = tuple[tuple[str, str], ...]
"""Names of key columns with their PostgreSQL types."""


@lru_cache(maxsize=512)
def _driver_text(sql: str, *, postgres: bool) -> str:
    return sql.replace("?", "%s") if postgres else sql


def fetch(session: Session, sql: str, *params: Any) -> Sequence[AnyRow]:
    """All rows of one statement."""
    return session.connection.exec_driver_sql(_driver_text(sql, postgres=session.postgres), params).fetchall()


def run(session: Session, sql: str, *params: Any) -> int:
    """Run one statement; how many rows it changed."""
    return session.connection.exec_driver_sql(_driver_text(sql, postgres=session.postgres), params).rowcount


def run_each(session: Session, sql: str, params: Sequence[tuple[Any, ...]]) -> None:
    """Run one statement once for each of `params`, prepared once; nothing where there are none."""
    if params:
        session.connection.exec_driver_sql(_driver_text(sql, postgres=session.postgres), list(params))


def fetch_keyed(
    session: Session, columns: Columns, keys: Sequence[tuple[Any, ...]], sql: str, *params: Any
) -> Sequence[AnyRow]:
    """All rows of one statement that reads many keys from a table `k`, whose text stays the same however many there are."""
    if not keys:
        return []
    text = _with_keys(columns, sql, postgres=session.postgres)
    return session.connection.exec_driver_sql(text, (*_bound(session, keys), *params)).fetchall()


def run_keyed(session: Session, columns: Columns, keys: Sequence[tuple[Any, ...]], sql: str, *params: Any) -> None:
    """Run one statement that reads many keys from a table `k`."""
    if keys:
        text = _with_keys(columns, sql, postgres=session.postgres)
        session.connection.exec_driver_sql(text, (*_bound(session, keys), *params))


@lru_cache(maxsize=512)
def _with_keys(columns: Columns, sql: str, *, postgres: bool) -> str:
    names = ", ".join(name for name, _ in columns)
    if postgres:
        arrays = ", ".join(f"?::{kind}[]" for _, kind in columns)
        source = f"SELECT * FROM unnest({arrays})"
    else:
        values = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(columns)))
        source = f"SELECT {values} FROM json_each(?)"
    return _driver_text(f"WITH k({names}) AS ({source}) {sql}", postgres=postgres)


def _bound(session: Session, keys: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    if session.postgres:
        return tuple(list(column) for column in zip(*keys, strict=True))
    return (msgspec.json.encode(keys).decode(),)
