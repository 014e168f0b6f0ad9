"""Tokens for an hour on DDI's road: what is answered from memory, and what is not."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otaru.apps.server.roads.credentials import admit
from otaru.apps.server.roads.ddi import DdiRoad
from otaru.apps.server.settings import Settings
from otaru.domain.device import Hardware, Merge
from otaru.domain.ids import DeviceId
from otaru.services.control import attributes, credentials, devices, grants
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from otaru.trust.grant import LIFE
from tests.support.databases import SqliteDatabases
from tests.support.enrolling import Newborn
from tests.support.stores import ACME
from tests.support.world import SettableClock, a_world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def made(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[tuple[World, SettableClock]]:
    async with a_world(sqlite_databases.fresh(), tmp_path) as parts:
        yield parts


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
    road = DdiRoad(world, Settings())
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
