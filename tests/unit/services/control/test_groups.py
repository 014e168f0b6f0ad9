"""Groups of devices: made, changed, asked for, and what a rollout makes of them."""

import pytest

from otaru.domain.device import Hardware
from otaru.domain.group import GroupName
from otaru.domain.ids import DeviceId
from otaru.errors import (
    AlreadyExistsError,
    InvalidStateError,
    NotFoundError,
    PreconditionFailedError,
    QuerySyntaxError,
    TooLargeError,
)
from otaru.services.control import completion, devices, groups, survey
from otaru.services.control.devices import NewDevice
from otaru.services.control.groups import Change, Listed, NewGroup
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL

pytestmark = pytest.mark.anyio
LAB, HAND = GroupName("lab"), GroupName("hand")


@pytest.fixture
async def fleet(world: World) -> World:
    """Four devices, two of them tagged; a query and a list."""
    for number in range(4):
        tags = frozenset({"lab"} if number < 2 else ())
        await devices.add(world, ACME, SYSTEM, NewDevice(DeviceId(f"dev-{number}"), Hardware("rpi4"), tags=tags))
    await groups.create(world, ACME, SYSTEM, NewGroup(LAB, "tag==lab", "for tests"))
    await groups.create(world, ACME, SYSTEM, NewGroup(HAND))
    return world


def named(*numbers: int) -> list[DeviceId]:
    return [DeviceId(f"dev-{number}") for number in numbers]


async def asked(world: World, target: str) -> list[DeviceId]:
    page = await survey.devices(world, ACME, target, None, 100, count=True)
    assert page.total == len(page.devices) == await survey.count(world, ACME, target)
    return [shown.device.id for shown in page.devices]


async def test_a_group_stands_for_its_devices(fleet: World) -> None:
    assert await groups.enter(fleet, ACME, SYSTEM, HAND, named(1, 2)) == Listed(2, 0)
    await groups.create(fleet, ACME, SYSTEM, NewGroup(GroupName("both"), "group==lab;group==hand"))
    assert await asked(fleet, "group==lab") == named(0, 1)
    assert await asked(fleet, "group==hand") == named(1, 2)
    assert await asked(fleet, "group==both") == named(1)
    assert await asked(fleet, "group!=both") == named(0, 2, 3)
    assert await asked(fleet, "group=in=(lab,hand)") == named(0, 1, 2)
    assert (await groups.show(fleet, ACME, "both")).devices == 1
    assert (await groups.show(fleet, ACME, "hand")).devices == 2
    assert await groups.of_device(fleet, ACME, named(1)[0]) == [HAND]
    known = {one.selector: one.values for one in await completion.fields(fleet, ACME, 5)}
    assert known["group"] == ["both", "hand", "lab"]


async def test_a_list_is_kept_by_hand(fleet: World) -> None:
    assert await groups.enter(fleet, ACME, SYSTEM, HAND, [*named(0, 1, 0), DeviceId("nobody")]) == Listed(
        2, 0, (DeviceId("nobody"),)
    )
    assert await groups.enter(fleet, ACME, SYSTEM, HAND, named(1, 2)) == Listed(1, 1)
    assert await groups.leave(fleet, ACME, SYSTEM, HAND, named(0, 3)) == Listed(1, 1)
    assert await asked(fleet, "group==hand") == named(1, 2)
    with pytest.raises(InvalidStateError):
        await groups.enter(fleet, ACME, SYSTEM, LAB, named(3))
    with pytest.raises(InvalidStateError):
        await groups.change(fleet, ACME, SYSTEM, HAND, Change(query="tag==x"))
    with pytest.raises(TooLargeError):
        await groups.leave(fleet, ACME, SYSTEM, HAND, [DeviceId(f"d-{number}") for number in range(1001)])


async def test_a_list_is_bounded(fleet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_MEMBERS", 2)
    await groups.enter(fleet, ACME, SYSTEM, HAND, named(0, 1))
    with pytest.raises(TooLargeError):
        await groups.enter(fleet, ACME, SYSTEM, HAND, named(2))
    assert await asked(fleet, "group==hand") == named(0, 1)
    monkeypatch.setattr(groups, "MAX_GROUPS", 2)
    with pytest.raises(TooLargeError):
        await groups.create(fleet, ACME, SYSTEM, NewGroup(GroupName("third")))


async def test_a_group_is_changed_and_no_part_of_itself(fleet: World) -> None:
    changed = await groups.change(fleet, ACME, SYSTEM, LAB, Change("tag==lab,group==hand"), edition=1)
    assert (changed.edition, changed.description) == (2, "for tests")
    with pytest.raises(PreconditionFailedError):
        await groups.change(fleet, ACME, SYSTEM, LAB, Change("id==*"), edition=1)
    await groups.create(fleet, ACME, SYSTEM, NewGroup(GroupName("outer"), "group==lab"))
    with pytest.raises(QuerySyntaxError, match="lab → outer → lab"):
        await groups.change(fleet, ACME, SYSTEM, LAB, Change("id==a,group==outer"))
    with pytest.raises(QuerySyntaxError):
        await groups.create(fleet, ACME, SYSTEM, NewGroup(GroupName("mine"), "group==mine"))
    assert (await groups.get(fleet, ACME, "lab")).query == "tag==lab,group==hand"


async def test_a_group_that_others_are_made_of_stays(fleet: World) -> None:
    await groups.create(fleet, ACME, SYSTEM, NewGroup(GroupName("outer"), "tag==x,group==hand"))
    with pytest.raises(InvalidStateError) as caught:
        await groups.remove(fleet, ACME, SYSTEM, HAND)
    assert caught.value.facts["used_by"] == ["outer"]
    await groups.remove(fleet, ACME, SYSTEM, GroupName("outer"))
    await groups.enter(fleet, ACME, SYSTEM, HAND, named(0))
    await groups.remove(fleet, ACME, SYSTEM, HAND)
    await groups.create(fleet, ACME, SYSTEM, NewGroup(HAND))
    assert await asked(fleet, "group==hand") == []
    with pytest.raises(AlreadyExistsError):
        await groups.create(fleet, ACME, SYSTEM, NewGroup(HAND))


async def test_what_names_no_group_is_refused_at_its_place(fleet: World) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        await survey.devices(fleet, ACME, "tag==a;group==none", None, 1)
    assert (caught.value.facts["column"], caught.value.message) == (15, "there is no group 'none'")


async def test_tenants_have_groups_of_their_own(fleet: World) -> None:
    for work in (
        groups.get(fleet, RIVAL, "lab"),
        groups.show(fleet, RIVAL, "hand"),
        groups.remove(fleet, RIVAL, SYSTEM, LAB),
        groups.change(fleet, RIVAL, SYSTEM, LAB, Change(description="x")),
        groups.enter(fleet, RIVAL, SYSTEM, HAND, named(0)),
    ):
        with pytest.raises(NotFoundError):
            await work
    assert await groups.page(fleet, RIVAL, None, 10) == []
    await groups.create(fleet, RIVAL, SYSTEM, NewGroup(HAND))
    await groups.enter(fleet, ACME, SYSTEM, HAND, named(0))
    assert await groups.enter(fleet, RIVAL, SYSTEM, HAND, named(0)) == Listed(0, 0, (named(0)[0],))
    assert await survey.count(fleet, RIVAL, "group==hand") == 0
    with pytest.raises(QuerySyntaxError):
        await survey.count(fleet, RIVAL, "group==lab")
