"""A real nginx on loopback, with parts of its configuration as docs/behind-a-proxy.md tells operators to write them."""

import http.client
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

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
