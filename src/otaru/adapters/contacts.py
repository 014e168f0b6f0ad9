"""Contacts of devices, gathered and written behind.

A poll that changes nothing writes nothing; when the device was last seen is noted here and written every
CONTACT_INTERVAL_S in batches, sorted by key so that workers lock rows in one order. A crash loses at most one interval.

Where a device is heard from another address than that of its contact which still waits, it may be two (`domain.doubles`):
that becomes an event, written with the contacts. Each process looks at what itself has heard.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime

from otaru.domain.doubles import Doubles, Place
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.ports.store import Store, Tx, one

CONTACT_INTERVAL_S = 2.0
_CHUNK = 500
"""Contacts of one job: changes that people wait for get in between."""
_MAX_TOLD = 1_000
"""Devices that may be two, of which the record waits to be written."""
_MAX_WAITING = 1_000_000
"""Devices whose contact may wait while the store does not answer; further ones are not noted."""

Contact = tuple[TenantId, DeviceId, datetime, str]

_log = logging.getLogger(__name__)


def record_contacts(tx: Tx, chunks: Sequence[Sequence[Contact]]) -> list[None]:
    """Write contacts: a bulk function."""
    for chunk in chunks:
        tx.devices.contacts(chunk)
    return [None] * len(chunks)


@one
def record_doubles(tx: Tx, told: Sequence[Happening]) -> None:
    """Record devices that may be two, those that are there still."""
    tx.events.add([what for what in told if tx.devices.entry(what.tenant, DeviceId(what.subject)) is not None])


class ContactBook:
    """The contacts that wait to be written: the newest of each device."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[tuple[TenantId, DeviceId], tuple[datetime, str]] = {}
        self._doubles: Doubles[tuple[TenantId, DeviceId]] = Doubles()
        self._told: list[Happening] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._keep_writing())

    def note(self, tenant: TenantId, device: DeviceId, at: datetime, address: str) -> None:
        """Note that the device was here."""
        key = (tenant, device)
        known = self._waiting.get(key)
        if known is None:
            if len(self._waiting) >= _MAX_WAITING:
                return
        elif known[1] != address:
            self._cross(key, Place(*known), Place(at, address))
        self._waiting[key] = (at, address)

    def _cross(self, key: tuple[TenantId, DeviceId], before: Place, after: Place) -> None:
        crossings = self._doubles.crossed(key, before, after)
        if crossings and len(self._told) < _MAX_TOLD:
            data = {"addresses": sorted((before.address, after.address)), "crossings": crossings}
            tenant, device = key
            self._told.append(Happening(tenant, after.at, "system", Kind.DEVICE_DOUBLED, device, data))

    async def flush(self) -> None:
        """Write what waits. What cannot be written waits on."""
        waiting, self._waiting = self._waiting, {}
        contacts = [(*key, *waiting[key]) for key in sorted(waiting)]
        for start in range(0, len(contacts), _CHUNK):
            try:
                await self._store.write(record_contacts, contacts[start : start + _CHUNK])
            except BaseException:
                for tenant, device, at, address in contacts[start:]:
                    self._waiting.setdefault((tenant, device), (at, address))
                raise

        if self._told:
            told, self._told = self._told, []
            try:
                await self._store.write(record_doubles, told)
            except BaseException:
                self._told = told + self._told
                raise

    async def close(self) -> None:
        """Stop, after what waits was written."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        try:
            await self.flush()
        except Exception:  # noqa: BLE001 - it must not keep anything else from closing
            _log.warning("the last contacts of %d devices are lost", len(self._waiting), exc_info=True)

    async def _keep_writing(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(CONTACT_INTERVAL_S)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001 - they wait for the next time
                if not failing:
                    _log.warning("contacts cannot be written; %d wait", len(self._waiting), exc_info=True)
                failing = True
            else:
                failing = False
