"""Rollouts that wait for somebody's approval, over a real store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.events import START, Kind
from otaru.domain.ids import RolloutId, Version
from otaru.domain.rollout import Approve, ClassicRule, Policy, Rollout, RolloutEvent, RolloutState, Share, WaveState
from otaru.errors import AlreadyExistsError, ForbiddenError, InvalidStateError
from otaru.services.control import rollouts, tenants
from otaru.services.control.rollouts import Intention, Planned
from otaru.services.control.tenants import Change
from otaru.services.control.world import SYSTEM, Actor, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, Fleet

pytestmark = pytest.mark.anyio

ANN, BEN = Actor("user:ann"), Actor("user:ben")
START_ONLY = Policy(approve=Approve.START)
EACH = Policy(
    waves=(Share(1, percent=False), Share(2, percent=False)), rule=ClassicRule(0.9, 0.1), approve=Approve.WAVES
)


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    await made.add("a", "b", "c")
    return made


async def planned(fleet: Fleet, policy: Policy = START_ONLY, *, hours: int = 0) -> Rollout:
    at = fleet.world.clock.now() + timedelta(hours=hours) if hours else None
    wanted = Intention(APP, Version("2"), "id==*", policy, start=not hours, start_at=at)
    return await rollouts.create(fleet.world, ACME, ANN, wanted)


async def order(fleet: Fleet, rollout: RolloutId, event: RolloutEvent, actor: Actor = BEN) -> Rollout:
    return await rollouts.order(fleet.world, ACME, actor, rollout, event, reason="seen")


async def told(fleet: Fleet) -> list[State]:
    found = [await fleet.poll(name) for name in "abc"]
    return [state for state in found if state is not None]


async def test_nothing_starts_before_it_is_approved(fleet: Fleet) -> None:
    made = await planned(fleet)
    assert (made.state, made.created_by) == (RolloutState.AWAITING_APPROVAL, ANN.name)
    await fleet.work()
    assert await told(fleet) == []
    with pytest.raises(InvalidStateError):
        await order(fleet, made.id, RolloutEvent.START)
    after = await order(fleet, made.id, RolloutEvent.APPROVE)
    assert after.state is RolloutState.RUNNING
    assert after.started_at is not None
    assert await told(fleet) == [State.OFFERED] * 3
    moves = [
        (e.what.actor, e.what.data["from"], e.what.data["to"])
        for e in await fleet.world.store.read(lambda tx: tx.events.page(ACME, START, 100))
        if e.what.kind is Kind.ROLLOUT_MOVED
    ]
    assert moves == [(ANN.name, "planned", "awaiting_approval"), (BEN.name, "awaiting_approval", "running")]


async def test_what_has_a_time_starts_at_its_time(fleet: Fleet, clock: SettableClock) -> None:
    made = await planned(fleet, hours=2)
    assert made.state is RolloutState.AWAITING_APPROVAL
    clock.ahead += timedelta(hours=1)
    await fleet.work()
    assert (await order(fleet, made.id, RolloutEvent.APPROVE)).state is RolloutState.SCHEDULED
    await fleet.work()
    assert await told(fleet) == []
    clock.ahead += timedelta(hours=1)
    await fleet.work()
    assert await told(fleet) == [State.OFFERED] * 3


async def test_each_wave_waits_for_its_approval(fleet: Fleet) -> None:
    rollout = (await planned(fleet, EACH)).id
    await order(fleet, rollout, RolloutEvent.APPROVE)
    with pytest.raises(InvalidStateError) as refused:
        await order(fleet, rollout, RolloutEvent.APPROVE)
    assert "approve" not in refused.value.facts["allowed"], "its wave is open"
    for number in (1, 2, 3):
        assert await told(fleet) == [State.OFFERED], number
        (name,) = [name for name in "abc" if await fleet.poll(name) is not None]
        assert await fleet.say(name, Event.SUCCEED) is State.SUCCEEDED
        shown = await fleet.show(rollout)
        if number == 3:
            break
        assert shown.state is RolloutState.RUNNING
        assert [wave.state for wave in shown.waves[number - 1 : number + 1]] == [WaveState.PASSED, WaveState.PENDING]
        assert shown.unapproved == shown.waves[number]
        assert await told(fleet) == []
        assert (await order(fleet, rollout, RolloutEvent.APPROVE)).waves[number].state is WaveState.OPEN
    assert shown.state is RolloutState.FINISHED


async def test_to_overrule_a_failed_wave_approves_no_other(fleet: Fleet) -> None:
    rollout = (await planned(fleet, EACH)).id
    await order(fleet, rollout, RolloutEvent.APPROVE)
    await told(fleet)
    (name,) = [name for name in "abc" if await fleet.poll(name) is not None]
    await fleet.say(name, Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.PAUSED
    resumed = await order(fleet, rollout, RolloutEvent.RESUME)
    assert resumed.unapproved == resumed.waves[1]
    assert (await fleet.show(rollout)).waves[1].state is WaveState.PENDING


async def test_with_four_eyes_nobody_approves_their_own(fleet: Fleet) -> None:
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    made = await planned(fleet, Policy())
    assert made.state is RolloutState.AWAITING_APPROVAL, "then every rollout is approved"
    with pytest.raises(ForbiddenError, match="their own"):
        await order(fleet, made.id, RolloutEvent.APPROVE, ANN)
    assert await told(fleet) == []
    await order(fleet, made.id, RolloutEvent.APPROVE, BEN)
    assert await told(fleet) == [State.OFFERED] * 3


async def test_with_four_eyes_nobody_starts_what_they_planned_before(fleet: Fleet) -> None:
    made = await rollouts.create(fleet.world, ACME, ANN, Intention(APP, Version("2"), "id==*", Policy()))
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    with pytest.raises(ForbiddenError, match="their own"):
        await order(fleet, made.id, RolloutEvent.START, ANN)
    assert (await order(fleet, made.id, RolloutEvent.START, BEN)).state is RolloutState.RUNNING


async def test_with_four_eyes_an_author_may_start_early_what_another_approved(fleet: Fleet) -> None:
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    made = await planned(fleet, Policy(), hours=3)
    assert (await order(fleet, made.id, RolloutEvent.APPROVE, BEN)).state is RolloutState.SCHEDULED
    assert (await order(fleet, made.id, RolloutEvent.START, ANN)).state is RolloutState.RUNNING


async def test_without_it_an_author_may(fleet: Fleet) -> None:
    made = await planned(fleet)
    assert (await order(fleet, made.id, RolloutEvent.APPROVE, ANN)).state is RolloutState.RUNNING


async def test_what_is_not_approved_may_be_stopped(fleet: Fleet) -> None:
    made = await planned(fleet)
    await order(fleet, made.id, RolloutEvent.STOP)
    await fleet.work()
    assert (await fleet.show(made.id)).state is RolloutState.STOPPED


@pytest.mark.parametrize("after", [False, True])
async def test_what_was_planned_before_four_eyes_were_wanted_does_not_start_by_itself(
    fleet: Fleet, clock: SettableClock, after: bool
) -> None:
    first = await fleet.roll_out()
    at = clock.now() + timedelta(hours=1)
    policy = Policy(after=first) if after else Policy()
    wanted = Intention(APP, Version("2"), "id==*", policy, start_at=None if after else at)
    made = await rollouts.create(fleet.world, ACME, ANN, wanted)
    assert made.state is RolloutState.SCHEDULED
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    for name in "abc":
        await fleet.poll(name)
        await fleet.say(name, Event.FAIL)
    clock.ahead += timedelta(hours=2)
    waiting = await fleet.show(made.id)
    assert (waiting.state, waiting.policy.approve) == (RolloutState.AWAITING_APPROVAL, Approve.START)
    with pytest.raises(ForbiddenError, match="their own"):
        await order(fleet, made.id, RolloutEvent.APPROVE, ANN)
    await order(fleet, made.id, RolloutEvent.APPROVE)
    assert (await fleet.show(made.id)).state is RolloutState.RUNNING


@pytest.mark.parametrize("name", ["user:operator " + "0123456789abcdef" * 2, "user:login", "user:local"])
async def test_with_four_eyes_who_cannot_be_told_from_others_plans_and_approves_nothing(
    fleet: Fleet, name: str
) -> None:
    somebody = Actor(name)
    before = await rollouts.create(fleet.world, ACME, somebody, Intention(APP, Version("2"), "id==*", Policy()))
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    with pytest.raises(ForbiddenError, match="told from others"):
        await rollouts.create(fleet.world, ACME, somebody, Intention(APP, Version("2"), "id==*", Policy()))
    with pytest.raises(ForbiddenError, match="may be you"):
        await order(fleet, before.id, RolloutEvent.START, BEN)
    made = await planned(fleet)
    with pytest.raises(ForbiddenError, match="told from others"):
        await order(fleet, made.id, RolloutEvent.APPROVE, somebody)
    await order(fleet, before.id, RolloutEvent.STOP, somebody)
    assert (await fleet.show(before.id)).state is RolloutState.STOPPED


async def test_a_label_may_look_like_anything_else(fleet: Fleet) -> None:
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    made = await planned(fleet)
    assert (await order(fleet, made.id, RolloutEvent.APPROVE, Actor("user:operator ben"))).started_at is not None


async def test_a_plan_is_started_once(fleet: Fleet) -> None:
    def plan(seed: int, **more: str) -> Intention:
        wanted = Intention(APP, Version("2"), "id==*", Policy(), start=True, planned=Planned(seed, 3))
        return replace(wanted, **more)  # type: ignore[arg-type]

    made = await rollouts.create(fleet.world, ACME, ANN, plan(1))
    for seed in (1, 2):
        with pytest.raises(AlreadyExistsError, match=f"rollout {made.id} brings app 2 to id==\\* already"):
            await rollouts.create(fleet.world, ACME, BEN, plan(seed))
    assert (await rollouts.create(fleet.world, ACME, BEN, plan(3, target="id=in=(a,b,c)"))).id == made.id + 1
    await order(fleet, made.id, RolloutEvent.STOP)
    assert (await rollouts.create(fleet.world, ACME, BEN, plan(4))).state is RolloutState.RUNNING
