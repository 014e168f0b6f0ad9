"""Rollouts that overlap: what came later is not taken back by what was started before, over a real store."""

from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.ids import Version
from otaru.domain.offer import Rule
from otaru.domain.rollout import Limits, Policy, RolloutEvent, RolloutState
from otaru.services.control import rollouts
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, Fleet
from tests.unit.services.control.test_windows import turn, why

pytestmark = pytest.mark.anyio

URGENT = Policy(priority=9)


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    for version in ("1.1.0", "1.2.0"):
        await made.release(version)
    await made.add("a", "b", installed="1.0.0")
    return made


@pytest.mark.parametrize("limits", [Limits(), Limits(per_minute=5)])
async def test_who_was_updated_now_is_not_taken_back_by_an_older_rollout(fleet: Fleet, limits: Limits) -> None:
    slow = await fleet.roll_out("1.1.0", policy=Policy(limits=limits))
    urgent = await fleet.roll_out("1.2.0", "id==a", URGENT)
    assert await fleet.poll("a") is State.OFFERED
    await fleet.say("a", Event.SUCCEED)
    brought = f"Rollout {urgent}, started later, has brought app 1.2.0: this one does not take it back."
    assert await why(fleet) == [(Rule.INSTALLED, brought)]
    assert await fleet.poll("a") is None
    assert await fleet.counts(slow) == {State.SKIPPED: 1, State.SCHEDULED: 1}
    assert await fleet.poll("b") is State.OFFERED, "who was not overtaken goes on"
    await fleet.say("b", Event.SUCCEED)
    assert (await fleet.show(slow)).state is RolloutState.FINISHED


async def test_the_next_one_in_turn_goes_on(fleet: Fleet) -> None:
    await fleet.release("1.3.0")
    older = await fleet.roll_out("1.1.0", "id==a")
    newest = await fleet.roll_out("1.3.0", "id==a", Policy(priority=4))
    await fleet.roll_out("1.2.0", "id==a", URGENT)
    await fleet.poll("a")
    await fleet.say("a", Event.SUCCEED)
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.counts(older) == {State.SKIPPED: 1}
    assert await fleet.counts(newest) == {State.OFFERED: 1}


async def test_a_person_who_starts_one_later_takes_devices_back(fleet: Fleet, clock: SettableClock) -> None:
    planned = await rollouts.create(
        fleet.world, ACME, SYSTEM, Intention(APP, Version("1.1.0"), "id==a", Policy(), start=False)
    )
    await fleet.roll_out("1.2.0", "id==a")
    await fleet.poll("a")
    await fleet.say("a", Event.SUCCEED)
    turn(clock, clock.now() + timedelta(hours=1))
    await rollouts.order(fleet.world, ACME, SYSTEM, planned.id, RolloutEvent.START)
    assert await fleet.poll("a") is State.OFFERED
    later = await fleet.roll_out("1.1.0", "id==b", Policy())
    await fleet.poll("b")
    await fleet.say("b", Event.SUCCEED)
    assert await fleet.counts(later) == {State.SUCCEEDED: 1}


async def test_what_the_device_brought_itself_forbids_nothing(fleet: Fleet) -> None:
    await fleet.add("c", installed="1.2.0")
    await fleet.roll_out("1.1.0", "id==c")
    assert await fleet.poll("c") is State.OFFERED
