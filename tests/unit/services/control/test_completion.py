"""What a fleet can be asked for: fields with the values that there are."""

import pytest

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, Version
from otaru.domain.targeting import FIELDS, parse
from otaru.services.control import completion, devices
from otaru.services.control.completion import MAX_VALUE, Known
from otaru.services.control.devices import NewDevice
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
