"""Otaru as a user starts it: `otaru serve` on an empty folder, SQLite and local files, everything through its doors.

A poll checks the device's token, asks what is due, and notes contact time and address, which are written behind. A
"proceeding" report is read, held against those that are known, kept as a report of its own and committed (WAL,
synchronous=FULL, one commit for all that wait) before it is answered.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import otaru
from benchmarks import fleets
from benchmarks.load import Work, apply_once, write_calls
from benchmarks.subjects import REPORTERS, Device, MissingError, fleet, polls, proceeding, reports
from benchmarks.subjects.process import Process, ask, ask_bytes

_BATCH = 1000
_COMMAND = [sys.executable, "-c", "import sys; from otaru.apps.cli import main; sys.exit(main())"]
_ENVIRONMENT = {"PYTHONPATH": str(Path(otaru.__file__).parents[1])}
"""The Otaru that this process sees is the one that is measured."""
_IDENTITY = '{"mode": "merge", "data": {"sw_version": "1.0.0"}}'


class Otaru:
    """The server, one process."""

    name = "Otaru"
    settle_s = 2.3
    """Contact times are written every two seconds."""

    def __init__(self, *options: str, core: int | None = None) -> None:
        """Take more options of `otaru serve`, and the core that it has to keep to."""
        self._process = Process("otaru")
        self._options = options
        self._core = core
        self._devices: list[Device] = []
        self._token = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def version(self) -> str:
        return f"Otaru {otaru.__version__}"

    @property
    def port(self) -> int:
        return self._process.port

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self._process.folder / "data"

    @property
    def database(self) -> Path:
        """Its SQLite file."""
        return self.data / "otaru.db"

    def start(self, devices: list[Device]) -> None:
        self._devices = devices
        try:
            self.serve()
        except RuntimeError as error:
            raise MissingError(str(error)) from None
        self._register()
        identities = self._process.folder / "identities.tsv"
        write_calls(identities, [("PUT", f"{device.path}/configData", device.authorization) for device in devices])
        apply_once(Work(self._process.port, identities, len(devices), _IDENTITY), word="")
        apply_once(self.polls(), word="")

    def open(self, size: int) -> None:
        """Start over a copy of a fleet's database, kept ready in `fleets`."""
        self._devices = fleet(size)
        self.data.mkdir(mode=0o700)
        fleets.copy(size, self.database)
        self.serve()

    def serve(self) -> None:
        """Start over what the data folder holds."""
        pinned = [] if self._core is None else ["taskset", "-c", str(self._core)]
        listen = ["--listen", f"127.0.0.1:{self._process.port}"]
        self._process.run(
            [*pinned, *_COMMAND, "serve", "--data", str(self.data), *listen, *self._options], _ENVIRONMENT
        )
        if not self._token:
            self._token = self._say("token", "create", "--data", str(self.data), "--role", "admin").split()[-1]

    def restart(self) -> float:
        """End it and start it anew; seconds from then to the answer to a device's poll."""
        self._process.end()
        began = time.monotonic()
        self.serve()
        self.answer()
        return time.monotonic() - began

    def polls(self) -> Work:
        calls = self._process.folder / "polls.tsv"
        write_calls(calls, list(polls(self._devices)))
        return Work(self._process.port, calls, len(self._devices))

    def answer(self) -> bytes:
        """What it answers to a poll: the bytes that the floors answer too."""
        status, said = ask_bytes(self._process.port, "GET", self._devices[0].path, self._devices[0].authorization)
        if status != 200:
            raise RuntimeError(f"a poll was answered with {status}: {said.decode(errors='replace')}")
        return said

    def reports(self) -> Work:
        reporters = self._devices[:REPORTERS]
        self.release("app", "1.1.0", ["default"], b"firmware of the benchmark")
        rollout = self.ask("POST", "/rollouts", {"release": "app:1.1.0", "target": "hardware==default", "start": True})
        offers = self._process.folder / "offers.tsv"
        write_calls(offers, list(polls(reporters)))
        apply_once(Work(self._process.port, offers, len(reporters)), word="")
        counts = self.ask("GET", f"/rollouts/{rollout['id']}")["counts"]
        if counts.get("offered") != len(reporters):
            raise RuntimeError(f"{len(reporters)} devices should have been offered their update: {counts}")
        action = str(self.ask("GET", f"/devices/{reporters[0].id}")["history"][0]["action"])
        calls = self._process.folder / "reports.tsv"
        write_calls(calls, list(reports(reporters, action)))
        work = Work(self._process.port, calls, len(reporters), proceeding(action))
        apply_once(work, word="warm")
        return work

    def release(self, product: str, version: str, hardware: list[str], content: bytes) -> None:
        """Publish a release of one file."""
        artifact = {"sha256": self.upload(content), "filename": "app.swu", "hardware": hardware}
        self.ask("POST", "/releases", {"product": product, "version": version, "artifacts": [artifact]})

    def kept(self) -> int:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM report").fetchone()[0])

    def stop(self) -> None:
        self._process.stop()

    def _register(self) -> None:
        for first in range(0, len(self._devices), _BATCH):
            some = self._devices[first : first + _BATCH]
            batch = [{"id": device.id, "token": device.token, "hardware": "default"} for device in some]
            self.ask("POST", "/devices/batch", {"devices": batch})

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One call of the REST API."""
        status, said = ask(self._process.port, method, f"/api/v1{path}", self.authorization, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {said}")
        return said

    @property
    def authorization(self) -> str:
        """An administrator's."""
        return f"Bearer {self._token}"

    def upload(self, content: bytes) -> str:
        """Upload an artifact; its SHA-256."""
        path, authorization = "/api/v1/artifacts?filename=app.swu", self.authorization
        status, said = ask_bytes(
            self._process.port, "POST", path, authorization, content, kind="application/octet-stream"
        )
        if status != 201:
            raise RuntimeError(f"POST {path}: {status} {said.decode(errors='replace')}")
        return str(json.loads(said)["sha256"])

    def _say(self, *words: str) -> str:
        done = subprocess.run(
            [*_COMMAND, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | _ENVIRONMENT,
            cwd=self._process.folder,
        )
        if done.returncode != 0:
            raise RuntimeError(f"otaru {words[0]} failed: {done.stderr.strip()[-500:]}")
        return done.stdout
