"""Stores for tests, and a few small bulk functions."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from otaru.adapters.bus.local import LocalBus
from otaru.adapters.sql.store import QUEUE_CAPACITY, SqlStore, open_store
from otaru.domain.events import START, Happening, Kind
from otaru.domain.ids import TenantId
from otaru.ports.bus import Bus
from otaru.ports.store import Tx

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)
ACME = TenantId("acme")
RIVAL = TenantId("rival")


@asynccontextmanager
async def opened(
    url: str, bus: Bus | None = None, *, shard: int = 0, capacity: int = QUEUE_CAPACITY
) -> AsyncIterator[SqlStore]:
    """A store, closed at the end."""
    store = open_store(url, bus or LocalBus(), shard=shard, capacity=capacity)
    try:
        yield store
    finally:
        await store.close()


def happening(subject: str, kind: Kind = Kind.DEVICE_CHANGED, tenant: TenantId = ACME, **data: Any) -> Happening:
    return Happening(tenant, NOW, "system", kind, subject, data)


def record(tx: Tx, happenings: Sequence[Happening]) -> list[int]:
    """A bulk function: record one happening a job, and give the number of jobs in the group."""
    tx.events.add(happenings)
    return [len(happenings)] * len(happenings)


async def subjects(store: SqlStore, tenant: TenantId = ACME) -> list[str]:
    """The subjects of all that is recorded of a tenant, in order."""
    found = await store.read(lambda tx: tx.events.page(tenant, START, 100_000))
    return [one.what.subject for one in found]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)
