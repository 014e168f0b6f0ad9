"""Starting and ending a server process, and talking to it while it is set up."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_S = 30.0
_STOP_S = 10.0


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A server in a session of its own, with a folder that is removed with it."""

    def __init__(self, name: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=f"otaru-bench-{name}-")
        self.folder = Path(self._temporary.name)
        self.port = free_port()
        self._name = name
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._running is None:
            raise RuntimeError(f"{self._name} does not run")
        return self._running.pid

    def run(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start and wait until it accepts connections."""
        log = (self.folder / "log.txt").open("wb")
        with log:
            self._running = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._running.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.005)
        said = self.log()
        self.stop()
        raise RuntimeError(f"{self._name} did not start: {said}")

    def log(self) -> str:
        """The end of what it printed."""
        return (self.folder / "log.txt").read_text(errors="replace").strip()[-800:]

    def stop(self) -> None:
        """End the whole session, then remove the folder."""
        self.end()
        self._temporary.cleanup()

    def end(self) -> None:
        """End the whole session."""
        if self._running is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self._running.pid, number)
                    self._running.wait(_STOP_S)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._running.wait(_STOP_S)
            self._running = None


def ask_bytes(
    port: int, method: str, path: str, authorization: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, bytes]:
    """One request: status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Accept": "application/json", "Authorization": authorization}
    if body is not None:
        headers["Content-Type"] = kind
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask(port: int, method: str, path: str, authorization: str, body: object = None) -> tuple[int, Any]:
    """One request in JSON: status, and what the answer says (None where it is empty)."""
    sent = None if body is None else json.dumps(body).encode()
    status, said = ask_bytes(port, method, path, authorization, sent)
    return status, json.loads(said) if said else None


def source_folder() -> Path:
    """The folder that `benchmarks` is imported from, for processes that start elsewhere."""
    return Path(__file__).parents[2]
