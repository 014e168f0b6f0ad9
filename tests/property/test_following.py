"""Whatever is published, withdrawn and reported in whatever order: one live standing rollout, and nobody goes back."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otaru.domain.deployment import Event
from otaru.domain.ids import DeviceId, Version
from otaru.domain.release import ReleaseEvent, ReleaseState
from otaru.domain.rollout import ClassicRule, OnError, Policy, RolloutState
from otaru.domain.terms import Terms
from otaru.domain.versions import VersionOrder, compare
from otaru.services.control import groups
from otaru.services.control.following import Wanted, follow, tend, unfollow
from otaru.services.control.groups import NewGroup
from otaru.services.control.joining import join_all
from otaru.services.control.world import SYSTEM
from tests.conftest import Databases
from tests.support.stores import ACME
from tests.support.world import a_world
from tests.unit.services.control.test_following import ALICE, LAB, STABLE, Lab
from tests.unit.services.control.test_rollouts import APP, BOARD

VERSIONS = ("1.0", "1.1", "1.1.1", "2.0-rc.1", "2.0", "2.1")
DEVICES = ("a", "b", "c")
LATER = "d"
STOPS = Policy(rule=ClassicRule(0.9, 0.1), on_error=OnError.STOP)


class Act(StrEnum):
    """What happens."""

    PUBLISH = "publish"
    WITHDRAW = "withdraw"
    DEPRECATE = "deprecate"
    UPDATE = "update"
    FAIL = "fail"
    BEGIN = "begin"
    END = "end"
    FOLLOW = "follow"
    UNFOLLOW = "unfollow"
    ADD = "add"
    JOIN = "join"


SAYS = {Act.UPDATE: Event.SUCCEED, Act.FAIL: Event.FAIL, Act.BEGIN: Event.INSTALL, Act.END: Event.SUCCEED}


@dataclass(frozen=True)
class Step:
    """One thing that happens, to the release or device of this number."""

    act: Act
    number: int


mostly = st.sampled_from([Act.PUBLISH] * 5 + [Act.UPDATE] * 4 + [Act.BEGIN, Act.END] * 2 + list(Act))
stories = st.lists(st.builds(Step, mostly, st.integers(0, 5)), min_size=4, max_size=14)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("following")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stories)
def test_one_is_live_and_nobody_goes_back(databases: Databases, folder: Path, story: list[Step]) -> None:
    url = databases.fresh()
    try:
        asyncio.run(_tell(url, folder, story))
    finally:
        databases.drop(url)


async def _tell(url: str, folder: Path, story: list[Step]) -> None:
    async with a_world(url, folder) as (world, _):
        lab = Lab(world)
        await groups.create(world, ACME, SYSTEM, NewGroup(LAB, "id==*"))
        await lab.add(*DEVICES, installed="0.9")
        await lab.release("0.9", (BOARD,), Terms(channel="beta"))
        await follow(world, ACME, ALICE, Wanted(STABLE, STOPS))
        ran = dict.fromkeys(DEVICES, "0.9")
        for step in story:
            await _happen(lab, step)
            await lab.worker()
            ran = await _held(lab, ran)
        await _settled(lab, ran)


async def _happen(lab: Lab, step: Step) -> None:
    name = DEVICES[step.number % len(DEVICES)]
    match step.act:
        case Act.PUBLISH | Act.WITHDRAW | Act.DEPRECATE:
            await _release(lab, step.act, VERSIONS[step.number])
        case Act.UPDATE | Act.FAIL | Act.BEGIN | Act.END:
            await lab.update(name, SAYS[step.act])
        case Act.FOLLOW:
            await follow(lab.world, ACME, ALICE, Wanted(STABLE, STOPS))
        case Act.UNFOLLOW if await lab.world.store.read(lambda tx: tx.followings.count(ACME)):
            await unfollow(lab.world, ACME, ALICE, STABLE)
        case Act.ADD if await lab.world.registry.device(ACME, DeviceId(LATER)) is None:
            await lab.add(LATER, installed="1.1")
        case Act.JOIN:
            await join_all(lab.world)
        case _:
            pass


async def _release(lab: Lab, act: Act, version: str) -> None:
    known = await lab.world.store.read(lambda tx: tx.releases.get(ACME, APP, Version(version)))
    if known is None:
        await lab.publish(version)
    elif act is Act.WITHDRAW and known.state is not ReleaseState.WITHDRAWN:
        await lab.move(version, ReleaseEvent.WITHDRAW)
    elif act is Act.DEPRECATE and known.state is ReleaseState.PUBLISHED:
        await lab.move(version, ReleaseEvent.DEPRECATE)


async def _held(lab: Lab, ran: dict[str, str]) -> dict[str, str]:
    """What has to hold at each moment; what runs now."""
    made = await lab.standing()  # at most one is live
    by_id = {one.id: one for one in made}
    for one in made:
        if one.superseded_by is not None:
            assert by_id[one.superseded_by].id > one.id
    superseding = [(one, by_id[one.superseded_by]) for one in made if one.superseded_by is not None]
    assert all(_newer(by.version, old.version) for old, by in superseding)
    for version, number in Counter(one.version for one in made if one.superseded_by is None).items():
        stopped = [one for one in made if one.version == version and one.state is RolloutState.STOPPED]
        assert number == 1 or not stopped, "what was stopped is not made again"
    runs = {name: str(await lab.runs(name)) for name in ran}
    assert not [name for name, before in ran.items() if _newer(before, runs[name])], "nobody goes back"
    return runs


async def _settled(lab: Lab, ran: dict[str, str]) -> None:
    """A release that is newer than all others reaches everybody."""
    await follow(lab.world, ACME, ALICE, Wanted(STABLE, STOPS))
    for _ in range(4):
        for name in ran:
            await lab.update(name, Event.SUCCEED)
    await lab.publish("9.0")
    for name in ran:
        assert await lab.update(name)
    assert {await lab.runs(name) for name in ran} == {"9.0"}


def test_of_two_workers_one_makes_the_rollout(databases: Databases, folder: Path) -> None:
    async def race(url: str) -> None:
        async with a_world(url, folder) as (world, _), a_world(url, folder) as (other, _):
            lab = Lab(world)
            await groups.create(world, ACME, SYSTEM, NewGroup(LAB, "id==*"))
            await lab.add(*DEVICES)
            await lab.release("1.0")
            await follow(world, ACME, ALICE, Wanted(STABLE, STOPS))
            for version in ("1.1", "2.0", "2.1"):
                await lab.release(version)
                assert sum(await asyncio.gather(*(tend(one) for one in (world, other) * 3))) == 1
            made = await lab.standing()
            assert [one.version for one in made] == ["1.0", "1.1", "2.0", "2.1"]
            assert [one.superseded_by for one in made] == [2, 3, 4, None]

    url = databases.fresh()
    try:
        asyncio.run(race(url))
    finally:
        databases.drop(url)


def _newer(one: str, other: str) -> bool:
    return compare(VersionOrder.AUTO, Version(one), Version(other)) > 0
