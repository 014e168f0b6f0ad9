"""Contacts of devices, gathered and written behind.

A poll that changes nothing writes nothing; when the device was last seen is noted here and written every
CONTACT_INTERVAL_S in batches, sorted by key so that workers lock rows in one order. A crash loses at most one interval.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime

from otaru.domain.ids import DeviceId, TenantId
from otaru.ports.store import Store, Tx

CONTACT_INTERVAL_S = 2.0
_CHUNK = 500
"""Contacts of one job: changes that people wait for get in between."""
_MAX_WAITING = 1_000_000
"""Devices whose contact may wait while the store does not answer; further ones are not noted."""

Contact = tuple[TenantId, DeviceId, datetime, str]

_log = logging.getLogger(__name__)


def record_contacts(tx: Tx, chunks: Sequence[Sequence[Contact]]) -> list[None]:
    """Write contacts: a bulk function."""
    for chunk in chunks:
        tx.devices.contacts(chunk)
    return [None] * len(chunks)


class ContactBook:
    """The contacts that wait to be written: the newest of each device."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[tuple[TenantId, DeviceId], tuple[datetime, str]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._keep_writing())

    def note(self, tenant: TenantId, device: DeviceId, at: datetime, address: str) -> None:
        """Note that the device was here."""
        key = (tenant, device)
        if len(self._waiting) < _MAX_WAITING or key in self._waiting:
            self._waiting[key] = (at, address)

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
