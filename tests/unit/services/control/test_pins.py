"""Devices that stay where they are, over a real store."""

import pytest

from otaru.domain.deployment import State
from otaru.domain.device import EVERYTHING, pins
from otaru.domain.ids import DeviceId, Version
from otaru.domain.offer import Rule
from otaru.domain.rollout import Policy, RolloutState
from otaru.errors import InvalidInputError, NothingToDoError
from otaru.services.control import devices, rollouts
from otaru.services.control.devices import Change
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.unit.services.control.test_rollouts import APP, Fleet
from tests.unit.services.control.test_windows import why

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    await made.add("a", "b", "c", "d")
    return made


async def pin(fleet: Fleet, name: str, *components: str) -> None:
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId(name), Change(pins=pins(components)))


def test_everything_is_all_there_is_to_pin() -> None:
    assert pins(["app", EVERYTHING]) == {EVERYTHING}
    for wrong in (["a,b"], [""], [f"c{n}" for n in range(51)]):
        with pytest.raises(InvalidInputError):
            pins(wrong)


async def test_who_is_pinned_is_left_out_of_the_plan(fleet: Fleet) -> None:
    await pin(fleet, "a", EVERYTHING)
    await pin(fleet, "b", "app", "os")
    await pin(fleet, "c", "ap", "pp", "app.x")
    found = await rollouts.preview(fleet.world, ACME, Intention(APP, Version("2"), "id==*", Policy()))
    assert (found.members, found.left_out["pinned"]) == (2, 2)
    await fleet.roll_out()
    assert [await fleet.poll(name) for name in "abcd"] == [None, None, State.OFFERED, State.OFFERED]
    with pytest.raises(NothingToDoError) as refused:
        await fleet.roll_out(target="id==a")
    assert refused.value.hint == "Left out: 1 pinned."


async def test_who_is_pinned_meanwhile_leaves_its_rollout(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(target="id==a")
    await pin(fleet, "a", "app")
    assert [rule for rule, _ in await why(fleet)] == [Rule.PINNED]
    assert await fleet.poll("a") is None
    assert await fleet.counts(rollout) == {State.SKIPPED: 1}
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_who_has_been_told_goes_on(fleet: Fleet) -> None:
    await fleet.roll_out(target="id==a")
    assert await fleet.poll("a") is State.OFFERED
    await pin(fleet, "a", EVERYTHING)
    assert await fleet.poll("a") is State.OFFERED


async def test_after_the_pin_it_is_updated_again(fleet: Fleet) -> None:
    await pin(fleet, "a", EVERYTHING)
    await pin(fleet, "a")
    await fleet.roll_out(target="id==a")
    assert await fleet.poll("a") is State.OFFERED
