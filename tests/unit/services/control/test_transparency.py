"""From an action to a checkpoint that can be checked; crashes at each step, and a history that was changed."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, make_url, text

from otaru.adapters.notary import FolderNotary
from otaru.domain.events import START, Happening, Kind
from otaru.domain.ids import TenantId
from otaru.errors import AlreadyExistsError, InvalidInputError, NotFoundError, RefusedError, UnavailableError
from otaru.ports.store import Tx, one
from otaru.services.control import tenants, transparency
from otaru.services.control.transparency import integrate
from otaru.services.control.world import Actor, World
from otaru.trust.log import merkle
from otaru.trust.log.entries import Log
from otaru.trust.log.notes import COSIGNATURE, MAX_SIGNATURES, Checkpoint, Verifier, cosign, opened, verifier
from otaru.trust.log.review import review
from otaru.trust.log.tiles import ENTRIES, Tile, grow, tiles, unbundle
from tests.support.databases import SqliteDatabases
from tests.support.stores import ACME, RIVAL, happening
from tests.support.world import a_world

pytestmark = pytest.mark.anyio

EVE = Actor("user:eve")


@one
def note_down(tx: Tx, what: Happening) -> None:
    tx.events.add([what])


async def act(world: World, times: int = 1) -> None:
    """Two entries of ACME's audit log each time."""
    kinds = (Kind.TENANT_HALTED, Kind.TENANT_LIFTED)
    done = [happening(str(n), kind) for n in range(times) for kind in kinds]
    await asyncio.gather(*(world.store.write(note_down, what) for what in done))


async def head(world: World, tenant: TenantId = ACME, log: Log = Log.AUDIT) -> Checkpoint:
    found = await transparency.state(world, tenant, log)
    assert found.newest is not None
    assert found.tree.verifier is not None
    assert found.newest.size == found.tree.signed
    return opened(found.newest.note, verifier(found.tree.verifier))


