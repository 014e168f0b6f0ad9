"""A network that breaks: a TCP proxy on loopback that cuts connections, or holds them up, in the middle of a download."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_STEP = 16 * 1024


@dataclass
class Proxy:
    """Passes bytes on to `server`. What it does to downloads is set before they begin."""

    port: int
    server: tuple[str, int]
    cut_after: int | None = None
    """Bytes of an answer after which its connection is reset, `cuts` times."""
    cuts: int = 0
    hold_after: int | None = None
    """Bytes of an answer after which its connection says no more until `release` is set."""
    release: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    """Set when a connection is being held."""
    connections: int = 0
    done: int = 0
    """How many connections were cut."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    def may_cut(self, passed: int) -> bool:
        """Whether to cut now; each yes is one of `cuts`."""
        with self._lock:
            if self.cut_after is None or passed < self.cut_after or self.cuts == 0:
                return False
            self.cuts -= 1
            self.done += 1
            return True


@contextmanager
def proxy(server: tuple[str, int]) -> Iterator[Proxy]:
    """Start a proxy in front of `server`; its threads end with their connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Proxy(listener.getsockname()[1], server)
        threading.Thread(target=_accept, args=(listener, made), daemon=True).start()
        try:
            yield made
        finally:
            made.release.set()
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, made: Proxy) -> None:
    with contextlib.suppress(OSError):  # closed at the end of the test
        while True:
            client, _ = listener.accept()
            made.connections += 1
            threading.Thread(target=_serve, args=(client, made), daemon=True).start()


def _serve(client: socket.socket, made: Proxy) -> None:
    with client:
        try:
            server = socket.create_connection(made.server)
        except OSError:
            return
        with server:
            up = threading.Thread(target=_pass_up, args=(client, server), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                _pass_down(server, client, made)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            up.join()


def _pass_up(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := client.recv(_STEP):
            server.sendall(part)
        server.shutdown(socket.SHUT_WR)


def _pass_down(server: socket.socket, client: socket.socket, made: Proxy) -> None:
    passed = 0
    while part := server.recv(_STEP):
        client.sendall(part)
        passed += len(part)
        if made.may_cut(passed):
            # With this option closing sends a reset, as a lost link looks to a client.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if made.hold_after is not None and passed >= made.hold_after and not made.release.is_set():
            made.held.set()
            made.release.wait()
