"""Downloads by our own device side, over each kind of HTTP: plain, within TLS, and HTTP/2 of a real nginx."""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import time, timedelta
from importlib.util import find_spec
from itertools import count
from typing import Any

import pytest

from otaru import errors
from otaru.adapters.clock import SystemClock
from otaru.adapters.links import wire
from otaru.adapters.links.native import Credential, NativeLink, native_link
from otaru.domain.fetching import Limit
from otaru.domain.ids import DEFAULT_TENANT, DeviceId
from otaru.domain.schedule import Window
from otaru.errors import OtaruError
from otaru.services.edge.fetch import Manner
from otaru.trust.verify.pace import Pace
from tests.support.certificates import ServerTls, server_tls
from tests.support.ddi import eventually
from tests.support.fetching import fetch
from tests.support.hostile import Hostile, answer, hostile
from tests.support.nginx import Mirror, nginx_mirror

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    assert find_spec("h2") is not None, "`make setup` brings it: requirements.txt"
    with nginx_mirror() as found:
        (found.folder / "files" / "f").write_bytes(CONTENT)
        yield found


@dataclass(frozen=True)
class Way:
    """How a device comes to a file."""

    mirror: Mirror
    tls: bool
    http2: bool
    mark: str
    """Stands in each address, so that what the mirror was asked can be told apart."""

    def to(self, server: Hostile) -> str:
        """A file of a server that the test plays."""
        url = f"{server.url}/f"
        return f"{self.mirror.before(url) if self.tls else url}?{self.mark}"

    def of(self, path: str) -> str:
        """A file of the mirror's own."""
        return f"{self.mirror.url}{path}?{self.mark}"

    @contextlib.contextmanager
    def link(self) -> Iterator[NativeLink]:
        with _link(self.mirror.trust, http2=self.http2) as link:
            yield link

    def says(self, status: str = "") -> bool:
        """Whether the mirror was asked by this protocol and no other (and said this and nothing else)."""
        said = self.mirror.spoken(self.mark)
        protocol = "HTTP/2.0" if self.http2 else "HTTP/1.1"
        return bool(said) and all(line.startswith(f"{protocol} {status}") for line in said)


@contextlib.contextmanager
def _link(trust: ssl.SSLContext | None, *, http2: bool) -> Iterator[NativeLink]:
    server = "https://127.0.0.1:9"
    told = (server, DEFAULT_TENANT, DeviceId("d"), Credential(), SystemClock())
    with native_link(*told, trust=trust, http2=http2) as link:
        yield link


WAYS = {"plain": (False, True), "tls": (True, False), "http2": (True, True)}
NUMBERS = count()
TLS = [name for name, (tls, _) in WAYS.items() if tls]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, mirror: Mirror) -> Iterator[Way]:
    found = Way(mirror, *WAYS[request.param], mark=f"n{next(NUMBERS)}.")
    yield found
    assert not found.tls or eventually(found.says)


def test_a_transfer_ends_at_once_when_the_link_is_closed(way: Way) -> None:
    stuck = threading.Event()

    def half(_: bytes, client: socket.socket) -> None:
        client.sendall(answer("200 OK", "Content-Length: 100", body=b"x" * 10))
        stuck.set()
        client.recv(1)
        raise OSError

    with hostile(half) as server, way.link() as link:
        fetching, memory = fetch(link, (way.to(server),), b"x" * 100)
        ended: list[OtaruError] = []

        def run() -> None:
            try:
                fetching.run()
            except OtaruError as error:
                ended.append(error)

        running = threading.Thread(target=run)
        running.start()
        assert stuck.wait(20)
        eventually(lambda: memory.held() == 10)
        link.close()
        running.join(timeout=20)
        assert [type(error) for error in ended] == [errors.StoppedError]
        assert memory.held() == memory.synced == 10
        assert server.gone.wait(20)


def test_a_download_that_is_left_in_the_middle_is_not_sent_on(way: Way) -> None:
    """Another is opened over the same link meanwhile."""
    asked: list[bytes] = []

    def endless(head: bytes, client: socket.socket) -> None:
        asked.append(head)
        client.sendall(answer("200 OK", f"Content-Length: {1 << 40}"))
        while True:
            client.sendall(bytes(65536))

    with hostile(endless) as server, way.link() as link:
        left = link.open(way.to(server))
        assert left.read()
        left.close()
        assert server.gone.wait(20)
        again = link.open(way.to(server))
        assert again.read()
        again.close()
    assert len(asked) == 2


def test_a_lossy_server_is_resumed_to_the_end(way: Way) -> None:
    """It cuts each connection after some bytes, and knows Range."""

    def lossy(head: bytes, client: socket.socket) -> None:
        first = int(head.lower().partition(b"range: bytes=")[2].partition(b"-")[0] or 0)
        size = len(CONTENT)
        lines = [f"Content-Range: bytes {first}-{size - 1}/{size}", f"Content-Length: {size - first}", 'ETag: "t"']
        status = "206 Partial Content" if first else "200 OK"
        client.sendall(answer(status, *lines, body=CONTENT[first : first + 150_000]))

    with hostile(lossy) as server, way.link() as link:
        fetching, memory = fetch(link, (way.to(server),), CONTENT)
        for _ in range(50):
            with contextlib.suppress(errors.UnavailableError):
                fetching.run()
                break
        assert bytes(memory.data) == CONTENT
        assert 7 <= len(server.heads) <= 10


@pytest.mark.parametrize("way", TLS, indirect=True)
def test_a_real_server_goes_on_where_it_is_asked_to(way: Way) -> None:
    with way.link() as link:
        fetching, memory = fetch(link, (way.of("/files/f"),), CONTENT)
        memory.append(0, CONTENT[:300_001])
        fetching.run()
    assert bytes(memory.data) == CONTENT
    assert eventually(lambda: way.says("206"))


