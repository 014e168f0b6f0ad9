"""What a fleet can be asked for: fields with the values that there are."""

import pytest

from otaru.domain.attribute import AttributeKind
from otaru.domain.device import Hardware
from otaru.domain.group import GroupName
from otaru.domain.health import Kind as Reported
from otaru.domain.health import Told
from otaru.domain.ids import DeviceId, Version
from otaru.domain.targeting import FIELDS, parse
from otaru.services.control import completion, declaring, devices, groups, health
from otaru.services.control.completion import MAX_VALUE, Known
from otaru.services.control.devices import NewDevice
from otaru.services.control.groups import NewGroup
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, NOW, RIVAL

pytestmark = pytest.mark.anyio


async def known(world: World, limit: int = 5) -> dict[str, Known]:
    return {field.selector: field for field in await completion.fields(world, ACME, limit)}


async def add(world: World, name: str, hardware: str = "board", **facts: str) -> None:
    new = NewDevice(DeviceId(name), Hardware(hardware), attributes=facts, installed={"app": Version("1")})
    await devices.add(world, ACME, SYSTEM, new)


async def test_an_empty_fleet_can_be_asked_for_every_field(world: World) -> None:
    assert list(await known(world)) == [about.selector for about in FIELDS]


async def test_what_is_there_is_named(world: World) -> None:
    await add(world, "a", region="eu", note="x" * (MAX_VALUE + 1))
    await add(world, "b", "chip", region="us")
    found = await known(world)
    assert (found["hardware"].values, found["hardware"].complete) == (["board", "chip"], True)
    assert (found["attr.region"].values, found["attr.region"].complete) == (["eu", "us"], True)
    assert (found["attr.note"].values, found["attr.note"].complete) == ([], False)
    assert found["installed.app"].values == ["1"]
    assert "failed" in found["state"].values
    assert not found["id"].complete
    few = await known(world, 1)
    assert (few["hardware"].values, few["hardware"].complete) == (["board"], False)
    assert "attr.region" not in few


async def test_nothing_is_told_of_another_tenant(world: World) -> None:
    await add(world, "a", region="eu")
    theirs = await completion.fields(world, RIVAL, 5)
    assert not any(field.values for field in theirs if not field.about.words)


async def test_everything_that_is_offered_can_be_asked(world: World) -> None:
    await add(world, "a", region="eu")
    for field in await completion.fields(world, ACME, 5):
        for value in field.values:
            parse(f"{field.selector}=='{value}'", NOW)


async def follows(world: World, query: str, limit: int = 20) -> list[str]:
    found = await completion.following(world, ACME, query, len(query), limit)
    return [query[: found.start] + one.text for one in found.items]


async def test_what_may_follow_is_of_this_fleet(world: World) -> None:
    await add(world, "gw-1", region="eu", rack="7")
    await add(world, "gw-2", "chip", region="it's")
    await groups.create(world, ACME, SYSTEM, NewGroup(GroupName("lab"), "id==x"))
    await declaring.declare(world, ACME, SYSTEM, "level", AttributeKind.NUMBER)
    await health.tell(world, ACME, DeviceId("gw-1"), [Told("1", Reported.SAMPLE, name="battery", value=1)])
    assert await follows(world, "ha") == ["hardware"]
    assert await follows(world, "hardware==x;at") == ["hardware==x;attr."]
    assert await follows(world, "attr.") == ["attr.level", "attr.rack", "attr.region"]
    assert await follows(world, "attr.re") == ["attr.region"]
    assert await follows(world, "telemetry.") == ["telemetry.battery"]
    assert await follows(world, "telemetry.battery=l") == ["telemetry.battery=lt=", "telemetry.battery=le="]
    assert await follows(world, "hardware==") == ["hardware==board", "hardware==chip"]
    assert await follows(world, "attr.region=in=(eu,i") == ["attr.region=in=(eu,'it\\'s'"]
    assert await follows(world, "attr.region=='it") == ["attr.region=='it\\'s'"]
    assert await follows(world, "group==") == ["group==lab"]
    assert await follows(world, "id==gw-", 1) == ["id==gw-1"]
    assert await follows(world, "state==fa") == ["state==failed"]
    assert await follows(world, "tag=null=") == ["tag=null=true", "tag=null=false"]
    assert await follows(world, "tag=in=") == ["tag=in=("]
    assert await follows(world, "id==a ") == ["id==a ;", "id==a ,"]
    assert await follows(world, "id==a)") == []
    assert await follows(world, "nothing==") == []
    theirs = await completion.following(world, RIVAL, "attr.", 5, 20)
    assert theirs.items == []
