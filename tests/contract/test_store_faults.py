"""What the store does when databases conflict, vanish, fill up or are locked."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.store import SqlStore
from otaru.adapters.sql.tx import SqlTx
from otaru.domain.ids import TokenId
from otaru.domain.tenant import Tenant
from otaru.errors import StorageFullError, UnavailableError
from otaru.ports.store import Tx, one
from tests.conftest import Databases
from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.stores import ACME, NOW, happening, opened, record, subjects

pytestmark = pytest.mark.anyio


def sql(tx: Tx, statement: str) -> None:
    assert isinstance(tx, SqlTx)
    tx.record.session.connection.exec_driver_sql(statement)


@one
def make_tenant(tx: Tx, tenant: Tenant) -> bool:
    return tx.tenants.add(tenant)


@one
def count_up(tx: Tx, step: int) -> int:
    """Read, decide, write: what only serializable transactions keep right."""
    tenant = tx.tenants.get(ACME)
    assert tenant is not None
    tx.tenants.save(replace(tenant, edition=tenant.edition + step))
    return tenant.edition


async def test_two_workers_count_right(database: str) -> None:
    async with opened(database) as one_worker, opened(database, shard=1) as other:
        await one_worker.write(make_tenant, Tenant(ACME, NOW, edition=0))

        async def work(store: SqlStore) -> list[int]:
            return [await store.write(count_up, 1) for _ in range(60)]

        seen = await asyncio.gather(*(work(store) for store in (one_worker, other)))
        assert sorted(seen[0] + seen[1]) == list(range(120))


@one
def answer_once(tx: Tx, mine: bytes) -> bytes:
    """What an Idempotency-Key asks for."""
    if (known := tx.idempotency.get(ACME, TokenId("t"), "key")) is not None:
        return known[2]
    tx.idempotency.add(ACME, TokenId("t"), "key", b"", 200, mine, NOW)
    return mine


async def test_two_workers_answer_once(databases: Databases) -> None:
    for _ in range(10):
        url = databases.fresh()
        async with opened(url) as one_worker, opened(url, shard=1) as other:
            jobs = [store.write(answer_once, f"{n}".encode()) for n, store in enumerate([one_worker, other] * 5)]
            assert len(set(await asyncio.gather(*jobs))) == 1


async def hang_up(url: str) -> None:
    """Have the server drop every connection to this database."""

    def work() -> None:
        engine = open_writer(url)
        with engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        engine.dispose()

    await asyncio.to_thread(work)


async def test_a_lost_connection_is_made_anew(postgres_databases: PostgresDatabases) -> None:
    url = postgres_databases.fresh()
    async with opened(url) as store:
        await store.write(record, happening("0"))
        assert await subjects(store) == ["0"]
        assert await store.glance(lambda tx: tx.tenants.get(ACME)) is None
        for n in range(1, 4):
            await hang_up(url)
            await store.write(record, happening(f"{n}"))
            await hang_up(url)
            assert await subjects(store) == [f"{m}" for m in range(n + 1)]
            assert await store.glance(lambda tx: tx.tenants.get(ACME)) is None


async def test_a_connection_lost_inside_a_job_does_it_again(postgres_databases: PostgresDatabases) -> None:
    tries = 0

    def dying(tx: Tx, params: Sequence[str]) -> list[str]:
        nonlocal tries
        tries += 1
        tx.events.add([happening(param) for param in params])
        if tries == 1:
            sql(tx, "SELECT pg_terminate_backend(pg_backend_pid())")
        return list(params)

    async with opened(postgres_databases.fresh()) as store:
        assert await store.write(dying, "a") == "a"
        assert tries == 2
        assert await subjects(store) == ["a"]


async def test_a_commit_in_doubt_is_not_repeated(postgres_databases: PostgresDatabases) -> None:
    url = postgres_databases.fresh()
    engine = open_writer(url)
    with engine.begin() as connection:
        # The server hangs up when the transaction is about to commit.
        connection.exec_driver_sql(
            "CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.subject = 'doubt' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
            " RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER hang_up AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION hang_up()"
        )
    engine.dispose()
    calls = 0

    def counted(tx: Tx, params: Sequence[str]) -> list[int]:
        nonlocal calls
        calls += 1
        tx.events.add([happening(param) for param in params])
        return [1] * len(params)

    async with opened(url) as store:
        with pytest.raises(UnavailableError, match="while the change was committed"):
            await store.write(counted, "doubt")
        assert calls == 1
        assert await store.write(counted, "sure") == 1
        assert await subjects(store) == ["sure"]


async def test_a_server_that_is_not_there_is_named(
    postgres_databases: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otaru.adapters.sql.writer._RECONNECT_TRIES", 2)
    url = postgres_databases.fresh().replace("host=", "host=/nowhere")
    async with opened(url) as store:
        for ask in (store.read, store.glance):
            with pytest.raises(UnavailableError, match="does not answer"):
                await ask(lambda tx: tx.tenants.get(ACME))
        with pytest.raises(UnavailableError, match="does not answer"):
            await store.write(record, happening("x"))


async def test_a_full_disk_loses_nothing(sqlite_databases: SqliteDatabases) -> None:
    def too_much(tx: Tx, params: Sequence[str]) -> list[None]:
        sql(tx, "PRAGMA max_page_count = 1")  # no more pages than there are
        tx.events.add([happening(param, words="x" * 100_000) for param in params])
        return [None] * len(params)

    async with opened(sqlite_databases.fresh()) as store:
        await store.write(record, happening("before"))
        results = await asyncio.gather(*(store.write(too_much, f"{n}") for n in range(20)), return_exceptions=True)
        assert all(isinstance(result, StorageFullError) for result in results)
        assert await subjects(store) == ["before"]
        await store.write(record, happening("after"))
        assert await subjects(store) == ["before", "after"]


async def test_a_locked_file_is_named_and_waited_for(
    sqlite_databases: SqliteDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otaru.adapters.sql.engine.BUSY_TIMEOUT_MS", 50)
    url = sqlite_databases.fresh()
    async with opened(url) as store:
        engine = open_writer(url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM product"))
            with pytest.raises(UnavailableError, match="locked by another process"):
                await store.write(record, happening("locked out"))
            assert await subjects(store) == []  # readers do not wait
        engine.dispose()
        await store.write(record, happening("let in"))
        assert await subjects(store) == ["let in"]
