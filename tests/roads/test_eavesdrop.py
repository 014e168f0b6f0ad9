"""Eavesdrop: whoever records all that passes between a device and the server reads nothing of it, where there is TLS."""

import contextlib
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import server_tls
from tests.support.ddi import Operator
from tests.support.server import serving

MARK = b"SECRET-FIRMWARE-" + secrets.token_hex(32).encode()


@dataclass
class Tap:
    """Passes bytes on, both ways, and keeps a copy."""

    server: tuple[str, int]
    port: int
    heard: bytearray = field(default_factory=bytearray)

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.server) as server:
            down = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            down.start()
            self._copy(client, server)
            down.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(64 * 1024):
                self.heard += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def tapped(url: str) -> Iterator[Tap]:
    host, port = url.rpartition("://")[2].rsplit(":", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tap = Tap((host, int(port)), listener.getsockname()[1])
        threading.Thread(target=tap.serve, args=(listener,), daemon=True).start()
        yield tap
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("tls", [True, False])
def test_eavesdrop(tls: bool, tmp_path: Path) -> None:
    """The same update by TLS and, so that the tap is known to hear, without."""
    made = server_tls(tmp_path)
    trusts = ssl.create_default_context(cafile=made.ca)
    with serving(tmp_path / "data", *(made.options if tls else ())) as server, tapped(server.url) as tap:
        scheme = "https" if tls else "http"
        with (
            server.api(verify=trusts) as people,
            httpx.Client(base_url=f"{scheme}://127.0.0.1:{tap.port}", verify=trusts) as devices,
        ):
            operator = Operator(server, people, devices)
            device, action, _ = operator.offered(operator.release(MARK * 1000))
            told = device.get(f"deploymentBase/{action}").json()
            artifact = told["deployment"]["chunks"][0]["artifacts"][0]
            link = next(each["href"] for name, each in artifact["_links"].items() if name.startswith("download"))
            path = "/" + link.split("/", 3)[3]
            got = devices.get(path, headers={"Authorization": f"TargetToken {device.token}"})
            assert got.content == MARK * 1000
            device.say(action, "closed", "success")
    assert len(tap.heard) > 1000 * len(MARK)
    read = [word in tap.heard for word in (MARK, device.token.encode(), device.id.encode(), b"deploymentBase")]
    assert read == [not tls] * 4
