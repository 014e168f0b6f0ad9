"""A server on the loopback that says whatever a test wants, byte by byte: what comes on a connection picks what goes out."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[bytes, socket.socket], None]
"""Given a request's head, answers on the socket; the connection is closed when it returns."""


@dataclass
class Hostile:
    """It, while it runs."""

    url: str
    heads: list[bytes] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    """A client went away while it was served."""


@contextmanager
def hostile(script: Script) -> Iterator[Hostile]:
    """Serve by a script, one thread a connection, until the end of the block."""
    ending = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Hostile(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def one(client: socket.socket) -> None:
            with client, suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head:
                    part = client.recv(65536)
                    if not part:
                        return
                    head += part
                found.heads.append(head)
                try:
                    script(head, client)
                except OSError:
                    found.gone.set()

        def serve() -> None:
            while not ending.is_set():
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.settimeout(20)
                thread = threading.Thread(target=one, args=(client,), daemon=True)
                threads.append(thread)
                thread.start()

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield found
        finally:
            ending.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            server.join(10)
            for thread in threads:
                thread.join(10)


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
