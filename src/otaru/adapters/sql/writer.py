"""The group-commit writer: one thread, one connection, one COMMIT for all that wait.

Theory of operation. Jobs arrive on the event loop and queue. The thread takes all that wait, calls each bulk function
once with its jobs, and commits. While it waits for the disk the next jobs gather: the busier, the larger the groups.
What happens on an error (`faults.Fault`):

- of a job (or anything unknown): all is rolled back and tried again in halves, down to the job that fails alone;
- of the moment (a conflict of serializable transactions, a lost connection before COMMIT): all is tried again, a
  bounded number of times;
- of the storage (full, broken, locked): all of the batch fail, since halves would too;
- of a COMMIT whose outcome nobody knows: all of the batch fail with `UnavailableError`, and nothing is repeated. The
  callers' own rules (idempotency keys, digests of reports) make their repetition harmless.
"""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, Engine

from otaru.adapters.sql.faults import Fault, fault, public, surely_rolled_back
from otaru.adapters.sql.tx import SqlTx
from otaru.errors import OverloadedError, UnavailableError
from otaru.ports.store import Committed

Bulk = Callable[[Any, Sequence[Any]], Sequence[Any]]

MAX_BATCH = 1000
"""Jobs of one transaction."""
_CROWD = 8
_LINGER_S = 0.001
"""After a batch of `_CROWD` jobs others are on their way: one commit a millisecond later serves them all, where commits at
once would serve half of them each and cost twice."""
_CONFLICT_TRIES = 12
_RECONNECT_TRIES = 5
_DUPLICATE_TRIES = 3

_log = logging.getLogger(__name__)


class _CommitInDoubtError(Exception):
    """The connection was lost between COMMIT and its answer."""


@dataclass(eq=False, slots=True)
class _Job:
    bulk: Bulk
    param: Any
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None
    decided: bool = False
    """Whether it is committed, or failed for good."""


