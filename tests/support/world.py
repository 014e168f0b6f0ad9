"""The services' world over real adapters in a temporary folder, with a clock that can be set forward."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from otaru.adapters.blobs.local import LocalBlobs
from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.differ.process import ProcessDiffer
from otaru.adapters.director.local import LocalDirector
from otaru.adapters.inspector.process import ProcessInspector
from otaru.adapters.judges.policy import PolicyJudge
from otaru.adapters.notary import FolderNotary
from otaru.adapters.registry import open_registry
from otaru.adapters.signers.file import FolderKeyring
from otaru.adapters.sql.store import open_store
from otaru.services.control import tenants
from otaru.services.control.desk import Desk
from otaru.services.control.world import World
from tests.support.stores import ACME, RIVAL


class SettableClock(SystemClock):
    """The system's clock, set forward by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@asynccontextmanager
async def a_world(url: str, folder: Path) -> AsyncIterator[tuple[World, SettableClock]]:
    """A world with two tenants, ACME and RIVAL."""
    bus, clock = LocalBus(), SettableClock()
    store = open_store(url, bus)
    try:
        async with open_registry(store, bus, clock) as registry:
            blobs, keyring, notary = (
                LocalBlobs(folder / "artifacts"),
                FolderKeyring(folder / "keys"),
                FolderNotary(folder / "log"),
            )
            director = LocalDirector(store, Desk(FolderKeyring(folder / "director")), clock)
            inspector, differ = ProcessInspector(), ProcessDiffer()
            world = World(
                store, registry, blobs, clock, PolicyJudge(), bus, keyring, notary, inspector, director, differ
            )
            for tenant in (ACME, RIVAL):
                await tenants.ensure(world, tenant)
            yield world, clock
    finally:
        await store.close()
