"""Rollouts that take only so many at once, over a real store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId
from otaru.domain.offer import Rule
from otaru.domain.rollout import Limits, Place, Policy, RolloutEvent
from otaru.errors import InvalidStateError
from otaru.services.control import consent, devices, rollouts
from otaru.services.control import poll as poll_module
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet
from tests.unit.services.control.test_windows import turn, why

pytestmark = pytest.mark.anyio

NOON = datetime(2031, 5, 1, 12, 0, 20, tzinfo=UTC)
NAMES = ("a", "b", "c")


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    turn(clock, NOON)
    made = Fleet(world)
    await made.release("2")
    await made.add(*NAMES)
    return made


def limited(in_flight: int | None, per_minute: int | None = None) -> Policy:
    return Policy(limits=Limits(in_flight, per_minute))


async def test_no_more_in_flight_than_it_may(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=limited(1))
    assert await fleet.poll("b") is State.OFFERED
    assert await fleet.poll("a") is None
    assert fleet.ask_at is None, "nobody knows when others end"
    assert await why(fleet) == [(Rule.LIMIT, "Rollout 1 is at its limit: 1 of 1 are in flight.")]
    await fleet.say("b", Event.INSTALL)
    assert await fleet.poll("c") is None
    await fleet.say("b", Event.FAIL)
    assert await fleet.poll("a") is State.OFFERED, "an end frees its place"
    await rollouts.cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"), force=True)
    assert await fleet.poll("c") is State.OFFERED
    await fleet.hold_counters(rollout)


async def test_who_is_refused_writes_nothing(fleet: Fleet) -> None:
    await fleet.roll_out(policy=limited(1))
    await fleet.poll("b")
    before = await fleet.world.store.read(lambda tx: tx.events.mark())
    for _ in range(3):
        assert await fleet.poll("a") is None
    assert await fleet.world.store.read(lambda tx: tx.events.mark()) == before


async def test_no_more_in_a_minute_than_it_may(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=limited(None, 2))
    assert [await fleet.poll(name) for name in NAMES] == [State.OFFERED, State.OFFERED, None]
    assert fleet.ask_at is not None
    assert datetime(2031, 5, 1, 12, 1, tzinfo=UTC) <= fleet.ask_at < datetime(2031, 5, 1, 12, 2, tzinfo=UTC)
    await fleet.say("a", Event.SUCCEED)
    assert await fleet.poll("c") is None, "an end frees nothing of the minute"
    turn(clock, NOON + timedelta(minutes=1))
    assert await fleet.poll("c") is State.OFFERED
    await fleet.hold_counters(rollout)


async def test_no_more_at_one_place_than_it_may(fleet: Fleet) -> None:
    for name, site in (("x", "berlin"), ("y", "berlin"), ("z", "oslo")):
        wanted = NewDevice(DeviceId(name), Hardware("board"), attributes={"site": site})
        await devices.add(fleet.world, ACME, SYSTEM, wanted)
    await fleet.roll_out(policy=Policy(limits=Limits(places=(Place("site", 1),))))
    assert await fleet.poll("x") is State.OFFERED
    assert await fleet.poll("y") is None
    assert await fleet.poll("z") is State.OFFERED, "another place"
    assert [await fleet.poll(name) for name in NAMES] == [State.OFFERED] * 3, "who is in no place is not limited"
    await fleet.say("x", Event.SUCCEED)
    assert await fleet.poll("y") is State.OFFERED


async def test_those_who_came_at_once_do_not_take_one_place_twice(fleet: Fleet) -> None:
    """Both were told in memory that there is room: the transaction decides."""
    rollout = await fleet.roll_out(policy=limited(1, 1))
    moves = [poll_module._Move(ACME, DeviceId(name), rollout, 1, fleet.world.clock.now()) for name in NAMES]
    await fleet.world.store.write(lambda tx, _: [poll_module._move(tx, moves)], None)
    assert await fleet.counts(rollout) == {State.OFFERED: 1, State.SCHEDULED: 2}


async def test_who_is_asked_takes_a_place_and_who_puts_it_off_frees_it(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=replace(limited(1), consent=True))
    now = fleet.world.clock.now()
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    assert await fleet.poll("b") is None
    await consent.postpone(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"), now + timedelta(days=1))
    assert await fleet.poll("b") is State.AWAITING_CONSENT
    with pytest.raises(InvalidStateError, match="limits"):
        await consent.approve(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"))
    assert await fleet.say("a", Event.CONSENT) is State.POSTPONED, "its own yes neither"
    await consent.approve(fleet.world, ACME, SYSTEM, rollout, DeviceId("b"))
    assert await fleet.poll("b") is State.OFFERED, "a yes takes no other place than the question"
    await fleet.say("b", Event.SUCCEED)
    assert await fleet.say("a", Event.CONSENT) is State.OFFERED
    await fleet.hold_counters(rollout)


async def test_who_postponed_is_asked_again_when_there_is_room(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=replace(limited(1), consent=True))
    await fleet.poll("a")
    later = fleet.world.clock.now() + timedelta(days=1)
    await consent.postpone(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"), later)
    assert await fleet.poll("b") is State.AWAITING_CONSENT
    turn(clock, later + timedelta(minutes=1))
    assert await fleet.poll("a") is State.POSTPONED
    await fleet.say("b", Event.REJECT)
    assert await fleet.poll("a") is State.AWAITING_CONSENT


async def test_an_older_rollout_at_its_limit_holds_up_no_younger_one(fleet: Fleet) -> None:
    await fleet.release("3")
    older = await fleet.roll_out("2", policy=limited(1))
    await fleet.poll("b")
    younger = await fleet.roll_out("3")
    assert await fleet.poll("a") is State.OFFERED
    assert (await fleet.counts(older))[State.SCHEDULED] == 2
    assert (await fleet.counts(younger))[State.OFFERED] == 1


async def test_a_pause_comes_before_a_limit(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=limited(1))
    await fleet.poll("b")
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    assert (await why(fleet))[0][0] is Rule.ROLLOUT_RUNNING


async def test_the_higher_priority_goes_first(fleet: Fleet) -> None:
    await fleet.release("3")
    older = await fleet.roll_out("3")
    urgent = await fleet.roll_out("2", policy=Policy(priority=9))
    assert [rule for rule, _ in await why(fleet)] == [Rule.OFFER, Rule.PRIORITY]
    assert await fleet.poll("a") is State.OFFERED
    assert (await fleet.counts(urgent))[State.OFFERED] == 1
    assert [rule for rule, _ in await why(fleet)] == [Rule.OFFER, Rule.BUSY]
    await fleet.say("a", Event.SUCCEED)
    assert await fleet.poll("a") is State.OFFERED, "then the other one"
    assert (await fleet.counts(older))[State.OFFERED] == 1
