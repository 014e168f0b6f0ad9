"""Owners say yes, later or no; time says it for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.consent import Delay, postponed
from otaru.domain.deployment import Event, State
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.rollout import Policy, RolloutEvent
from otaru.domain.schedule import window
from otaru.domain.terms import Terms, UpdateType
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, PostponedError
from otaru.services.control import consent, rollouts, survey
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet
from tests.unit.services.control.test_windows import turn

pytestmark = pytest.mark.anyio

NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
A = DeviceId("a")
ASKED = Policy(consent=True)


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    turn(clock, NOON)
    made = Fleet(world)
    await made.release("2")
    await made.add("a")
    return made


async def asked(fleet: Fleet, policy: Policy = ASKED) -> RolloutId:
    rollout = await fleet.roll_out(policy=policy)
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    return rollout


async def later(fleet: Fleet, rollout: RolloutId, days: float) -> State:
    until = fleet.world.clock.now() + days * DAY
    return (await consent.postpone(fleet.world, ACME, SYSTEM, rollout, A, until)).state


async def test_a_yes(fleet: Fleet) -> None:
    rollout = await asked(fleet)
    assert (await consent.approve(fleet.world, ACME, SYSTEM, rollout, A)).state is State.OFFERED
    assert await fleet.poll("a") is State.OFFERED
    with pytest.raises(InvalidStateError, match="does not wait"):
        await consent.approve(fleet.world, ACME, SYSTEM, rollout, A)
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED
    await fleet.hold_counters(rollout)


async def test_a_no_is_the_end_and_no_failure(fleet: Fleet) -> None:
    rollout = await asked(fleet)
    said = await consent.reject(fleet.world, ACME, SYSTEM, rollout, A, "not now")
    assert (said.state, said.reason, said.ended_at is not None) == (State.REJECTED, "rejected by system: not now", True)
    assert await fleet.poll("a") is None
    await fleet.hold_counters(rollout)


async def test_later_holds_no_slot_and_is_asked_again_when_the_moment_has_come(
    fleet: Fleet, clock: SettableClock
) -> None:
    rollout = await asked(fleet)
    assert await later(fleet, rollout, 2) is State.POSTPONED
    assert await fleet.counts(rollout) == {State.POSTPONED: 1}
    turn(clock, NOON + DAY)
    assert await fleet.poll("a") is State.POSTPONED
    turn(clock, NOON + 2 * DAY + timedelta(minutes=1))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await fleet.hold_counters(rollout)
    assert (await consent.approve(fleet.world, ACME, SYSTEM, rollout, A)).state is State.OFFERED


async def test_only_so_often_and_so_far(fleet: Fleet) -> None:
    rollout = await asked(fleet, replace(ASKED, postponements=2, postpone_for=3 * DAY))
    with pytest.raises(PostponedError, match="by 3 days at most"):
        await later(fleet, rollout, 3.1)
    with pytest.raises(InvalidInputError, match="has passed"):
        await later(fleet, rollout, 0)
    assert await later(fleet, rollout, 1) is State.POSTPONED
    assert await later(fleet, rollout, 2) is State.POSTPONED, "put off further"
    with pytest.raises(PostponedError, match="postponed 2 times"):
        await later(fleet, rollout, 1)
    assert await fleet.counts(rollout) == {State.POSTPONED: 1}


async def test_who_denies_over_ddi_has_postponed_nothing(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await asked(fleet, replace(ASKED, postponements=1))
    assert await fleet.say("a", Event.POSTPONE) is State.POSTPONED
    turn(clock, NOON + 30 * DAY)
    assert await fleet.poll("a") is State.POSTPONED, "it named no moment"
    assert await later(fleet, rollout, 1) is State.POSTPONED


@pytest.mark.parametrize("state", [State.AWAITING_CONSENT, State.POSTPONED])
async def test_after_the_deadline_it_begins_by_itself(fleet: Fleet, clock: SettableClock, state: State) -> None:
    rollout = await asked(fleet, replace(ASKED, consent_deadline=7 * DAY))
    if state is State.POSTPONED:
        await fleet.say("a", Event.POSTPONE)
    with pytest.raises(PostponedError, match="by itself at 2031-05-08 12:0"):
        await later(fleet, rollout, 7)
    turn(clock, NOON + 7 * DAY - timedelta(minutes=1))
    assert await fleet.poll("a") is state
    turn(clock, NOON + 7 * DAY + timedelta(minutes=1))
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    assert await fleet.poll("a") is state, "not while it is paused"
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)
    assert await fleet.poll("a") is State.OFFERED
    await fleet.hold_counters(rollout)


async def test_the_deadline_waits_for_the_window(fleet: Fleet, clock: SettableClock) -> None:
    await asked(fleet, replace(ASKED, consent_deadline=DAY, window=window("11:00/2h")))
    turn(clock, NOON + 1.5 * DAY)
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    turn(clock, NOON + 2 * DAY)
    assert await fleet.poll("a") is State.OFFERED


async def test_a_yes_while_nothing_may_begin_is_refused(fleet: Fleet) -> None:
    rollout = await asked(fleet)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    with pytest.raises(InvalidStateError, match="nothing may begin now"):
        await consent.approve(fleet.world, ACME, SYSTEM, rollout, A)
    assert await fleet.counts(rollout) == {State.AWAITING_CONSENT: 1}


async def test_it_is_nobody_elses_to_say(fleet: Fleet) -> None:
    rollout = await asked(fleet)
    for tenant, device in ((RIVAL, A), (ACME, DeviceId("nobody"))):
        with pytest.raises(NotFoundError):
            await consent.approve(fleet.world, tenant, SYSTEM, rollout, device)


async def test_a_postponed_share_ends_with_its_rollout(fleet: Fleet) -> None:
    rollout = await asked(fleet)
    await later(fleet, rollout, 2)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    assert await fleet.counts(rollout) == {State.CANCELLED: 1}
    assert await fleet.poll("a") is None


async def test_security_asks_nobody(fleet: Fleet) -> None:
    await fleet.release("3", terms=Terms(type=UpdateType.SECURITY))
    await fleet.roll_out("3", policy=ASKED)
    assert await fleet.poll("a") is State.OFFERED
    history = await survey.history(fleet.world, ACME, A, 9)
    assert [d.state for d, _ in history] == [State.OFFERED]


def test_each_time_counts() -> None:
    first = postponed(ASKED, None, NOON + DAY, NOON, NOON)
    assert first == Delay(NOON + DAY, 1)
    assert postponed(ASKED, first, NOON + 2 * DAY, NOON, NOON) == Delay(NOON + 2 * DAY, 2)
    with pytest.raises(PostponedError):
        postponed(replace(ASKED, postponements=0), None, NOON + DAY, NOON, NOON)