@pytest.mark.parametrize("way", TLS, indirect=True)
def test_bytes_come_no_faster_than_they_may(way: Way) -> None:
    waited: list[float] = []
    limit = Limit(Window(time(0), timedelta(hours=24)), 100_000)
    with way.link() as link:
        told = {"manner": Manner(limits=[limit]), "pause": waited.append}
        fetching, memory = fetch(link, (way.of("/files/f"),), CONTENT, **told)
        fetching.run()
    assert bytes(memory.data) == CONTENT
    assert sum(waited) == pytest.approx(len(CONTENT) / 100_000, rel=0.1)  # not after the last part


@pytest.mark.parametrize("way", TLS, indirect=True)
def test_who_is_too_slow_is_given_up(way: Way) -> None:
    pace = Pace(100_000, timedelta(seconds=0.5), timedelta(days=1))
    with way.link() as link:
        fetching, memory = fetch(link, (way.of("/slow/files/f"),), CONTENT, manner=Manner(pace=pace))
        with pytest.raises(errors.UnavailableError):
            fetching.run()
    assert 0 < memory.held() < 20_000


def test_without_its_library_downloads_go_by_http_1(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "find_spec", lambda _: None)
    with _link(mirror.trust, http2=True) as link:
        fetching, memory = fetch(link, (f"{mirror.url}/files/f?without",), CONTENT)
        fetching.run()
    assert bytes(memory.data) == CONTENT
    eventually(lambda: mirror.spoken("without") == ["HTTP/1.1 200"])


def test_the_library_comes_into_memory_with_the_first_server_that_speaks_it(mirror: Mirror) -> None:
    program = """
import ssl, sys
from otaru.adapters.clock import SystemClock
from otaru.adapters.links.wire import Wire
url, ca = sys.argv[1:]
wire = Wire(SystemClock(), ssl.create_default_context(cafile=ca), http2=True)
for act in (lambda: wire.ask("GET", url, [], None, 1 << 21), lambda: wire.open(url, []).close()):
    print("h2" in sys.modules)
    act()
print("h2" in sys.modules)
"""
    words = [sys.executable, "-c", program, f"{mirror.url}/files/f", str(mirror.folder / "ca.pem")]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["False", "False", "True"]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


SETTINGS, OK = frame(4, 0, 0), frame(1, 4, 1, b"\x88")  # its head, 200, more to come
EMPTY = frame(0, 0, 1)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        SETTINGS,
        SETTINGS + frame(1, 4, 1, b"\x08\x03abc"),  # :status abc
        SETTINGS + frame(1, 4, 1, b"\xff" * 40),
        SETTINGS + frame(1, 0, 1, b"\x88") + frame(9, 0, 1, b"\x00\x01a\x01b") * 1000,  # a head without end
        SETTINGS + frame(7, 0, 0, bytes(8)),  # GOAWAY
        SETTINGS + frame(1, 4, 3, b"\x88"),  # a stream that nobody opened
        SETTINGS + OK,
        SETTINGS + OK + EMPTY * 20_000,
        SETTINGS + OK + frame(3, 0, 1, bytes(4)),  # RST_STREAM
        SETTINGS + OK + frame(7, 0, 0, bytes(8)),
        SETTINGS + OK + frame(0, 0, 1, bytes(20_000)),  # larger than frames may be
        SETTINGS + OK + frame(0, 8, 1, b"\xff"),  # padded by more than there is
        SETTINGS + frame(1, 4, 1, b"\x88\x0f\x0d\x0210") + frame(0, 1, 1, b"x"),  # one byte of ten
        SETTINGS + frame(1, 4, 1, b"\x88\x0f\x0d\x0210") + frame(0, 1, 1, b"x" * 11),
        SETTINGS + OK + frame(6, 0, 0, bytes(8)) * 20_000,  # PING
        SETTINGS + OK + SETTINGS * 20_000,
    ],
)
def test_whatever_a_server_of_http_2_says_nobody_answers(
    said: bytes, played: Callable[[bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "ANSWER_S", 5.0)
    with played(said) as (url, trust), _link(trust, http2=True) as link:
        fetching, memory = fetch(link, (url,), CONTENT)
        with pytest.raises(errors.UnavailableError):
            fetching.run()
        assert memory.held() <= 11


def test_empty_frames_are_not_the_end(played: Callable[[bytes], Any]) -> None:
    said = SETTINGS + OK + EMPTY * 3 + frame(0, 0, 1, b"ab") + EMPTY + frame(0, 0, 1, b"cd") + frame(0, 1, 1)
    with played(said) as (url, trust), _link(trust, http2=True) as link:
        fetching, memory = fetch(link, (url,), b"abcd")
        fetching.run()
        assert bytes(memory.data) == b"abcd"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return server_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def played(tls: ServerTls) -> Callable[[bytes], Any]:
    """A server that chooses HTTP/2 and then says what the test wants, without a look at what it was asked."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.chain, tls.key)
    context.set_alpn_protocols(["h2"])

    @contextlib.contextmanager
    def playing(said: bytes) -> Iterator[tuple[str, ssl.SSLContext]]:
        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, contextlib.suppress(OSError):
                    client.settimeout(20)
                    with context.wrap_socket(client, server_side=True) as line:
                        line.recv(65536)
                        line.sendall(said)
                        line.unwrap()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = threading.Thread(target=serve)
            serving.start()
            try:
                url = f"https://127.0.0.1:{listener.getsockname()[1]}/f"
                yield url, ssl.create_default_context(cafile=tls.ca)
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                serving.join(25)

    return playing
