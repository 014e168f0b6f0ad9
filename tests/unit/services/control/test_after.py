"""Rollouts that start after another one, and soft ones that are forced from a moment on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.ids import RolloutId, Version
from otaru.domain.rollout import Approve, OnError, Policy, Rollout, RolloutEvent, RolloutState, Urgency, check
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError
from otaru.services.control import rollouts
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.unit.services.control.test_rollouts import APP, STAGED, Fleet

pytestmark = pytest.mark.anyio
NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    await made.release("3")
    await made.add("a", "b")
    return made


async def behind(fleet: Fleet, first: RolloutId, policy: Policy | None = None, *, start: bool = False) -> Rollout:
    wanted = Intention(APP, Version("3"), "id==*", replace(policy or Policy(), after=first), start=start)
    return await rollouts.create(fleet.world, ACME, SYSTEM, wanted)


async def carry_out(fleet: Fleet, event: Event = Event.SUCCEED) -> None:
    for name in ("a", "b"):
        if await fleet.poll(name) is not None:
            await fleet.say(name, event)
            await fleet.work()


async def test_it_starts_when_the_other_one_has_finished_well(fleet: Fleet) -> None:
    first = await fleet.roll_out("2")
    second = await behind(fleet, first)
    assert second.state is RolloutState.SCHEDULED
    await fleet.work()
    assert (await fleet.show(second.id)).state is RolloutState.SCHEDULED
    await carry_out(fleet)
    assert (await fleet.show(first)).finished_well
    started = await fleet.show(second.id)
    assert (started.state, started.reason) == (RolloutState.RUNNING, "rollout 1 has finished well")
    assert await fleet.poll("a") is State.OFFERED


async def test_it_starts_at_once_where_that_was_before(fleet: Fleet) -> None:
    first = await fleet.roll_out("2")
    await carry_out(fleet)
    assert (await behind(fleet, first)).state is RolloutState.RUNNING


async def test_it_waits_for_a_person_where_the_other_one_was_stopped(fleet: Fleet) -> None:
    first = await fleet.roll_out("2", policy=replace(STAGED, on_error=OnError.STOP))
    second = await behind(fleet, first)
    await carry_out(fleet, Event.FAIL)
    assert (await fleet.show(first)).state is RolloutState.STOPPED
    waits = await fleet.show(second.id)
    assert waits.state is RolloutState.SCHEDULED
    assert waits.reason.startswith("rollout 1 has stopped: wave 1: ")
    assert (await rollouts.order(fleet.world, ACME, SYSTEM, second.id, RolloutEvent.START)).started_at is not None
    with pytest.raises(InvalidStateError, match="not well"):
        await behind(fleet, first)


async def test_its_approval_is_asked_beside(fleet: Fleet) -> None:
    first = await fleet.roll_out("2")
    early = await behind(fleet, first, Policy(approve=Approve.START))
    late = await behind(fleet, first, Policy(approve=Approve.START))
    approved = await rollouts.order(fleet.world, ACME, SYSTEM, early.id, RolloutEvent.APPROVE)
    assert approved.state is RolloutState.SCHEDULED
    await carry_out(fleet)
    assert (await fleet.show(early.id)).state is RolloutState.RUNNING
    assert (await fleet.show(late.id)).state is RolloutState.AWAITING_APPROVAL
    approved = await rollouts.order(fleet.world, ACME, SYSTEM, late.id, RolloutEvent.APPROVE)
    assert approved.state is RolloutState.RUNNING, "the other one has finished already"


async def test_what_makes_no_sense_is_refused(fleet: Fleet) -> None:
    with pytest.raises(NotFoundError):
        await behind(fleet, RolloutId(7))
    first = await fleet.roll_out("2")
    with pytest.raises(InvalidInputError):
        await behind(fleet, first, start=True)
    with pytest.raises(InvalidInputError):
        check(Policy(forced_at=NOON))


def test_a_soft_one_is_forced_from_a_moment_on() -> None:
    policy = Policy(urgency=Urgency.SOFT, forced_at=NOON)
    check(policy)
    assert policy.urgency_at(NOON - timedelta(seconds=1)) is Urgency.SOFT
    assert policy.urgency_at(NOON) is Urgency.FORCED
    assert Policy(urgency=Urgency.SOFT).urgency_at(NOON) is Urgency.SOFT
    assert Policy().urgency_at(NOON) is Urgency.FORCED
