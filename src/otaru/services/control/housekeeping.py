"""Forgetting what has had its time: old events, old idempotency keys, abandoned uploads, bytes that nobody needs."""

from datetime import datetime, timedelta

from otaru.ports.store import Tx, one
from otaru.services.control import artifacts
from otaru.services.control.world import World

IDEMPOTENCY_KEPT = timedelta(hours=24)
UPLOADS_KEPT = timedelta(days=2)


async def housekeep(world: World, events_kept: timedelta) -> None:
    """One round; repeating it is harmless."""
    now = world.clock.now()
    await world.store.write(_prune, (now - events_kept, now - IDEMPOTENCY_KEPT))
    await artifacts.sweep(world, UPLOADS_KEPT)


@one
def _prune(tx: Tx, before: tuple[datetime, datetime]) -> None:
    events, keys = before
    tx.events.prune(events)
    tx.idempotency.prune(keys)
