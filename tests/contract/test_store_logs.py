"""The port `Logs`, on both engines: places without gaps, also where several workers give them."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.tx import SqlTx
from otaru.domain.events import Kind
from otaru.ports.store import Signed, Tree, Tx, one
from otaru.services.control.transparency import _place
from otaru.trust.log.entries import Log, opens
from otaru.trust.log.tiles import Tile
from tests.support.stores import ACME, NOW, RIVAL, happening, later, opened, record

pytestmark = pytest.mark.anyio

LOGGED = Kind.TENANT_LIFTED
"""Of which each actor's is an entry of the audit log."""
HEAD = Signed(1, "head\n", NOW)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    engine = open_writer(database)
    with engine.connect() as connection, connection.begin():
        yield connection
    engine.dispose()


@pytest.fixture
def tx(connection: Connection) -> Tx:
    return SqlTx(connection, 0)


def log(tx: Tx, *subjects: str) -> None:
    for subject in subjects:
        tx.events.add([happening(subject, LOGGED)])


def test_what_is_recorded_waits_for_its_place(tx: Tx) -> None:
    assert tx.logs.every_unsettled() == []
    log(tx, "a", "b")
    tx.events.add([happening("app:1", Kind.RELEASE_MOVED, RIVAL, to="published")])
    assert tx.logs.every_unsettled() == [(ACME, Log.AUDIT), (RIVAL, Log.RELEASE)]
    assert tx.logs.tree(ACME, Log.AUDIT) == Tree()
    assert tx.logs.found(ACME, Log.AUDIT, None, None, 10) == []


def test_what_is_not_logged_waits_for_nothing(tx: Tx) -> None:
    tx.events.add([happening("d-1"), happening("d-1", Kind.DEVICE_ATTRIBUTES), happening("d-1", Kind.DEPLOYMENT_MOVED)])
    assert tx.logs.every_unsettled() == []


def test_places_are_given_in_order_and_without_gaps(tx: Tx) -> None:
    log(tx, "a", "b", "c")
    first = tx.logs.place_waiting(ACME, Log.AUDIT, 2)
    log(tx, "d")
    second = tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    assert tx.logs.place_waiting(ACME, Log.AUDIT, 10) == []
    assert (len(first), len(second)) == (2, 2)
    assert tx.logs.tree(ACME, Log.AUDIT) == Tree(size=4)
    assert tx.logs.entries(ACME, Log.AUDIT, 0, 4) == [*first, *second]
    texts = [draft.text or b"" for _, draft in tx.logs.found(ACME, Log.AUDIT, None, None, 10)]
    assert [name for text in texts for name in "abcd" if f'"subject":"{name}"'.encode() in text] == list("dcba")


def test_entries_come_back_as_they_were_made(tx: Tx) -> None:
    log(tx, "ü")
    (entry,) = tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    ((place, draft),) = tx.logs.found(ACME, Log.AUDIT, None, None, 10)
    assert (place, draft.entry, draft.kind, draft.at, draft.log) == (0, entry, LOGGED, NOW, Log.AUDIT)
    assert opens(draft.entry, draft.salt or b"", draft.text or b"")


def test_entries_are_found_by_subject(tx: Tx) -> None:
    for to, version in (("published", 1), ("published", 2), ("withdrawn", 1)):
        tx.events.add([happening(f"app:{version}", Kind.RELEASE_MOVED, to=to)])
    tx.logs.place_waiting(ACME, Log.RELEASE, 10)
    assert [place for place, _ in tx.logs.found(ACME, Log.RELEASE, "app:1", None, 10)] == [2, 0]
    assert [place for place, _ in tx.logs.found(ACME, Log.RELEASE, "app:1", 2, 10)] == [0]
    assert [place for place, _ in tx.logs.found(ACME, Log.RELEASE, None, None, 2)] == [2, 1]
    assert tx.logs.found(RIVAL, Log.RELEASE, None, None, 10) == []


def test_an_entry_that_is_gone_leaves_its_place_empty(tx: Tx, connection: Connection) -> None:
    log(tx, "a", "b", "c")
    entries = tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    connection.execute(text("DELETE FROM log_entry WHERE place = 1"))
    assert tx.logs.entries(ACME, Log.AUDIT, 0, 4) == [entries[0], None, entries[2], None]


def test_tiles_grow(tx: Tx) -> None:
    tx.logs.put(ACME, Log.AUDIT, {Tile(0, 0, 1): b"a" * 32, Tile(1, 7): b"b" * 32})
    tx.logs.put(ACME, Log.AUDIT, {Tile(0, 0, 2): b"a" * 32 + b"c" * 32})
    assert tx.logs.tile(ACME, Log.AUDIT, Tile(0, 0, 1)) == b"a" * 32
    assert tx.logs.tile(ACME, Log.AUDIT, Tile(0, 0, 2)) == b"a" * 32 + b"c" * 32
    assert tx.logs.tile(ACME, Log.AUDIT, Tile(1, 7)) == b"b" * 32
    assert tx.logs.tile(ACME, Log.RELEASE, Tile(1, 7)) == tx.logs.tile(RIVAL, Log.AUDIT, Tile(1, 7)) == b""


def test_what_no_checkpoint_covers_is_unsettled(tx: Tx) -> None:
    log(tx, "a")
    tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    assert tx.logs.every_unsettled() == [(ACME, Log.AUDIT)]
    tx.logs.publish(ACME, Log.AUDIT, HEAD)
    assert tx.logs.every_unsettled() == []
    assert tx.logs.tree(ACME, Log.AUDIT) == Tree(1, 1)
    assert tx.logs.checkpoints(ACME, Log.AUDIT) == [HEAD]


def test_how_far_a_log_is_behind(tx: Tx) -> None:
    assert tx.logs.behind(ACME, Log.AUDIT) == (0, None)
    tx.events.add([replace(happening("a", LOGGED), at=later(0))])
    tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    tx.events.add([replace(happening("b", LOGGED), at=later(5))])
    tx.events.add([replace(happening("c", LOGGED, RIVAL), at=later(-5))])
    assert tx.logs.behind(ACME, Log.AUDIT) == (2, later(0))
    tx.logs.publish(ACME, Log.AUDIT, HEAD)
    assert tx.logs.behind(ACME, Log.AUDIT) == (1, later(5))
    tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    tx.logs.publish(ACME, Log.AUDIT, replace(HEAD, size=2))
    assert tx.logs.behind(ACME, Log.AUDIT) == (0, None)
    assert tx.logs.behind(RIVAL, Log.RELEASE) == (0, None)


def test_the_first_to_say_it_names_the_verifier(tx: Tx) -> None:
    log(tx, "a")
    tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    tx.logs.name(ACME, Log.AUDIT, "ours")
    tx.logs.name(ACME, Log.AUDIT, "theirs")
    assert tx.logs.tree(ACME, Log.AUDIT).verifier == "ours"


def test_the_newest_checkpoint_and_the_newest_that_was_witnessed_stay(tx: Tx) -> None:
    def sizes() -> list[tuple[int, bool]]:
        return [(one.size, one.witnessed) for one in tx.logs.checkpoints(ACME, Log.AUDIT)]

    log(tx, "a")
    tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    for size in (1, 2):
        tx.logs.publish(ACME, Log.AUDIT, replace(HEAD, size=size, at=later(size)))
    assert sizes() == [(2, False)]
    tx.logs.publish(ACME, Log.AUDIT, replace(HEAD, size=2, note="cosigned\n", witnessed=True))
    tx.logs.publish(ACME, Log.AUDIT, replace(HEAD, size=3))
    tx.logs.publish(ACME, Log.AUDIT, replace(HEAD, size=4))
    assert sizes() == [(4, False), (2, True)]
    assert tx.logs.checkpoints(ACME, Log.AUDIT)[1].note == "cosigned\n"
    tx.logs.publish(ACME, Log.AUDIT, replace(HEAD, size=4, witnessed=True))
    assert sizes() == [(4, True)]


def test_what_an_entry_hides_can_be_erased_and_the_entry_stays(tx: Tx) -> None:
    log(tx, "a")
    (entry,) = tx.logs.place_waiting(ACME, Log.AUDIT, 10)
    assert tx.logs.erase(ACME, 0)
    assert not tx.logs.erase(ACME, 0)
    assert not tx.logs.erase(ACME, 1)
    assert not tx.logs.erase(RIVAL, 0)
    ((_, draft),) = tx.logs.found(ACME, Log.AUDIT, None, None, 10)
    assert (draft.entry, draft.salt, draft.text) == (entry, None, None)


async def test_an_action_that_fails_leaves_no_entry(database: str) -> None:
    @one
    def fail(tx: Tx, subject: str) -> None:
        log(tx, subject)
        raise RuntimeError

    async with opened(database) as store:
        with pytest.raises(RuntimeError):
            await store.write(fail, "a")
        assert await store.read(lambda tx: tx.logs.every_unsettled()) == []


async def test_several_workers_give_each_place_once(database: str) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(database, shard=n)) for n in range(3)]

        async def write(worker: int) -> None:
            for n in range(40):
                await stores[worker].write(record, happening(f"{worker}-{n}", LOGGED))

        writing = [asyncio.create_task(write(worker)) for worker in range(3)]

        async def place(worker: int) -> int:
            placed = 0
            while True:
                done = all(task.done() for task in writing)
                placed += (now := await stores[worker].write(_place, (ACME, Log.AUDIT)))
                if done and not now:
                    return placed
                await asyncio.sleep(0)

        assert sum(await asyncio.gather(*(place(worker) for worker in range(3)))) == 120
        await asyncio.gather(*writing)
        tree = await stores[0].read(lambda tx: tx.logs.tree(ACME, Log.AUDIT))
        entries = await stores[0].read(lambda tx: tx.logs.entries(ACME, Log.AUDIT, 0, 121))
        assert tree.size == 120
        assert entries[120] is None
        assert len({entry for entry in entries if entry}) == 120
