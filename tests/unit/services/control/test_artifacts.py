import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Version
from otaru.errors import InvalidStateError, NotFoundError, TooLargeError
from otaru.services.control import artifacts, releases, tenants
from otaru.services.control.housekeeping import housekeep
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.world import SYSTEM, World
from tests.support.blobs import chunks, content, digest, get, in_pieces, put
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
DATA = content(1, 100_000)


async def test_nothing_is_kept_of_an_upload_that_breaks_off(world: World, clock: SettableClock) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await artifacts.store(world, ACME, broken())
    clock.ahead = 3 * DAY
    assert await artifacts.sweep(world) == (0, 0)


async def test_the_quota_is_the_rows_word(world: World) -> None:
    await tenants.change(world, ACME, SYSTEM, tenants.Change(quota=1000))
    found = await asyncio.gather(
        *(artifacts.store(world, ACME, in_pieces(content(n, 400))) for n in range(5)), return_exceptions=True
    )
    kept = [f for f in found if not isinstance(f, BaseException)]
    assert len(kept) == 2
    assert all(isinstance(f, TooLargeError) for f in found if f not in kept)
    assert (await tenants.show(world, ACME)).used == 800
    await artifacts.store(world, RIVAL, in_pieces(content(1, 400)))


async def test_a_sweep_takes_old_bytes_that_nobody_has(world: World, clock: SettableClock) -> None:
    kept = await artifacts.store(world, ACME, in_pieces(DATA))
    shared = await artifacts.store(world, ACME, chunks(b"shared"))
    await artifacts.store(world, RIVAL, chunks(b"shared"))
    gone = await artifacts.store(world, ACME, chunks(b"gone!"))
    orphan = await put(world.blobs, "orphan", b"no row at all")
    for stored in (shared, gone):
        await artifacts.delete(world, ACME, stored.blob.sha256)
    await world.blobs.begin("half", 10)
    await world.blobs.append("half", 0, chunks(b"12345"))

    assert await artifacts.sweep(world) == (0, 0)
    clock.ahead = 2 * DAY
    assert await artifacts.sweep(world) == (3, len(b"gone!") + len(b"no row at all") + 5)
    assert await get(world.blobs, kept.blob.sha256) == DATA
    assert await get(world.blobs, shared.blob.sha256) == b"shared"
    for sha256 in (gone.blob.sha256, orphan):
        with pytest.raises(NotFoundError), world.blobs.open(sha256):
            pass
    assert await artifacts.sweep(world) == (0, 0)


async def test_bytes_that_are_stored_anew_are_young_again(world: World, clock: SettableClock) -> None:
    """Whoever has found them old does not remove what has just been uploaded once more."""
    sha256 = await put(world.blobs, "first", DATA)
    found_old = clock.now()
    await put(world.blobs, "second", DATA)
    assert not await world.blobs.remove(sha256, found_old)
    assert await get(world.blobs, sha256) == DATA
    assert await world.blobs.remove(sha256, clock.now() + DAY)


async def test_an_upload_belongs_to_its_tenant(world: World) -> None:
    upload = await artifacts.begin(world, ACME, "a.swu")
    for forbidden in (
        artifacts.progress(world, RIVAL, upload.id),
        artifacts.append(world, RIVAL, upload.id, 0, chunks(b"x")),
        artifacts.finish(world, RIVAL, upload.id),
        artifacts.abort(world, RIVAL, upload.id),
    ):
        with pytest.raises(NotFoundError):
            await forbidden
    assert (await artifacts.append(world, ACME, upload.id, 0, chunks(b"x"))).offset == 1


async def test_a_lower_quota_stops_an_upload_at_its_end_and_leaves_it(world: World) -> None:
    upload = await artifacts.begin(world, ACME, "a.swu")
    await artifacts.append(world, ACME, upload.id, 0, chunks(b"12345"))
    await tenants.change(world, ACME, SYSTEM, tenants.Change(quota=4))
    with pytest.raises(TooLargeError):
        await artifacts.finish(world, ACME, upload.id)
    await tenants.change(world, ACME, SYSTEM, tenants.Change(quota=5))
    assert (await artifacts.finish(world, ACME, upload.id)).new


async def test_bytes_of_a_release_stay(world: World) -> None:
    stored = await artifacts.store(world, ACME, in_pieces(DATA))
    part = Part(digest(DATA), "a.swu", "app", [Hardware("x"), Hardware("y")])
    new = NewRelease(ProductName("app"), Version("1"), [part])
    release = await releases.create(world, ACME, SYSTEM, new)
    assert await releases.create(world, ACME, SYSTEM, new) == release
    assert await artifacts.page(world, ACME, None, 10) == [(stored.blob, stored.created_at, 1)]
    with pytest.raises(InvalidStateError):
        await artifacts.delete(world, ACME, stored.blob.sha256)
    with pytest.raises(NotFoundError):
        await releases.create(world, RIVAL, SYSTEM, replace(new, publish=False))


async def test_open_uploads_are_bounded_and_forgotten_in_the_end(
    world: World, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MAX_UPLOADS", 3)
    first, *_ = [await artifacts.begin(world, ACME, "a.swu") for _ in range(3)]
    with pytest.raises(TooLargeError):
        await artifacts.begin(world, ACME, "a.swu")
    await artifacts.begin(world, RIVAL, "a.swu")
    await artifacts.abort(world, ACME, first.id)
    late = await artifacts.begin(world, ACME, "a.swu")
    clock.ahead = 31 * DAY
    await housekeep(world, timedelta(days=365))
    with pytest.raises(NotFoundError):
        await artifacts.progress(world, ACME, late.id)
    await artifacts.begin(world, ACME, "a.swu")
