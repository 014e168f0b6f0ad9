"""Files over real connections, under our HTTP engine: whole, in parts, to slow, rude and vanishing clients."""

import asyncio
import contextlib
import email
import email.message
import email.policy
import http.client
import os
import random
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from otaru.adapters.blobs.local import LocalBlobs
from otaru.apps.server import http as engine_module
from otaru.apps.server import zerocopy
from otaru.apps.server.body import Receive, Scope, Send
from otaru.apps.server.files import serve_artifact, serve_blob
from otaru.domain.ids import sha256
from tests.support.blobs import content, descriptors, digest, put
from tests.support.engine import Engine, read_answer, resident, running, until

MIB = 1024 * 1024
LARGE, SMALL = content(1, 5 * MIB + 123), content(2, 1000)
CONTENTS = {digest(data): data for data in (LARGE, SMALL, b"")}


class Descriptor:
    """An open file of a size that it need not have."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def fileno(self) -> int:
        return self._descriptor

    async def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


class Files:
    """The application: `/SHA256`, over whatever store."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self.blobs = blobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = sha256(scope["path"].removeprefix("/"))
        await serve_artifact(scope, receive, send, self.blobs, name, filename="app.swu")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> LocalBlobs:
    store = LocalBlobs(tmp_path_factory.mktemp("blobs"))
    for number, data in enumerate(CONTENTS.values()):
        asyncio.run(put(store, f"u{number}", data))
    return store


@pytest.fixture(params=["uvloop", "asyncio"])
def engine(request: pytest.FixtureRequest, blobs: LocalBlobs) -> Iterator[Engine]:
    with running(Files(blobs), loop=request.param) as engine:
        yield engine


@contextlib.contextmanager
def client_of(engine: Engine) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=30)
    try:
        yield client
    finally:
        client.close()


