"""The record: its order, its positions, and what readers in order and registries see while transactions overlap."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from otaru.adapters.sql.engine import open_reader, open_writer
from otaru.adapters.sql.tx import SqlTx
from otaru.domain.events import START, Happening, Kind, Position, position
from otaru.domain.ids import TenantId
from otaru.ports.store import Recorded, Tx
from tests.conftest import Databases
from tests.support.stores import ACME, NOW, RIVAL, happening, later

Begin = Callable[[], AbstractContextManager[SqlTx]]


def beginner(url: str) -> Iterator[tuple[Begin, Begin]]:
    with ExitStack() as stack:

        def of(engine_of: Callable[[str], object]) -> Begin:
            engine = engine_of(url)
            stack.callback(engine.dispose)  # type: ignore[attr-defined]

            @contextmanager
            def begin() -> Iterator[SqlTx]:
                with engine.connect() as connection, connection.begin():  # type: ignore[attr-defined]
                    yield SqlTx(connection, 0)

            return begin

        yield of(open_writer), of(open_reader)


@pytest.fixture
def sides(database: str) -> Iterator[tuple[Begin, Begin]]:
    """Begins a change, begins a snapshot."""
    yield from beginner(database)


@pytest.fixture
def postgres(postgres_databases: Databases) -> Iterator[tuple[Begin, Begin]]:
    yield from beginner(postgres_databases.fresh())


def names(found: list[Recorded] | None) -> list[str]:
    assert found is not None
    return [one.what.subject for one in found]


def test_what_happened_comes_back_as_it_was(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    happenings = [
        Happening(
            ACME, later(0.000001), "user:ops ü", Kind.DEVICE_ADDED, "dev-1", {"a": [1, None, "x\u0000'"], "b": {}}
        ),
        Happening(ACME, NOW, "judge", Kind.ROLLOUT_MOVED, "7"),
    ]
    with write() as tx:
        tx.events.add(happenings)
        tx.events.add([])
    with read() as tx:
        found = tx.events.page(ACME, START, 10)
        assert [one.what for one in found] == happenings
        assert found[0].at < found[1].at == tx.events.last()
        assert [position(str(one.at)) for one in found] == [one.at for one in found]


def test_some_kinds_alone_come_in_order_and_in_pages(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    kinds = [Kind.DEPLOYMENT_MOVED, Kind.ROLLOUT_MOVED, Kind.DEPLOYMENT_MOVED, Kind.ROLLOUT_WAVE] * 3
    happenings = [Happening(ACME, NOW, "judge", kind, str(n % 2)) for n, kind in enumerate(kinds)]
    with write() as tx:
        tx.events.add(happenings)
        tx.events.add([Happening(RIVAL, NOW, "judge", Kind.ROLLOUT_MOVED, "1")])
    wanted = (Kind.ROLLOUT_MOVED, Kind.ROLLOUT_WAVE)
    expected = [what for what in happenings if what.kind in wanted]
    for newest, subject in ((False, None), (True, None), (True, "1"), (False, "1")):
        seen: list[Happening] = []
        at = START
        with read() as tx:
            while page := tx.events.page(ACME, at, 4, subject, newest, wanted):
                seen += [one.what for one in page]
                at = page[-1].at
        assert seen == (expected[::-1] if newest else expected)
    with read() as tx:
        assert tx.events.page(ACME, START, 4, "0", True, wanted) == []


def test_positions_lead_through_the_record(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    for start in range(0, 20, 5):
        with write() as tx:
            tx.events.add([happening(f"{n}") for n in range(start, start + 5)])
            tx.events.add([happening("secret", tenant=RIVAL)])
    with read() as tx:
        seen: list[str] = []
        at = START
        while page := tx.events.page(ACME, at, 3):
            seen += names(page)
            at = page[-1].at
        assert seen == [f"{n}" for n in range(20)]

        seen, at = [], START
        while page := tx.events.page(ACME, at, 3, newest_first=True):
            seen += names(page)
            at = page[-1].at
        assert seen == [f"{n}" for n in reversed(range(20))]

        assert names(tx.events.page(ACME, START, 10, subject="7")) == ["7"]
        assert names(tx.events.page(ACME, START, 10, subject="secret")) == []
        assert names(tx.events.page(TenantId("nobody"), START, 10)) == []
        assert len(tx.events.every_after(START, 100)) == 24
        assert names(tx.events.every_after(tx.events.every_after(START, 23)[-1].at, 100)) == ["secret"]
        assert tx.events.every_after(tx.events.last(), 100) == []


def test_since_a_mark_everything_comes_once(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    with read() as tx:
        mark = tx.events.mark()
        assert tx.events.every_since(mark, 10)[0] == []
    seen: list[str] = []
    for n in range(5):
        with write() as tx:
            tx.events.add([happening(f"{n}"), happening(f"{n}'", tenant=RIVAL)])
        with read() as tx:
            found, mark = tx.events.every_since(mark, 10)
            seen += names(found)
            assert tx.events.every_since(mark, 10)[0] == []
    assert seen == [text for n in range(5) for text in (f"{n}", f"{n}'")]


def test_too_much_since_a_mark_is_not_listed(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    with read() as tx:
        mark = tx.events.mark()
    with write() as tx:
        tx.events.add([happening(f"{n}") for n in range(10)])
    with read() as tx:
        assert names(tx.events.every_since(mark, 10)[0]) == [f"{n}" for n in range(10)]
        found, present = tx.events.every_since(mark, 9)
        assert found is None
        assert tx.events.every_since(present, 9)[0] == []


def test_a_kind_of_a_newer_program_is_no_error_to_a_registry(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    with read() as tx:
        mark = tx.events.mark()
    with write() as tx:
        tx.events.add([happening("x")])
        tx.record.session.connection.exec_driver_sql("UPDATE event SET kind = 'moon.landed'")
    with read() as tx:
        found, present = tx.events.every_since(mark, 9)
        assert found is None
        assert tx.events.every_since(present, 9)[0] == []


def test_old_happenings_are_forgotten(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    with write() as tx:
        tx.events.add([Happening(ACME, later(n), "system", Kind.DEVICE_CHANGED, f"{n}") for n in range(10)])
        assert tx.events.prune(later(4), 100) == 4
        assert tx.events.prune(later(4), 100) == 0
    with read() as tx:
        assert names(tx.events.page(ACME, START, 100)) == [f"{n}" for n in range(4, 10)]


def test_a_forgotten_record_goes_on_counting(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    with write() as tx:
        tx.events.add([happening("old")])
    with read() as tx:
        before, mark = tx.events.last(), tx.events.mark()
    with write() as tx:
        assert tx.events.prune(later(1), 100) == 1
    with read() as tx:
        assert tx.events.last() == START
    with write() as tx:
        tx.events.add([happening("new")])
    with read() as tx:
        assert names(tx.events.page(ACME, before, 10)) == ["new"]
        assert names(tx.events.every_since(mark, 10)[0]) == ["new"]


def test_keys_tell_what_a_transaction_added(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    mine: list[int] = []
    with read() as tx:
        before = tx.events.mark()
    for n in range(3):
        with write() as tx:
            tx.events.add([happening(f"mine {n}"), happening(f"mine {n}'")])
            tx.events.add([happening(f"mine {n}''")])
            commit = tx.record.take_added()
            assert commit is not None
            assert len(commit.happenings) == 3
            assert tx.record.take_added() is None
            mine += commit.keys
        with write() as tx:
            tx.events.add([happening(f"other {n}")])
    with read() as tx:
        found = tx.events.every_after(START, 100)
        assert names(tx.events.every_since(before, 3, mine)[0]) == [f"other {n}" for n in range(3)]
        assert len(names(tx.events.every_since(before, 12, [])[0])) == 12
    assert [one.what.subject for one in found if one.at.key in mine] == [
        f"mine {n}{mark}" for n in range(3) for mark in ("", "'", "''")
    ]


def test_a_commit_says_where_it_stands(sides: tuple[Begin, Begin]) -> None:
    write, read = sides
    for n in range(3):
        with read() as tx:
            before = tx.events.mark()
        with write() as tx:
            tx.events.add([happening(f"{n}"), happening(f"{n}'")])
            commit = tx.record.take_added()
            postgres = tx.record.session.postgres
        assert commit is not None
        with read() as tx:
            after = tx.events.mark()
        assert (commit.follows, commit.mark) == ((None, None) if postgres else (before, after))


def test_a_reader_in_order_waits_for_the_older_transaction(postgres: tuple[Begin, Begin]) -> None:
    write, read = postgres
    with ExitStack() as older:
        slow = older.enter_context(write())
        slow.events.add([happening("slow")])
        with write() as tx:
            tx.events.add([happening("fast")])
        with read() as tx:
            # `slow` may still commit, and then stands before `fast`: nobody may have stepped over its place.
            assert tx.events.every_after(START, 10) == []
            assert tx.events.page(ACME, START, 10) == []
            assert tx.events.last() == START
            # People see what is there.
            assert names(tx.events.page(ACME, START, 10, newest_first=True)) == ["fast"]
    with read() as tx:
        assert names(tx.events.every_after(START, 10)) == names(tx.events.page(ACME, START, 10)) == ["slow", "fast"]


def test_a_registry_does_not_wait(postgres: tuple[Begin, Begin]) -> None:
    write, read = postgres
    with read() as tx:
        mark = tx.events.mark()
    with ExitStack() as older:
        slow = older.enter_context(write())
        slow.events.add([happening("slow")])
        for n in range(3):
            with write() as tx:
                tx.events.add([happening(f"fast {n}")])
            with read() as tx:
                found, mark = tx.events.every_since(mark, 10)
                assert names(found) == [f"fast {n}"]
    with read() as tx:
        assert names(tx.events.every_since(mark, 10)[0]) == ["slow"]


def test_a_sequence_that_commits_out_of_order_is_not_lost(postgres: tuple[Begin, Begin]) -> None:
    """Writers overlap at random; a reader in order and a registry follow meanwhile. Both see everything once."""
    write, read = postgres
    writers, each = 4, 30

    def work(name: int) -> None:
        for n in range(each):
            with write() as tx:
                tx.events.add([happening(f"{name}-{n}")])

    with read() as tx:
        mark = tx.events.mark()
    threads = [threading.Thread(target=work, args=(name,)) for name in range(writers)]
    for thread in threads:
        thread.start()
    in_order: list[str] = []
    marked: list[str] = []
    at: Position = START

    def look(tx: Tx) -> None:
        nonlocal at, mark
        page = tx.events.every_after(at, 7)
        in_order.extend(names(page))
        at = page[-1].at if page else at
        found, mark = tx.events.every_since(mark, 1000)
        marked.extend(names(found))

    while any(thread.is_alive() for thread in threads):
        with read() as tx:
            look(tx)
    for thread in threads:
        thread.join()
    for _ in range(writers * each):
        with read() as tx:
            look(tx)
    everything = {f"{name}-{n}" for name in range(writers) for n in range(each)}
    assert len(in_order) == len(marked) == len(everything)
    assert set(in_order) == set(marked) == everything
