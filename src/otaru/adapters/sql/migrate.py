"""Brings a database to the schema of this program, and says in what state it is.

Revisions only go forward, and each leaves a schema on which the program before it still works: workers of both may
serve while it runs. All pending revisions are one transaction; readers are not held up.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from otaru.adapters.sql import statistics, tables
from otaru.adapters.sql.engine import database_url, open_reader, open_writer
from otaru.adapters.sql.faults import Fault, fault, public
from otaru.errors import DataFolderError, OtaruError

_SCRIPTS = Path(__file__).with_name("migrations")
_ALEMBIC = threading.Lock()
"""Alembic keeps its context in globals of its module."""
_LOCK = 0x6F746172755F6462
"""Of PostgreSQL's advisory locks: two workers that start together migrate one after the other."""


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What `check` found."""

    current: str | None
    """The revision that the database has; None: none yet."""
    head: str
    """The revision that this program wants."""
    pending: tuple[str, ...]
    """Revisions that `upgrade` would apply, in order."""
    problems: tuple[str, ...]
    """What is damaged or missing, in words."""

    @property
    def ok(self) -> bool:
        """Whether this program can use the database as it is."""
        return not self.pending and not self.problems


def upgrade(url: str) -> list[str]:
    """Bring the database to the present schema, making it where there is none; the revisions that were applied.

    Raises:
        DataFolderError: the database is newer than this program, or it is none of ours.
        UnavailableError: the database does not answer or is locked.
        StorageFullError: the disk is full; nothing has changed.
    """
    engine = open_writer(url)
    try:
        with engine.connect() as guard:
            if guard.dialect.name == "postgresql":
                guard.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
                guard.commit()
            try:
                return _upgrade(engine)
            finally:
                if guard.dialect.name == "postgresql":
                    guard.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
                    guard.commit()
    except DBAPIError as error:
        raise _public(error, "migrated") from error
    finally:
        engine.dispose()


def check(url: str) -> DatabaseState:
    """Look at the database without changing it.

    Raises:
        DataFolderError: the database is newer than this program, or it is none of ours.
        UnavailableError: the database does not answer.
    """
    address = database_url(url)
    if address.drivername == "sqlite" and not Path(address.database or "").is_file():
        raise DataFolderError(f"there is no database {address.database}", hint="`otaru db upgrade` makes one.")
    engine = open_reader(url)
    try:
        # Without a commit at the end, which a damaged file would refuse.
        with engine.connect() as connection:
            current, pending = _revisions(connection)
            problems = _problems(connection) if current is not None else []
            return DatabaseState(current, _head(), tuple(pending), tuple(problems))
    except DBAPIError as error:
        raise _public(error, "read") from error
    finally:
        engine.dispose()


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration: there is no file of it."""
    made = Config()
    made.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    if connection is not None:
        made.attributes["connection"] = connection
    return made


def _upgrade(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        with connection.begin():
            _, pending = _revisions(connection)
        applied: list[str] = []
        if pending:
            # No transaction is open here: alembic begins its own, which it must be able to leave for a while
            # (`autocommit_block`, for CREATE INDEX CONCURRENTLY). It looks again at what is pending.
            made = config(connection)
            made.attributes["applied"] = applied
            with _ALEMBIC:
                command.upgrade(made, "head")
        with connection.begin():
            statistics.settle(connection)
        return applied


def _public(error: DBAPIError, done: str) -> OtaruError:
    kind = fault(error)
    refused = DataFolderError(f"the database cannot be {done}: {error.orig}")
    return refused if kind is Fault.BROKEN else public(kind) or refused


def _head() -> str:
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None  # noqa: S101 - the first revision is in this package
    return head


def _revisions(connection: Connection) -> tuple[str | None, list[str]]:
    """The database's revision, and those that are pending, in order."""
    scripts = ScriptDirectory.from_config(config())
    order = [script.revision for script in scripts.walk_revisions()][::-1]
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        if inspect(connection).has_table(tables.device.name):
            raise DataFolderError("the database holds tables of our names, but not made by us")
        return None, order
    if current not in order:
        raise DataFolderError(
            f"the database is newer than this program: it has revision {current}, this program knows {order[-1]}",
            hint="Use the program that made it, or a newer one.",
        )
    return current, order[order.index(current) + 1 :]


def _problems(connection: Connection) -> list[str]:
    found = set(inspect(connection).get_table_names())
    problems = [f"table {name} is missing" for name in sorted(set(tables.metadata.tables) - found)]
    if connection.dialect.name == "sqlite":
        try:
            problems += [row[0] for row in connection.execute(text("PRAGMA integrity_check")) if row[0] != "ok"]
        except DBAPIError as error:  # too damaged to be looked through
            problems.append(str(error.orig))
    return problems
