"""Health that a server on the device tells, and what systemd says of units."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import pytest

from otaru.adapters.board.probes import MAX_BODY, HttpCheck, UnitCheck
from otaru.adapters.clock import SystemClock


class App(BaseHTTPRequestHandler):
    """Answers by the path: `/STATUS`, `/long`, `/slow`, `/away`."""

    asked: ClassVar[list[str]] = []
    done: ClassVar[Event] = Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b"all is well"
        match self.path:
            case "/long":
                body = bytes(MAX_BODY + 1)
            case "/slow":
                self.done.wait(30)
        self.send_response(302 if self.path == "/away" else int(self.path[1:]) if self.path[1:].isdigit() else 200)
        self.send_header("Location", "/200")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_what: object) -> None: ...


@contextmanager
def app() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), App)
    thread = Thread(target=server.serve_forever)
    thread.start()
    App.done.clear()
    App.asked.clear()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        App.done.set()
        server.shutdown()
        thread.join()
        server.server_close()


def probed(address: str, **options: object) -> str:
    return HttpCheck(address, SystemClock(), **options).wrong()  # type: ignore[arg-type]


def test_it_answers_as_it_should_or_it_is_said_how_it_does_not() -> None:
    with app() as at:
        assert probed(f"{at}/200") == ""
        assert probed(f"{at}/204", statuses=(200, 204)) == ""
        assert probed(f"{at}/503") == "it answers 503"
        assert probed(f"{at}/200", contains="all is well") == ""
        assert probed(f"{at}/200", contains="ready") == "it answers 200 without 'ready'"
        assert "bytes" in probed(f"{at}/long")
        assert probed(f"{at}/slow", timeout_s=0.3)
        App.asked.clear()
        assert probed(f"{at}/away") == "it answers 302"
        assert App.asked == ["/away"], "nobody follows it"
    assert probed(at), "nobody answers any more"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A double of systemctl: it prints what the file says, and notes how it was called."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\ncat {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n", ""),
        ("LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\n", ""),
        (
            "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\n",
            "it is activating (auto-restart), result exit-code",
        ),
        ("LoadState=not-found\nActiveState=inactive\n", "there is no such unit: it is not-found"),
        ("LoadState=masked\nActiveState=inactive\n", "there is no such unit: it is masked"),
        ("", "there is no such unit: it is not known"),
    ],
)
def test_a_unit_is_as_systemd_says(systemctl: Path, said: str, wrong: str) -> None:
    (systemctl / "said").write_text(said)
    assert UnitCheck("app.service", 10).wrong() == wrong
    called = (systemctl / "called").read_text().split()
    assert called == ["show", "--property=LoadState,ActiveState,SubState,Result", "--", "app.service"]


def test_a_system_without_systemd_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "systemctl" in UnitCheck("app.service", 10).wrong()


def test_the_real_one_says_what_is_asked() -> None:
    """Where it runs: a unit that is always there; where it does not, it is said so in one line."""
    running = Path("/run/systemd/system").is_dir()
    said = UnitCheck("-.mount", 10).wrong()
    assert (said == "") == running
    assert "\n" not in said
    assert not running or UnitCheck("otaru-none.service", 10).wrong().startswith("there is no such unit")
    if not running:
        real = subprocess.run(["systemctl", "show", "-.mount"], capture_output=True, check=False)
        assert real.returncode != 0
