"""The server, its console aside, in a thread of this process, over loopback, with a clock that can be set."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from otaru.apps.server import api
from otaru.apps.server.body import Receive, Scope, Send
from otaru.apps.server.http import Server, config
from otaru.apps.server.roads.ddi import DdiRoad
from otaru.apps.server.serve import Runtime
from otaru.apps.server.settings import load
from otaru.apps.server.shell import Shell
from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT
from otaru.services.control import tenants, tokens
from otaru.services.control.world import SYSTEM
from tests.support.engine import PATIENCE_S
from tests.support.world import SettableClock, a_world


@dataclass
class Clocked:
    """A server that runs, and an admin's token."""

    url: str
    token: str
    clock: SettableClock
    stop: Callable[[], object]

    def turn(self, to: datetime) -> None:
        """Set its clock, which goes on from there."""
        self.clock.ahead += to - self.clock.now()


@contextmanager
def clocked(database: str, folder: Path) -> Iterator[Clocked]:
    """Serve a database with the schema; the worker does not run."""
    made: list[Clocked] = []
    ready = threading.Event()

    async def serve(listener: socket.socket) -> None:
        async with a_world(database, folder) as (world, clock):
            await tenants.ensure(world, DEFAULT_TENANT)
            issued = await tokens.create(world, DEFAULT_TENANT, SYSTEM, Role.ADMIN)
            runtime = Runtime(world, load(data=folder))
            road, rest = DdiRoad(world, runtime.settings), api.application(runtime)
            server = Server(
                config(
                    Shell(
                        ddi=road,
                        api=rest,
                        console=_nothing,
                        ready=_nothing,
                        tuf=_nothing,
                        log=_nothing,
                        est=_nothing,
                        device=_nothing,
                        metrics=_nothing,
                    )
                )
            )

            def stop() -> None:
                runtime.closing.set()
                server.should_exit = True

            loop = asyncio.get_running_loop()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            made.append(Clocked(url, issued.secret, clock, partial(loop.call_soon_threadsafe, stop)))
            ready.set()
            await server.serve(sockets=[listener])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(serve(listener)), name="clocked")
        thread.start()
        try:
            assert ready.wait(PATIENCE_S), "the server did not start"
            yield made[0]
        finally:
            for running in made:
                running.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the server did not end"


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError
