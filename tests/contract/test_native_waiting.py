"""Polls that are held back, in this process: what they cost while nothing happens, and every way in which they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otaru.apps.server.body import Message
from otaru.apps.server.roads import waiting
from otaru.apps.server.roads.grants import Grants
from otaru.apps.server.roads.native import NativeRoad
from otaru.apps.server.settings import load
from otaru.domain.device import LifecycleEvent, Merge
from otaru.domain.ids import DeviceId
from otaru.domain.rollout import Policy
from otaru.domain.schedule import window
from otaru.errors import UnauthenticatedError
from otaru.services.control import attributes, devices, rollouts
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from tests.support.databases import SqliteDatabases
from tests.support.stores import ACME
from tests.support.world import SettableClock, a_world
from tests.unit.services.control.test_rollouts import BOARD, Fleet

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
TOKEN = "t" * 32


class Client:
    """One request of the device, as ASGI has it."""

    def __init__(self, road: NativeRoad) -> None:
        self._road = road
        self.gone = asyncio.Event()
        self._asked = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def __call__(self, query: str = "", tag: str = "") -> "Client":
        headers = [(b"authorization", f"TargetToken {TOKEN}".encode())]
        headers += [(b"if-none-match", tag.encode())] if tag else []
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/device/v1/poll",
            "scheme": "http",
            "query_string": f"device={DEV}&tenant={ACME}{query}".encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }
        await self._road("poll", scope, self._receive, self._send)
        return self

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]

    @property
    def told(self) -> Any:
        return msgspec.json.decode(self.body)


class Site:
    """A server with one device, which has been told that nothing is due."""

    def __init__(self, world: World, clock: SettableClock, road: NativeRoad) -> None:
        self.world = world
        self.clock = clock
        self.road = road
        self.fleet = Fleet(world)
        self.tag = ""

    async def waits(self, seconds: int = 100, tag: str | None = None) -> "tuple[asyncio.Task[Client], Client]":
        """A poll that is held back."""
        client = Client(self.road)
        task = asyncio.create_task(client(f"&wait={seconds}", self.tag if tag is None else tag))
        async with asyncio.timeout(20):
            while not task.done() and not client._asked:  # noqa: ASYNC110 - it reads only once it waits
                await asyncio.sleep(0.001)
        return task, client

    @property
    def waiting(self) -> int:
        return len(self.road._waiting._waiting)


async def ended(task: "asyncio.Task[Client]") -> Client:
    async with asyncio.timeout(20):
        return await task


@asynccontextmanager
async def a_site(url: str, folder: Path) -> AsyncIterator[Site]:
    async with a_world(url, folder) as (world, clock):
        road = NativeRoad(world, load(data=folder), Grants(world))
        await devices.add(world, ACME, SYSTEM, NewDevice(DEV, BOARD, token=TOKEN))
        await attributes.merge(world, ACME, DEV, {}, Merge.MERGE)
        site = Site(world, clock, road)
        site.tag = (await Client(road)()).headers["etag"]
        yield site
        assert site.waiting == 0
        assert world.registry._watchers._by_tenant == {}  # type: ignore[attr-defined]


@pytest.fixture
async def site(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[Site]:
    async with a_site(sqlite_databases.fresh(), tmp_path) as found:
        yield found


async def test_while_it_waits_nothing_is_read_or_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    store = type(site.world.store)
    for name in ("write", "glance", "read"):
        kept = getattr(store, name)

        async def noting(self: Any, *what: Any, _name: str = name, _kept: Any = kept) -> Any:
            seen.append(_name)
            return await _kept(self, *what)

        monkeypatch.setattr(store, name, noting)
    task, client = await site.waits()
    site.world.registry.forget(ACME, DeviceId("another"))
    seen.clear()  # the tail of the record reads beside
    for _ in range(50):
        await asyncio.sleep(0)
    assert not task.done()
    assert "write" not in seen
    client.gone.set()
    await ended(task)
    assert "write" not in seen


async def test_it_ends_when_something_is_due(site: Site) -> None:
    task, _ = await site.waits()
    await site.fleet.release("2")
    assert not task.done(), "a release is nothing that is due"
    await site.fleet.roll_out()
    client = await ended(task)
    assert (client.status, client.told["offer"]["version"]) == (200, "2")
    assert client.headers["etag"] != site.tag


async def test_what_is_called_off_ends_it_too(site: Site) -> None:
    await site.fleet.release("2")
    rollout = await site.fleet.roll_out()
    offered = await Client(site.road)()
    task, _ = await site.waits(tag=offered.headers["etag"])
    await rollouts.cancel(site.world, ACME, SYSTEM, rollout, DEV)
    assert (await ended(task)).told["cancel"] == offered.told["offer"]["action"]


async def test_it_ends_when_its_client_has_gone(site: Site) -> None:
    task, client = await site.waits()
    client.gone.set()
    await ended(task)


async def test_the_next_poll_of_the_device_ends_it(site: Site) -> None:
    first, _ = await site.waits()
    second, client = await site.waits()
    assert (await ended(first)).status == 304
    assert not second.done()
    assert site.waiting == 1
    client.gone.set()
    await ended(second)


async def test_who_is_shut_out_is_told_so_at_once(site: Site) -> None:
    task, _ = await site.waits()
    await devices.move(site.world, ACME, SYSTEM, DEV, LifecycleEvent.DECOMMISSION)
    with pytest.raises(UnauthenticatedError):
        await ended(task)


async def test_who_is_quarantined_is_told_at_once_that_nothing_is_due(site: Site) -> None:
    await site.fleet.release("2")
    await site.fleet.roll_out()
    offered = await Client(site.road)()
    task, _ = await site.waits(tag=offered.headers["etag"])
    await devices.move(site.world, ACME, SYSTEM, DEV, LifecycleEvent.QUARANTINE)
    client = await ended(task)
    assert (client.status, "offer" in client.told) == (200, False)


async def test_the_end_of_the_process_ends_it_and_nobody_waits_any_more(site: Site) -> None:
    task, _ = await site.waits()
    site.road.close()
    assert (await ended(task)).status == 304
    late, _ = await site.waits()
    assert (await ended(late)).status == 304


async def test_where_too_many_wait_the_answer_comes_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 0)
    task, _ = await site.waits()
    assert (await ended(task)).status == 304


async def test_it_waits_no_longer_than_a_window_stays_shut(site: Site) -> None:
    await site.fleet.release("2")
    opens = site.clock.now() + timedelta(minutes=10)
    policy = Policy(window=window(f"{opens:%H:%M}/2h"))
    await site.fleet.roll_out(policy=policy)
    shut = await Client(site.road)()
    assert "offer" not in shut.told
    assert 1 <= shut.told["poll_after_s"] <= 600
    # To the second before it opens; then it is time alone that makes something due.
    site.clock.ahead += opens.replace(second=0, microsecond=0) - site.clock.now() - timedelta(seconds=1)
    task, _ = await site.waits(tag=shut.headers["etag"])
    client = await ended(task)
    assert client.told["offer"]["window"]["open"] is True
