"""Devices tell of their health."""

from datetime import timedelta

import pytest

from otaru.domain.device import Hardware, LifecycleEvent
from otaru.domain.health import MAX_PER_HOUR, Kind, Told
from otaru.domain.ids import DeviceId
from otaru.errors import NotFoundError, RateLimitedError, TooLargeError
from otaru.services.control import devices, health, housekeeping, tenants
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio
ONE, TWO = DeviceId("dev-1"), DeviceId("dev-2")


@pytest.fixture
async def fleet(world: World) -> World:
    for device in (ONE, TWO):
        await devices.add(world, ACME, SYSTEM, NewDevice(device, Hardware("rpi4")))
    return world


def many(number: int, prefix: str = "e") -> list[Told]:
    return [Told(f"{prefix}{n}", Kind.CRASH) for n in range(number)]


async def test_what_was_told_before_changes_nothing(fleet: World) -> None:
    assert await health.tell(fleet, ACME, ONE, many(3)) == health.Taken(3, 0)
    assert await health.tell(fleet, ACME, ONE, many(4) + many(1)) == health.Taken(1, 4)
    found = await health.of_device(fleet, ACME, ONE, None, 10)
    assert sorted(event.id for event in found) == ["e0", "e1", "e2", "e3"]
    assert await health.of_device(fleet, ACME, TWO, None, 10) == []


async def test_a_flood_is_bounded_and_ends(fleet: World, clock: SettableClock) -> None:
    for batch in range(MAX_PER_HOUR // 1000):
        await health.tell(fleet, ACME, ONE, many(1000, f"{batch}-"))
    with pytest.raises(RateLimitedError) as caught:
        await health.tell(fleet, ACME, ONE, [Told("more", Kind.CRASH), *many(1, "0-")])
    assert caught.value.facts["retry_after_s"] > 0
    # What is known is no news, and others are not concerned.
    assert await health.tell(fleet, ACME, ONE, many(1000, "0-")) == health.Taken(0, 1000)
    taken = await health.tell_for(fleet, ACME, [(device, Told("more", Kind.CRASH)) for device in (ONE, TWO)])
    assert taken == health.Taken(1, 0, (ONE,))
    clock.ahead = timedelta(minutes=61)
    assert await health.tell(fleet, ACME, ONE, [Told("more", Kind.CRASH)]) == health.Taken(1, 0)


async def test_a_gateway_is_told_who_is_unknown(fleet: World) -> None:
    await devices.move(fleet, ACME, SYSTEM, TWO, LifecycleEvent.DECOMMISSION)
    told = [(device, Told("a", Kind.POWER)) for device in (ONE, TWO, DeviceId("dev-3"))]
    assert await health.tell_for(fleet, ACME, told) == health.Taken(1, 0, (), (TWO, DeviceId("dev-3")))
    assert await health.tell_for(fleet, RIVAL, told[:1]) == health.Taken(0, 0, (), (ONE,))
    with pytest.raises(TooLargeError):
        await health.tell_for(fleet, ACME, told[:1] * 1001)


async def test_nobody_is_told_of_a_device_that_is_not_there(fleet: World) -> None:
    for look in (health.telemetry(fleet, RIVAL, ONE), health.of_device(fleet, RIVAL, ONE, None, 1)):
        with pytest.raises(NotFoundError):
            await look


async def test_telemetry_is_the_last_told(fleet: World) -> None:
    samples = [Told(f"s{n}", Kind.SAMPLE, name="battery", value=value) for n, value in enumerate((90.0, 80.0))]
    await health.tell(fleet, ACME, ONE, samples)
    assert [(m.name, m.value) for m in await health.telemetry(fleet, ACME, ONE)] == [("battery", 80.0)]


async def test_each_tenant_keeps_events_as_long_as_it_says(fleet: World, clock: SettableClock) -> None:
    await devices.add(fleet, RIVAL, SYSTEM, NewDevice(ONE, Hardware("rpi4")))
    for tenant in (ACME, RIVAL):
        await health.tell(fleet, tenant, ONE, many(2))
    await tenants.change(fleet, RIVAL, SYSTEM, tenants.Change(health_kept=timedelta(days=90)))
    clock.ahead = timedelta(days=31)
    await housekeeping.housekeep(fleet, timedelta(days=365))
    assert await health.of_device(fleet, ACME, ONE, None, 9) == []
    assert len(await health.of_device(fleet, RIVAL, ONE, None, 9)) == 2
