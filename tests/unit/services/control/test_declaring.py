"""Types of attributes are declared; what devices say of them is compared, and what became of it is kept."""

from datetime import timedelta

import pytest

from otaru.domain.attribute import MAX_CHANGES, MAX_DECLARED, AttributeKind
from otaru.domain.device import Hardware, Merge
from otaru.domain.ids import DeviceId, Version
from otaru.errors import NotFoundError, QuerySyntaxError, TooLargeError
from otaru.services.control import attributes, completion, declaring, devices, housekeeping, survey
from otaru.services.control.declaring import Fact
from otaru.services.control.devices import Change, NewDevice
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio
NUMBER, VERSION = AttributeKind.NUMBER, AttributeKind.VERSION


@pytest.fixture
async def fleet(world: World) -> World:
    for number, battery in enumerate(("7", "10", "lie", "100")):
        new = NewDevice(
            DeviceId(f"dev-{number}"),
            Hardware("rpi4"),
            attributes={"battery": battery},
            installed={"app": Version(f"1.{number + 8}")},
        )
        await devices.add(world, ACME, SYSTEM, new)
    return world


async def asked(world: World, target: str) -> list[str]:
    page = await survey.devices(world, ACME, target, None, 100, count=True)
    assert page.total == len(page.devices)
    return [shown.device.id.removeprefix("dev-") for shown in page.devices]


async def test_what_is_declared_is_compared(fleet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaring, "STEP", 2)
    with pytest.raises(QuerySyntaxError) as caught:
        await asked(fleet, "tag==x,attr.battery=lt=20")
    assert caught.value.facts["column"] == 13
    declared = await declaring.declare(fleet, ACME, SYSTEM, "battery", NUMBER)
    assert declared.ready
    assert await asked(fleet, "attr.battery=lt=20") == ["0", "1"]
    assert await asked(fleet, "not(attr.battery=lt=20)") == ["2", "3"]
    assert await asked(fleet, "attr.battery>=10;installed.app<1.11") == ["1"]
    assert await declaring.declare(fleet, ACME, SYSTEM, "battery", NUMBER) == declared
    (seen,) = await declaring.listed(fleet, ACME)
    assert (seen.declared, seen.unreadable) == (declared, 1)
    known = {one.selector: one.declared for one in await completion.fields(fleet, ACME, 5)}
    assert known["attr.battery"] is NUMBER


async def test_what_devices_say_later_is_compared_too(fleet: World) -> None:
    await declaring.declare(fleet, ACME, SYSTEM, "battery", NUMBER)
    await attributes.merge(fleet, ACME, DeviceId("dev-0"), {"battery": "empty?"}, Merge.MERGE)
    await attributes.merge(fleet, ACME, DeviceId("dev-2"), {"battery": "1"}, Merge.MERGE)
    await attributes.merge(fleet, ACME, DeviceId("dev-1"), {"battery": ""}, Merge.REMOVE)
    await devices.add(fleet, ACME, SYSTEM, NewDevice(DeviceId("dev-9"), Hardware("x"), attributes={"battery": "2"}))
    assert await asked(fleet, "attr.battery=lt=20") == ["2", "9"]
    assert await declaring.of_device(fleet, ACME, DeviceId("dev-0")) == [
        Fact("battery", "empty?", NUMBER, readable=False)
    ]


async def test_a_type_is_declared_anew_and_dropped(fleet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaring, "STEP", 3)
    await declaring.declare(fleet, ACME, SYSTEM, "battery", NUMBER)
    await declaring.declare(fleet, ACME, SYSTEM, "battery", VERSION)
    assert await asked(fleet, "attr.battery<10") == ["0", "2"]
    await declaring.drop(fleet, ACME, SYSTEM, "battery")
    with pytest.raises(QuerySyntaxError):
        await asked(fleet, "attr.battery<10")
    await attributes.merge(fleet, ACME, DeviceId("dev-0"), {}, Merge.REPLACE)
    await declaring.declare(fleet, ACME, SYSTEM, "battery", NUMBER)
    assert await asked(fleet, "attr.battery<20") == ["1"]


async def test_so_many_are_declared(fleet: World) -> None:
    for number in range(MAX_DECLARED):
        await declaring.declare(fleet, ACME, SYSTEM, f"a{number}", NUMBER)
    with pytest.raises(TooLargeError):
        await declaring.declare(fleet, ACME, SYSTEM, "more", NUMBER)
    await declaring.declare(fleet, ACME, SYSTEM, "a0", VERSION)
    await declaring.declare(fleet, RIVAL, SYSTEM, "more", NUMBER)


async def test_what_became_of_attributes_is_kept_and_forgotten(fleet: World, clock: SettableClock) -> None:
    device = DeviceId("dev-0")
    await attributes.merge(fleet, ACME, device, {"battery": "6", "new": "x"}, Merge.MERGE)
    await devices.change(fleet, ACME, SYSTEM, device, Change(attributes={"new": None}))
    await devices.change(fleet, ACME, SYSTEM, device, Change(tags=frozenset({"t"})))
    found = await declaring.changes(fleet, ACME, device, None, 10)
    assert [(c.name, c.before, c.after) for c in found] == [
        ("new", "x", None),
        ("battery", "7", "6"),
        ("new", None, "x"),
    ]
    assert found[1].at == found[2].at
    after = (found[1].at, found[1].name)
    assert await declaring.changes(fleet, ACME, device, after, 10) == found[2:]
    assert await declaring.changes(fleet, ACME, DeviceId("dev-1"), None, 10) == []
    clock.ahead = timedelta(days=179)
    await housekeeping.housekeep(fleet, timedelta(days=365))
    assert await declaring.changes(fleet, ACME, device, None, 10) == found
    await declaring.purge(fleet, ACME, SYSTEM, device)
    assert await declaring.changes(fleet, ACME, device, None, 10) == []
    await attributes.merge(fleet, ACME, device, {"battery": "5"}, Merge.MERGE)
    clock.ahead = timedelta(days=360)
    await housekeeping.housekeep(fleet, timedelta(days=365))
    assert await declaring.changes(fleet, ACME, device, None, 10) == []


async def test_no_more_than_the_newest_is_kept(fleet: World) -> None:
    device = DeviceId("dev-0")
    for number in range(6):
        facts = {f"n{name}": str(number) for name in range(100)}
        await attributes.merge(fleet, ACME, device, facts, Merge.MERGE)
    found = await declaring.changes(fleet, ACME, device, None, 1000)
    assert len(found) == MAX_CHANGES
    assert {change.after for change in found} == {"1", "2", "3", "4", "5"}


async def test_tenants_declare_for_themselves(fleet: World) -> None:
    await declaring.declare(fleet, RIVAL, SYSTEM, "battery", NUMBER)
    assert await declaring.listed(fleet, ACME) == []
    with pytest.raises(QuerySyntaxError):
        await asked(fleet, "attr.battery<1")
    for work in (
        declaring.drop(fleet, ACME, SYSTEM, "battery"),
        declaring.of_device(fleet, RIVAL, DeviceId("dev-0")),
        declaring.changes(fleet, RIVAL, DeviceId("dev-0"), None, 1),
        declaring.purge(fleet, RIVAL, SYSTEM, DeviceId("dev-0")),
    ):
        with pytest.raises(NotFoundError):
            await work
    assert (await declaring.listed(fleet, RIVAL))[0].unreadable == 0
