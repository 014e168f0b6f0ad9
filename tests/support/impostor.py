"""A server that says what a test wants, on the native road over real HTTP: for an agent's own process.

It has the keys that a test gives it. Its metadata is `tests.support.site`'s; what it says on the road is `tests.support.edge`'s.
"""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from otaru.domain.deployment import Event
from otaru.domain.link import Note, Told
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form
from otaru.trust.verify.steps import Source, Want
from tests.support.edge import DEVICE, Server
from tests.support.keys import begun
from tests.support.site import Between, Director, Images, Site, honest

_ENDS = {Event.SUCCEED, Event.FAIL, Event.REVERT, Event.REJECT}


def a_server() -> Server:
    """With repositories that were signed now."""
    now = datetime.now(UTC)  # noqa: TID251 - the agent's clock is the real one
    return Server(Site(Images(begun(now), now), Director(now)))


@dataclass
class Impostor:
    """It, while it runs. Change what it says as you like."""

    server: Server
    between: Between = honest
    """What arrives of metadata."""
    body: Callable[[bytes], bytes] = lambda data: data
    """What arrives of files."""
    length: int | None = None
    """What it says of how long they are; None: the truth."""
    raw: Callable[[str], tuple[int, bytes] | None] = lambda _: None
    """Answers in place of all that, by path."""
    asked: list[str] = field(default_factory=list)
    shown: list[str | None] = field(default_factory=list)
    """The Authorization of each request."""
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def be_honest(self) -> None:
        """Say the truth again."""
        self.between, self.body, self.length, self.raw = honest, lambda data: data, None, lambda _: None

    def ended(self) -> Note | None:
        """How the last action ended, as the device has told it."""
        with self.lock:
            return next((note for note in reversed(self.server.heard.values()) if note.event in _ENDS), None)

    def told(self) -> Told:
        """What is due, with addresses that lead here."""
        found = self.server.poll()
        offer = found.offer
        if offer is not None:
            files = [
                replace(f, addresses=tuple(self.url + a if a[0] == "/" else a for a in f.addresses))
                for f in offer.files
            ]
            offer = replace(offer, files=tuple(files))
        return replace(found, offer=offer, poll_after=timedelta(seconds=1))

    def answer(self, path: str, query: dict[str, list[str]], body: bytes, form: Form) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        if path == "/device/v1/poll":
            return 200, codec.told(self.told(), form)
        if path == "/device/v1/reports":
            return 200, codec.kept(self.server.report(codec.read_batch(body, form)), form)
        if parts[0] == "tuf":
            source = Source.DIRECTOR if parts[2] == "director" else Source.IMAGE
            number, _, role = unquote(parts[-1]).removesuffix(".json").partition(".")
            want = Want(source, role, int(number), 0) if role else Want(source, number, None, 0)
            found = self.between(want, self.server.site.answer(DEVICE, want))
            return (404, b"{}") if found is None else (200, found)
        if parts[0] == "files":
            data = self.server.files.get(parts[1])
            return (404, b"{}") if data is None else (200, self.body(data))
        return (204, b"") if path.startswith("/device/v1/") and query else (404, b"{}")


@contextmanager
def impostor(server: Server) -> Iterator[Impostor]:
    """Serve on the loopback until the end of the block."""
    found = Impostor(server)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            address = urlsplit(self.path)
            with found.lock:
                found.asked.append(address.path)
                found.shown.append(self.headers.get("Authorization"))
                status, data = found.raw(address.path) or found.answer(
                    address.path, parse_qs(address.query), body, Form.MSGPACK
                )
            is_file = address.path.startswith("/files/")
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", Form.MSGPACK)
                length = found.length if is_file and found.length is not None else len(data)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the library's name

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        found.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            listening.shutdown()
            thread.join()
