"""The store port: what `write`, `read` and `glance` promise."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy.exc import DBAPIError

from otaru.adapters.bus.local import LocalBus
from otaru.adapters.sql.store import SqlStore
from otaru.domain.events import START, Happening, Kind
from otaru.domain.ids import TokenId
from otaru.errors import NotFoundError, OverloadedError, UnavailableError
from otaru.ports.store import Committed, Tx, one
from tests.support.stores import ACME, happening, opened, record, subjects

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(database: str) -> AsyncIterator[SqlStore]:
    async with opened(database) as store:
        yield store


class Gate:
    """Holds the writer inside a bulk function until it is opened."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._entered = threading.Event()
        self._open = threading.Event()

    def _hold(self, tx: Tx, params: Sequence[None]) -> list[None]:
        del tx
        self._entered.set()
        assert self._open.wait(60)
        return [None] * len(params)

    async def __aenter__(self) -> None:
        self._job = asyncio.create_task(self._store.write(self._hold, None))
        await asyncio.to_thread(self._entered.wait, 60)

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        await self._job


async def queue(store: SqlStore, happenings: Sequence[Happening]) -> list[asyncio.Task[int]]:
    """Start a job for each, and see them queued."""
    tasks = [asyncio.create_task(store.write(record, what)) for what in happenings]
    await asyncio.sleep(0)
    return tasks


async def test_jobs_that_wait_are_one_group(store: SqlStore) -> None:
    async with Gate(store):
        tasks = await queue(store, [happening(f"{n}") for n in range(300)])
    assert set(await asyncio.gather(*tasks)) == {300}
    assert await subjects(store) == [f"{n}" for n in range(300)]


async def test_a_group_is_of_one_function(store: SqlStore) -> None:
    calls: list[str] = []

    def first(tx: Tx, params: Sequence[int]) -> list[int]:
        calls.append("first")
        tx.events.add([happening(f"first {p}") for p in params])
        return list(params)

    def second(tx: Tx, params: Sequence[int]) -> list[int]:
        calls.append("second")
        tx.events.add([happening(f"second {p}") for p in params])
        return list(params)

    async with Gate(store):
        tasks = [asyncio.create_task(store.write(first if n % 2 else second, n)) for n in range(10)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == list(range(10))
    assert sorted(calls) == ["first", "second"]
    assert [s for s in await subjects(store) if s.startswith("first")] == [f"first {n}" for n in (1, 3, 5, 7, 9)]


async def test_one_poisoned_job_of_300_fails_alone(store: SqlStore) -> None:
    calls = 0

    def picky(tx: Tx, params: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        for param in params:
            tx.events.add([happening(f"{param}")])
            if param == 137:
                raise NotFoundError("137 is not there")
        return list(params)

    async with Gate(store):
        tasks = [asyncio.create_task(store.write(picky, n)) for n in range(300)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[137], NotFoundError)
    assert [r for r in results if not isinstance(r, BaseException)] == [n for n in range(300) if n != 137]
    assert await subjects(store) == [f"{n}" for n in range(300) if n != 137]
    assert calls < 25  # halves, not one by one


async def test_a_broken_rule_of_the_schema_fails_alone_too(store: SqlStore) -> None:
    def same_key(tx: Tx, params: Sequence[str]) -> list[None]:
        for upload in params:
            tx.blobs.begin_upload(ACME, upload, 1, "f", happening("x").at)
        return [None] * len(params)

    await store.write(same_key, "b")
    async with Gate(store):
        tasks = [asyncio.create_task(store.write(same_key, upload)) for upload in "abcde"]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r).__name__ for r in results] == ["NoneType", "IntegrityError", "NoneType", "NoneType", "NoneType"]
    assert await store.read(lambda tx: [u for u in "abcde" if tx.blobs.upload(ACME, u)]) == list("abcde")


async def test_a_group_without_its_results_changes_nothing(store: SqlStore) -> None:
    def forgetful(tx: Tx, params: Sequence[int]) -> list[int]:
        tx.events.add([happening("x")])
        return [*params, 0]

    with pytest.raises(RuntimeError, match="2 results for 1 jobs"):
        await store.write(forgetful, 1)
    assert await subjects(store) == []


async def test_even_an_exit_fails_only_its_job(store: SqlStore) -> None:
    def leaving(_tx: Tx, _params: Sequence[int]) -> list[int]:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="SystemExit"):
        await store.write(leaving, 1)
    assert await store.write(record, happening("after")) == 1


async def test_a_full_queue_refuses_and_goes_on(database: str) -> None:
    async with opened(database, capacity=10) as store:
        async with Gate(store):
            tasks = await queue(store, [happening(f"{n}") for n in range(25)])
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r for r in results if isinstance(r, int)] == [10] * 10
        assert all(isinstance(r, OverloadedError) for r in results[10:])
        assert await store.write(record, happening("later")) == 1
        assert await subjects(store) == [*(f"{n}" for n in range(10)), "later"]


