"""`otaru demo` as a user runs it: to its end, again, interrupted, paused, without the network, twice at once.

It fetches real firmware with pip, so the first of these tests needs the network.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import httpx
import pytest

from tests.support.server import OTARU, environment, otaru

pytestmark = pytest.mark.timeout(600)

RUN_S = 300


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels, fetched once."""
    from otaru.apps.cli.demo.firmware import images

    folder = tmp_path_factory.mktemp("firmware")
    assert [image.version for image in images(folder)] == ["2025.0.0", "2026.0.0"]
    return folder


@pytest.fixture
def data(tmp_path: Path, firmware: Path) -> Path:
    """A demo's folder that holds the firmware already."""
    copytree(firmware, tmp_path / "otaru-demo" / "demo" / "firmware")
    return tmp_path / "otaru-demo"


def demo(data: Path, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    return otaru("demo", "--data", str(data), *words, timeout=RUN_S, check=check, **{"OTARU_DEMO_EXIT": "1", **env})


class Playing:
    """A demo that goes on until it is told to stop."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said = ""
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.said += line
                self._heard.notify_all()

    def hears(self, pattern: str) -> re.Match[str]:
        """Wait until it says something like that."""
        with self._heard:
            heard = self._heard.wait_for(lambda: re.search(pattern, self.said), RUN_S)
        assert heard is not None, self.said
        return heard

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        return code


@contextmanager
def playing(data: Path, *words: str) -> Iterator[Playing]:
    command = [*OTARU, "demo", "--data", str(data), *words]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment())
    try:
        yield Playing(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


def is_clean(data: Path, said: str) -> None:
    """Nothing of the demo runs any more, and its folder can be used."""
    url = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert url is not None
    with pytest.raises(httpx.ConnectError):
        httpx.get(url[0])
    assert not (data / "admin.sock").exists()
    assert "demo" in otaru("token", "list", "--data", str(data)).stdout


def test_it_runs_to_its_end(data: Path) -> None:
    first = demo(data, "--bad-firmware", "0").stdout
    assert re.search(r"API docs: http://127\.0\.0\.1:\d+/api/docs", first)
    assert re.search(r"Console, by a link that works once: http://127\.0\.0\.1:\d+/login\?code=\S+", first)
    assert "Published greatfet-usb 2025.0.0 (118968 bytes, greatfet-one:r0, greatfet-one:r1, greatfet-one:r2)" in first
    assert re.search(r"demo-50 was refused [1-9]\d* times \(401\)", first)
    assert "Rollout 1 of greatfet-usb 2026.0.0 is finished." in first
    assert "50 succeeded" in first
    is_clean(data, first)


@pytest.mark.slow
def test_run_again_it_goes_back(data: Path) -> None:
    demo(data, "--bad-firmware", "0")
    tokens = (data / "demo" / "devices.json").read_text()
    assert (data / "demo" / "devices.json").stat().st_mode & 0o777 == 0o600
    again = demo(data, "--bad-firmware", "0").stdout
    assert "Published" not in again
    assert "Rollout 2 of greatfet-usb 2025.0.0 is finished." in again
    assert (data / "demo" / "devices.json").read_text() == tokens
    is_clean(data, again)


@pytest.mark.slow
def test_bad_firmware_pauses_it_and_it_says_what_to_do(data: Path) -> None:
    first = demo(data, "--bad-firmware", "1").stdout
    assert "Rollout 1 of greatfet-usb 2026.0.0 is paused." in first
    assert re.search(r"why: wave \d: ", first)
    assert "rollout resume 1" in first
    assert re.search(r"\d failed: \S", first)
    again = demo(data, "--bad-firmware", "1").stdout
    assert "Rollout 1 of greatfet-usb 2026.0.0 is paused." in again
    assert "Rollout 2" not in again
    # The advice works as it is printed, in the demo's own words.
    with playing(data, "--bad-firmware", "0") as running:
        exports = running.hears(r"export OTARU_SERVER=(\S+) OTARU_TOKEN=\$\(cat (\S+)\)")
        running.hears(r"rollout resume 1")
        token = Path(exports[2]).read_text().strip()
        otaru("rollout", "resume", "1", "--reason", "seen", OTARU_SERVER=exports[1], OTARU_TOKEN=token)
        running.hears(r"Rollout 1 of greatfet-usb 2026.0.0 is finished\.")
        assert running.interrupt() == 0
    is_clean(data, running.said)


@pytest.mark.slow
def test_an_interrupted_demo_goes_on_where_it_was(data: Path) -> None:
    with playing(data, "--bad-firmware", "0") as running:
        running.hears(r"running · .*downloading")
        assert running.interrupt() == 0
    assert "Everything is stopped." in running.said
    assert "Traceback" not in running.said
    is_clean(data, running.said)
    again = demo(data, "--bad-firmware", "0").stdout
    assert "Rollout 1 of greatfet-usb 2026.0.0 is finished." in again
    assert "50 succeeded" in again


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_its_server_ends_with_it(data: Path, how: signal.Signals) -> None:
    with playing(data) as running:
        running.hears(r"Rollout 1: ")
        running.process.send_signal(how)
        assert running.process.wait(timeout=60) == (0 if how is signal.SIGHUP else -how)
        deadline = time.monotonic() + 60
        while (data / "admin.sock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    is_clean(data, running.said)


@pytest.mark.slow
def test_a_taken_port_and_a_taken_folder(data: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8080))
            other.listen()
        except OSError:
            pass  # taken by somebody else, which is as good
        with playing(data) as running:
            url = running.hears(r"serves \S+ at http://127\.0\.0\.1:(\d+) \(port 8080 is taken\)")
            assert url[1] != "8080"
            running.hears(r"Rollout 1: ")
            twin = demo(data, check=False)
            assert twin.returncode == 1
            assert f"the data folder {data} is in use" in twin.stderr
            assert "Traceback" not in twin.stderr
            assert running.interrupt() == 0


def test_without_the_network_it_says_what_is_missing(tmp_path: Path) -> None:
    ran = demo(tmp_path / "demo", check=False, PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert ran.returncode == 1
    assert "pip cannot fetch the firmware greatfet 2025.0.0" in ran.stderr
    assert "greatfet-2025.0.0-py3-none-any.whl" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "demo" / "otaru.db").exists()


def test_bytes_that_are_not_pinned_are_not_used(data: Path) -> None:
    wheel = data / "demo" / "firmware" / "greatfet-2026.0.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-1])
    ran = demo(data, check=False, PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert ran.returncode == 1
    assert "greatfet 2026.0.0" in ran.stderr
