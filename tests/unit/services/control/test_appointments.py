"""A fleet whose window opens: each has its turn, and no minute takes more than its places."""

from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.deployment import State
from otaru.domain.ids import DeviceId
from otaru.domain.offer import Rule
from otaru.domain.rollout import Policy
from otaru.domain.schedule import window
from otaru.domain.schedule.appointment import FREELY, minute
from otaru.ports.store import Tx
from otaru.services.control import devices, survey
from otaru.services.control import poll as poll_module
from otaru.services.control.devices import NewDevice
from otaru.services.control.housekeeping import SLOTS_KEPT, housekeep
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import BOARD, Fleet
from tests.unit.services.control.test_windows import turn

pytestmark = pytest.mark.anyio

OPENS = datetime(2031, 5, 1, 2, tzinfo=UTC)
MEMBERS = FREELY * 2
NAMES = [f"d{n}" for n in range(MEMBERS)]


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    many = [NewDevice(DeviceId(name), BOARD, installed={}) for name in NAMES]
    await devices.add_many(world, ACME, SYSTEM, many)
    return made


async def test_each_comes_at_its_appointment(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, OPENS - timedelta(hours=1))
    await fleet.roll_out(policy=Policy(window=window("02:00/1h")))
    told: dict[str, datetime] = {}
    for name in NAMES[:20]:
        assert await fleet.poll(name) is None
        assert fleet.ask_at is not None
        told[name] = fleet.ask_at
    assert all(OPENS <= at <= OPENS + timedelta(minutes=2) for at in told.values()), (
        "60 a minute: in two minutes all are through"
    )
    assert len(set(told.values())) == len(told)
    turn(clock, OPENS)
    late, at = max(told.items(), key=lambda one: one[1])
    assert await fleet.poll(late) is None
    assert fleet.ask_at == at, "the window is open, its turn has not come"
    (answer,) = await survey.why(fleet.world, ACME, DeviceId(late))
    assert answer.rule is Rule.SLOT
    assert f"at {at:%Y-%m-%d %H:%M:%S} UTC" in answer.because
    turn(clock, at)
    assert await fleet.poll(late) is State.OFFERED


async def test_no_minute_takes_more_than_its_places(fleet: Fleet, clock: SettableClock) -> None:
    """All come late and at once, as after an outage of the network."""
    rollout = await fleet.roll_out(policy=Policy(window=window("02:00/1h"), expires_after=timedelta(days=9999 / 3)))
    middle = OPENS + timedelta(minutes=31)
    turn(clock, middle)
    again: dict[str, datetime] = {}
    for name in NAMES:
        if await fleet.poll(name) is None:
            assert fleet.ask_at is not None
            again[name] = fleet.ask_at
    crowd = await fleet.counts(rollout)
    # The clock goes on while they poll: a second minute may have begun.
    begun = minute(clock.now()) - minute(middle) + 1
    assert crowd[State.OFFERED] <= FREELY * begun
    assert len(again) >= MEMBERS - FREELY * begun
    assert all(middle < at <= middle + timedelta(minutes=12) for at in again.values())
    turn(clock, OPENS + timedelta(minutes=45))
    for name in again:
        assert await fleet.poll(name) is State.OFFERED
    await fleet.hold_counters(rollout)


async def test_places_are_counted_in_the_transaction_of_the_offers(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=Policy(window=window("02:00/1h"), expires_after=timedelta(days=3000)))
    turn(clock, OPENS + timedelta(minutes=31))
    now = clock.now()
    moves = [poll_module._Move(ACME, DeviceId(name), rollout, 1, now) for name in NAMES]

    def offered(tx: Tx, asked: object) -> list[list[datetime | None]]:
        del asked
        return [poll_module._move(tx, moves)]

    (answers,) = [await fleet.world.store.write(offered, None)]
    assert sum(answer is None for answer in answers) == FREELY
    assert await fleet.counts(rollout) == {State.OFFERED: FREELY, State.SCHEDULED: MEMBERS - FREELY}
    left = await fleet.world.store.read(lambda tx: tx.rollouts.reserve(ACME, rollout, minute(now), 5, FREELY))
    assert left == 0
    clock.ahead += SLOTS_KEPT + timedelta(minutes=1)
    await housekeep(fleet.world, timedelta(days=3000))


async def test_a_small_rollout_pays_for_no_places(fleet: Fleet, clock: SettableClock) -> None:
    await fleet.roll_out(target="id==d1*", policy=Policy(window=window("02:00/1h")))
    turn(clock, OPENS)
    assert await fleet.poll("d1") is State.OFFERED
    assert await fleet.poll("d10") is State.OFFERED
