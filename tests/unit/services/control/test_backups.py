"""Whose bytes they are: a backup that goes takes nothing along that somebody else has, too."""

from datetime import timedelta
from hashlib import sha256

import pytest

from otaru.domain.backup import KEPT
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, Sha256
from otaru.errors import NotFoundError
from otaru.services.control import artifacts, backups, devices
from otaru.services.control.backups import Part
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from tests.support.blobs import chunks
from tests.support.stores import ACME
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

FIRST, SECOND = DeviceId("dev-1"), DeviceId("dev-2")


@pytest.fixture(autouse=True)
async def _there_are_two(world: World) -> None:
    for device in (FIRST, SECOND):
        await devices.add(world, ACME, SYSTEM, NewDevice(device, Hardware("gateway")))


async def send(world: World, device: DeviceId, data: bytes) -> Sha256:
    digest = Sha256(sha256(data).hexdigest())
    assert await backups.receive(world, ACME, device, Part("1", 0, data, len(data), digest)) == len(data)
    return digest


async def is_here(world: World, digest: Sha256) -> bool:
    try:
        await artifacts.show(world, ACME, digest)
    except NotFoundError:
        return False
    return True


async def others(world: World, clock: SettableClock, device: DeviceId) -> None:
    """As many as it takes for the first one to go."""
    for number in range(KEPT):
        clock.ahead += timedelta(minutes=1)
        await send(world, device, b"%s %d" % (device.encode(), number))


async def test_an_old_one_goes_with_its_bytes(world: World, clock: SettableClock) -> None:
    digest = await send(world, FIRST, b"data")
    await others(world, clock, FIRST)
    assert not await is_here(world, digest)


@pytest.mark.parametrize("first", [True, False])
async def test_what_somebody_has_uploaded_stays(world: World, clock: SettableClock, *, first: bool) -> None:
    if first:
        await artifacts.store(world, ACME, chunks(b"data"))
    digest = await send(world, FIRST, b"data")
    if not first:
        assert not (await artifacts.store(world, ACME, chunks(b"data"))).new
    await others(world, clock, FIRST)
    assert digest not in {one.sha256 for one in await backups.of_device(world, ACME, FIRST)}
    assert await is_here(world, digest)
    await artifacts.delete(world, ACME, digest)


async def test_what_another_device_has_sent_too_stays_for_it(world: World, clock: SettableClock) -> None:
    digest = await send(world, FIRST, b"data")
    await send(world, SECOND, b"data")
    await others(world, clock, FIRST)
    assert [one.sha256 for one in await backups.of_device(world, ACME, SECOND)] == [digest]
    await others(world, clock, SECOND)
    assert not await is_here(world, digest)
