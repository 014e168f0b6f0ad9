"""`ports.store.Store` on SQLite and PostgreSQL.

Changes go through the one writer (`writer.py`). Snapshots for scans run in a few threads, each with a connection of its
own. Snapshots of a few rows by key (`glance`) run, on SQLite, inline on the event loop: a hop to a thread and back costs
several times what such a read does. On PostgreSQL they have threads of their own, so that scans do not hold them up.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from otaru.adapters.sql.engine import BEGUN_BY_HAND, open_reader, open_writer
from otaru.adapters.sql.faults import Fault, fault, public
from otaru.adapters.sql.tx import SqlTx
from otaru.adapters.sql.writer import GroupWriter
from otaru.errors import OverloadedError, UnavailableError
from otaru.ports.bus import Bus
from otaru.ports.store import Committed, Tx

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

EVENTS_TOPIC = "events"
"""What the bus is woken on after each commit that recorded events."""

QUEUE_CAPACITY = 10_000
MAX_WAITING_READS = 1_000
_READER_THREADS = 4


def open_store(url: str, bus: Bus | None = None, *, shard: int = 0, capacity: int = QUEUE_CAPACITY) -> "SqlStore":
    """Open the database at `url`, which has the present schema (`migrate.upgrade`).

    `shard` is this worker's number, 0 to 15: workers that count apart do not wait for one another.

    Raises:
        InvalidInputError: the address is none of ours.
        DataFolderError: the folder of an SQLite file is missing.
    """
    return SqlStore(open_writer(url), open_reader(url), bus, shard, capacity)


class SqlStore:
    """`ports.store.Store`. Belongs to one event loop."""

    def __init__(self, writers: Engine, readers: Engine, bus: Bus | None, shard: int, capacity: int) -> None:
        """Take two engines, of `engine.open_writer` and `engine.open_reader`, which are disposed of on closing."""
        self._writers = writers
        self._readers = readers
        self._bus = bus
        self._shard = shard
        self._listeners: tuple[Callable[[Committed], None], ...] = ()
        self._scans = _Threads("otaru-scan", _READER_THREADS)
        inline = readers.dialect.name == "sqlite"
        self._glances = None if inline else _Threads("otaru-glance", _READER_THREADS)
        self._inline = _Inline(readers, shard) if inline else None
        self._scanning = _InlineEach(readers, shard) if inline else None
        self._writer = GroupWriter(writers, shard, capacity, self._committed, self._recorded)
        self._closed = False

    async def write(self, bulk: Callable[[Tx, Sequence[P]], Sequence[R]], param: P) -> R:
        """See the port."""
        result: R = await self._writer.submit(bulk, param)
        return result

    def beside(self) -> "SqlStore":
        """See the port: every write is by itself."""
        return self

    async def read(self, reader: Callable[[Tx], T]) -> T:
        """See the port."""
        scanning = self._snapshot if self._scanning is None else self._scanning.run
        return await self._scans.run(lambda: scanning(reader))

    async def glance(self, reader: Callable[[Tx], T]) -> T:
        """See the port."""
        if self._inline is not None:
            return self._inline.run(reader)
        assert self._glances is not None  # noqa: S101 - one of the two is made
        return await self._glances.run(lambda: self._snapshot(reader))

    def follow(self, listener: Callable[[Committed], None]) -> Callable[[], None]:
        """See the port."""
        self._listeners = (*self._listeners, listener)

        def leave() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    async def close(self) -> None:
        """See the port. Closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        for threads in (self._scans, self._glances):
            if threads is not None:
                await threads.close()
        for lines in (self._inline, self._scanning):
            if lines is not None:
                lines.close()
        self._writers.dispose()
        self._readers.dispose()

    def _snapshot(self, reader: Callable[[Tx], T]) -> T:
        try:
            return self._snapshot_once(reader)
        except DBAPIError as error:
            kind = fault(error)
            if kind is not Fault.GONE:
                raise public(kind) or error from error
        # The server may have been started anew since this connection was made: one new one, then give up.
        try:
            return self._snapshot_once(reader)
        except DBAPIError as error:
            raise public(fault(error)) or error from error

    def _snapshot_once(self, reader: Callable[[Tx], T]) -> T:
        with self._readers.connect() as connection, connection.begin():
            return reader(SqlTx(connection, self._shard))

    def _committed(self, commit: Committed) -> None:
        for listener in self._listeners:
            listener(commit)

    def _recorded(self) -> None:
        if self._bus is not None:
            self._bus.publish(EVENTS_TOPIC)


class _Threads:
    """A few threads, and no more than so many who wait for them."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._waiting = 0
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise UnavailableError("the store is closed")
        if self._waiting >= MAX_WAITING_READS:
            raise OverloadedError("too many questions wait for the database", hint="Try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)


class _Inline:
    """The connection of one thread (SQLite): the event loop's, or one of those that scan.

    Its snapshots are begun and ended by hand: for SQLAlchemy it is in one transaction all its life. Beginning one there
    costs more than reading a row.
    """

    def __init__(self, engine: Engine, shard: int) -> None:
        self._engine = engine
        self._shard = shard
        self._line: tuple[Connection, SqlTx, sqlite3.Connection] | None = None
        self._closed = False

    def run(self, reader: Callable[[Any], T]) -> T:
        if self._closed:
            raise UnavailableError("the store is closed")
        try:
            _, tx, driver = self._line or self._open()
            driver.execute("BEGIN")
            try:
                return reader(tx)
            finally:
                driver.rollback()
        except DBAPIError as error:
            self.drop()
            raise public(fault(error)) or error from error
        except sqlite3.Error as error:  # of our own BEGIN or ROLLBACK
            self.drop()
            raise UnavailableError("the database's storage fails") from error

    def close(self) -> None:
        self._closed = True
        self.drop()

    def drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line[0].invalidate()
            line[0].close()

    def _open(self) -> tuple[Connection, SqlTx, sqlite3.Connection]:
        connection = self._engine.connect().execution_options(**{BEGUN_BY_HAND: True})
        connection.begin()
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - the engine is SQLite's
        self._line = connection, SqlTx(connection, self._shard), driver
        return self._line


class _InlineEach:
    """Such a connection for each thread that asks."""

    def __init__(self, engine: Engine, shard: int) -> None:
        self._engine = engine
        self._shard = shard
        self._own = threading.local()
        self._all: list[_Inline] = []

    def run(self, reader: Callable[[Tx], T]) -> T:
        line: _Inline | None = getattr(self._own, "line", None)
        if line is None:
            line = self._own.line = _Inline(self._engine, self._shard)
            self._all.append(line)
        return line.run(reader)

    def close(self) -> None:
        """After the threads have ended."""
        for line in self._all:
            line.close()
