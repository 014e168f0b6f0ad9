"""Opens databases: one kind of engine for the writer, one for readers, on SQLite and PostgreSQL.

SQLite runs in WAL mode with `synchronous=FULL`: a commit is on the disk when it returns. Its transactions are begun by
us, not by the driver: BEGIN IMMEDIATE for a writer, so that two processes queue for the lock instead of failing half
way, and plain BEGIN for readers, whose snapshot no writer waits for. PostgreSQL runs SERIALIZABLE for writers and
REPEATABLE READ, READ ONLY for readers.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from otaru.errors import DataFolderError, InvalidInputError

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another process's transaction (SQLite): a migration of a large table, say."""
_JOURNAL_PAUSE_MS = 20

BEGUN_BY_HAND = "otaru_begun_by_hand"
"""An execution option of SQLite connections whose owner sends BEGIN and ROLLBACK to the driver itself."""

_CONNECT_TIMEOUT_S = 10
_READER_STATEMENT_TIMEOUT_MS = 60_000


def database_url(text: str) -> URL:
    """Parse a database's address.

    Raises:
        InvalidInputError: it is neither `sqlite:///PATH` nor `postgresql://…`.
    """
    hint = "Use sqlite:///PATH or postgresql://USER@HOST/NAME."
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidInputError("the database's address is not a URL", hint=hint) from None
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and not url.host:
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise InvalidInputError("SQLite needs the path of a file", hint=hint)
        return url
    raise InvalidInputError(f"{url.drivername!r} is not a database that we know", hint=hint)


def open_writer(text: str) -> Engine:
    """An engine for changes. One connection of it writes at a time on SQLite.

    Raises:
        InvalidInputError: the address is none of ours.
        DataFolderError: the folder of an SQLite file is missing.
    """
    url = database_url(text)
    if url.drivername == "sqlite":
        return _open_sqlite(url, "BEGIN IMMEDIATE", ())
    # No statement timeout: a change of a million rows takes as long as it takes, and a migration too.
    return _open_postgres(url, "SERIALIZABLE", {}, "-c idle_in_transaction_session_timeout=60000")


def open_reader(text: str) -> Engine:
    """An engine for snapshots; a statement that changes anything fails.

    Raises:
        InvalidInputError: the address is none of ours.
        DataFolderError: the folder of an SQLite file is missing.
    """
    url = database_url(text)
    if url.drivername == "sqlite":
        return _open_sqlite(url, "BEGIN", ("PRAGMA query_only=ON",))
    options = f"-c idle_in_transaction_session_timeout=60000 -c statement_timeout={_READER_STATEMENT_TIMEOUT_MS}"
    return _open_postgres(url, "REPEATABLE READ", {"postgresql_readonly": True}, options)


def _open_sqlite(url: URL, begin: str, more: tuple[str, ...]) -> Engine:
    path = Path(url.database or "")
    if not path.parent.is_dir():
        raise DataFolderError(f"the folder {path.parent} does not exist")
    pragmas = (
        f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
        "PRAGMA synchronous=FULL",
        "PRAGMA journal_size_limit=67108864",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA cache_size=-16000",
        *more,
    )
    engine = create_engine(url, connect_args={"check_same_thread": False}, max_overflow=-1)

    def on_connect(connection: sqlite3.Connection, record: Any) -> None:
        del record
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in pragmas:
            connection.execute(pragma).close()
        _write_ahead(connection)

    def on_begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(BEGUN_BY_HAND):
            connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Set the journal mode. Where two processes open a new file together one is refused at once, whatever busy_timeout."""
    for left in reversed(range(BUSY_TIMEOUT_MS // _JOURNAL_PAUSE_MS)):
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or left == 0:
                raise
            time.sleep(_JOURNAL_PAUSE_MS / 1000)
        else:
            return


def _open_postgres(url: URL, isolation: Any, execution_options: dict[str, Any], options: str) -> Engine:
    # JIT compiles what runs a millisecond; a peer that is gone is noticed within half a minute.
    connect_args = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": "otaru",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "options": f"-c timezone=UTC -c jit=off {options}",
    }
    return create_engine(
        url,
        isolation_level=isolation,
        execution_options=execution_options,
        connect_args=connect_args,
        max_overflow=-1,
    )