class GroupWriter:
    """See the module's theory of operation. Everything but the thread's own work happens on one event loop."""

    def __init__(
        self,
        engine: Engine,
        shard: int,
        capacity: int,
        committed: Callable[[Committed], None],
        recorded: Callable[[], None],
    ) -> None:
        """Start the thread.

        `committed` is called on the loop before the results of that commit are handed out, `recorded` in the thread
        after commits that recorded events.
        """
        self._line = _Line(engine, shard)
        self._capacity = capacity
        self._committed = committed
        self._recorded = recorded
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="otaru-writer", daemon=True)
        self._thread.start()

    def submit(self, bulk: Bulk, param: Any) -> asyncio.Future[Any]:
        """Queue a job.

        Raises:
            OverloadedError: the queue is full.
            UnavailableError: the store is closing.
        """
        if self._closing:
            raise UnavailableError("the store is closing")
        if self._queue.qsize() >= self._capacity:
            raise OverloadedError("too many changes wait to be written", hint="Try again in a moment.")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put(_Job(bulk, param, future))
        return future

    async def close(self) -> None:
        """Finish what was accepted, then end the thread."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        open_for_jobs = True
        batch: list[_Job] = []
        while open_for_jobs:
            crowded = len(batch) >= _CROWD
            batch = []
            job = self._queue.get()
            if crowded:
                time.sleep(_LINGER_S)
            try:
                while job is not None and len(batch) < MAX_BATCH - 1:
                    batch.append(job)
                    job = self._queue.get_nowait()
            except Empty:
                pass
            else:
                if job is None:
                    open_for_jobs = False
                else:
                    batch.append(job)
            if batch:
                self._serve(batch)
        self._line.drop()

    def _serve(self, batch: list[_Job]) -> None:
        commits: list[Committed] = []
        try:
            self._commit(batch, commits)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the callers hear of it and the thread lives on
            self._line.drop()
            _fail([job for job in batch if not job.decided], lambda error=error: error)  # type: ignore[misc]
        recorded = bool(commits)
        by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        for job in batch:
            by_loop.setdefault(job.future.get_loop(), []).append(job)
        for loop, jobs in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._deliver, jobs, commits)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue
            commits = []
        if recorded:
            self._recorded()

    def _deliver(self, jobs: Iterable[_Job], commits: Iterable[Committed]) -> None:
        for commit in commits:
            try:
                self._committed(commit)
            except Exception:  # noqa: BLE001 - against its contract; those who wait for results must not
                _log.critical("a listener failed on a commit", exc_info=True)
        for job in jobs:
            if job.future.done():  # its caller was cancelled
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _commit(self, jobs: list[_Job], commits: list[Committed]) -> None:
        """Commit `jobs` together or, where some of them fail, in parts."""
        tries = 0
        while True:
            try:
                commit = self._line.transact(jobs)
            except _CommitInDoubtError:
                _fail(jobs, lambda: UnavailableError("the connection was lost while the change was committed"))
                return
            except Exception as error:  # noqa: BLE001 - every error is sorted below
                kind = fault(error)
                tries += 1
                if _worth_another_try(kind, tries, alone=len(jobs) == 1):
                    _pause(kind, tries)
                    continue
                if kind in {Fault.JOB, Fault.DUPLICATE, Fault.CONFLICT} and len(jobs) > 1:
                    break
                _fail(jobs, lambda kind=kind, error=error: public(kind) or error)  # type: ignore[misc]
                return
            for job in jobs:
                job.decided = True
            if commit is not None:
                commits.append(commit)
            return
        half = len(jobs) // 2
        self._commit(jobs[:half], commits)
        self._commit(jobs[half:], commits)


def _worth_another_try(kind: Fault, tries: int, *, alone: bool) -> bool:
    match kind:
        case Fault.CONFLICT:
            return tries < _CONFLICT_TRIES
        case Fault.GONE:
            return tries < _RECONNECT_TRIES
        case Fault.DUPLICATE:
            # In company halving is the other try.
            return alone and tries < _DUPLICATE_TRIES
        case _:
            return False


def _pause(kind: Fault, tries: int) -> None:
    if kind is Fault.GONE:
        time.sleep(0.1 * 2 ** (tries - 1))
    elif tries > 1:
        # Two workers that met meet again unless chance parts them.
        time.sleep(secrets.randbelow(1 << min(tries, 7)) / 1000)


def _fail(jobs: Iterable[_Job], error: Callable[[], BaseException]) -> None:
    # An exception for each: one object raised in many tasks would gather all their tracebacks.
    for job in jobs:
        job.error = error()
        job.decided = True


class _Line:
    """The writer's connection, made when it is needed and made anew after it failed."""

    def __init__(self, engine: Engine, shard: int) -> None:
        self._engine = engine
        self._shard = shard
        self._connection: Connection | None = None
        self._tx: SqlTx | None = None

    def drop(self) -> None:
        """Close the connection, whatever state it is in."""
        connection, self._connection, self._tx = self._connection, None, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def transact(self, jobs: Sequence[_Job]) -> Committed | None:
        """Run `jobs` in one transaction, grouped by bulk function, and commit it. What it recorded."""
        groups: dict[Bulk, list[_Job]] = {}
        for job in jobs:
            groups.setdefault(job.bulk, []).append(job)
        if self._connection is None or self._tx is None:
            self._connection = self._engine.connect()
            self._tx = SqlTx(self._connection, self._shard)
        tx = self._tx
        tx.record.take_added()
        try:
            transaction = self._connection.begin()
            try:
                for bulk, group in groups.items():
                    _call(tx, bulk, group)
            except BaseException:
                transaction.rollback()
                raise
        except BaseException as error:
            if fault(error) not in {Fault.JOB, Fault.CONFLICT, Fault.DUPLICATE}:
                self.drop()
            raise
        try:
            transaction.commit()
        except BaseException as error:
            self.drop()
            if surely_rolled_back(error):
                raise
            raise _CommitInDoubtError from error
        return tx.record.take_added()


def _call(tx: SqlTx, bulk: Bulk, group: list[_Job]) -> None:
    try:
        results = bulk(tx, [job.param for job in group])
    except Exception:
        raise
    except BaseException as error:  # SystemExit and its like would end the thread, or the caller's event loop
        raise RuntimeError(f"{bulk!r} ended with {error!r}") from error
    if len(results) != len(group):
        raise RuntimeError(f"{bulk!r} gave {len(results)} results for {len(group)} jobs")
    for job, result in zip(group, results, strict=True):
        job.result = result
