"""A data folder from the command line: through the server that runs on it, or without one.

A running server listens on DIR/admin.sock, which only its own user can open, so no credential is needed there. Where
nobody listens, the folder is ours as long as we hold its lock. Between the two there is a moment in which a server
starts or ends: it holds the lock and does not listen. Then we wait a little.
"""

import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from otaru.apps.cli.client import Api
from otaru.apps.cli.extras import extra
from otaru.errors import DataFolderError, InvalidInputError

if TYPE_CHECKING:
    from otaru.services.control.world import World

T = TypeVar("T")

WAITS_S = (0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0)


def on_folder(data: Path, ask: Callable[[Api], T], do: "Callable[[World], Awaitable[T]]", *, make: bool) -> T:
    """`ask` the folder's server, or `do` it on the folder where no server runs; `make` one that is missing.

    Raises:
        InvalidInputError: there is no such data folder, and none is to be made.
        DataFolderError: it cannot be used, or another process holds it and does not answer.
    """
    if not make and not data.is_dir():
        raise InvalidInputError(f"there is no data folder {data}", hint="otaru serve --data DIR makes one.")
    admin = data / "admin.sock"
    for wait_s in (*WAITS_S, None):
        if _listens(admin):
            with Api("http://localhost", None, socket=str(admin)) as api:
                return ask(api)
        try:
            return _offline(data, do)
        except DataFolderError:
            if wait_s is None or not (data / "lock").exists():
                raise
        time.sleep(wait_s)
    raise AssertionError("the last turn returns or raises")


def _offline(data: Path, do: "Callable[[World], Awaitable[T]]") -> T:
    import asyncio

    with extra("server"):
        from otaru.apps.server.admin import offline
        from otaru.apps.server.settings import load

    async def run() -> T:
        async with offline(load(data=data)) as world:
            return await do(world)

    return asyncio.run(run())


def _listens(path: Path) -> bool:
    """Whether somebody answers at a socket: what a killed server left behind refuses."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
