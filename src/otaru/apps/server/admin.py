"""The data folder without a running server: for commands of the same user, under the folder's lock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from otaru.apps.server import folder, wiring
from otaru.apps.server.settings import Settings
from otaru.services.control.world import World


@asynccontextmanager
async def offline(settings: Settings) -> AsyncIterator[World]:
    """The world of a data folder that no server holds.

    Raises:
        DataFolderError: a server holds it, or it cannot be used.
    """
    with folder.locked(settings.data):
        async with wiring.world(settings) as world:
            yield world


@asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[World]:
    """The world of a data folder that a server may be holding, for what changes no row: the server would not hear of it.

    The database and the blobs take several processes.
    """
    async with wiring.world(settings) as world:
        yield world