async def test_results_come_in_the_order_of_commits(store: SqlStore) -> None:
    done: list[int] = []

    async def job(n: int) -> None:
        await store.write(record, happening(f"{n}"))
        done.append(n)

    await asyncio.gather(*(job(n) for n in range(2500)))
    assert done == list(range(2500))


async def test_a_cancelled_caller_does_not_take_its_job_back(store: SqlStore) -> None:
    async with Gate(store):
        tasks = await queue(store, [happening("stays"), happening("too")])
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert tasks[0].cancelled()
    assert await tasks[1] == 2
    assert await subjects(store) == ["stays", "too"]


async def test_closing_finishes_what_was_accepted(database: str) -> None:
    async with opened(database) as store:
        async with Gate(store):
            tasks = await queue(store, [happening(f"{n}") for n in range(50)])
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0)
            with pytest.raises(UnavailableError):
                await store.write(record, happening("too late"))
        await closing
        assert await asyncio.gather(*tasks) == [50] * 50
        for ask in (store.read, store.glance):
            with pytest.raises(UnavailableError):
                await ask(lambda tx: tx.events.last())
    async with opened(database) as store:
        assert len(await subjects(store)) == 50


async def test_a_result_is_visible_to_readers_at_once(store: SqlStore) -> None:
    for n in range(20):
        await store.write(record, happening(f"{n}"))
        for ask in (store.read, store.glance):
            found = await ask(lambda tx: tx.events.page(ACME, START, 100, newest_first=True))
            assert found[0].what.subject == f"{n}"


async def test_a_reader_sees_one_snapshot(store: SqlStore) -> None:
    await store.write(record, happening("before"))
    loop = asyncio.get_running_loop()

    def reader(tx: Tx) -> tuple[int, int]:
        before = len(tx.events.page(ACME, START, 100, newest_first=True))
        asyncio.run_coroutine_threadsafe(store.write(record, happening("meanwhile")), loop).result(60)
        return before, len(tx.events.page(ACME, START, 100, newest_first=True))

    assert await store.read(reader) == (1, 1)
    assert len(await subjects(store)) == 2


async def test_a_reader_cannot_change_anything(store: SqlStore) -> None:
    for ask in (store.read, store.glance):
        with pytest.raises((UnavailableError, DBAPIError)):
            await ask(lambda tx: tx.events.add([happening("x")]))
    assert await subjects(store) == []
    assert await store.glance(lambda tx: tx.events.last()) == START


async def test_what_a_reader_raises_reaches_its_caller(store: SqlStore) -> None:
    def reader(_: Tx) -> None:
        raise NotFoundError("nothing there")

    for ask in (store.read, store.glance):
        with pytest.raises(NotFoundError):
            await ask(reader)
    assert await subjects(store) == []


async def test_a_listener_hears_of_a_commit_before_its_caller(store: SqlStore) -> None:
    heard: list[Committed] = []
    leave = store.follow(heard.append)
    for n in range(5):
        await store.write(record, happening(f"{n}"))
        assert [what.subject for what in heard[-1].happenings] == [f"{n}"]
    found = await store.read(lambda tx: tx.events.page(ACME, START, 100, newest_first=True))
    assert {one.at.key for one in found} == {key for commit in heard for key in commit.keys}
    leave()
    leave()
    await store.write(record, happening("unheard"))
    assert len(heard) == 5


async def test_a_listener_hears_nothing_of_what_was_rolled_back(store: SqlStore) -> None:
    heard: list[Committed] = []
    store.follow(heard.append)

    def failing(tx: Tx, params: Sequence[str]) -> list[None]:
        tx.events.add([happening(p) for p in params])
        if "bad" in params:
            raise NotFoundError("bad")
        return [None] * len(params)

    async with Gate(store):
        tasks = [asyncio.create_task(store.write(failing, p)) for p in ("a", "bad", "b")]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(what.subject for commit in heard for what in commit.happenings) == ["a", "b"]


async def test_a_listener_that_fails_keeps_nobody_waiting(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Committed) -> None:
        raise ZeroDivisionError

    store.follow(broken)
    assert await store.write(record, happening("x")) == 1
    assert "a listener failed" in caplog.text


async def test_the_bus_is_woken_by_what_is_recorded(database: str) -> None:
    bus = LocalBus()
    woken = asyncio.Event()
    bus.subscribe("events", woken.set)
    async with opened(database, bus) as store:
        await store.write(one(lambda tx, token: tx.tokens.get(ACME, token)), TokenId("none"))
        await store.glance(lambda tx: tx.events.last())
        assert not woken.is_set()
        await store.write(record, happening("x", Kind.TENANT_CHANGED))
        async with asyncio.timeout(30):
            await woken.wait()
