"""A judge is asked when counters have moved, and not more often than is of use: counted, by a judge that counts."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from otaru.adapters.judges.policy import PolicyJudge
from otaru.domain.deployment import Event, State
from otaru.domain.evidence import Evidence, Ruling
from otaru.domain.health import Kind, Told
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.rollout import JUDGED_WAVES, Policy, Rollout, RolloutEvent, RolloutState, SequentialRule, Share
from otaru.services.control import health, rollouts
from otaru.services.control.looks import Looks
from otaru.services.control.stepping import step_due
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet

pytestmark = pytest.mark.anyio

NAMES = [f"d-{n:02}" for n in range(12)]
JUDGED = Policy(waves=(Share(6, percent=False), *JUDGED_WAVES[-1:]), sequential=SequentialRule())


class Counting(PolicyJudge):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        self.asked += 1
        return super().ruling(rollout, evidence, now)


class Worker:
    """Rounds of work over one memory."""

    def __init__(self, world: World, rollout: RolloutId, looks: Looks) -> None:
        self.judge, self.looks, self.rollout = Counting(), looks, rollout
        self.world = replace(world, judge=self.judge)

    async def seen(self) -> Rollout:
        return (await rollouts.progress(self.world, ACME, self.rollout)).rollout

    async def rounds(self, number: int = 1) -> int:
        """How often the judge was asked in so many rounds."""
        before = self.judge.asked
        for _ in range(number):
            await step_due(self.world, self.looks)
        return self.judge.asked - before


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    clock.ahead += timedelta(hours=1) - timedelta(seconds=clock.now().timestamp() % 3600)  # no hour ends in between
    made = Fleet(world)
    await made.release("2")
    await made.add(*NAMES)
    return made


async def settled(fleet: Fleet, looks: Looks | None = None) -> Worker:
    """A worker that has seen a rollout, of which some have been told."""
    worker = Worker(fleet.world, await fleet.roll_out(policy=JUDGED), looks or Looks())
    for name in NAMES:
        await fleet.poll(name)
    assert await worker.rounds(3) > 0
    return worker


async def test_where_nothing_moved_nobody_is_asked(fleet: Fleet, clock: SettableClock) -> None:
    worker = await settled(fleet)
    assert await worker.rounds(20) == 0
    clock.ahead += timedelta(hours=1)
    assert await worker.rounds(20) == 1, "an hour is over"
    await health.tell(fleet.world, ACME, DeviceId("d-00"), [Told("s", Kind.SAMPLE, name="battery", value=1)])
    assert await worker.rounds(5) == 0, "nothing is counted of it"
    await health.tell(fleet.world, ACME, DeviceId("d-00"), [Told("c", Kind.CRASH)])
    assert await worker.rounds(5) == 1


async def test_what_moves_is_looked_at_and_stepped(fleet: Fleet) -> None:
    worker = await settled(fleet)
    told = [name for name in NAMES if await fleet.poll(name) is State.OFFERED]
    await fleet.say(told[0], Event.SUCCEED)
    assert await worker.rounds(5) > 0
    for name in told[1:]:
        await fleet.say(name, Event.FAIL)
    await worker.rounds()
    assert (await worker.seen()).state is RolloutState.PAUSED
    await rollouts.order(fleet.world, ACME, SYSTEM, worker.rollout, RolloutEvent.RESUME)
    assert await worker.rounds() > 0, "a person's word is looked at at once"


async def test_what_moves_all_the_time_is_looked_at_in_proportion(fleet: Fleet, clock: SettableClock) -> None:
    worker = await settled(fleet, Looks(cells_per_s=1))  # as if there were a thousand times as much to look at
    asked = 0
    for number in range(60):
        clock.ahead += timedelta(seconds=1)
        await health.tell(fleet.world, ACME, DeviceId("d-00"), [Told(f"c{number}", Kind.CRASH)])
        asked += await worker.rounds(3)
    assert 2 <= asked <= 60 / 2


async def test_whoever_is_shown_a_rollout_asks_no_judge_while_nothing_moves(fleet: Fleet, clock: SettableClock) -> None:
    worker = await settled(fleet)
    world, judge = worker.world, worker.judge
    shown, present = await rollouts.shown(world, ACME, worker.rollout)
    before = judge.asked
    for _ in range(20):
        assert (await rollouts.shown(world, ACME, worker.rollout))[1].waiting == present.waiting
        assert (await rollouts.judged(world, ACME, worker.rollout))[0] == shown
    assert judge.asked == before
    (told, *_) = [name for name in NAMES if await fleet.poll(name) is State.OFFERED]
    await fleet.say(told, Event.SUCCEED)
    moved, after = await rollouts.shown(world, ACME, worker.rollout)
    assert judge.asked == before + 1
    assert moved.evidence.whole.of(State.SUCCEEDED) == 1
    assert after.findings[0].finding.tried == 1
    clock.ahead += timedelta(hours=1)
    await rollouts.shown(world, ACME, worker.rollout)
    assert judge.asked == before + 2, "an hour is over"
