"""A rollout never has more in flight than its limits, across workers (DOMAIN, Invariants)."""

import asyncio
import contextlib
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otaru.domain.deployment import Event, State
from otaru.domain.device import Hardware
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.rollout import Limits, Place, Policy
from otaru.domain.schedule.appointment import minute
from otaru.errors import NothingToDoError
from otaru.services.control import devices, rollouts, survey
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from tests.conftest import Databases
from tests.support.stores import ACME
from tests.support.world import a_world
from tests.unit.services.control.test_rollouts import Fleet

DEVICES = [DeviceId(f"dev-{n}") for n in range(12)]
SITES = ("berlin", "oslo", None)


@dataclass(frozen=True)
class Round:
    """What happens at once: devices poll, each at its worker, then some of those in flight say how it goes."""

    polls: list[tuple[int, int]]
    words: dict[int, Event]
    ordered: bool
    """Whether those who only download are ordered to install before it."""


events = st.sampled_from(
    [
        Event.DOWNLOAD,
        Event.DOWNLOAD_DONE,
        Event.INSTALL,
        Event.SUCCEED,
        Event.FAIL,
        Event.CONSENT,
        Event.POSTPONE,
        Event.REJECT,
    ]
)
polls = st.lists(st.tuples(st.integers(0, len(DEVICES) - 1), st.integers(0, 1)), max_size=16, unique=True)
rounds = st.lists(
    st.builds(Round, polls, st.dictionaries(st.integers(0, len(DEVICES) - 1), events, max_size=6), st.booleans()),
    min_size=2,
    max_size=5,
)
few = st.integers(1, 4)
limits = st.builds(
    Limits, st.none() | few, st.none() | st.integers(2, 6), st.just(()) | st.builds(lambda n: (Place("site", n),), few)
)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limits")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits, st.booleans(), st.booleans(), rounds)
def test_no_limit_is_ever_exceeded(
    databases: Databases, folder: Path, limits: Limits, consent: bool, download_only: bool, story: list[Round]
) -> None:
    url = databases.fresh()
    try:
        asyncio.run(_played(url, folder, Policy(limits=limits, consent=consent, download_only=download_only), story))
    finally:
        databases.drop(url)


async def _played(url: str, folder: Path, policy: Policy, story: list[Round]) -> None:
    async with AsyncExitStack() as stack:
        worlds = [(await stack.enter_async_context(a_world(url, folder)))[0] for _ in range(2)]
        fleets = [Fleet(world) for world in worlds]
        await fleets[0].release("2")
        for number, name in enumerate(DEVICES):
            site = SITES[number % len(SITES)]
            known = {} if site is None else {"site": site}
            await devices.add(worlds[0], ACME, SYSTEM, NewDevice(name, Hardware("board"), attributes=known))
        rollout = await fleets[0].roll_out(policy=policy)
        for world in worlds:
            await world.registry.caught_up()
        for turn in story:
            if turn.ordered and policy.download_only:
                with contextlib.suppress(NothingToDoError):
                    await rollouts.install(worlds[0], ACME, SYSTEM, rollout)
                await worlds[1].registry.caught_up()
            await asyncio.gather(*(fleets[worker].poll(DEVICES[device]) for device, worker in turn.polls))
            await _hold(worlds[0], rollout, policy)
            told = [d for d in turn.words if await _state(worlds[0], rollout, DEVICES[d]) is not State.SCHEDULED]
            await asyncio.gather(*(fleets[d % 2].say(DEVICES[d], turn.words[d]) for d in told))
            await _hold(worlds[0], rollout, policy)


async def _state(world: World, rollout: RolloutId, device: DeviceId) -> State:
    (row,) = await world.store.read(lambda tx: tx.deployments.current(ACME, [(rollout, device)]))
    assert row is not None
    return row.state


async def _hold(world: World, rollout: RolloutId, policy: Policy) -> None:
    """Counted from the rows themselves, and, where a device is told to install what it has downloaded, from the record."""
    limits = policy.limits
    rows = await world.store.read(lambda tx: tx.deployments.page(ACME, rollout, (), None, 100))
    flying = [row for row in rows if row.state in policy.in_flight]
    if limits.in_flight is not None:
        assert len(flying) <= limits.in_flight
    if limits.per_minute is not None:
        told = Counter(minute(row.offered_at) for row in rows if row.offered_at is not None)
        moves = await survey.events(world, ACME, START, 1000, kinds=[Kind.DEPLOYMENT_MOVED])
        told += Counter(
            minute(e.what.at)
            for e in moves
            if policy.download_only and (e.what.data["from"], e.what.data["to"]) == ("downloaded", "installing")
        )
        assert max(told.values(), default=0) <= limits.per_minute
    for place in limits.places:
        sites = Counter(SITES[DEVICES.index(row.device) % len(SITES)] for row in flying)
        assert max((number for site, number in sites.items() if site is not None), default=0) <= place.most
