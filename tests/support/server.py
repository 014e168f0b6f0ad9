"""A real `otaru serve` in a process of its own, for tests to talk to over loopback."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

OTARU = (sys.executable, "-c", "import sys; from otaru.apps.cli import main; sys.exit(main())")
"""The command line of this checkout, whatever is installed."""

_START_S = 60


def environment(**extra: str) -> dict[str, str]:
    """The environment without anything of Otaru's own from outside."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTARU_")}
    return {**clean, **extra}


def interruptible() -> None:
    """In a child before it begins: Ctrl-C reaches it, also where the tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def otaru(*words: str, timeout: float = 120, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*OTARU, *words], capture_output=True, text=True, timeout=timeout, check=check, env=environment(**env)
    )


@dataclass
class Serving:
    """A running server."""

    process: "subprocess.Popen[str]"
    data: Path
    url: str
    login: str
    token: str = ""
    output: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """What a command line needs to reach it."""
        return {"OTARU_SERVER": self.url, "OTARU_TOKEN": self.token}

    @property
    def device_url(self) -> str:
        """Where devices show certificates (`device_listen`)."""
        return next(line.split()[-1] for line in self.output if line.startswith("Devices with certificates"))

    def api(self, **options: Any) -> httpx.Client:
        """A client of the REST API with an admin's token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30, **options)

    def otaru(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        return otaru(*words, **{**self.env, **options})

    def kill(self) -> None:
        """As a power cut would: no word of warning."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def serving(data: Path, *options: str, listen: str = "127.0.0.1:0", **env: str) -> Iterator[Serving]:
    """Start a server on `data` and end it afterwards. Its log is in `data`/../NAME.log."""
    log = data.parent / f"{data.name}.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*OTARU, "serve", "--data", str(data), "--listen", listen, *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(**env),
        )
    try:
        server = _await_greeting(process, data, log)
        server.token = otaru("token", "create", "--data", str(data), "--role", "admin").stdout.split()[-1]
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _await_greeting(process: "subprocess.Popen[str]", data: Path, log: Path) -> Serving:
    lines: list[str] = []
    greeted = threading.Event()

    def read() -> None:
        stream = process.stdout
        if stream is not None:
            try:
                for line in stream:
                    lines.append(line)
                    if "/login?code=" in line:
                        greeted.set()
            except ValueError:
                pass  # closed at the end of the test
        greeted.set()

    threading.Thread(target=read, daemon=True).start()
    if not greeted.wait(_START_S) or process.poll() is not None:
        raise AssertionError(f"the server did not start: {''.join(lines)}\n{log.read_text()}")
    said = "".join(lines)
    url = re.search(r"https?://\S+:\d+", said)
    login = re.search(r"https?://\S+/login\?code=\S+", said)
    assert url is not None, said
    assert login is not None, said
    return Serving(process, data, url[0], login[0], output=lines)
