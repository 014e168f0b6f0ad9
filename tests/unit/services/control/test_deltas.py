"""Deltas: ordered by what the fleet runs, made once, kept within bounds, gone with their release, each tenant its own."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.adapters.differ.process import Bounds, ProcessDiffer
from otaru.domain.delta import MOST_ATTEMPTS, MOST_WAITING, Delta, DeltaState, Taker
from otaru.domain.device import Hardware
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, ProductName, Sha256, TenantId, Version
from otaru.domain.release import Release, ReleaseEvent
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, OverloadedError
from otaru.images.delta import patch
from otaru.images.delta.patch import Codec
from otaru.services.control import artifacts, deltas, devices, releases, tenants
from otaru.services.control.devices import NewDevice
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.world import SYSTEM, Actor, World
from tests.support.blobs import chunks, get
from tests.support.images import Watched
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

APP = ProductName("app")
BOARD = Hardware("board")
BASE = random.Random(1).randbytes(30_000)
CODECS = {Codec.LZMA, Codec.HEATSHRINK}
DAY = timedelta(days=1)


def content(version: str) -> bytes:
    return BASE[:9000] + version.encode() * 9 + BASE[9000:]


async def released(
    world: World, version: str, data: bytes | None = None, *, tenant: TenantId = ACME, publish: bool = True
) -> Release:
    stored = await artifacts.store(world, tenant, chunks(content(version) if data is None else data))
    part = Part(stored.blob.sha256, "app.bin", "app", [BOARD])
    return await releases.create(world, tenant, SYSTEM, NewRelease(APP, Version(version), [part], publish=publish))


async def running(world: World, *versions: str, tenant: TenantId = ACME) -> None:
    for number, version in enumerate(versions):
        wanted = NewDevice(DeviceId(f"dev-{number}"), BOARD, installed={"app": Version(version)})
        await devices.add(world, tenant, SYSTEM, wanted)


async def known(world: World, version: str, tenant: TenantId = ACME) -> list[Delta]:
    return await deltas.page(world, tenant, APP, Version(version), None, 99)


async def made(world: World) -> int:
    number = 0
    while await deltas.make_next(world):
        number += 1
    return number


async def happened(world: World, kind: Kind) -> list[dict[str, object]]:
    found = await world.store.read(lambda tx: tx.events.page(ACME, START, 999, kinds={kind}))
    return [dict(one.what.data) for one in found]


async def test_publishing_orders_deltas_from_what_runs_and_they_lead_there(world: World) -> None:
    await released(world, "1.0")
    await running(world, "1.0", "1.0", "0.9")
    await released(world, "1.1")
    ordered = await known(world, "1.1")
    assert {(one.source_version, Codec(one.pair.codec), one.state) for one in ordered} == {
        ("1.0", codec, DeltaState.WAITING) for codec in CODECS
    }
    assert await made(world) == len(CODECS)
    for one in await known(world, "1.1"):
        assert one.state is DeltaState.MADE
        assert one.patch is not None
        raw = await get(world.blobs, one.patch)
        assert one.size == len(raw)
        assert one.full is not None
        assert len(raw) < 0.6 * one.full
        assert one.memory is not None
        assert b"".join(patch.apply(Watched(raw), Watched(content("1.0")), one.memory, 1 << 20)) == content("1.1")
    assert {one["state"] for one in await happened(world, Kind.DELTA_ENDED)} == {"made"}


async def test_each_revision_has_deltas_from_what_runs_on_it(world: World) -> None:
    boards = [BOARD, Hardware("board", "2")]

    async def both(version: str) -> list[Sha256]:
        stored = [await artifacts.store(world, ACME, chunks(content(f"{version} {each}"))) for each in boards]
        digests = [one.blob.sha256 for one in stored]
        parts = [Part(digest, f"{n}.bin", "app", [boards[n]]) for n, digest in enumerate(digests)]
        await releases.create(world, ACME, SYSTEM, NewRelease(APP, Version(version), parts, publish=True))
        return digests

    (old, _), (_, newer) = await both("1.0"), await both("1.1")
    for number in range(20):
        hardware, version = (boards[1], "1.1") if number == 0 else (boards[0], "1.0")
        new = NewDevice(DeviceId(f"dev-{number}"), hardware, installed={"app": Version(version)})
        await devices.add(world, ACME, SYSTEM, new)
    plain, revised = await both("1.2")
    assert {(d.pair.source, d.pair.target) for d in await known(world, "1.2")} == {(old, plain), (newer, revised)}


async def test_nothing_is_ordered_where_nobody_would_take_it(world: World) -> None:
    await released(world, "1.0")
    await running(world, "9.0", "unknown")
    await released(world, "1.1")
    await released(world, "1.2", publish=False)
    assert await known(world, "1.1") == await known(world, "1.2") == []
    assert await made(world) == 0


async def test_a_draft_gets_its_deltas_when_it_is_published(world: World) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1", publish=False)
    assert await known(world, "1.1") == []
    await releases.move(world, ACME, SYSTEM, APP, Version("1.1"), ReleaseEvent.PUBLISH)
    assert len(await known(world, "1.1")) == len(CODECS)


async def test_what_does_not_help_is_remembered(world: World) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1", random.Random(2).randbytes(20_000))
    assert await made(world) == len(CODECS)
    for one in await known(world, "1.1"):
        assert (one.state, one.patch) == (DeltaState.USELESS, None)
        assert "60 %" in (one.reason or "")


async def test_deltas_are_ordered_by_hand_once_and_again_where_they_failed(world: World) -> None:
    await released(world, "1.0")
    await released(world, "1.1")
    by = Actor("user:ann")
    ordered = await deltas.order(world, ACME, by, APP, Version("1.1"), Version("1.0"))
    assert {one.state for one in ordered} == {DeltaState.WAITING}
    await made(world)
    again = await deltas.order(world, ACME, by, APP, Version("1.1"), Version("1.0"))
    assert {one.state for one in again} == {DeltaState.MADE}
    assert await happened(world, Kind.DELTA_ORDERED) == [{"from": "1.0", "deltas": len(CODECS)}]


async def test_what_cannot_be_ordered_is_refused(world: World) -> None:
    for version in ("1.0", "1.1", "9.0"):
        await released(world, version)
    await released(world, "1.2", publish=False)
    await released(world, "1.3", content("1.1"))

    async def order(source: str, target: str) -> None:
        await deltas.order(world, ACME, SYSTEM, APP, Version(target), Version(source))

    with pytest.raises(NotFoundError):
        await order("0.1", "1.1")
    with pytest.raises(InvalidStateError):
        await order("1.0", "1.2")
    with pytest.raises(InvalidInputError, match="too far"):
        await order("1.0", "9.0")
    with pytest.raises(InvalidInputError, match="nothing differs"):
        await order("1.1", "1.3")


async def test_a_tenants_queue_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "MOST_WAITING", 1)
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    assert len(await known(world, "1.1")) == 1
    await released(world, "1.2")
    assert await known(world, "1.2") == []
    with pytest.raises(OverloadedError):
        await deltas.order(world, ACME, SYSTEM, APP, Version("1.2"), Version("1.1"))
    assert await known(world, "1.2") == []
    assert MOST_WAITING > 1


async def test_a_failure_is_tried_again_later_and_given_up_in_the_end(world: World, clock: SettableClock) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    broken = replace(world, differ=ProcessDiffer(Bounds(deadline_s=0.001)))
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert await made(broken) == len(CODECS)
        assert {one.attempts for one in await known(world, "1.1")} == {attempt}
        clock.ahead += timedelta(hours=1)
    assert await made(broken) == 0
    assert {(one.state, one.reason) for one in await known(world, "1.1")} == {
        (DeltaState.FAILED, "it takes longer than 0.001 s")
    }
    await deltas.order(world, ACME, SYSTEM, APP, Version("1.1"), Version("1.0"))
    await made(world)
    assert {one.state for one in await known(world, "1.1")} == {DeltaState.MADE}


async def test_what_a_process_left_behind_is_taken_over(world: World, clock: SettableClock) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    for _ in range(MOST_ATTEMPTS):
        for one in await known(world, "1.1"):
            assert await world.store.write(deltas._claim, (ACME, one.pair, clock.now())) is not None
            assert await world.store.write(deltas._claim, (ACME, one.pair, clock.now())) is None
        assert await made(world) == 0
        clock.ahead += 2 * deltas.CLAIMED
    await made(world)
    assert {one.state for one in await known(world, "1.1")} == {DeltaState.FAILED}
    assert "ended 3 times" in str((await known(world, "1.1"))[0].reason)


async def test_a_process_that_ends_gives_back_what_it_was_making(world: World, clock: SettableClock) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    making = asyncio.ensure_future(deltas.make_next(world))
    async with asyncio.timeout(20):
        while {one.state for one in await known(world, "1.1")} == {DeltaState.WAITING}:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert {one.state for one in await known(world, "1.1")} == {DeltaState.WAITING}
    clock.ahead += timedelta(minutes=2)
    assert await made(world) == len(CODECS)
    assert {one.state for one in await known(world, "1.1")} == {DeltaState.MADE}


async def test_the_deltas_of_bytes_that_another_release_has_stay(world: World) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    await released(world, "1.2", content("1.1"))
    await releases.move(world, ACME, SYSTEM, APP, Version("1.1"), ReleaseEvent.WITHDRAW)
    assert len(await known(world, "1.2")) == len(CODECS)
    await releases.move(world, ACME, SYSTEM, APP, Version("1.2"), ReleaseEvent.WITHDRAW)
    assert await known(world, "1.2") == []


async def test_a_delta_that_comes_too_late_is_not_kept(world: World, clock: SettableClock) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    one = (await known(world, "1.1"))[0]
    claimed = await world.store.write(deltas._claim, (ACME, one.pair, clock.now()))
    assert claimed is not None
    outcome = await deltas._outcome(world, ACME, *claimed)
    used = (await tenants.show(world, ACME)).used
    await releases.move(world, ACME, SYSTEM, APP, Version("1.1"), ReleaseEvent.WITHDRAW)
    await world.store.write(deltas._end, (ACME, outcome, clock.now()))
    assert (await tenants.show(world, ACME)).used == used
    assert await known(world, "1.1") == []


async def test_deltas_go_with_their_release_and_the_sweep_takes_their_bytes(world: World, clock: SettableClock) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    before = (await tenants.show(world, ACME)).used
    await made(world)
    patches = [one.patch for one in await known(world, "1.1") if one.patch is not None]
    assert len(patches) == len(CODECS)
    with pytest.raises(InvalidStateError):
        await artifacts.delete(world, ACME, patches[0])
    clock.ahead += 3 * DAY
    assert await artifacts.sweep(world) == (0, 0)
    await releases.move(world, ACME, SYSTEM, APP, Version("1.1"), ReleaseEvent.WITHDRAW)
    assert await known(world, "1.1") == []
    assert (await tenants.show(world, ACME)).used == before
    clock.ahead += 3 * DAY
    assert (await artifacts.sweep(world))[0] == len(CODECS)


async def test_deltas_count_against_the_quota(world: World) -> None:
    await released(world, "1.0")
    await running(world, "1.0")
    await released(world, "1.1")
    used = (await tenants.show(world, ACME)).used
    await tenants.change(world, ACME, SYSTEM, tenants.Change(quota=used))
    await made(world)
    assert {one.state for one in await known(world, "1.1")} == {DeltaState.WAITING}
    assert (await tenants.show(world, ACME)).used == used
    assert "quota" in str((await known(world, "1.1"))[0].reason)


async def test_tenants_have_their_own(world: World) -> None:
    for tenant in (ACME, RIVAL):
        await released(world, "1.0", tenant=tenant)
    await running(world, "1.0")
    for tenant in (ACME, RIVAL):
        await released(world, "1.1", tenant=tenant)
    assert await known(world, "1.1", RIVAL) == []
    await made(world)
    assert await known(world, "1.1", RIVAL) == []
    patches = [one.patch for one in await known(world, "1.1") if one.patch]
    for sha256 in patches:
        with pytest.raises(NotFoundError):
            await artifacts.show(world, RIVAL, sha256)
    await releases.move(world, RIVAL, SYSTEM, APP, Version("1.1"), ReleaseEvent.WITHDRAW)
    assert len(await known(world, "1.1")) == len(CODECS)


async def test_a_device_is_told_of_what_leads_from_what_it_has_and_it_can_take(world: World) -> None:
    old = await released(world, "1.0")
    await running(world, "1.0", "0.9")
    new = await released(world, "1.1")
    source, target = (release.artifacts[0].blob.sha256 for release in (old, new))
    every, much = frozenset(map(str, Codec)), 1 << 30

    async def told(
        codecs: frozenset[str] = every, memory: int = much, device: str = "dev-0", *has: Sha256
    ) -> list[str]:
        entry = await world.registry.device(ACME, DeviceId(device))
        assert entry is not None
        taker = Taker(codecs, memory, frozenset(has))
        found = await deltas.leading(world, ACME, new, new.artifacts[0], entry.subject, taker)
        return [one.pair.codec for one in found]

    assert await told() == []
    await made(world)
    by_size = [one.pair.codec for one in sorted(await known(world, "1.1"), key=lambda one: one.size or 0)]
    assert await told() == by_size
    assert await told(every, much, "dev-1") == []
    assert await told(every, much, "dev-1", source) == by_size
    assert await told(every, much, "dev-0", target) == []
    assert await told(frozenset({"sequential-heatshrink", "unknown"})) == ["sequential-heatshrink"]
    assert await told(every, 256) == ["sequential-heatshrink"]
    assert await told(every, 255) == []
    patches = [one.patch for one in await known(world, "1.1") if one.patch]
    for tenant, wanted in ((ACME, True), (RIVAL, False)):
        assert [await deltas.patch_of(world, tenant, [target], sha256) for sha256 in patches] == [wanted] * len(patches)
    assert not await deltas.patch_of(world, ACME, [target], source)
