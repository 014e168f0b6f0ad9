"""Devices that come later join continuous rollouts, over a real store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import LifecycleEvent
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.release import ReleaseEvent
from otaru.domain.rollout import Policy, RolloutEvent, RolloutState, check
from otaru.errors import InvalidInputError
from otaru.services.control import devices, joining, releases, rollouts, tenants
from otaru.services.control.devices import Change
from otaru.services.control.joining import join_all
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, OTHER_BOARD, STAGED, Fleet

pytestmark = pytest.mark.anyio
OPEN_END = Policy(continuous=True)


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    await made.add("a", "b")
    return made


async def ranks(fleet: Fleet, rollout: RolloutId) -> dict[str, tuple[int, int]]:
    rows = await fleet.world.store.read(lambda tx: tx.deployments.page(ACME, rollout, (), None, 100))
    return {row.device: (row.rank, row.wave) for row in rows}


async def test_who_comes_later_joins_behind_all_others(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=OPEN_END)
    assert await join_all(fleet.world) == 0
    before = await ranks(fleet, rollout)
    await fleet.add("0", "z")
    await fleet.add("other", hardware=OTHER_BOARD)
    await fleet.add("runs", installed="2")
    assert await fleet.poll("0") is None
    assert await join_all(fleet.world) == 2
    assert await ranks(fleet, rollout) == before | {"0": (2, 0), "z": (3, 0)}
    shown = await fleet.show(rollout)
    assert (shown.size, shown.waves[-1].height, shown.segments[0].size) == (4, 4, 4)
    assert await fleet.poll("0") is State.OFFERED
    assert await join_all(fleet.world) == 0
    await fleet.hold_counters(rollout)


async def test_what_is_in_memory_hears_of_it(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are named in the record, and those of a crowd that is not."""
    await fleet.roll_out(policy=OPEN_END)
    await fleet.add("c")
    assert await fleet.poll("c") is None
    await join_all(fleet.world)
    assert await fleet.poll("c") is State.OFFERED
    await fleet.add("d", "e")
    assert await fleet.poll("d") is None
    monkeypatch.setattr(joining, "NAMED", 1)
    await join_all(fleet.world)
    assert await fleet.poll("d") is State.OFFERED
    events = await fleet.world.store.read(lambda tx: tx.events.page(ACME, START, 1000))
    data = [dict(e.what.data) for e in events if e.what.kind is Kind.ROLLOUT_JOINED]
    assert data == [{"members": 1, "devices": ["c"]}, {"members": 2}]


async def test_it_goes_on_until_somebody_ends_it(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=OPEN_END)
    for name in ("a", "b"):
        await fleet.poll(name)
        await fleet.say(name, Event.SUCCEED)
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING
    await fleet.add("c")
    await join_all(fleet.world)
    assert await fleet.poll("c") is State.OFFERED
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    await fleet.add("d")
    assert await join_all(fleet.world) == 0


async def test_after_its_end_nobody_joins_and_it_finishes(fleet: Fleet, clock: SettableClock) -> None:
    end = fleet.world.clock.now() + timedelta(hours=1)
    rollout = await fleet.roll_out(policy=replace(OPEN_END, end_at=end))
    clock.ahead += timedelta(hours=1)
    await fleet.add("c")
    assert await join_all(fleet.world) == 0
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_joiners_wait_for_the_last_wave_and_are_judged(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=replace(STAGED, continuous=True))
    await fleet.add("c")
    assert await join_all(fleet.world) == 1
    assert (await ranks(fleet, rollout))["c"] == (2, 1)
    assert await fleet.poll("c") is None
    for _ in range(2):
        for name in ("a", "b"):
            if await fleet.poll(name) is not None:
                await fleet.say(name, Event.SUCCEED)
        await fleet.work()
    assert await fleet.poll("c") is State.OFFERED
    await fleet.say("c", Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.PAUSED


@pytest.mark.parametrize("held", ["plain", "halted", "paused", "withdrawn", "gone", "pinned", "quarantined"])
async def test_nobody_joins_what_is_held(fleet: Fleet, held: str) -> None:
    rollout = await fleet.roll_out(policy=Policy(continuous=held != "plain"))
    await fleet.add("c")
    match held:
        case "halted":
            await tenants.halt(fleet.world, ACME, SYSTEM, "incident")
        case "paused":
            await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
        case "withdrawn":
            await releases.move(fleet.world, ACME, SYSTEM, APP, "2", ReleaseEvent.WITHDRAW)  # type: ignore[arg-type]
        case "gone":
            await devices.decommission(fleet.world, ACME, SYSTEM, DeviceId("c"))
        case "pinned":
            await devices.change(fleet.world, ACME, SYSTEM, DeviceId("c"), Change(pins=frozenset({"app"})))
        case "quarantined":
            await devices.move(fleet.world, ACME, SYSTEM, DeviceId("c"), LifecycleEvent.QUARANTINE)
    assert await join_all(fleet.world) == 0


def test_it_has_no_segments() -> None:
    with pytest.raises(InvalidInputError):
        check(Policy(continuous=True, split=("hardware",)))
