"""The registry port: who waits for news of a device is woken by it, by all of it, and by little else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.registry import StoreRegistry, open_registry
from otaru.adapters.sql.store import SqlStore
from otaru.adapters.watching import SOME, Watchers
from otaru.domain.events import Kind
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from tests.support.stores import ACME, RIVAL, happening, opened, record

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
MINE, OTHERS = RolloutId(1), RolloutId(2)


@pytest.fixture
async def store(database: str) -> AsyncIterator[SqlStore]:
    async with opened(database, LocalBus()) as store:
        yield store


@pytest.fixture
async def registry(store: SqlStore) -> AsyncIterator[StoreRegistry]:
    async with open_registry(store, LocalBus(), SystemClock()) as registry:
        yield registry


class Waiting:
    """Somebody who waits, and whether there was news."""

    def __init__(self, registry: StoreRegistry, rollouts: set[RolloutId] | None, device: DeviceId = DEV) -> None:
        self.news = asyncio.Event()
        self.watch = registry.watch(ACME, device, self.news.set)
        if rollouts is not None:
            self.watch.rest_on(rollouts)

    async def woken(self) -> bool:
        """Whether it was: turns of the loop are given to whoever is woken little by little."""
        try:
            async with asyncio.timeout(0.2):
                await self.news.wait()
        except TimeoutError:
            return False
        return True


RUNNING: dict[str, Any] = {"from": "running", "to": "running"}

NEWS: list[tuple[Kind, str, dict[str, Any]]] = [
    (Kind.DEPLOYMENT_MOVED, DEV, {}),
    (Kind.DEVICE_LIFECYCLE, DEV, {}),
    (Kind.DEVICE_CREDENTIAL, DEV, {}),
    (Kind.ROLLOUT_WAVE, "1", RUNNING),
    (Kind.ROLLOUT_SEGMENT, "1", {}),
    (Kind.ROLLOUT_MOVED, "1", {"from": "running", "to": "stopped", "moved": 3}),
    (Kind.ROLLOUT_MOVED, "2", {"from": "planned", "to": "running"}),
    (Kind.ROLLOUT_RETRIED, "2", {}),
    (Kind.ROLLOUT_JOINED, "2", {"devices": [DEV]}),
    (Kind.RELEASE_MOVED, "app:1", {}),
    (Kind.TENANT_LIFTED, ACME, {}),
]
NOISE: list[tuple[Kind, str, dict[str, Any], TenantId]] = [
    (Kind.DEPLOYMENT_MOVED, "dev-2", {}, ACME),
    (Kind.DEPLOYMENT_MOVED, DEV, {}, RIVAL),
    (Kind.ROLLOUT_WAVE, "2", RUNNING, ACME),
    (Kind.ROLLOUT_MOVED, "2", {"from": "running", "to": "stopped", "moved": 3}, ACME),
    (Kind.ROLLOUT_JOINED, "2", {"devices": ["dev-2"]}, ACME),
    (Kind.TENANT_HALTED, RIVAL, {}, RIVAL),
    (Kind.TOKEN_CREATED, "t", {}, ACME),
]


@pytest.mark.parametrize(("kind", "subject", "data"), NEWS)
async def test_news_wake(store: SqlStore, registry: StoreRegistry, kind: Kind, subject: str, data: Any) -> None:
    waiting = Waiting(registry, {MINE})
    await store.write(record, happening(subject, kind, ACME, **data))
    assert await waiting.woken()


@pytest.mark.parametrize(("kind", "subject", "data", "tenant"), NOISE)
async def test_other_things_do_not(
    store: SqlStore, registry: StoreRegistry, kind: Kind, subject: str, data: Any, tenant: TenantId
) -> None:
    waiting = Waiting(registry, {MINE})
    await store.write(record, happening(subject, kind, tenant, **data))
    assert not await waiting.woken()


async def test_who_rests_on_nothing_yet_is_woken_by_every_rollout(store: SqlStore, registry: StoreRegistry) -> None:
    unsure, sure = Waiting(registry, None), Waiting(registry, {MINE})
    none = Waiting(registry, set())
    await store.write(record, happening("2", Kind.ROLLOUT_WAVE, ACME, **RUNNING))
    assert await unsure.woken()
    await store.write(record, happening("app:1", Kind.RELEASE_MOVED, ACME))
    assert await sure.woken()
    assert not await none.woken(), "who is in no rollout has no release to wait for"


async def test_another_workers_news_wake(database: str, registry: StoreRegistry) -> None:
    waiting = Waiting(registry, {MINE})
    async with opened(database, LocalBus(), shard=1) as elsewhere:
        await elsewhere.write(record, happening(DEV, Kind.DEPLOYMENT_MOVED))
    async with asyncio.timeout(30):
        await waiting.news.wait()


async def test_forgetting_wakes_nobody(registry: StoreRegistry) -> None:
    waiting = Waiting(registry, {MINE})
    registry.forget(ACME, DEV)
    assert not await waiting.woken(), "a poll that forgets what it has read would wake itself for ever"


async def test_who_has_left_is_not_woken_and_the_others_are(store: SqlStore, registry: StoreRegistry) -> None:
    gone, here = Waiting(registry, {MINE}), Waiting(registry, {MINE})
    gone.watch.leave()
    gone.watch.leave()
    await store.write(record, happening(DEV, Kind.DEPLOYMENT_MOVED))
    assert await here.woken()
    assert not gone.news.is_set()
    here.watch.leave()
    assert registry._watchers._by_tenant == {}, "nothing is left of them"


async def test_many_are_woken_some_at_a_time_and_once_for_all_that_happened() -> None:
    watchers, woken = Watchers(), [0] * (3 * SOME)

    def woke(number: int) -> None:
        woken[number] += 1

    for number in range(len(woken)):
        watchers.add(ACME, DeviceId(f"d{number}"), lambda number=number: woke(number))  # type: ignore[misc]
    watchers.tenant(ACME)
    watchers.everybody()
    assert sum(woken) == 0, "nobody within the call"
    turns = 0
    async with asyncio.timeout(30):
        while sum(woken) < len(woken):
            before = sum(woken)
            await asyncio.sleep(0.001)
            assert sum(woken) - before <= SOME
            turns += sum(woken) > before
    assert (set(woken), turns) == ({1}, 3)
