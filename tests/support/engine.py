"""A tiny ASGI application under our HTTP engine, in a thread of this process, for tests to talk to over loopback."""

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from otaru.apps.server.body import App, Receive, Scope, Send
from otaru.apps.server.http import Protocol, Server
from otaru.apps.server.problems import problem
from otaru.errors import OtaruError

PATIENCE_S = 60.0


@dataclass
class Engine:
    """A server that runs."""

    port: int
    server: Server
    thread: threading.Thread
    scopes: list[Scope] = field(default_factory=list)
    """Of the requests so far."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A bare connection."""
        client = socket.socket()
        client.settimeout(PATIENCE_S)
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            client.connect(("127.0.0.1", self.port))
        except OSError:
            client.close()
            raise
        return client

    def stop(self) -> None:
        self.server.should_exit = True

    @property
    def quiet(self) -> bool:
        """No request under way, no connection open."""
        return not self.server.server_state.tasks and not self.server.server_state.connections


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


@contextmanager
def running(app: App, loop: str = "uvloop", **options: Any) -> Iterator[Engine]:
    """Serve `app` as our server does; `options` are uvicorn's."""
    listener = socket.create_server(("127.0.0.1", 0))
    scopes: list[Scope] = []
    options = {"http": Protocol, "ws": "none", "lifespan": "off", "log_config": None, "access_log": False, **options}
    server = Server(uvicorn.Config(_Edge(app, scopes), interface="asgi3", **options))

    def serve() -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(server.serve(sockets=[listener]))

    engine = Engine(listener.getsockname()[1], server, threading.Thread(target=serve, name="engine"), scopes)
    engine.thread.start()
    try:
        until(lambda: server.started or not engine.thread.is_alive(), "the server had started")
        yield engine
    finally:
        server.should_exit = True
        engine.thread.join(PATIENCE_S)
        assert not engine.thread.is_alive(), "the server did not end"


class _Edge:
    """Errors become answers, as in the shell."""

    def __init__(self, app: App, scopes: list[Scope]) -> None:
        self._app = app
        self._scopes = scopes
        self.at_once = getattr(app, "at_once", None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scopes.append(scope)
        try:
            await self._app(scope, receive, send)
        except OtaruError as error:
            status, headers, body = problem(error, None)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def read_answer(client: socket.socket, limit: int = 1 << 30) -> tuple[bytes, bytes]:
    """Head and (with Content-Length) body of one answer, or as much as comes before the end."""
    data = bytearray()
    while b"\r\n\r\n" not in data and (more := client.recv(65_536)):
        data += more
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), limit
    )
    parts = bytearray(body)
    with contextlib.suppress(ConnectionError):
        while len(parts) < length and (more := client.recv(65_536)):
            parts += more
    return head, bytes(parts)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def free_port() -> int:
    """A port of loopback that nobody listens on; somebody else may be faster."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