def ask(
    client: http.client.HTTPConnection, data: bytes, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    client.request(method, f"/{digest(data)}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize("data", CONTENTS.values(), ids=len)
def test_a_file_comes_whole(engine: Engine, data: bytes) -> None:
    with client_of(engine) as client:
        status, headers, body = ask(client, data)
    assert (status, body == data) == (200, True)
    assert headers["content-length"] == str(len(data))
    assert headers["etag"] == f'"{digest(data)}"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="app.swu"'
    assert headers["transfer-encoding"] is None


def test_parts_come_as_asked(engine: Engine) -> None:
    chance, size = random.Random(5), len(LARGE)
    with client_of(engine) as client:
        for first in [0, 1, size - 1, *(chance.randrange(size) for _ in range(20))]:
            last = chance.randrange(first, size)
            status, headers, body = ask(client, LARGE, range=f"bytes={first}-{last}")
            assert (status, body == LARGE[first : last + 1]) == (206, True)
            assert headers["content-range"] == f"bytes {first}-{last}/{size}"
            assert headers["content-length"] == str(last + 1 - first)
        assert ask(client, LARGE, range=f"bytes={size - 10}-")[2] == LARGE[-10:]
        assert ask(client, LARGE, range="bytes=-100")[2] == LARGE[-100:]


def test_impossible_part_is_416_and_says_the_size(engine: Engine) -> None:
    with client_of(engine) as client:
        for data, asked in ((SMALL, "bytes=1000-"), (SMALL, "bytes=-0"), (b"", "bytes=0-")):
            status, headers, _ = ask(client, data, range=asked)
            assert (status, headers["content-range"]) == (416, f"bytes */{len(data)}")
        assert ask(client, SMALL)[0] == 200


def test_nonsense_is_the_whole_file(engine: Engine) -> None:
    with client_of(engine) as client:
        for asked in ("bytes=0-1,1-6", "bytes=0-1,x", "bytes=x", "lines=1-2"):
            assert ask(client, SMALL, range=asked)[::2] == (200, SMALL)


def test_several_parts_come_in_one_answer(engine: Engine) -> None:
    chance, size = random.Random(6), len(LARGE)
    with client_of(engine) as client:
        for count in (2, 3, 150):
            edges = sorted(chance.sample(range(size), 2 * count))
            parts = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]
            chance.shuffle(parts)
            asked = "bytes=" + ",".join(f"{first}-{last}" for first, last in parts)
            status, headers, body = ask(client, LARGE, range=asked)
            assert (status, headers["content-range"]) == (206, None)
            kind = f"Content-Type: {headers['content-type']}\r\n".encode()
            found = email.message_from_bytes(kind + body, policy=email.policy.HTTP)
            assert isinstance(found, email.message.EmailMessage)
            for part, (first, last) in zip(found.iter_parts(), parts, strict=True):
                assert part["Content-Range"] == f"bytes {first}-{last}/{size}"
                assert part.get_payload(decode=True) == LARGE[first : last + 1]
        status, headers, body = ask(client, SMALL, range="bytes=5-9,5000-")
        assert (status, headers["content-range"], body) == (206, "bytes 5-9/1000", SMALL[5:10]), "one is left"
        assert ask(client, SMALL)[2] == SMALL, "the connection goes on"


@pytest.mark.skipif(shutil.which("zckdl") is None, reason="zchunk is not installed")
def test_zckdl_fetches_the_chunks_that_it_lacks(tmp_path: Path) -> None:
    """zchunk's own client, as SWUpdate's delta handler goes about it: headers first, then many ranges at once."""
    old = b"".join(content(n, 40_000) for n in range(100, 140))
    new = old[:300_000] + content(3, 50_000) + old[350_000:900_000] + content(4, 100) + old[900_100:]
    packed = []
    for name, data in (("old", old), ("new", new)):
        (tmp_path / name).write_bytes(data)
        subprocess.run(["zck", "-o", f"{name}.zck", name], cwd=tmp_path, check=True, capture_output=True)
        packed.append((tmp_path / f"{name}.zck").read_bytes())
    blobs = LocalBlobs(tmp_path / "blobs")
    asyncio.run(put(blobs, "u", packed[1]))
    (tmp_path / "new.zck").unlink()
    with running(Files(blobs), loop="asyncio") as engine:
        url = f"http://127.0.0.1:{engine.port}/{digest(packed[1])}"
        fetch = ["zckdl", "-v", "--fail-no-ranges", "-s", "old.zck", url]
        done = subprocess.run(fetch, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / digest(packed[1])).read_bytes() == packed[1]
    told = re.search(r"Downloaded (\d+) bytes", done.stdout + done.stderr)
    assert told is not None, done.stdout + done.stderr
    assert 0 < int(told[1]) < len(packed[1]) / 4


def test_a_resumed_download_of_other_bytes_starts_anew(engine: Engine) -> None:
    with client_of(engine) as client:
        assert ask(client, SMALL, range="bytes=5-9", if_range=f'"{digest(SMALL)}"')[::2] == (206, SMALL[5:10])
        assert ask(client, SMALL, range="bytes=5-9", if_range='"other"')[::2] == (200, SMALL)


def test_what_the_client_has_is_not_sent(engine: Engine) -> None:
    with client_of(engine) as client:
        status, headers, body = ask(client, SMALL, if_none_match=f'"{digest(SMALL)}"')
        assert (status, headers["etag"], body) == (304, f'"{digest(SMALL)}"', b"")
        assert ask(client, SMALL, if_match='"other"')[0] == 412
        assert ask(client, SMALL)[::2] == (200, SMALL)


def test_one_connection_serves_many_requests(engine: Engine) -> None:
    with client_of(engine) as client:
        for number in range(30):
            status, headers, body = ask(client, LARGE, "HEAD", range="bytes=0-5")
            assert (status, headers["content-length"], body) == (200, str(len(LARGE)), b"")
            assert ask(client, SMALL)[2] == SMALL
            assert ask(client, LARGE, range=f"bytes={number}-{number + 300_000}")[2] == LARGE[number : number + 300_001]
            assert ask(client, LARGE)[2] == LARGE
    assert len({scope["client"] for scope in engine.scopes}) == 1


def test_pipelined_requests_are_answered_in_order(engine: Engine) -> None:
    with engine.connect() as client:
        for data in (LARGE, SMALL, LARGE):
            client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(data).encode())
        received = bytearray()
        while len(received) < 2 * len(LARGE) + len(SMALL) + 300 or not received.endswith(LARGE[-100:]):
            received += client.recv(1 << 20)
    for data in (LARGE, SMALL, LARGE):
        head, _, rest = bytes(received).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert rest[: len(data)] == data
        received = bytearray(rest[len(data) :])


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_file_waits_for_what_was_answered_before_it(
    blobs: LocalBlobs, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    run = zerocopy.KernelCopy.run

    async def noting(copy: zerocopy.KernelCopy, descriptor: int) -> bool:
        held.extend(one.transport.get_write_buffer_size() for one in connections(serving))
        return await run(copy, descriptor)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/text":
            await Files(blobs)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        (connection,) = connections(serving)
        while not connection.transport.get_write_buffer_size():  # until the socket is full, and a little more
            await send({"type": "http.response.body", "body": bytes(30_000), "more_body": True})
            for _ in range(3):
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(zerocopy.KernelCopy, "run", noting)
    with running(app, loop=loop) as serving, serving.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /text HTTP/1.1\r\n\r\nGET /%s HTTP/1.1\r\n\r\n" % digest(LARGE).encode())
        until(lambda: len(serving.scopes) == 2, "the second request was begun")
        received = bytearray()
        while not received.endswith(LARGE[-100:]):
            received += client.recv(1 << 20)
    assert held == [0]
    before, after = bytes(received).split(b"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert before.startswith(b"HTTP/1.1 200 OK\r\n")
    assert after.partition(b"\r\n\r\n")[2] == LARGE


def connections(engine: Engine) -> set[Any]:
    found: set[Any] = engine.server.server_state.connections
    return found


def test_a_client_that_says_goodbye_and_stays_is_not_waited_for(engine: Engine) -> None:
    with engine.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
        client.recv(1000)
        client.shutdown(socket.SHUT_WR)
        until(lambda: engine.quiet, "the request had ended")


def test_a_slow_reader_gets_everything_and_holds_up_nobody(engine: Engine) -> None:
    with engine.connect(receive_buffer=4096) as slow, client_of(engine) as other:
        slow.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
        received = bytearray(slow.recv(100))
        for _ in range(5):
            received += slow.recv(1000)
            assert ask(other, LARGE)[2] == LARGE
        while not received.endswith(LARGE[-50:]):
            received += slow.recv(16_384)
    assert bytes(received).partition(b"\r\n\r\n")[2] == LARGE


@pytest.mark.parametrize("rude", [True, False], ids=["reset", "close"])
def test_clients_that_go_away_leave_nothing_open(engine: Engine, rude: bool) -> None:
    with client_of(engine) as client:
        ask(client, LARGE)
    until(lambda: engine.quiet, "the connection was closed")
    before = descriptors()
    for number in range(20):
        with engine.connect(receive_buffer=4096) as gone:
            gone.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
            gone.recv(1 + 2000 * number)
            if rude:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: engine.quiet, "all requests had ended")
    assert descriptors() == before


def test_the_kernel_copies(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def sendfile(*args: int) -> int:
        sent.append(kernel(*args))
        return sent[-1]

    kernel = os.sendfile
    monkeypatch.setattr(os, "sendfile", sendfile)
    monkeypatch.setattr(os, "pread", lambda *_: pytest.fail("the bytes came through Python"))
    with client_of(engine) as client:
        assert ask(client, LARGE)[2] == LARGE
        assert ask(client, LARGE, range="bytes=100-199")[2] == LARGE[100:200]
    until(lambda: engine.quiet, "the server had come back from its last call")
    assert sum(sent) == len(LARGE) + 100


def test_where_the_kernel_cannot_copy_memory_does(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refused)
    with client_of(engine) as client:
        assert ask(client, LARGE)[2] == LARGE
        assert ask(client, LARGE, range="bytes=100-199")[2] == LARGE[100:200]


def test_pages_that_are_not_in_memory_are_read_by_a_thread(engine: Engine, blobs: LocalBlobs) -> None:
    with blobs.open(digest(LARGE)) as blob:
        os.posix_fadvise(blob.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if zerocopy.in_memory(blob.fileno(), len(LARGE) - 1):
            pytest.skip("this file system keeps its pages")
    with client_of(engine) as client:
        assert ask(client, LARGE)[2] == LARGE
    with blobs.open(digest(LARGE)) as blob:
        assert zerocopy.in_memory(blob.fileno(), len(LARGE) - 1)


def test_a_file_that_shrinks_cuts_the_connection(blobs: LocalBlobs) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with blobs.open(digest(LARGE)) as blob:
            await serve_blob(scope, receive, send, Descriptor(blob.fileno(), len(LARGE) + 1), etag="x", filename="x")

    with running(app) as engine, client_of(engine) as client, pytest.raises(http.client.IncompleteRead) as caught:
        ask(client, LARGE)
    assert caught.value.partial == LARGE


class Remote:
    """A blob that is not in a local file."""

    size = 64 * MIB

    def __init__(self) -> None:
        self.reads = 0

    def fileno(self) -> None:
        return None

    async def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return offset.to_bytes(8) + bytes(min(length, self.size - offset) - 8)


def test_what_is_in_no_local_file_is_streamed_until_the_client_goes() -> None:
    remote = Remote()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_blob(scope, receive, send, remote, etag="x", filename="x")

    with running(app) as engine:
        with client_of(engine) as client:
            status, _, body = ask(client, b"", range="bytes=1000-600000")
        assert (status, len(body), body[:8]) == (206, 599_001, (1000).to_bytes(8))
        with client_of(engine) as client:
            assert len(ask(client, b"")[2]) == remote.size
        remote.reads = 0
        with engine.connect(receive_buffer=4096) as gone:
            gone.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            gone.recv(1000)
        until(lambda: engine.quiet, "the request had ended")
        assert remote.reads < 64


# --- TLS


class Tls:
    """Certificates of a server and of a client."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("device-1")
        self.authority, self.server = folder / "ca.pem", folder / "server.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        server.private_key_and_cert_chain_pem.write_to_path(str(self.server))
        self.der = ssl.PEM_cert_to_DER_cert(client.cert_chain_pems[0].bytes().decode())
        self.anonymous = ssl.create_default_context(cafile=str(self.authority))
        self.known = ssl.create_default_context(cafile=str(self.authority))
        client.configure_cert(self.known)

    def options(self) -> dict[str, Any]:
        """For uvicorn: a client may have a certificate, and then a good one."""
        return {
            "ssl_certfile": self.server,
            "ssl_ca_certs": str(self.authority),
            "ssl_cert_reqs": ssl.CERT_OPTIONAL,
        }

    def client(self, engine: Engine, context: ssl.SSLContext) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", engine.port, timeout=30, context=context)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["uvloop", "asyncio"])
def secure(request: pytest.FixtureRequest, blobs: LocalBlobs, tls: Tls) -> Iterator[Engine]:
    with running(Files(blobs), loop=request.param, **tls.options()) as engine:
        yield engine


def test_files_over_tls(secure: Engine, tls: Tls) -> None:
    with contextlib.closing(tls.client(secure, tls.anonymous)) as client:
        assert ask(client, LARGE)[2] == LARGE
        assert ask(client, LARGE, range="bytes=5-700000")[2] == LARGE[5:700_001]
        assert ask(client, LARGE, "HEAD")[1]["content-length"] == str(len(LARGE))
        assert ask(client, SMALL)[2] == SMALL


def test_the_peers_certificate_is_in_the_scope(secure: Engine, tls: Tls) -> None:
    for context in (tls.known, tls.anonymous, tls.known):
        with contextlib.closing(tls.client(secure, context)) as client:
            ask(client, SMALL)
            ask(client, SMALL)
    found = [scope["extensions"]["tls"]["client_cert"] for scope in secure.scopes]
    assert found == [tls.der, tls.der, None, None, tls.der, tls.der]


def test_without_tls_no_certificate_is_claimed(engine: Engine) -> None:
    with client_of(engine) as client:
        ask(client, SMALL)
    assert "tls" not in engine.scopes[0]["extensions"]


def test_slow_readers_over_tls_cost_no_memory(tls: Tls) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(64 * MIB)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await serve_blob(scope, receive, send, Descriptor(file.fileno(), 64 * MIB), etag="x", filename="x")

        with running(app, **tls.options()) as engine, contextlib.ExitStack() as clients:
            before = resident()
            for _ in range(8):
                client = clients.enter_context(contextlib.closing(tls.client(engine, tls.anonymous)))
                client.request("GET", "/")
                client.getresponse().read(1000)
            until(lambda: _all_paused(engine), "everybody waited for a client")
            assert resident() - before < 64 * MIB  # what they did not read is 512 MiB


def _all_paused(engine: Engine) -> bool:
    return len(connections(engine)) == 8 and all(one.flow.write_paused for one in connections(engine))


# --- bounds and the end


def test_a_download_under_way_is_finished_before_the_server_ends(engine: Engine) -> None:
    with engine.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
        received = bytearray(client.recv(1000))
        engine.stop()
        until(lambda: not _accepts(engine), "nobody listened any more")
        while more := client.recv(65_536):
            received += more
    engine.thread.join(30)
    assert not engine.thread.is_alive()
    assert bytes(received).partition(b"\r\n\r\n")[2] == LARGE


def test_a_download_that_nobody_takes_does_not_keep_the_server_from_ending(blobs: LocalBlobs) -> None:
    with running(Files(blobs), timeout_graceful_shutdown=1) as engine, engine.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
        client.recv(1000)
        engine.stop()
        engine.thread.join(30)
        assert not engine.thread.is_alive()


def _accepts(engine: Engine) -> bool:
    try:
        engine.connect().close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_head_without_an_end_is_refused(engine: Engine) -> None:
    with engine.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                client.sendall(b"a" * 65_536)
        with contextlib.suppress(ConnectionError):
            assert read_answer(client)[0].startswith(b"HTTP/1.1 400")
    until(lambda: engine.quiet, "the connection was closed")


@pytest.mark.parametrize(
    "start", [b"", b"GET / HT", b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\nGET" % digest(SMALL).encode()]
)
def test_a_head_that_does_not_come_closes_the_connection(
    engine: Engine, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "HEAD_S", 0.1)
    with engine.connect() as client:
        client.sendall(start)
        while client.recv(65_536):
            pass
    until(lambda: engine.quiet, "the connection was closed")


def test_a_client_that_takes_nothing_is_cut(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zerocopy, "STALL_S", 0.1)
    before = descriptors()
    with engine.connect(receive_buffer=4096) as client:
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
        until(lambda: len(engine.scopes) == 1 and engine.quiet, "the connection was cut")
    assert descriptors() == before


def test_a_client_that_takes_nothing_over_tls_is_cut(secure: Engine, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "STALL_S", 0.1)
    with (
        secure.connect(receive_buffer=4096) as bare,
        tls.anonymous.wrap_socket(bare, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % digest(LARGE).encode())
        until(lambda: len(secure.scopes) == 1 and secure.quiet, "the connection was cut")