async def checked(world: World, old: Checkpoint | None = None) -> Checkpoint:
    """The head of ACME's audit log, after all of it was looked through."""
    new = await head(world)
    places = [
        Tile(level, n, min(256, new.size - n * 256)) for level in (0, ENTRIES) for n in range(-(-new.size // 256))
    ]
    served = {place: await transparency.tile(world, ACME, Log.AUDIT, place) for place in places}
    assert len(list(review(new, served.__getitem__, old))) == new.size
    return new


async def test_what_was_done_is_signed_and_can_be_checked(world: World) -> None:
    await act(world, 3)
    assert await integrate(world) == 2
    first = await checked(world)
    assert first.size == 7
    await act(world, 200)
    assert await integrate(world) == 1
    assert (await checked(world, first)).size == 407


async def test_a_round_without_anything_new_writes_nothing(world: World) -> None:
    await act(world)
    await integrate(world)
    before = await head(world)
    written: list[object] = []
    world.store.follow(written.append)
    assert await integrate(world) == 0
    assert await head(world) == before
    assert written == []


async def test_many_entries_take_several_transactions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transparency, "BATCH", 100)
    await act(world, 260)
    await integrate(world)
    assert (await checked(world)).size == 521


async def test_tenants_and_logs_have_keys_of_their_own(world: World) -> None:
    await world.store.write(note_down, happening("app:1", Kind.RELEASE_MOVED, to="published"))
    await integrate(world)
    heads = [await head(world), await head(world, RIVAL), await head(world, log=Log.RELEASE)]
    assert len({h.origin for h in heads}) == 3
    assert all(h.origin.startswith("otaru/") for h in heads)


async def test_keys_are_their_owners_alone(world: World, tmp_path: Path) -> None:
    await integrate(world)
    files = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"audit.key", "audit.signed"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


class _Died(Exception):  # noqa: N818 - not an error: the end
    pass


def _before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    async def die(*_: object, **__: object) -> None:
        raise _Died

    monkeypatch.setattr(owner, name, die)


def _die_after_placing(monkeypatch: pytest.MonkeyPatch) -> None:
    _before(monkeypatch, transparency, "_sign")


def _die_before_signing(monkeypatch: pytest.MonkeyPatch) -> None:
    _before(monkeypatch, FolderNotary, "sign")


def _die_before_the_first_key(monkeypatch: pytest.MonkeyPatch) -> None:
    _before(monkeypatch, FolderNotary, "make")


def _die_before_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FolderNotary.sign

    async def sign_and_die(self: FolderNotary, *given: Any) -> str:
        await real(self, *given)
        raise _Died

    monkeypatch.setattr(FolderNotary, "sign", sign_and_die)


def _die_before_naming(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FolderNotary.make

    async def make_and_die(self: FolderNotary, *given: Any) -> Verifier:
        await real(self, *given)
        raise _Died

    monkeypatch.setattr(FolderNotary, "make", make_and_die)


STEPS = [
    _die_after_placing,
    _die_before_the_first_key,
    _die_before_naming,
    _die_before_signing,
    _die_before_publishing,
]


@pytest.mark.parametrize("dying", STEPS)
@pytest.mark.parametrize("signed_before", [False, True])
@pytest.mark.parametrize("more", [0, 1])
async def test_a_crash_at_any_step_is_repeated(
    dying: Callable[[pytest.MonkeyPatch], None],
    signed_before: bool,
    more: int,
    sqlite_databases: SqliteDatabases,
    tmp_path: Path,
) -> None:
    url = sqlite_databases.fresh()
    old = None
    with pytest.MonkeyPatch.context() as patch:
        async with a_world(url, tmp_path) as (world, _):
            if signed_before:
                await act(world, 10)
                await integrate(world)
                old = await checked(world)
            await act(world, 150)
            dying(patch)
            if signed_before and dying in {_die_before_the_first_key, _die_before_naming}:
                return  # there is a key already
            with pytest.raises(_Died):
                await integrate(world)
    async with a_world(url, tmp_path) as (world, _):
        await act(world, more)
        await integrate(world)
        new = await checked(world, old)
        assert new.size == (20 if signed_before else 0) + 301 + 2 * more


async def test_what_is_not_signed_is_not_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await act(world)
    await integrate(world)
    await act(world)
    with monkeypatch.context() as patch:
        _die_after_placing(patch)
        with pytest.raises(_Died):
            await integrate(world)
    assert (await transparency.state(world, ACME, Log.AUDIT)).tree.size == 5
    for level in (0, ENTRIES):
        assert await transparency.tile(world, ACME, Log.AUDIT, Tile(level, 0, 3))
        with pytest.raises(NotFoundError):
            await transparency.tile(world, ACME, Log.AUDIT, Tile(level, 0, 4))


async def test_a_database_that_was_put_back_is_not_signed(sqlite_databases: SqliteDatabases, tmp_path: Path) -> None:
    """The head of 7 entries was shown: another history of 5, and later of 9, must never be."""
    url = sqlite_databases.fresh()
    path = Path(str(make_url(url).database))
    async with a_world(url, tmp_path) as (world, _):
        await act(world)
        await integrate(world)
    shutil.copy(path, tmp_path / "backup")
    async with a_world(url, tmp_path) as (world, _):
        await act(world, 2)
        await integrate(world)
        assert (await head(world)).size == 7
    shutil.copy(tmp_path / "backup", path)
    async with a_world(url, tmp_path) as (world, _):
        assert await integrate(world) == 0
        await act(world)
        with pytest.raises(RefusedError, match="not what was signed before"):
            await integrate(world)
        await act(world, 2)
        with pytest.raises(RefusedError, match="not what was signed before"):
            await integrate(world)
        assert (await head(world)).size == 3


async def test_tiles_that_were_changed_are_not_signed(sqlite_databases: SqliteDatabases, tmp_path: Path) -> None:
    url = sqlite_databases.fresh()
    async with a_world(url, tmp_path) as (world, _):
        await act(world, 2)
        await integrate(world)

    @one
    def forge(tx: Tx, _: None) -> None:
        tx.logs.put(ACME, Log.AUDIT, grow(0, {}, [merkle.leaf_hash(b"forged")] * 5))

    async with a_world(url, tmp_path) as (world, _):
        await world.store.write(forge, None)
        await act(world)
        await tenants.halt(world, RIVAL, EVE, "")
        with pytest.raises(RefusedError):
            await integrate(world)
        assert (await head(world, RIVAL)).size == 2, "one log does not hold up another"


async def test_a_tile_that_is_gone_is_told(sqlite_databases: SqliteDatabases, tmp_path: Path) -> None:
    url = sqlite_databases.fresh()
    async with a_world(url, tmp_path) as (world, _):
        await act(world)
        await integrate(world)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM log_tile"))
        engine.dispose()
        await act(world)
        with pytest.raises(UnavailableError, match="damaged"):
            await integrate(world)


async def test_a_worker_without_the_key_places_and_leaves_signing_to_the_other(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    url = sqlite_databases.fresh()
    async with a_world(url, tmp_path / "one") as (world, _):
        await act(world)
        await integrate(world)
    async with a_world(url, tmp_path / "other") as (other, _):
        await act(other)
        assert await integrate(other) == 0
        state = await transparency.state(other, ACME, Log.AUDIT)
        assert (state.tree.size, state.tree.signed) == (5, 3)
        assert not list((tmp_path / "other/log").rglob("*"))
    async with a_world(url, tmp_path / "one") as (world, _):
        await integrate(world)
        assert (await checked(world)).size == 5


async def test_erasing_keeps_the_tree_and_is_logged(world: World) -> None:
    await act(world)
    await integrate(world)
    before = await checked(world)
    await transparency.erase(world, ACME, EVE, 1)
    with pytest.raises(NotFoundError):
        await transparency.erase(world, ACME, EVE, 1)
    await integrate(world)
    after = await checked(world, before)
    found = dict(await transparency.entries(world, ACME, Log.AUDIT, None, None, 10))
    assert (found[1].text, found[1].salt) == (None, None)
    assert (after.size, found[3].kind) == (4, Kind.LOG_ERASED)


async def test_witnesses_sign_the_newest_head(world: World) -> None:
    await act(world)
    await integrate(world)
    found = await transparency.state(world, ACME, Log.AUDIT)
    assert found.newest is not None
    assert found.tree.verifier is not None
    keys = {name: Ed25519PrivateKey.generate() for name in ("w1", "w2")}
    known = [Verifier(n, k.public_key().public_bytes_raw(), COSIGNATURE) for n, k in keys.items()]
    for witness, (name, key) in zip(known, keys.items(), strict=True):
        kept = await transparency.cosign(world, ACME, Log.AUDIT, cosign(found.newest.note, name, key, 7), str(witness))
        assert kept.witnessed
    assert opened(kept.note, verifier(found.tree.verifier), known, quorum=2).size == 3
    assert kept.note.count("\n\u2014 ") == 3
    for again in range(
        2 * MAX_SIGNATURES
    ):  # by a timer, while nothing happens: the last time takes the place of those before
        witnessed = cosign(kept.note, "w1", keys["w1"], 8 + again)
        kept = await transparency.cosign(world, ACME, Log.AUDIT, witnessed, str(known[0]))
    assert opened(kept.note, verifier(found.tree.verifier), known, quorum=2).size == 3
    assert kept.note.count("\n\u2014 ") == 3
    await act(world)
    await integrate(world)
    later = await transparency.state(world, ACME, Log.AUDIT)
    assert (later.newest and later.newest.size, later.witnessed) == (5, kept)
    newer = later.newest
    assert newer is not None
    await act(world)
    await integrate(world)
    # What is not the newest any more, and not kept, may still be witnessed; but nothing before what is.
    seen = cosign(newer.note, "w1", keys["w1"], 8)
    assert (await transparency.cosign(world, ACME, Log.AUDIT, seen, str(known[0]))).note == seen
    heads = await transparency.state(world, ACME, Log.AUDIT)
    assert (heads.newest and heads.newest.size, heads.witnessed and heads.witnessed.size) == (7, 5)
    with pytest.raises(AlreadyExistsError):
        await transparency.cosign(world, ACME, Log.AUDIT, kept.note, str(known[0]))
    with pytest.raises(InvalidInputError):
        await transparency.cosign(world, ACME, Log.AUDIT, found.newest.note, str(known[0]))
    with pytest.raises(InvalidInputError):
        await transparency.cosign(world, ACME, Log.AUDIT, "x", "y")
    with pytest.raises(NotFoundError):
        await transparency.cosign(world, ACME, Log.RELEASE, kept.note, str(known[0]))


async def test_every_record_of_a_privileged_action_has_its_entry(world: World) -> None:
    """Nothing that people did is in the record and not in the log: it is derived where it is recorded."""
    await act(world, 5)
    recorded = await world.store.read(lambda tx: tx.events.page(ACME, START, 100))
    await integrate(world)
    bundle = await transparency.tile(world, ACME, Log.AUDIT, Tile(ENTRIES, 0, 11))
    assert len(recorded) == len(unbundle(bundle)) == 11
    assert list(tiles(11)) == [Tile(0, 0, 11)]
