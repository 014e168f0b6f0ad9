"""Devices tell of their health: kept durably and counted before it is acknowledged, many at once in one transaction.

A device that tells more than MAX_PER_HOUR is not heard any more until the hour since is over: its flood costs a count by
index. What it told already and tells again costs nothing of that.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from otaru.domain.device import Lifecycle
from otaru.domain.health import HOUR, MAX_EVENTS, MAX_PER_HOUR, MAX_SAMPLED, HealthEvent, Measured, Spread, Told
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import RateLimitedError, TooLargeError
from otaru.ports.store import Tx
from otaru.services.control import devices, trials
from otaru.services.control.world import World

RETRY_S = 600
"""When a device that told too much is to come again."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of events."""

    kept: int
    known: int
    """Told before."""
    refused: Sequence[DeviceId] = ()
    """Devices that tell too much: nothing new of theirs was kept."""
    unknown: Sequence[DeviceId] = ()
    """There are none of these, or they are decommissioned."""


async def tell(world: World, tenant: TenantId, device: DeviceId, told: Sequence[Told]) -> Taken:
    """Keep what a device tells of itself, durably. What is known by its id changes nothing.

    Raises:
        RateLimitedError: it told too much within an hour; nothing new of this was kept.
    """
    taken = await _take(world, tenant, [(device, one) for one in told])
    if taken.refused:
        raise RateLimitedError(
            f"more than {MAX_PER_HOUR} events of this device within an hour",
            hint="Tell it later, or put many into few.",
            limit=MAX_PER_HOUR,
            retry_after_s=RETRY_S,
        )
    return taken


async def tell_for(world: World, tenant: TenantId, told: Sequence[tuple[DeviceId, Told]]) -> Taken:
    """Keep what a gateway tells of devices, durably. Who tells too much, or is unknown, is named and left out.

    Raises:
        TooLargeError: more than MAX_EVENTS at once.
    """
    if len(told) > MAX_EVENTS:
        raise TooLargeError(f"{len(told)} events at once, {MAX_EVENTS} are allowed", limit=MAX_EVENTS)
    return await _take(world, tenant, told)


async def of_device(
    world: World, tenant: TenantId, device: DeviceId, before: tuple[datetime, str] | None, limit: int
) -> list[HealthEvent]:
    """What a device told, newest first.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[HealthEvent]:
        devices.found(tx, tenant, device)
        return tx.health.of_device(tenant, device, before, limit)

    return await world.store.read(look)


async def telemetry(world: World, tenant: TenantId, device: DeviceId) -> list[Measured]:
    """The last telemetry of a device, by name.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[Measured]:
        devices.found(tx, tenant, device)
        return tx.health.telemetry(tenant, device)

    return await world.store.glance(look)


async def spreads(world: World, tenant: TenantId) -> list[Spread]:
    """How the last telemetry of all devices lies, by name: of MAX_SAMPLED names at most. It counts all of it."""

    def look(tx: Tx) -> list[Spread]:
        found = (tx.health.spread(tenant, name) for name in tx.health.measured(tenant, MAX_SAMPLED))
        return [one for one in found if one is not None]

    return await world.store.read(look)


@dataclass(frozen=True, slots=True)
class _Telling:
    tenant: TenantId
    told: Sequence[tuple[DeviceId, Told]]
    at: datetime


async def _take(world: World, tenant: TenantId, told: Sequence[tuple[DeviceId, Told]]) -> Taken:
    return await world.store.write(_keep, _Telling(tenant, told, world.clock.now()))


def _keep(tx: Tx, tellings: Sequence[_Telling]) -> list[Taken]:
    """Bulk: all of a tenant's are read together and kept together."""
    by_tenant: dict[TenantId, list[int]] = defaultdict(list)
    for index, telling in enumerate(tellings):
        by_tenant[telling.tenant].append(index)
    results: dict[int, Taken] = {}
    for tenant, indexes in by_tenant.items():
        taken = _Batch(tx, tenant, [tellings[index] for index in indexes]).take()
        results |= zip(indexes, taken, strict=True)
    return [results[index] for index in range(len(tellings))]


class _Batch:
    """What is told of one tenant's devices in one transaction."""

    def __init__(self, tx: Tx, tenant: TenantId, tellings: Sequence[_Telling]) -> None:
        self._tx = tx
        self._tenant = tenant
        self._tellings = tellings
        keys = dict.fromkeys((device, one.id) for telling in tellings for device, one in telling.told)
        named = sorted({device for device, _ in keys})
        lifecycles = tx.devices.lifecycles(tenant, named)
        self._there = {d for d, lifecycle in lifecycles.items() if lifecycle is not Lifecycle.DECOMMISSIONED}
        self._known = tx.health.known(tenant, list(keys))
        since = min(telling.at for telling in tellings) - HOUR
        self._told = Counter(tx.health.told_since(tenant, named, since))
        self._new: list[HealthEvent] = []

    def take(self) -> list[Taken]:
        taken = [self._one(telling) for telling in self._tellings]
        self._tx.health.add(self._tenant, self._new)
        trials.spoil(self._tx, self._tenant, self._new)
        return taken

    def _one(self, telling: _Telling) -> Taken:
        by_device: dict[DeviceId, dict[str, HealthEvent]] = defaultdict(dict)
        for device, one in telling.told:
            by_device[device].setdefault(one.id, one.heard(device, telling.at))
        kept, refused, unknown = 0, [], []
        for device, events in by_device.items():
            new = [event for event in events.values() if (device, event.id) not in self._known]
            if device not in self._there:
                unknown.append(device)
            elif new and self._told[device] + len(new) > MAX_PER_HOUR:
                refused.append(device)
            else:
                self._told[device] += len(new)
                self._known |= {(device, event.id) for event in new}
                self._new += new
                kept += len(new)
        left_out = {*refused, *unknown}
        heard = sum(device not in left_out for device, _ in telling.told)
        return Taken(kept, heard - kept, tuple(refused), tuple(unknown))
