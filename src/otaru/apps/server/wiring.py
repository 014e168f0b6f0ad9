"""What the server is made of, put together in one place."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from otaru.adapters.blobs.local import LocalBlobs
from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.differ.process import ProcessDiffer
from otaru.adapters.director.process import ProcessDirector
from otaru.adapters.director.wire import Begin
from otaru.adapters.inspector.process import ProcessInspector
from otaru.adapters.judges.policy import PolicyJudge
from otaru.adapters.notary import FolderNotary
from otaru.adapters.notify.smtp import SmtpMailer, server
from otaru.adapters.registry import StoreRegistry
from otaru.adapters.signers.file import FolderKeyring
from otaru.adapters.sql.migrate import upgrade
from otaru.adapters.sql.store import open_store
from otaru.apps.server.settings import Settings
from otaru.ports.clock import Clock
from otaru.ports.mailer import Mailer
from otaru.services.control import tenants
from otaru.services.control.world import World


def mailer(settings: Settings) -> Mailer | None:
    """Who hands over mail; None where no mail server is set."""
    return SmtpMailer(server(settings.smtp), settings.mail_from) if settings.smtp else None


@asynccontextmanager
async def world(settings: Settings, clock: Clock | None = None) -> AsyncIterator[World]:
    """Every part, started; stopped in reverse order. The caller holds the data folder's lock.

    The database is brought to this program's schema first, and the default tenant made where it is missing. Without `clock`
    time is the system's.
    """
    settings.artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
    upgrade(settings.database_url)
    bus, clock = LocalBus(), clock or SystemClock()
    store = open_store(settings.database_url, bus)
    try:
        registry = StoreRegistry(store, bus, clock)
        keyring, notary = (
            FolderKeyring(settings.data / "keys", os.environ.get("OTARU_PIN"), settings.online_key),
            FolderNotary(settings.data / "log"),
        )
        director = ProcessDirector(
            Begin(settings.database_url, str(settings.data.absolute() / "director"), settings.director_key),
            "otaru.apps.server.signer",
        )
        blobs = LocalBlobs(settings.artifacts)
        judge, inspector = PolicyJudge(), ProcessInspector()
        made = World(
            store,
            registry,
            blobs,
            clock,
            judge,
            bus,
            keyring,
            notary,
            inspector,
            director,
            ProcessDiffer(),
            settings.production,
        )
        await registry.start()
        try:
            await tenants.ensure_default(made, polling_s=settings.poll_interval_s)
            yield made
        finally:
            await director.close()
            await registry.close()
    finally:
        await store.close()
