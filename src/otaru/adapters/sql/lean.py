"""Hot statements as plain SQL, one text for both engines, sent to the driver itself.

SQLAlchemy's own statements cost two to four times the work of SQLite itself, which is what a poll or a report waits
for; as text through its connection, still as much again. So hot paths use the driver's cursor, within the transaction
that SQLAlchemy has begun, and get plain tuples. Placeholders are `?` here and become what the driver wants; a text must
hold no other `?` and no `%`. Times are microseconds (`tables.micros`). Driver errors come as SQLAlchemy's, as elsewhere.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Never

import msgspec
import psycopg

from otaru.adapters.sql.session import Session

_DRIVER_ERRORS = (sqlite3.Error, psycopg.Error)

AnyRow = tuple[Any, ...]

Columns = tuple[tuple[str, str], ...]
"""Names of key columns with their PostgreSQL types."""


@lru_cache(maxsize=512)
def _driver_text(sql: str, *, postgres: bool) -> str:
    return sql.replace("?", "%s") if postgres else sql


def fetch(session: Session, sql: str, *params: Any) -> list[AnyRow]:
    """All rows of one statement."""
    return _fetched(session, _driver_text(sql, postgres=session.postgres), params)


def run(session: Session, sql: str, *params: Any) -> int:
    """Run one statement; how many rows it changed."""
    return _ran(session, _driver_text(sql, postgres=session.postgres), params)


def run_each(session: Session, sql: str, params: Sequence[tuple[Any, ...]]) -> None:
    """Run one statement once for each of `params`, prepared once; nothing where there are none."""
    if params:
        text = _driver_text(sql, postgres=session.postgres)
        try:
            session.cursor().executemany(text, params)
        except _DRIVER_ERRORS as error:
            _refuse(session, text, params, error)


def fetch_keyed(
    session: Session, columns: Columns, keys: Sequence[tuple[Any, ...]], sql: str, *params: Any
) -> list[AnyRow]:
    """All rows of one statement that reads many keys from a table `k`, whose text stays the same however many there are."""
    if not keys:
        return []
    return _fetched(session, _with_keys(columns, sql, postgres=session.postgres), (*_bound(session, keys), *params))


def run_keyed(session: Session, columns: Columns, keys: Sequence[tuple[Any, ...]], sql: str, *params: Any) -> None:
    """Run one statement that reads many keys from a table `k`."""
    if keys:
        _ran(session, _with_keys(columns, sql, postgres=session.postgres), (*_bound(session, keys), *params))


def _fetched(session: Session, text: str, params: tuple[Any, ...]) -> list[AnyRow]:
    try:
        rows: list[AnyRow] = session.cursor().execute(text, params).fetchall()
    except _DRIVER_ERRORS as error:
        _refuse(session, text, params, error)
    return rows


def _ran(session: Session, text: str, params: tuple[Any, ...]) -> int:
    try:
        changed: int = session.cursor().execute(text, params).rowcount
    except _DRIVER_ERRORS as error:
        _refuse(session, text, params, error)
    return changed


def _refuse(session: Session, text: str, params: Any, error: Exception) -> Never:
    # SQLAlchemy's own way to wrap an error and to part with connections that are lost (`test_store_faults` holds it).
    session.connection._handle_dbapi_exception(error, text, params, None, None)  # noqa: SLF001


@lru_cache(maxsize=512)
def _with_keys(columns: Columns, sql: str, *, postgres: bool) -> str:
    names = ", ".join(name for name, _ in columns)
    if postgres:
        arrays = ", ".join(f"?::{kind}[]" for _, kind in columns)
        source = f"SELECT * FROM unnest({arrays})"
    else:
        # A key of one column is not taken apart: with fifty of them that would be a third of such a statement.
        alone = len(columns) == 1
        values = "value" if alone else ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(columns)))
        source = f"SELECT {values} FROM json_each(?)"
    return _driver_text(f"WITH k({names}) AS ({source}) {sql}", postgres=postgres)


def _bound(session: Session, keys: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    if session.postgres:
        return tuple(list(column) for column in zip(*keys, strict=True))
    plain = [key for (key,) in keys] if len(keys[0]) == 1 else keys
    return (msgspec.json.encode(plain).decode(),)
