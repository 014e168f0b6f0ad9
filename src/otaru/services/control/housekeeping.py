"""Forgetting what has had its time: events, devices' too, answers, abandoned uploads, nobody's bytes, counts, proofs, bundles."""

from datetime import datetime, timedelta

from otaru.domain.ids import TenantId
from otaru.domain.schedule import appointment
from otaru.ports.store import Tx, one
from otaru.services.control import artifacts
from otaru.services.control.world import World
from otaru.trust.grant import LIFE, SIGNS

IDEMPOTENCY_KEPT = timedelta(hours=24)
UPLOADS_KEPT = timedelta(days=2)
"""Since somebody last sent a part of it."""
UPLOAD_ROWS_KEPT = timedelta(days=30)
"""Since it began: the row without its bytes is small, and an upload may take long."""
VERSIONS_KEPT = timedelta(days=400)
"""How the versions of the fleet changed, hour by hour."""
SLOTS_KEPT = timedelta(days=2)
"""Places in windows; a minute that is over is never asked for again."""
DISPUTES_KEPT = timedelta(days=90)
HEALTH_COUNTS_KEPT = timedelta(days=400)
"""Of devices in no rollout. What was counted of a rollout stays with it."""
ATTRIBUTES_KEPT = timedelta(days=180)
"""What became of attributes."""
BUNDLES_KEPT = timedelta(days=180)
"""After their end: so long receipts of them may still be brought."""
_EVENTS_AT_ONCE = 5_000
_BUNDLES_AT_ONCE = 20


async def housekeep(world: World, events_kept: timedelta) -> None:
    """One round; repeating it is harmless. Events go in small transactions: reports do not wait behind them."""
    now = world.clock.now()
    while await world.store.write(_prune_events, now - events_kept) == _EVENTS_AT_ONCE:
        pass
    for tenant in await world.store.read(lambda tx: tx.tenants.every_tenant()):
        asked = (tenant.id, now - tenant.settings.health_kept)
        while await world.store.write(_prune_health, asked) == _EVENTS_AT_ONCE:
            pass
        await world.store.write(_prune_health_counts, (tenant.id, now - HEALTH_COUNTS_KEPT))
    while await world.store.write(_prune_changes, now - ATTRIBUTES_KEPT) == _EVENTS_AT_ONCE:
        pass
    while await world.store.write(_prune_bundles, now - BUNDLES_KEPT) == _BUNDLES_AT_ONCE:
        pass
    await world.store.write(_prune_rest, now)
    await artifacts.sweep(world, UPLOADS_KEPT)


@one
def _prune_events(tx: Tx, before: datetime) -> int:
    return tx.events.prune(before, _EVENTS_AT_ONCE)


@one
def _prune_health(tx: Tx, asked: tuple[TenantId, datetime]) -> int:
    return tx.health.prune(*asked, _EVENTS_AT_ONCE)


@one
def _prune_health_counts(tx: Tx, asked: tuple[TenantId, datetime]) -> None:
    tx.health.prune_counts(*asked)


@one
def _prune_changes(tx: Tx, before: datetime) -> int:
    return tx.attributes.prune(before, _EVENTS_AT_ONCE)


@one
def _prune_bundles(tx: Tx, before: datetime) -> int:
    return tx.bundles.prune(before, _BUNDLES_AT_ONCE)


@one
def _prune_rest(tx: Tx, now: datetime) -> None:
    tx.idempotency.prune(now - IDEMPOTENCY_KEPT)
    tx.blobs.prune_uploads(now - UPLOAD_ROWS_KEPT)
    tx.fleet.prune(now - VERSIONS_KEPT)
    tx.rollouts.prune_slots(appointment.minute(now - SLOTS_KEPT))
    tx.enrollments.prune(now, now - DISPUTES_KEPT, now - SIGNS - LIFE)
