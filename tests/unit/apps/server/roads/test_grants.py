"""Tokens for an hour on DDI's road: what is answered from memory, and what is not."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otaru.apps.server.roads.credentials import admit
from otaru.apps.server.roads.ddi import DdiRoad
from otaru.apps.server.roads.grants import Grants
from otaru.apps.server.settings import Settings
from otaru.domain.device import Hardware, Merge
from otaru.domain.ids import DeviceId
from otaru.services.control import attributes, credentials, devices, grants
from otaru.services.control.devices import NewDevice
from otaru.services.control.housekeeping import housekeep
from otaru.services.control.world import SYSTEM, World
from otaru.trust.grant import LIFE, SIGNS
from tests.support.databases import SqliteDatabases
from tests.support.enrolling import Newborn
from tests.support.stores import ACME
from tests.support.world import SettableClock, a_world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def made(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[tuple[World, SettableClock]]:
    async with a_world(sqlite_databases.fresh(), tmp_path) as parts:
        yield parts


async def keyed(world: World) -> Newborn:
    """A device whose credential is a key."""
    device = Newborn("sn-1", tenant=ACME)
    await devices.add(world, ACME, SYSTEM, NewDevice(DeviceId(device.id), Hardware("board")))
    await credentials.add_key(world, ACME, SYSTEM, DeviceId(device.id), device.pem)
    return device


def kid(bearer: bytes) -> str:
    header = bearer.removeprefix(b"Bearer ").split(b".")[0]
    return str(json.loads(urlsafe_b64decode(header + b"=="))["kid"])


async def test_the_signing_key_changes_and_what_it_has_signed_holds_to_its_end(
    made: tuple[World, SettableClock], tmp_path: Path
) -> None:
    world, clock = made
    device = await keyed(world)
    name = DeviceId(device.id)

    async def bearer() -> bytes:
        given = await grants.give(world, ACME, name, device.public, device.for_grant(clock.now()))
        return b"Bearer " + given.token.encode()

    async def opens(shown: bytes) -> bool:
        """On a road that has seen no token yet."""
        entry = await world.registry.device(ACME, name)
        assert entry is not None
        return await Grants(world).opens(ACME, entry, shown)

    first = await bearer()
    clock.ahead = SIGNS - timedelta(minutes=10)
    old = await bearer()
    assert kid(old) == kid(first)
    assert await opens(old)
    clock.ahead = SIGNS + timedelta(minutes=10)
    new = await bearer()
    assert kid(new) != kid(old)
    assert await opens(old)
    assert await opens(new)
    assert not await opens(first)
    assert [path.stem for path in (tmp_path / "keys" / ACME).iterdir()] == [kid(new)]
    clock.ahead = SIGNS + LIFE + timedelta(seconds=1)
    await housekeep(world, timedelta(days=365))
    assert list(await grants.keys(world, ACME)) == [kid(new)]
    assert await opens(new)
    assert kid(await bearer()) == kid(new)


def poll(device: str, bearer: bytes) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": f"/{ACME}/controller/v1/{device}",
        "headers": [(b"authorization", bearer)],
        "client": ("127.0.0.1", 1),
        "state": {},
    }


async def test_a_poll_with_a_token_that_was_seen_is_answered_at_once(made: tuple[World, SettableClock]) -> None:
    world, clock = made
    road = DdiRoad(world, Settings.model_validate({}))
    device = Newborn("sn-1", tenant=ACME)
    name = DeviceId(device.id)
    for one in (name, DeviceId("sn-2")):
        await devices.add(world, ACME, SYSTEM, NewDevice(one, Hardware("board")))
        await attributes.merge(world, ACME, one, {"a": "b"}, Merge.MERGE)
    added = await credentials.add_key(world, ACME, SYSTEM, name, device.pem)
    given = await grants.give(world, ACME, name, device.public, device.for_grant(clock.now()))
    bearer = b"Bearer " + given.token.encode()

    async def at_once(of: str = "sn-1", shown: bytes = bearer) -> bool:
        """Asked again after it has been admitted the long way, where it is."""
        return road.at_once(poll(of, shown)) is not None

    assert not await at_once()  # nobody has looked at its signature
    await admit(world, ACME, name, bearer, grants=road._grants)
    assert await at_once()
    await world.registry.device(ACME, DeviceId("sn-2"))
    assert not await at_once(of="sn-2")
    assert not await at_once(shown=bearer[:-4] + b"AAAA")
    assert not await at_once(shown=b"Basic " + given.token.encode())
    clock.ahead = LIFE + timedelta(seconds=1)
    assert not await at_once()
    clock.ahead = timedelta(0)
    await admit(world, ACME, name, bearer, grants=road._grants)
    assert await at_once()
    await credentials.revoke(world, ACME, SYSTEM, name, added.credential.id)
    assert await world.registry.device(ACME, name) is not None
    assert not await at_once()
