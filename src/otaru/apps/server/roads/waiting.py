"""Polls that are held back until something changes: a future, a timer and a place in the registry's list for each.

A device has one of them: who asks again is done with the one before. Where there are too many, nobody is held back.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from otaru.apps.server.body import Receive
from otaru.domain.ids import DeviceId, TenantId
from otaru.ports.registry import Registry, Watch

MAX_WAIT = timedelta(seconds=300)
MAX_WAITING = 20_000
"""Of one process."""


class Waiter:
    """One poll that may be held back. `watch` it by the registry."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.over = False
        """Whether nothing is to be waited for any more."""

    def wake(self) -> None:
        """Something may have changed."""
        self._news.set()

    def end(self) -> None:
        """Whoever waits is to be answered now."""
        self.over = True
        self._news.set()

    def begin(self) -> None:
        """Before it is asked what is due: what happens from now on is news."""
        self._news.clear()

    async def wait(self, seconds: float, receive: Receive) -> bool:
        """Wait for news; False where there is none: the time is over, or it is not to be waited for any more."""
        if self.over:
            return False
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(self._left)
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        finally:
            gone.cancel()
        return not self.over

    def _left(self, gone: asyncio.Future[None]) -> None:
        if not gone.cancelled():
            self.end()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a poll waits, and what wakes it."""

    waiter: Waiter
    watch: Watch


class WaitingRoom:
    """Those of one road."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._waiting: dict[tuple[TenantId, DeviceId], Waiter] = {}
        self._closed = False

    @contextmanager
    def place(self, tenant: TenantId, device: DeviceId) -> Iterator["Place | None"]:
        """A place for a device's poll; None where there is none left."""
        key, waiter = (tenant, device), Waiter()
        before = self._waiting.get(key)
        if self._closed or (before is None and len(self._waiting) >= MAX_WAITING):
            yield None
            return
        if before is not None:
            before.end()
        self._waiting[key] = waiter
        watch = self._registry.watch(tenant, device, waiter.wake)
        try:
            yield Place(waiter, watch)
        finally:
            watch.leave()
            if self._waiting.get(key) is waiter:
                del self._waiting[key]

    def close(self) -> None:
        """Have everybody answered, and nobody wait any more."""
        self._closed = True
        for waiter in self._waiting.values():
            waiter.end()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
