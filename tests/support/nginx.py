"""A real nginx on loopback, with parts of its configuration as docs/behind-a-proxy.md tells operators to write them."""

import http.client
import os
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.certificates import server_tls
from tests.support.engine import free_port, until

PROGRAM = shutil.which("nginx")
DOCS = Path(__file__).parents[2] / "docs" / "behind-a-proxy.md"

_CONFIG = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
{server}
}}
"""


def written(pattern: str) -> str:
    """The part of the page that begins as `pattern` does, to the end of its block."""
    found = re.search(rf"^( *){pattern}[^{{]*\{{.*?^\1\}}", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{DOCS.name} has no {pattern}"
    return found[0]


@contextmanager
def nginx_folder() -> Iterator[Path]:
    """A folder for it. Not pytest's own: nginx's workers are another user and may not pass those."""
    path = Path(tempfile.mkdtemp(prefix="otaru-nginx-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@contextmanager
def nginx(folder: Path, server: Callable[[int], str]) -> Iterator[int]:
    """Start it with what `server` makes of a port; the port."""
    assert PROGRAM is not None
    user = "user www-data www-data;" if os.geteuid() == 0 else ""
    for _ in range(5):  # somebody may take the port before nginx does
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(user=user, folder=folder, server=server(port)))
        process = subprocess.Popen([PROGRAM, "-e", "stderr", "-p", folder, "-c", config], stderr=subprocess.DEVNULL)
        try:
            until(lambda p=port, n=process: _answers(p) or n.poll() is not None, "nginx answered")  # type: ignore[misc]
            if process.poll() is None:
                yield port
                return
        finally:
            process.terminate()
            process.wait(30)
    raise AssertionError("nginx does not start")


def _answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        try:
            client.connect()
        except ConnectionRefusedError:
            return False
    return True


_MIRROR = r"""
    log_format plain "$request_uri $server_protocol $status";
    server {{
        listen 127.0.0.1:{port} ssl http2;
        access_log {folder}/access.log plain;
        ssl_certificate {tls.chain};
        ssl_certificate_key {tls.key};
        root {folder};
        location /slow/ {{ rewrite ^/slow(/.*)$ $1 break; limit_rate 2000; }}
        location ~ ^/to/(\d+)(/.*)$ {{ proxy_pass http://127.0.0.1:$1$2; proxy_buffering off; }}
    }}
"""


@dataclass(frozen=True)
class Mirror:
    """An nginx with TLS, which speaks HTTP/2 to whoever asks for it."""

    folder: Path
    """What is in its folder `files` it gives: below /files, and with 2 kB a second below /slow/files."""
    url: str
    trust: ssl.SSLContext

    def before(self, url: str) -> str:
        """The same address, through it."""
        where = urlsplit(url)
        return f"{self.url}/to/{where.port}{where.path}"

    def spoken(self, mark: str) -> list[str]:
        """With which protocol it was asked for addresses with a mark, and what it said. What has just ended may be missing."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if mark in line]


@contextmanager
def nginx_mirror() -> Iterator[Mirror]:
    """Start one."""
    with nginx_folder() as folder:
        tls = server_tls(folder)
        (folder / "files").mkdir()
        with nginx(folder, lambda port: _MIRROR.format(port=port, folder=folder, tls=tls)) as port:
            yield Mirror(folder, f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=tls.ca))
