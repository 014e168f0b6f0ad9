"""A poll that changes nothing writes nothing: counted, by a store that counts the jobs of its writer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otaru.domain.deployment import State
from otaru.domain.ids import DeviceId
from otaru.domain.offer import Rule
from otaru.domain.rollout import Limits, Policy, RateRule
from otaru.domain.schedule import window
from otaru.ports.store import Tx
from otaru.services.control import survey
from otaru.services.control.world import World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet
from tests.unit.services.control.test_windows import turn

pytestmark = pytest.mark.anyio

NOON = datetime(2031, 5, 1, 12, 0, 20, tzinfo=UTC)
NAMES = tuple(f"d-{n:03}" for n in range(80))


class CountingStore:
    """A real store that counts the jobs of its writer."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.jobs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, job: Callable[[Tx, Sequence[Any]], Sequence[Any]], argument: Any) -> Any:
        self.jobs += 1
        return await self._store.write(job, argument)


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    turn(clock, NOON)
    made = Fleet(world)
    await made.release("2")
    await made.add(*NAMES)
    return made


async def refused(fleet: Fleet, policy: Policy) -> int:
    """How many of all devices are told in this minute; the others' polls write nothing, and are answered when to ask again."""
    await fleet.roll_out(policy=policy)
    told = sum([await fleet.poll(name) is State.OFFERED for name in NAMES])
    store = CountingStore(fleet.world.store)
    fleet.world = replace(fleet.world, store=store)
    waiting = 0
    for name in NAMES:
        if await fleet.poll(name) is None:
            waiting += 1
            assert fleet.ask_at is not None
            assert fleet.ask_at > NOON
    assert (store.jobs, waiting) == (0, len(NAMES) - told)
    return told


async def test_where_the_rate_says_so(fleet: Fleet, clock: SettableClock) -> None:
    assert await refused(fleet, Policy(rate=RateRule(base=3, factor=2.0, every=1000))) == 3
    (answer,) = await survey.why(fleet.world, ACME, DeviceId(NAMES[-1]))
    said = "Rollout 1 is at its limit: 3 of 3 have been told in this minute."
    assert (answer.rule, answer.because) == (Rule.LIMIT, said)
    turn(clock, NOON + timedelta(minutes=1))
    assert await fleet.poll(NAMES[-1]) is State.OFFERED


async def test_where_a_limit_of_a_minute_says_so(fleet: Fleet) -> None:
    assert await refused(fleet, Policy(limits=Limits(per_minute=5))) == 5


async def test_where_the_smaller_of_both_says_so(fleet: Fleet) -> None:
    rule = RateRule(base=7, factor=2.0, every=1000)
    assert await refused(fleet, Policy(limits=Limits(per_minute=4), rate=rule)) == 4


async def test_where_the_window_says_so(fleet: Fleet) -> None:
    policy = Policy(window=window("11:00/2h"))
    assert await refused(fleet, policy) == 60
