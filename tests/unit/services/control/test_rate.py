"""Rollouts at a rate, over a real store: so many a minute, more and more, until they are aborted."""

from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.rollout import Abort, ClassicRule, FailureType, OnError, Policy, RateRule, RolloutState
from otaru.errors import InvalidInputError
from otaru.services.control.world import World
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet
from tests.unit.services.control.test_windows import turn

pytestmark = pytest.mark.anyio

NOON = datetime(2031, 5, 1, 12, 0, 20, tzinfo=UTC)
NAMES = tuple("abcdefgh")
ONE_THEN_TWO = RateRule(base=1, factor=2.0, every=2, maximum=4)


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    turn(clock, NOON)
    made = Fleet(world)
    await made.release("2")
    await made.add(*NAMES)
    return made


async def told(fleet: Fleet) -> str:
    """Who has been told by now, when all have polled."""
    return "".join([name for name in NAMES if await fleet.poll(name) is State.OFFERED])


async def test_the_rate_grows_with_those_who_were_told(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=Policy(rate=ONE_THEN_TWO))
    seen = [await told(fleet)]
    for minute in (1, 2, 3):
        turn(clock, NOON + timedelta(minutes=minute))
        seen.append(await told(fleet))
    # One; one more makes two, so that this minute takes another; one more makes four, so that it takes four.
    assert [len(found) for found in seen] == [1, 3, 7, 8]
    await fleet.hold_counters(rollout)


async def test_it_is_aborted_by_its_first_criterion_that_is_met(fleet: Fleet) -> None:
    aborts = (Abort(FailureType.REJECTED, 10.0, 1), Abort(FailureType.FAILED, 50.0, 2))
    rule = RateRule(base=8, factor=2.0, every=1000, aborts=aborts)
    rollout = await fleet.roll_out(policy=Policy(rate=rule, on_error=OnError.STOP))
    assert await told(fleet) == "abcdefgh"
    await fleet.say("a", Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING, "one is too few to look at"
    await fleet.say("b", Event.SUCCEED)
    stopped = await fleet.show(rollout)
    assert (stopped.state, stopped.reason) == (RolloutState.STOPPING, "wave 1: 1 of 2 failed, at least 50 %")


async def test_it_finishes_when_all_have_ended(fleet: Fleet) -> None:
    rule = RateRule(base=8, factor=2.0, every=1000, aborts=(Abort(FailureType.ALL, 20.0, 5),))
    rollout = await fleet.roll_out(policy=Policy(rate=rule))
    await told(fleet)
    for name in NAMES:
        await fleet.say(name, Event.SUCCEED)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_one_rule_judges(fleet: Fleet) -> None:
    with pytest.raises(InvalidInputError, match="by its own criteria"):
        await fleet.roll_out(policy=Policy(rate=ONE_THEN_TWO, rule=ClassicRule(0.9, 0.1)))
