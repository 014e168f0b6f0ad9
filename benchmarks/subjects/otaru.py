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
from contextlib import closing
from pathlib import Path
from typing import Any

import otaru
from benchmarks.load import Work, apply_once, write_calls
from benchmarks.subjects import REPORTERS, Device, MissingError, polls, proceeding, reports
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

    def __init__(self) -> None:
        self._process = Process("otaru")
        self._devices: list[Device] = []
        self._token = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def version(self) -> str:
        return f"Otaru {otaru.__version__}"

    def start(self, devices: list[Device]) -> None:
        self._devices = devices
        data = str(self._process.folder / "data")
        serve = ["serve", "--data", data, "--listen", f"127.0.0.1:{self._process.port}"]
        try:
            self._process.run([*_COMMAND, *serve], _ENVIRONMENT)
        except RuntimeError as error:
            raise MissingError(str(error)) from None
        self._token = self._say("token", "create", "--data", data, "--role", "admin").split()[-1]
        self._register()
        identities = self._process.folder / "identities.tsv"
        write_calls(identities, [("PUT", f"{device.path}/configData", device.authorization) for device in devices])
        apply_once(Work(self._process.port, identities, len(devices), _IDENTITY), word="")
        apply_once(self.polls(), word="")

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
        sha256 = self._upload(b"firmware of the benchmark")
        release = {
            "product": "app",
            "version": "1.1.0",
            "artifacts": [{"sha256": sha256, "filename": "app.swu", "hardware": ["default"]}],
        }
        self._ask("POST", "/releases", release)
        rollout = self._ask("POST", "/rollouts", {"release": "app:1.1.0", "target": "hardware==default", "start": True})
        offers = self._process.folder / "offers.tsv"
        write_calls(offers, list(polls(reporters)))
        apply_once(Work(self._process.port, offers, len(reporters)), word="")
        counts = self._ask("GET", f"/rollouts/{rollout['id']}")["counts"]
        if counts.get("offered") != len(reporters):
            raise RuntimeError(f"{len(reporters)} devices should have been offered their update: {counts}")
        action = str(self._ask("GET", f"/devices/{reporters[0].id}")["history"][0]["action"])
        calls = self._process.folder / "reports.tsv"
        write_calls(calls, list(reports(reporters, action)))
        work = Work(self._process.port, calls, len(reporters), proceeding(action))
        apply_once(work, word="warm")
        return work

    def kept(self) -> int:
        with closing(sqlite3.connect(f"file:{self._process.folder}/data/otaru.db?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM report").fetchone()[0])

    def stop(self) -> None:
        self._process.stop()

    def _register(self) -> None:
        for first in range(0, len(self._devices), _BATCH):
            some = self._devices[first : first + _BATCH]
            batch = [{"id": device.id, "token": device.token, "hardware": "default"} for device in some]
            self._ask("POST", "/devices/batch", {"devices": batch})

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        status, said = ask(self._process.port, method, f"/api/v1{path}", f"Bearer {self._token}", body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {said}")
        return said

    def _upload(self, content: bytes) -> str:
        path, authorization = "/api/v1/artifacts?filename=app.swu", f"Bearer {self._token}"
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
