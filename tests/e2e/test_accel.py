"""nginx sends the bytes (X-Accel-Redirect), configured as docs/behind-a-proxy.md says."""

import asyncio
import grp
import http.client
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from otaru.adapters.blobs.local import LocalBlobs
from otaru.apps.server.body import Message, Receive, Scope, Send
from otaru.apps.server.files import serve_artifact
from otaru.domain.ids import sha256
from tests.support.blobs import content, digest, put
from tests.support.engine import Engine, running
from tests.support.nginx import PROGRAM, nginx, nginx_folder, written

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")

DATA = content(1, 2_000_000)

SERVER = """
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; }}
{location}
    }}
"""


class Files:
    def __init__(self, blobs: LocalBlobs) -> None:
        self.blobs = blobs
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            self.sent += "zerocopysend" in str(message["type"]) or bool(message.get("body"))
            await send(message)

        name = sha256(scope["path"].removeprefix("/"))
        await serve_artifact(scope, receive, counted, self.blobs, name, filename="größe.swu", x_accel="/_otaru/")


@pytest.fixture
def folder() -> Iterator[Path]:
    with nginx_folder() as path:
        yield path


@pytest.fixture
def blobs(folder: Path) -> LocalBlobs:
    root = folder / "artifacts"
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, 0, grp.getgrnam("www-data").gr_gid)
    root.chmod(0o2750)
    store = LocalBlobs(root)
    asyncio.run(put(store, "a", DATA))
    return store


@pytest.fixture
def app(blobs: LocalBlobs) -> Files:
    return Files(blobs)


@pytest.fixture
def engine(app: Files) -> Iterator[Engine]:
    with running(app) as engine:
        yield engine


@pytest.fixture
def client(engine: Engine, folder: Path) -> Iterator[http.client.HTTPConnection]:
    location = written("location /_otaru/").replace("/var/lib/otaru/artifacts/", f"{folder}/artifacts/")
    with (
        nginx(folder, lambda port: SERVER.format(port=port, upstream=engine.port, location=location)) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client,
    ):
        yield client


def _ask(
    client: http.client.HTTPConnection, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    client.request(method, f"/{digest(DATA)}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()


def test_nginx_sends_files_and_parts_and_we_send_none(client: http.client.HTTPConnection, app: Files) -> None:
    tag = f'"{digest(DATA)}"'
    status, headers, body = _ask(client)
    assert (status, body == DATA) == (200, True)
    assert (headers["etag"], headers["content-length"]) == (tag, str(len(DATA)))
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment; filename=")
    assert headers["x-accel-redirect"] is None
    status, headers, body = _ask(client, range="bytes=100-199")
    assert (status, headers["content-range"], body) == (206, f"bytes 100-199/{len(DATA)}", DATA[100:200])
    assert _ask(client, range="bytes=100-199", if_range=tag)[::2] == (206, DATA[100:200])
    assert _ask(client, range="bytes=100-199", if_range='"other"')[0] == 200
    assert _ask(client, range=f"bytes={len(DATA)}-")[0] == 416
    status, headers, body = _ask(client, "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(DATA)), b"")
    assert _ask(client, if_none_match=tag)[::2] == (304, b"")
    assert app.sent == 0


def test_nobody_else_reaches_the_files(client: http.client.HTTPConnection) -> None:
    client.request("GET", f"/_otaru/blobs/{digest(DATA)[:2]}/{digest(DATA)}")
    answer = client.getresponse()
    assert (answer.status, b"internal" in answer.read()) == (404, False)


def test_a_missing_blob_is_not_found(engine: Engine) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", engine.port, timeout=30)) as client:
        client.request("GET", f"/{digest(b'missing')}")
        answer = client.getresponse()
        assert (answer.status, answer.headers["x-accel-redirect"]) == (404, None)
        answer.read()
