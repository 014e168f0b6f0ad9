"""Sequential rollouts over a real store: what the worker makes of them, and what is kept."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.evidence import Call
from otaru.domain.ids import RolloutId
from otaru.domain.rollout import (
    JUDGED_WAVES,
    OnError,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    SequentialRule,
    WaveState,
)
from otaru.errors import NotFoundError
from otaru.services.control import judging, rollouts
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import BOARD, OTHER_BOARD, Fleet

pytestmark = pytest.mark.anyio

JUDGED = Policy(waves=JUDGED_WAVES, sequential=SequentialRule())
SPLIT = Policy(waves=JUDGED_WAVES, sequential=SequentialRule(), split=("hardware",))
NAMES = [f"d-{n:03}" for n in range(120)]
ODD = [f"o-{n:03}" for n in range(60)]


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2", (BOARD, OTHER_BOARD))
    await made.add(*NAMES)
    return made


async def a_day(
    fleet: Fleet, rollout: RolloutId, clock: SettableClock, names: Sequence[str], fails: Callable[[str], bool]
) -> Rollout:
    """Every device that has not been told comes four times; who is told installs at once."""
    told: set[str] = getattr(fleet, "told", set())
    for _ in range(4):
        for name in names:
            if name not in told and await fleet.poll(name) is State.OFFERED:
                told.add(name)
                await fleet.say(name, Event.FAIL if fails(name) else Event.SUCCEED)
        clock.ahead += timedelta(hours=6)
        await fleet.work()
    fleet.told = told  # type: ignore[attr-defined]
    return await fleet.show(rollout)


async def test_a_good_release_reaches_everybody_faster_and_faster(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=JUDGED)
    await fleet.work()
    reached = []
    for _ in range(12):
        now = await a_day(fleet, rollout, clock, NAMES, lambda _: False)
        reached.append(now.watermark)
        if now.state is RolloutState.FINISHED:
            break
    assert now.state is RolloutState.FINISHED
    assert reached[0] < 60
    assert {w.state for w in now.waves} == {WaveState.PASSED}
    kept = await judging.verdicts(fleet.world, ACME, rollout, None, 100)
    assert [said.finding.call for _, said in reversed(kept)] == [Call.HOLD, Call.EXPAND, Call.EXPAND]
    assert kept[0][1].finding.words[0] == "expand: nothing speaks against it"
    assert kept[1][1].finding.tried < kept[0][1].finding.tried == len(NAMES), "the last word is about all of them"


async def test_a_bad_release_is_stopped_and_the_verdict_is_kept(fleet: Fleet, clock: SettableClock) -> None:
    policy = Policy(waves=JUDGED_WAVES, sequential=SequentialRule(), on_error=OnError.STOP)
    rollout = await fleet.roll_out(policy=policy)
    now = await a_day(fleet, rollout, clock, NAMES, lambda name: hash(name) % 2 == 0 or name.endswith("1"))
    for _ in range(6):
        if now.state is not RolloutState.RUNNING:
            break
        now = await a_day(fleet, rollout, clock, NAMES, lambda _: True)
    assert now.state is RolloutState.STOPPED
    assert "worse than tolerated" in now.reason
    assert len(fleet.told) < 40  # type: ignore[attr-defined]
    ((_, said),) = await judging.verdicts(fleet.world, ACME, rollout, None, 1, None)
    assert said.finding.call is Call.STOP
    assert said.finding.log_e >= said.finding.log_threshold
    shown = await rollouts.progress(fleet.world, ACME, rollout)
    assert shown.verdicts[None] == said


async def test_a_bad_revision_is_held_and_the_others_go_on(fleet: Fleet, clock: SettableClock) -> None:
    await fleet.add(*ODD, hardware=OTHER_BOARD)
    rollout = await fleet.roll_out(policy=SPLIT)
    for _ in range(14):
        now = await a_day(fleet, rollout, clock, [*NAMES, *ODD], lambda name: name in ODD)
        if now.state is not RolloutState.RUNNING:
            break
    assert [s.held for s in now.segments] == [False, True]
    assert "worse than tolerated" in now.segments[1].reason
    assert now.state is RolloutState.FINISHED
    counts = await fleet.counts(rollout)
    assert counts[State.SUCCEEDED] == len(NAMES)
    assert counts[State.FAILED] < 30


async def test_a_person_may_go_on_against_the_judges_word(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=JUDGED)
    for _ in range(6):
        now = await a_day(fleet, rollout, clock, NAMES, lambda _: True)
        if now.state is RolloutState.PAUSED:
            break
    assert now.state is RolloutState.PAUSED
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME, reason="the lab's own fault")
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING


async def test_what_is_tolerated_is_learned_when_it_is_planned(fleet: Fleet, clock: SettableClock) -> None:
    first = await fleet.roll_out()
    for name in NAMES:
        await fleet.poll(name)
        await fleet.say(name, Event.FAIL if name.endswith("7") else Event.SUCCEED)
    assert (await fleet.show(first)).state is RolloutState.FINISHED
    await fleet.release("3", (BOARD, OTHER_BOARD))
    second = await fleet.roll_out("3", policy=JUDGED)
    rule = (await fleet.show(second)).policy.sequential
    assert rule is not None
    assert rule.releases == 1
    assert rule.whole is not None
    cold = await fleet.roll_out("2", target="id==d-007", policy=JUDGED)
    unlearned = (await fleet.show(cold)).policy.sequential
    assert unlearned is not None
    assert unlearned.releases == 0, "the same version teaches nothing of itself"
    assert unlearned.whole is not None
    assert rule.whole.centre > unlearned.whole.centre
    del clock


async def test_verdicts_are_of_ones_own_tenant(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=JUDGED)
    await fleet.work()
    assert len(await judging.verdicts(fleet.world, ACME, rollout, None, 10)) == 1
    with pytest.raises(NotFoundError):
        await judging.verdicts(fleet.world, RIVAL, rollout, None, 10)
