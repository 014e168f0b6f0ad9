"""The background work of a serving process: rollout steps, signing in time, and forgetting what has had its time."""

import asyncio
import logging
from datetime import timedelta

from otaru.apps.server.settings import Settings
from otaru.errors import OtaruError
from otaru.services.control.housekeeping import housekeep
from otaru.services.control.metadata import renew_due
from otaru.services.control.stepping import step_due
from otaru.services.control.world import World

_log = logging.getLogger("otaru.worker")

LOOK_S = 1.0
"""Rollouts are looked at this often for what time alone brings, and soon after every event."""
SETTLE_S = 0.1
"""After an event, wait this long for others: one look serves many reports."""
HOUSEKEEPING = timedelta(minutes=10)


async def work(world: World, settings: Settings, closing: asyncio.Event) -> None:
    """Work until `closing` is set. What fails is logged and tried again: the next round repeats it harmlessly."""
    woken = asyncio.Event()
    leave = world.bus.subscribe("events", woken.set)
    cleaned = None
    try:
        while not closing.is_set():
            try:
                await step_due(world)
                if cleaned is None or world.clock.now() - cleaned >= HOUSEKEEPING:
                    cleaned = world.clock.now()
                    try:
                        await _keep_fresh(world)
                    finally:  # neither waits for the other to succeed
                        await housekeep(world, timedelta(days=settings.events_retention_days))
            except OtaruError as error:
                _log.warning("a round of work failed and is tried again: %s", error)
            except Exception:  # noqa: BLE001 - the worker outlives one bad round; it is logged
                _log.exception("a round of work failed and is tried again")
            await _pause(closing, woken)
    finally:
        leave()


async def _keep_fresh(world: World) -> None:
    """Sign TUF metadata anew before it ends, and say what others have to sign."""
    for tenant, role in await renew_due(world):
        _log.warning(
            "tenant %s: %s ends soon and has to be signed with keys that are not here: otaru keys status", tenant, role
        )


async def _pause(closing: asyncio.Event, woken: asyncio.Event) -> None:
    """Until something happened (and a moment more), `LOOK_S` passed, or the end."""
    end = asyncio.ensure_future(closing.wait())
    wake = asyncio.ensure_future(woken.wait())
    try:
        await asyncio.wait({end, wake}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        if woken.is_set() and not closing.is_set():
            await asyncio.wait({end}, timeout=SETTLE_S)
            woken.clear()
    finally:
        end.cancel()
        wake.cancel()
