"""The port `Deltas`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.blob_rows import SqlBlobRows
from otaru.adapters.sql.deltas import SqlDeltas
from otaru.adapters.sql.fleet import SqlFleet
from otaru.domain.delta import Delta, DeltaState, Pair
from otaru.domain.device import Installed, Lifecycle, Source
from otaru.domain.ids import ProductName, Sha256, Version
from tests.support.fleet import HERE, NOW, RPI, THERE, Shelf, a_blob, a_device, later, open_shelf

OLD, NEW, NEWER = (Sha256(sign * 64) for sign in "012")


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


@pytest.fixture
def deltas(shelf: Shelf) -> SqlDeltas:
    return SqlDeltas(shelf.session)


def a_delta(source: Sha256 = OLD, target: Sha256 = NEW, codec: str = "zstd-patch", *, due: float = 0) -> Delta:
    versions = Version("1.0"), Version("1.1")
    pair = Pair(source, target, codec)
    return Delta(pair, ProductName("app"), *versions, DeltaState.WAITING, later(due), NOW, 1 << 25)


def test_a_delta_comes_back_as_it_was_ordered_and_as_it_was_saved(deltas: SqlDeltas) -> None:
    waits = a_delta()
    assert deltas.order(HERE, [waits]) == [waits.pair]
    assert deltas.get(HERE, waits.pair) == waits
    made = replace(
        waits, state=DeltaState.MADE, attempts=2, patch=NEWER, size=5, full=1 << 40, memory=3, ended_at=later(9)
    )
    assert deltas.save(HERE, made)
    assert deltas.get(HERE, waits.pair) == made
    failed = replace(waits, state=DeltaState.FAILED, reason="it's ü", due_at=later(7))
    assert deltas.save(HERE, failed)
    assert deltas.get(HERE, waits.pair) == failed


def test_one_that_is_there_is_not_ordered_again(deltas: SqlDeltas) -> None:
    made = replace(a_delta(), state=DeltaState.MADE)
    deltas.order(HERE, [made])
    other = a_delta(codec="sequential-lzma")
    assert deltas.order(HERE, [a_delta(), other, other]) == [other.pair]
    assert deltas.get(HERE, made.pair) == made
    assert deltas.waiting(HERE) == 1


def test_what_nobody_ordered_is_not_saved(deltas: SqlDeltas) -> None:
    assert not deltas.save(HERE, a_delta())
    assert deltas.get(HERE, a_delta().pair) is None


def test_pages_are_complete(deltas: SqlDeltas) -> None:
    all_of_them = [a_delta(s, t, c) for t in (NEW, NEWER) for s in (OLD, NEW) for c in ("a", "b") if s != t]
    deltas.order(HERE, all_of_them[::-1])
    after, found = None, list[Delta]()
    while page := deltas.page(HERE, [NEW, NEWER, OLD], after, 2):
        found += page
        after = page[-1].pair
    assert found == all_of_them
    assert deltas.page(HERE, [OLD], None, 9) == []
    assert deltas.page(HERE, [], None, 9) == []


def test_the_queue_gives_each_tenant_its_turn_and_nothing_that_is_not_due(deltas: SqlDeltas) -> None:
    mine = [a_delta(codec=name, due=due) for name, due in (("a", -3), ("b", -2), ("c", 5))]
    deltas.order(HERE, mine)
    deltas.order(THERE, [a_delta(due=-1)])
    making = replace(mine[0], state=DeltaState.MAKING)
    deltas.save(HERE, making)
    due = deltas.every_due(NOW, 9)
    assert [(tenant, one.pair.codec) for tenant, one in due] == [(HERE, "a"), (THERE, "zstd-patch"), (HERE, "b")]
    assert due[0][1] == making
    assert len(deltas.every_due(NOW, 2)) == 2
    deltas.save(HERE, replace(mine[1], state=DeltaState.USELESS))
    assert [tenant for tenant, _ in deltas.every_due(NOW, 9)] == [HERE, THERE]


def test_tenants_see_and_change_their_own_alone(deltas: SqlDeltas) -> None:
    deltas.order(HERE, [a_delta()])
    assert deltas.get(THERE, a_delta().pair) is None
    assert (deltas.page(THERE, [NEW], None, 9), deltas.waiting(THERE)) == ([], 0)
    assert not deltas.save(THERE, a_delta())
    assert deltas.forget(THERE, [NEW]) == []
    assert deltas.waiting(HERE) == 1


def test_what_made_a_target_is_forgotten_with_it(deltas: SqlDeltas) -> None:
    made = replace(a_delta(), state=DeltaState.MADE, patch=NEWER)
    deltas.order(HERE, [made, a_delta(codec="other"), a_delta(NEW, OLD)])
    assert deltas.forget(HERE, [NEW]) == [NEWER]
    assert (deltas.get(HERE, made.pair), deltas.waiting(HERE)) == (None, 1)
    assert deltas.forget(HERE, []) == []


def test_the_bytes_of_a_patch_stay_while_it_stands(shelf: Shelf, deltas: SqlDeltas) -> None:
    patch, rows = a_blob("9"), SqlBlobRows(shelf.session)
    for tenant in (HERE, THERE):
        shelf.blob(tenant, patch)
    deltas.order(HERE, [replace(a_delta(), state=DeltaState.MADE, patch=patch.sha256)])
    assert not rows.remove(HERE, patch.sha256)
    assert rows.remove(THERE, patch.sha256)
    deltas.forget(HERE, [NEW])
    assert rows.remove(HERE, patch.sha256)


def test_the_versions_of_a_component_are_counted(shelf: Shelf) -> None:
    runs = [{"app": "1"}, {"app": "1", "os": "5"}, {"app": "2"}, {}]
    shelf.stock(HERE, [a_device(f"dev-{n}", runs=each) for n, each in enumerate(runs)])
    fleet = SqlFleet(shelf.session)
    assert fleet.spread(HERE, "app", 9) == {(RPI, "1"): 2, (RPI, "2"): 1}
    assert fleet.spread(HERE, "app", 1) == {(RPI, "1"): 2}
    assert (fleet.spread(HERE, "none", 9), fleet.spread(THERE, "app", 9)) == ({}, {})


def test_what_is_counted_follows_the_hardware(shelf: Shelf) -> None:
    shelf.stock(HERE, [a_device(f"dev-{n}", runs={"app": "1"}) for n in range(3)])
    fleet, revised = SqlFleet(shelf.session), replace(RPI, revision="2")
    moved = replace(a_device("dev-1", runs={"app": "1"}), hardware=revised)
    shelf.devices.save(HERE, moved)
    shelf.devices.save(HERE, replace(a_device("dev-2"), lifecycle=Lifecycle.DECOMMISSIONED))
    assert fleet.spread(HERE, "app", 9) == {(RPI, "1"): 1, (revised, "1"): 1}
    shelf.devices.install(HERE, [(moved.id, Installed("app", Version("2"), Source.OTARU, NOW))])
    assert fleet.spread(HERE, "app", 9) == {(RPI, "1"): 1, (revised, "2"): 1}
