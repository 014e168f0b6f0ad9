"""The background work of a serving process: rollout steps, signing in time, forgetting, and the logs' heads."""

import asyncio
import contextlib
import hashlib
import logging
import ssl
from datetime import timedelta

from otaru.apps.server.settings import Settings
from otaru.domain.events import Kind
from otaru.domain.ids import Sha256, TenantId
from otaru.errors import OtaruError
from otaru.ports.mailer import Mailer
from otaru.ports.store import Committed
from otaru.services.control import alerts
from otaru.services.control.deltas import make_next
from otaru.services.control.errands import expire
from otaru.services.control.following import tend
from otaru.services.control.housekeeping import housekeep
from otaru.services.control.inspection import renew
from otaru.services.control.joining import join_all
from otaru.services.control.listening import hour_over, listen
from otaru.services.control.looks import Looks
from otaru.services.control.metadata import renew_due
from otaru.services.control.stepping import step_due
from otaru.services.control.transparency import integrate
from otaru.services.control.trials import end_trials
from otaru.services.control.world import World

_log = logging.getLogger("otaru.worker")

LOOK_S = 1.0
"""Rollouts are looked at this often for what time alone brings, and soon after every event."""
SETTLE_S = 0.1
"""After an event, wait this long for others: one look serves many reports."""
HOUSEKEEPING_S = 600.0
JOINING_S = 300.0
"""So often it is looked who joins continuous rollouts: that reads the devices that each of them means."""
AUTHORITIES_S = 1.0
"""A new authority is known to the devices' listener after this long, at most."""
LOGS_S = 1.0
"""New entries of the logs wait this long for their checkpoint, at most."""

AGAIN_S = 2.0
"""Judging images anew that has failed is tried again after this long."""
ANYWAY_S = 600.0
"""So often it is looked whether images are to be judged anew where nobody said so: a process may have ended in between."""
WATCH_S = 30.0
"""So often alerts are looked at …"""
WATCH_SHARE = 10
"""… but no more than this part of the time: each counts devices, of which there may be a million."""
DELTAS_S = 15.0
"""So often it is looked for deltas to make where nobody ordered one here: by other processes, or to be tried again."""
_ORDERS = frozenset({Kind.RELEASE_MOVED, Kind.DELTA_ORDERED})
_ANCHORS = frozenset({Kind.ANCHOR_ADDED, Kind.ANCHOR_REMOVED})


async def work(world: World, settings: Settings, closing: asyncio.Event) -> None:
    """Work until `closing` is set. What fails is logged and tried again: the next round repeats it harmlessly."""
    woken = asyncio.Event()
    leave = world.bus.subscribe("events", woken.set)
    cleaned = swept = listened = None
    looks = Looks()
    try:
        while not closing.is_set():
            try:
                await end_trials(world)
                if listened != (over := hour_over(world.clock.now())):
                    await listen(world)
                    listened = over
                await step_due(world, looks)
                sweeps = swept is None or world.clock.monotonic() - swept >= JOINING_S
                await tend(world, again=sweeps)
                if sweeps:
                    swept = world.clock.monotonic()
                    await join_all(world)
                if cleaned is None or world.clock.monotonic() - cleaned >= HOUSEKEEPING_S:
                    cleaned = world.clock.monotonic()
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


async def keep_logs(world: World, closing: asyncio.Event) -> None:
    """Integrate what is logged until `closing` is set. A log that cannot go on is told of once, and tried again."""
    told = ""
    while not closing.is_set():
        try:
            await integrate(world)
            told = ""
        except OtaruError as error:
            if told != error.message:
                told = error.message
                _log.error("a log is not signed: %s", told)
        except Exception:  # noqa: BLE001 - the worker outlives one bad round; it is logged
            _log.exception("a round over the logs failed and is tried again")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), LOGS_S)


async def keep_judged(world: World) -> None:
    """Judge images anew whose tenant's trust anchors have changed, for ever. One that cannot be read is left alone.

    The process that changes anchors does it, at once; what was left undone when it ended, those that follow.
    """
    given_up: set[tuple[TenantId, Sha256]] = set()
    changed = asyncio.Event()

    def listen(commit: Committed) -> None:
        if any(what.kind in _ANCHORS for what in commit.happenings):
            changed.set()

    leave = world.store.follow(listen)
    pause = 0.0
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), pause)
            changed.clear()
            pause = AGAIN_S
            try:
                while await renew(world, given_up):
                    pass
                pause = ANYWAY_S
            except OtaruError as error:
                _log.warning("images could not be judged anew, which is tried again: %s", error)
            except Exception:  # noqa: BLE001 - the worker outlives one bad round; it is logged
                _log.exception("images could not be judged anew, which is tried again")
    finally:
        leave()


async def keep_deltas(world: World) -> None:
    """Make deltas, one after the other, for ever."""
    ordered = asyncio.Event()

    def listen(commit: Committed) -> None:
        if any(what.kind in _ORDERS for what in commit.happenings):
            ordered.set()

    leave = world.store.follow(listen)
    try:
        while True:
            ordered.clear()
            try:
                while await make_next(world):
                    pass
            except OtaruError as error:
                _log.warning("a delta could not be made, which is tried again: %s", error)
            except Exception:  # noqa: BLE001 - the worker outlives one bad round; it is logged
                _log.exception("a delta could not be made, which is tried again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ordered.wait(), DELTAS_S)
    finally:
        leave()


async def keep_watch(world: World, mailer: Mailer | None, address: str, closing: asyncio.Event) -> None:
    """Look at alerts, write to people of them, and let errands expire, until `closing` is set."""
    while not closing.is_set():
        began = world.clock.monotonic()
        for act in (lambda: alerts.look(world), lambda: alerts.tell(world, mailer, address), lambda: expire(world)):
            try:
                await act()
            except OtaruError as error:
                _log.warning("a look at the fleet failed and is tried again: %s", error)
            except Exception:  # noqa: BLE001 - the worker outlives one bad round; it is logged
                _log.exception("a look at the fleet failed and is tried again")
        with contextlib.suppress(TimeoutError):
            took = world.clock.monotonic() - began
            await asyncio.wait_for(closing.wait(), max(WATCH_S, took * (WATCH_SHARE - 1)))


async def learn_authorities(world: World, context: ssl.SSLContext, closing: asyncio.Event) -> None:
    """Let devices with certificates of tenants' authorities come as far as the check of their credentials."""
    known: set[bytes] = set()
    while not closing.is_set():
        try:
            found = await world.store.glance(lambda tx: tx.authorities.every_certificate())
        except OtaruError as error:
            _log.warning("the authorities of tenants cannot be read, which is tried again: %s", error)
            found = []
        for der in found:
            if der not in known:
                known.add(der)
                _trust(context, der)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), AUTHORITIES_S)


def _trust(context: ssl.SSLContext, der: bytes) -> None:
    """Take an authority; one that cannot be used is told of once, and keeps no other away."""
    try:
        context.load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError) as error:
        digest = hashlib.sha256(der).hexdigest()
        _log.error("the authority with the certificate sha256:%s cannot be used: %s", digest, error)


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
