"""What a database's error means for the work that met it."""

import errno
import sqlite3
from enum import StrEnum

import psycopg
from sqlalchemy.exc import DBAPIError

from otaru.errors import OtaruError, OverloadedError, StorageFullError, UnavailableError


class Fault(StrEnum):
    """What to do about an error."""

    JOB = "job"
    """It belongs to the work itself: to a job that broke a rule, or to a mistake in a program."""
    DUPLICATE = "duplicate"
    """A key exists. On PostgreSQL a concurrent transaction may have made it: then another try sees it."""
    CONFLICT = "conflict"
    """Serializable transactions met; nothing was kept, another try may succeed."""
    GONE = "gone"
    """The server does not answer, or not for changes; a new connection may help."""
    BUSY = "busy"
    """Another process holds the lock, longer than we wait."""
    FULL = "full"
    """The disk is full."""
    BROKEN = "broken"
    """The storage fails: input and output errors, a damaged or read-only file."""


_SQLITE = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_IOERR: Fault.BROKEN,
    sqlite3.SQLITE_CANTOPEN: Fault.BROKEN,
    sqlite3.SQLITE_CORRUPT: Fault.BROKEN,
    sqlite3.SQLITE_NOTADB: Fault.BROKEN,
    sqlite3.SQLITE_READONLY: Fault.BROKEN,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES = {
    "23505": Fault.DUPLICATE,
    "25006": Fault.GONE,  # read_only_sql_transaction: this server has become a standby
    "25P03": Fault.GONE,  # idle_in_transaction_session_timeout
    "40001": Fault.CONFLICT,
    "40P01": Fault.CONFLICT,
    "53100": Fault.FULL,
    "53300": Fault.GONE,  # too_many_connections
    "55P03": Fault.BUSY,
    "57014": Fault.BUSY,  # query_canceled: statement_timeout
    "57P01": Fault.GONE,
    "57P02": Fault.GONE,
    "57P03": Fault.GONE,
    "58030": Fault.BROKEN,
    "XX001": Fault.BROKEN,
    "XX002": Fault.BROKEN,
}


def fault(error: BaseException) -> Fault:
    """What kind of error this is."""
    if isinstance(error, DBAPIError):
        return _of_driver(error.orig) if error.orig is not None else Fault.JOB
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Fault.FULL
    return Fault.JOB


def _of_driver(error: BaseException) -> Fault:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return Fault.JOB if code is None else _SQLITE.get(code & 0xFF, Fault.JOB)
    if isinstance(error, psycopg.Error):
        state = error.sqlstate
        if state is None:  # not the server's words, the driver's: the connection is lost or was never made
            return Fault.GONE if isinstance(error, psycopg.OperationalError) else Fault.JOB
        return Fault.GONE if state.startswith("08") else _POSTGRES.get(state, Fault.JOB)
    return Fault.JOB


def surely_rolled_back(error: BaseException) -> bool:
    """Whether an error that a COMMIT raised says that nothing was committed.

    SQLite rolls back when it is full or busy; after an input or output error the bytes may be on the disk or not. The
    PostgreSQL server's own refusals are certain; a lost connection is not.
    """
    return fault(error) in {Fault.FULL, Fault.BUSY, Fault.CONFLICT, Fault.DUPLICATE, Fault.JOB}


def public(kind: Fault) -> OtaruError | None:
    """The error that a user sees for it; None where the original one says more."""
    match kind:
        case Fault.JOB | Fault.DUPLICATE:
            return None
        case Fault.CONFLICT:
            return OverloadedError("too many changes meet at the same rows", hint="Try again in a moment.")
        case Fault.GONE:
            return UnavailableError("the database does not answer")
        case Fault.BUSY:
            return UnavailableError("the database is locked by another process", hint="Try again in a moment.")
        case Fault.FULL:
            return StorageFullError("the database's disk is full", hint="Free some space; nothing was lost.")
        case Fault.BROKEN:
            return UnavailableError("the database's storage fails", hint="See `otaru db check`.")
