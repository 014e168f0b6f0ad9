"""The fleet at a glance: what is counted as what, and what of it waits for a person."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.domain.deployment import FINAL, State
from otaru.domain.device import Hardware, Lifecycle, LifecycleEvent
from otaru.domain.ids import DeviceId, ProductName, RolloutId, Version
from otaru.domain.rollout import DEFAULT_RULE, Policy, RolloutEvent, RolloutState, share
from otaru.errors import InvalidInputError
from otaru.ports.store import Tx, one
from otaru.services.control import artifacts, devices, fleet, releases, rollouts
from otaru.services.control.devices import NewDevice
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio
BOARD = Hardware("board")
APP = ProductName("app")


async def add(world: World, *names: str, installed: Mapping[str, Version] | None = None) -> None:
    for name in names:
        await devices.add(world, ACME, SYSTEM, NewDevice(DeviceId(name), BOARD, installed=installed or {}))


async def roll_out(world: World, target: str = "id==*", policy: Policy | None = None) -> RolloutId:
    async def content() -> AsyncIterator[bytes]:
        yield b"2"

    stored = await artifacts.store(world, ACME, content())
    await releases.create(
        world, ACME, SYSTEM, NewRelease(APP, Version("2"), (Part(stored.blob.sha256, "a.bin", "app", (BOARD,)),))
    )
    wanted = Intention(APP, Version("2"), target, policy or Policy(), start=True)
    return (await rollouts.create(world, ACME, SYSTEM, wanted)).id


async def test_an_empty_fleet_is_nothing(world: World) -> None:
    seen = await fleet.summary(world, ACME)
    assert (seen.counts.devices, seen.healthy, seen.waiting, seen.unheard, seen.holdable) == (0, 0, 0, 0, 0)
    assert (seen.active, seen.stopped) == ([], [])
    assert await fleet.begun(world, ACME) == fleet.Begun(devices=False, releases=False, rollouts=False)
    assert (await fleet.versions(world, ACME, 30)).versions == {}


async def test_devices_are_healthy_unless_something_is_known_against_it(world: World) -> None:
    await add(world, "a", "b", "c", "d", "never")
    await devices.move(world, ACME, SYSTEM, DeviceId("d"), LifecycleEvent.QUARANTINE)
    rollout = await roll_out(world)
    for name, state in (("a", State.FAILED), ("b", State.AWAITING_CONSENT)):
        await put(world, rollout, name, state)
    await hear(world, "c")
    seen = await fleet.summary(world, ACME)
    assert (seen.counts.devices, seen.healthy, seen.awaiting, seen.waiting, seen.counts.failed) == (5, 1, 1, 1, 1)
    assert (seen.of(Lifecycle.QUARANTINED), seen.unheard) == (1, 2), "the quarantined one, and the one never heard of"
    assert [standing.rollout.id for standing in seen.active] == [rollout]
    assert (seen.running, seen.holdable) == (1, 3), "two are scheduled, one has not said yes"
    await rollouts.order(world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE, reason="look")
    paused = await fleet.summary(world, ACME)
    assert paused.active[0].rollout.state is RolloutState.PAUSED
    assert (paused.running, paused.holdable, paused.awaiting) == (0, 0, 1)
    assert (await fleet.summary(world, RIVAL)).counts.devices == 0


async def test_a_wave_that_waits_for_nobody_but_the_silent_stands_still(world: World, clock: SettableClock) -> None:
    await add(world, "a", "b", "c", "d")
    rollout = await roll_out(world, policy=Policy(waves=(share("3"), share("100%")), rule=DEFAULT_RULE))
    members = [m.device for m in await world.store.read(lambda tx: tx.deployments.page(ACME, rollout, (), None, 10, 0))]
    polling = timedelta(minutes=5)

    async def stalled() -> list[tuple[RolloutId, int, list[DeviceId]]]:
        found = await fleet.stalled(world, ACME, await fleet.summary(world, ACME), polling)
        return [(one.rollout.id, one.wave.index, sorted(one.awaited)) for one in found]

    await put(world, rollout, members[0], State.SUCCEEDED)
    await put(world, rollout, members[1], State.DOWNLOADING)
    assert await stalled() == [], "it has just been opened"
    clock.ahead = polling * (fleet.STUCK_POLLS - 1)
    await put(world, rollout, members[2], State.OFFERED)
    clock.ahead += polling * 2
    assert await stalled() == [], "one of the two polled lately"
    clock.ahead += polling * fleet.STUCK_POLLS
    assert await stalled() == [(rollout, 0, sorted(members[1:]))]
    await rollouts.order(world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    assert await stalled() == [], "somebody knows"


async def test_who_takes_part_in_no_wave_keeps_nothing_waiting(world: World, clock: SettableClock) -> None:
    await add(world, "a", "b")
    rollout = await roll_out(world)
    await put(world, rollout, "a", State.SUCCEEDED)
    clock.ahead = timedelta(days=1)
    summary = await fleet.summary(world, ACME)
    assert await fleet.stalled(world, ACME, summary, timedelta(minutes=5)) == [], "nothing waits for b"


async def test_a_history_ends_now_and_has_a_bounded_number_of_steps(world: World, clock: SettableClock) -> None:
    await add(world, "a", installed={"app": Version("1")})
    clock.ahead = timedelta(days=10)
    await devices.change(world, ACME, SYSTEM, DeviceId("a"), devices.Change(installed={"app": Version("2")}))
    for days in (1, 30, 365):
        found = await fleet.versions(world, ACME, days)
        assert len(found.times) <= fleet.MAX_TIMES + 1
        assert timedelta(0) <= clock.now() - found.times[-1] < timedelta(hours=1)
        assert found.versions["app", Version("2")][-1] == 1
    month = await fleet.versions(world, ACME, 30)
    assert max(month.versions["app", Version("1")]) == 1
    assert month.versions["app", Version("1")][-1] == 0
    assert month.versions["app", Version("1")][0] == 0
    for days in (0, 366):
        with pytest.raises(InvalidInputError):
            await fleet.versions(world, ACME, days)


async def put(world: World, rollout: RolloutId, name: str, state: State) -> None:
    """Move a member as its device would."""
    now = world.clock.now()

    @one
    def save(tx: Tx, device: DeviceId) -> None:
        (before,) = tx.deployments.current(ACME, [(rollout, device)])
        assert before is not None
        (action,) = tx.deployments.allot(ACME, [device])
        after = replace(before, state=state, action=action, changed_at=now, ended_at=now if state in FINAL else None)
        tx.deployments.save(ACME, [(before, after)])

    await world.store.write(save, DeviceId(name))
    await hear(world, name)


async def hear(world: World, name: str) -> None:
    now = world.clock.now()

    @one
    def save(tx: Tx, device: DeviceId) -> None:
        tx.devices.contacts([(ACME, device, now, "")])

    await world.store.write(save, DeviceId(name))
