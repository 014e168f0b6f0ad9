"""What a serving process does by itself: judge images anew, and learn whose certificates devices may show."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from otaru.apps.server import worker
from otaru.domain.authority import Authority
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, ProductName, Sha256, TenantId, Version
from otaru.errors import UnavailableError
from otaru.images.facts import Format, Verdict
from otaru.ports.store import Tx, one
from otaru.services.control import anchors, artifacts, devices, inspection, releases
from otaru.services.control.devices import NewDevice
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.world import SYSTEM, World
from tests.support import images
from tests.support.blobs import chunks
from tests.support.certificates import authority
from tests.support.databases import SqliteDatabases
from tests.support.images import signer
from tests.support.stores import ACME, NOW, RIVAL
from tests.support.world import a_world

pytestmark = pytest.mark.anyio

PEM = images.anchor()


@pytest.fixture
async def world(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(sqlite_databases.fresh(), tmp_path) as (world, _):
        yield world


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110 - there is nothing else to wait for
            await asyncio.sleep(0.01)


async def released(world: World) -> Sha256:
    stored = await artifacts.store(world, ACME, chunks(images.swu(by=signer())))
    part = Part(stored.blob.sha256, "app.swu", "app", [Hardware("board")])
    await releases.create(world, ACME, SYSTEM, NewRelease(ProductName("app"), Version("1.1.0"), [part]))
    return stored.blob.sha256


async def verdict(world: World, sha256: Sha256) -> Verdict:
    facts = (await inspection.images(world, ACME, [sha256]))[sha256].facts
    assert facts is not None
    return facts.verdict


async def test_images_are_judged_anew_when_anchors_change_and_not_by_the_clock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before anybody would look anyway; where nothing changes, the store is asked nothing."""
    image = await released(world)
    looked = 0
    renew = inspection.renew

    async def counted(world: World, given_up: set[tuple[TenantId, Sha256]]) -> int:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise UnavailableError("the store is away")  # tried again all the same
        return await renew(world, given_up)

    async def is_valid() -> bool:
        return await verdict(world, image) is Verdict.VALID

    async def is_unknown() -> bool:
        return await verdict(world, image) is Verdict.UNKNOWN

    monkeypatch.setattr(worker, "renew", counted)
    monkeypatch.setattr(worker, "AGAIN_S", 0.01)
    async with running(worker.keep_judged(world)):
        anchor = await anchors.add(world, ACME, SYSTEM, Format.SWU, PEM)
        await eventually(is_valid)
        await anchors.remove(world, ACME, SYSTEM, Format.SWU, anchor.id)
        await eventually(is_unknown)
        before = looked
        for number in range(20):  # other things that happen wake nobody, nor does the time that they take
            await devices.add(world, ACME, SYSTEM, NewDevice(DeviceId(f"d-{number}"), Hardware("board")))
        assert looked <= before + 1


async def test_one_authority_that_cannot_be_used_keeps_no_other_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    good = [authority("first"), authority("second")]

    @one
    def add(tx: Tx, made: tuple[TenantId, bytes]) -> None:
        tenant, der = made
        tx.authorities.add(tenant, Authority(der[:8].hex(), "", der, "", NOW, None))

    for tenant, der in ((ACME, good[0].der), (ACME, b"no certificate"), (RIVAL, b""), (RIVAL, good[1].der)):
        await world.store.write(add, (tenant, der))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def knows() -> bool:
        return set(context.get_ca_certs(binary_form=True)) == {one.der for one in good}

    async with running(worker.learn_authorities(world, context, asyncio.Event())):
        await eventually(knows)
    assert len([record for record in caplog.records if "cannot be used" in record.message]) == 2
