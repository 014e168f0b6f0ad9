"""A relay on loopback that notes what a client sends, and lets only so many bytes pass before it breaks or stalls."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_STEP = 64 * 1024
_REQUEST = re.compile(rb"(?:^|\r\n|\})(GET|HEAD|POST|PATCH|DELETE) (/\S*) HTTP/1\.1\r\n")


@dataclass
class Relay:
    """Passes bytes between clients and `server`."""

    server: tuple[str, int]
    port: int
    cut_every: int | None = None
    """Bytes from a client after which its connection is closed."""
    stall_after: int | None = None
    """Bytes from all clients after which nothing passes any more."""
    sent: int = 0
    """Bytes from clients that were passed on."""
    received: int = 0
    """Bytes from the server that were passed on."""
    stalled: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request, in the order they were made."""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        """Take clients until the listener closes."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Let go of clients that are stalled."""
        self._over.set()

    def _talk(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.server) as server:
            down = threading.Thread(target=self._down, args=(server, client), daemon=True)
            down.start()
            with contextlib.suppress(OSError):
                self._up(client, server)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            down.join()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        while part := client.recv(_STEP):
            for method, path in _REQUEST.findall(part):
                self.requests.append((method.decode(), path.decode()))
            with self._lock:
                if self.stall_after is not None and self.sent + len(part) > self.stall_after:
                    self.stalled.set()
            if self.stalled.is_set():
                self._over.wait()
                return
            server.sendall(part)
            passed += len(part)
            with self._lock:
                self.sent += len(part)
            if self.cut_every is not None and passed >= self.cut_every:
                return

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := server.recv(_STEP):
                client.sendall(part)
                with self._lock:
                    self.received += len(part)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(url: str, *, cut_every: int | None = None, stall_after: int | None = None) -> Iterator[Relay]:
    """Start a relay in front of the server at `url`."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Relay((host, int(port)), listener.getsockname()[1], cut_every, stall_after)
        threading.Thread(target=made.serve, args=(listener,), daemon=True).start()
        try:
            yield made
        finally:
            made.close()
            listener.shutdown(socket.SHUT_RDWR)
