"""`ports.director.Director` in this process: for tools and tests that work without a server."""

import asyncio
from collections.abc import Collection

from securesystemslib.signer import Key

from otaru.domain.ids import TenantId
from otaru.ports.clock import Clock
from otaru.ports.director import Assignment, Desk
from otaru.ports.store import Store
from otaru.trust.tuf.director import Issued


class LocalDirector:
    """See the port."""

    def __init__(self, store: Store, desk: Desk, clock: Clock) -> None:
        self._store = store
        self._desk = desk
        self._clock = clock

    async def make(self, tenant: TenantId) -> Key:
        """See the port."""
        return await asyncio.to_thread(self._desk.make, tenant)

    async def held(self, tenant: TenantId, keys: Collection[str]) -> frozenset[str]:
        """See the port."""
        return await asyncio.to_thread(self._desk.held, tenant, keys)

    async def sign(self, assignment: Assignment) -> Issued:
        """See the port."""
        now = self._clock.now()
        (done,) = await self._store.read(lambda tx: self._desk.sign(tx, [assignment], now))
        if not isinstance(done, Issued):
            raise done
        return done

    async def close(self) -> None:
        """See the port: there is nothing to end."""
