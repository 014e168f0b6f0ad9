"""The agent as a service: what it tells systemd, and that it works with no more than its unit leaves it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otaru.apps.agent.manager import LivingClock, Manager
from tests.support.agent_site import Site, archive, served
from tests.support.ddi import eventually

UNIT = Path(__file__).parents[2] / "packaging/systemd/otaru-agent.service"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
_LIMITS = """
# MemoryDenyWriteExecute= (PR_SET_MDWE, where the kernel has it), CapabilityBoundingSet=, NoNewPrivileges=.
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
bounds = ["--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
os.execvp("setpriv", ["setpriv", *bounds, "--no-new-privs", *sys.argv[1:]])
"""
LIMITED = (sys.executable, "-c", _LIMITS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("agent") / "server") as site:
        yield site


class Listener:
    """Who listens at NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)
        self._all: list[str] = []

    def said(self) -> list[str]:
        while True:
            try:
                self._all += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._all

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[tuple[str, Listener]]:
    with listening(str(tmp_path / "notify")) as listener:
        yield str(tmp_path / "notify"), listener


@contextmanager
def listening(address: str) -> Iterator[Listener]:
    listener = Listener(address)
    try:
        yield listener
    finally:
        listener.close()


def test_a_manager_may_listen_at_an_abstract_address() -> None:
    address = f"@otaru-test-{os.getpid()}"
    with listening(address) as listener:
        Manager({"NOTIFY_SOCKET": address}).stopping()
        assert listener.said() == ["STOPPING=1"]


def test_what_a_manager_is_told(notified: tuple[str, Listener]) -> None:
    address, listener = notified
    manager = Manager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "8000000"})
    manager.ready("works", 1.5)
    clock = LivingClock(manager)
    for _ in range(10):
        clock.now()
        clock.monotonic()
    assert listener.said() == ["STATUS=works", "READY=1", "WATCHDOG=1"], "not with every look at the clock"
    manager.ready("works", 60)
    manager.stopping()
    assert listener.said()[3:] == ["STATUS=works", "READY=1", "WATCHDOG_USEC=120000000", "STOPPING=1"]
    assert manager.beat_s == 30


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "many"},
        {"NOTIFY_SOCKET": "/nobody/listens", "WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nobody/listens", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_nobody_has_to_listen(told: dict[str, str]) -> None:
    manager = Manager(told)
    manager.ready("works", 60)
    manager.alive()
    manager.stopping()


def test_a_manager_that_does_not_read_holds_up_nobody(notified: tuple[str, Listener]) -> None:
    manager = Manager({"NOTIFY_SOCKET": notified[0]})
    for _ in range(10_000):
        manager.stopping()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
def test_an_update_with_the_rights_that_the_unit_leaves(
    site: Site, tmp_path: Path, notified: tuple[str, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, listener = notified
    host = site.host(tmp_path)
    host.under = LIMITED
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    rollout = site.rollout(host, site.release({"os": b"os 2.0.0" * 1000}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert host.os() == b"os 2.0.0" * 1000
    app = site.rollout(host, site.release({"app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, app))
    assert (site.state(host, app), host.running()) == ("succeeded", "2.0.0"), host.said()
    said = listener.said()
    assert said.count("READY=1") == host.starts
    assert "WATCHDOG_USEC=3600000000" in said, "it asks for the time that its installers may take"
    assert "WATCHDOG=1" in said


def test_it_says_that_it_ends(
    site: Site, tmp_path: Path, notified: tuple[str, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, listener = notified
    host = site.host(tmp_path, slots=False)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with host.process() as process:
        eventually(lambda: "READY=1" in listener.said())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, host.said()
    assert listener.said()[-1] == "STOPPING=1"


@needs_systemd
def test_the_unit_is_one_and_leaves_little(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=19", UNIT],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    level = re.search(r"Overall exposure level for otaru-agent.service: ([\d.]+)", done.stdout)
    assert level is not None
    assert 0 < float(level[1]) <= 1.9
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/usr/bin/otaru", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
