"""A running agent's socket: what it says and does, who may, and what becomes of nonsense."""

import json
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.agent_site import Site, archive, served
from tests.support.ddi import eventually
from tests.support.host import Host


@dataclass
class Running:
    """A device whose agent is at work."""

    site: Site
    host: Host
    path: Path
    http: httpx.Client

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.http.request(method, path, json=body)
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json()

    def says(self, raw: bytes) -> bytes:
        """What comes back when these bytes are sent, and nothing after them."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.path))
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
            parts = []
            with suppress(ConnectionResetError):  # it has not read all of it, and said why
                while part := line.recv(4096):
                    parts.append(part)
        return b"".join(parts)


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("local")
    path = folder / "agent.sock"
    stale = socket.socket(socket.AF_UNIX)  # of an agent that was killed
    stale.bind(str(path))
    stale.close()
    with (
        served(folder / "server") as site,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://otaru", timeout=30) as http,
    ):
        host = site.host(folder, slots=False, health=f'[local]\nsocket = "{path}"\nmode = "0620"\n')
        with host.process():
            eventually(lambda: listens(path))
            yield Running(site, host, path, http)


def test_who_may_is_said_by_the_file(running: Running) -> None:
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o620


def test_an_owner_speaks_to_the_agent_that_is_at_work(running: Running) -> None:
    site, host = running.site, running.host
    assert running.ask("GET", "/status")[1]["state"] == "idle"
    assert running.ask("GET", "/history") == (200, [])
    assert running.ask("POST", "/check") == (200, {"due": None})
    assert running.ask("POST", "/approve")[0] == 409
    policy = {"consent": True, "postponements": 1, "postpone_for_s": 86_400}
    body = {"release": site.release({"app": archive("2.0.0")}), "target": f"id=={site.device(host)}", "start": True}
    rollout = int(site.operator.ok("POST", "/rollouts", json={**body, **policy})["id"])
    status, told = running.ask("POST", "/check")
    assert (status, told["due"]["consent"]) == (200, "asked")
    assert running.ask("POST", "/postpone", {"for_s": 9 * 86_400})[0] == 403
    status, told = running.ask("POST", "/postpone", {"for_s": 3600})
    assert (status, told["consent"], told["postponements"]) == (200, "postponed", 0)
    assert site.state(host, rollout) == "postponed"
    assert running.ask("POST", "/postpone", {"for_s": 3600})[1]["code"] == "postponed_enough"
    assert running.ask("POST", "/approve")[1]["consent"] == "given"
    eventually(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert running.ask("GET", "/status")[1]["installed"] == {"app": "2.0.0"}
    assert running.ask("POST", "/lift") == (200, {"lifted": False})
    status, told = running.ask("POST", "/rollback", {"reason": "it rattles"})
    assert (status, told["state"], told["installed"]) == (200, "idle", {})
    assert host.running() == ""
    assert [past["reason"] for past in running.ask("GET", "/history")[1]] == ["it rattles", ""]
    assert running.ask("POST", "/rollback")[0] == 409
    body["release"] = site.release({"app": archive("3.0.0")}, "3.0.0")
    again = int(site.operator.ok("POST", "/rollouts", json={**body, **policy})["id"])
    eventually(lambda: running.ask("POST", "/check")[1]["due"] is not None)
    assert running.ask("POST", "/reject", {"reason": "never"})[0] == 200
    assert site.state(host, again) == "rejected"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/approve", None, 405),
        ("POST", "/status", None, 405),
        ("POST", "/postpone", None, 400),
        ("POST", "/postpone", {"for_s": -1}, 400),
        ("POST", "/postpone", {"for_s": True}, 400),
        ("POST", "/postpone", {"for_s": 1e300}, 400),
        ("POST", "/postpone", {"until": "tomorrow"}, 400),
        ("POST", "/postpone", {"for_s": 1, "until": "2030-01-01T00:00:00Z"}, 400),
        ("POST", "/approve", {"for_s": 1}, 400),
        ("POST", "/approve", [], 400),
        ("POST", "/reject", {"reason": "x" * 501}, 400),
        ("POST", "/reject", {"reason": 1}, 400),
        ("POST", "/reject", {"reason": "\0"}, 400),
        ("POST", "/check", "x" * 20_000, 400),
    ],
)
def test_a_slip_is_said_in_words(running: Running, method: str, path: str, body: Any, status: int) -> None:
    found, told = running.ask(method, path, body)
    assert found == status
    assert set(told) >= {"code", "detail"}


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET /status\r\n\r\n",
        b"GET /status SPDY/3\r\n\r\n",
        b"GET /status HTTP/1.1\r\n",
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nContent-Length: -1\r\n\r\n",
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nContent-Length: 9\r\n\r\n{}",
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nContent-Length: 2\r\n\r\n\xff\xff",
        b'POST /rollback HTTP/1.1\r\nHost: otaru\r\nContent-Length: 19\r\n\r\n{"reason":"\\ud800"}',
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nTransfer-Encoding: chunked\r\n\r\n1000000\r\n" + b"[" * 20_000,
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nTransfer-Encoding: chunked\r\n\r\n1" + b";" * 20_000,
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nContent-Length: 16000\r\n\r\n" + b"[" * 16000,
        b"POST /check HTTP/1.1\r\nHost: otaru\r\n" + b"X: y\r\n" * 5_000,
        b"\x00\xff" * 4000,
    ],
)
def test_what_is_no_request_is_answered_and_ends(running: Running, raw: bytes) -> None:
    head, _, body = running.says(raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "invalid_input"


def test_it_is_asked_as_clients_of_http_do(running: Running) -> None:
    for raw in (
        b"POST /check HTTP/1.1\r\nHost: otaru\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"GET /status?pretty HTTP/1.0\r\n\r\n",
    ):
        assert running.says(raw).startswith(b"HTTP/1.1 200 ")
    waits = b"POST /check HTTP/1.1\r\nHost: otaru\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(running.path))
        line.sendall(waits)
        assert line.recv(4096).startswith(b"HTTP/1.1 100 ")
        line.sendall(b"{}")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
    head, _, body = running.says(b"HEAD /status HTTP/1.1\r\nHost: otaru\r\n\r\n").partition(b"\r\n\r\n")
    assert (head[:13], body) == (b"HTTP/1.1 405 ", b"")


def test_who_says_nothing_is_told_nothing(running: Running) -> None:
    assert running.says(b"") == b""


def test_silent_ones_keep_nobody_out_for_long(running: Running) -> None:
    lines = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    try:
        for line in lines:
            line.settimeout(30)
            line.connect(str(running.path))
        assert running.ask("GET", "/status")[0] == 200
    finally:
        for line in lines:
            line.close()


def test_an_agent_that_listens_to_its_server_hears_who_asks_it_as_well(tmp_path: Path, running: Running) -> None:
    path = tmp_path / "agent.sock"
    text = f'[server]\nlisten_s = 2\n[local]\nsocket = "{path}"\n'
    host = running.site.host(tmp_path, slots=False, health=text)
    with (
        host.process(),
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://otaru", timeout=60) as http,
        ThreadPoolExecutor(3) as people,
    ):
        eventually(lambda: listens(path))
        asking = [people.submit(eventually, lambda: http.post("/check").status_code == 200) for _ in range(3)]
        for one in asking:
            one.result()


def test_a_socket_that_cannot_be_made_keeps_no_agent_from_its_work(tmp_path: Path, running: Running) -> None:
    site = running.site
    (tmp_path / "agent.sock").write_text("something else")
    host = site.host(tmp_path, slots=False, health=f'[local]\nsocket = "{tmp_path}/agent.sock"\n')
    rollout = site.rollout(host, site.release({"app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert "agent.sock cannot be made" in host.said()


def test_it_ends_at_once_and_takes_its_socket_along(tmp_path: Path, running: Running) -> None:
    path = tmp_path / "agent.sock"
    host = running.site.host(tmp_path, slots=False, health=f'[local]\nsocket = "{path}"\n')
    with host.process() as process:
        eventually(path.exists)
        process.terminate()
        assert process.wait(30) == 0
    assert not path.exists()
