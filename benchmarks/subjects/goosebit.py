"""The peer: gooseBit on SQLite, from the package index into a virtual environment of its own, settings in its favour.

What it does for a poll with nothing due (read in its source, `updater/routes.py`, `device_manager.py`): select the
device and update its last contact and address, one durable commit (WAL, synchronous=FULL) a poll; select it again for
the token (mode `strict`); take it from its cache; look for a rollout by a join; count the devices in state "running".
For a "proceeding" report: the same contact and token work, then append the words to the device's log, another durable
commit: it answers when both are on disk. It keeps one growing log a device, not separate reports, and does not find a
repeated report. Access log and console log are off, and it runs on the HTTP parser and event loop that Otaru runs on;
as its package comes (h11, asyncio) it is slower.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys
import venv
from contextlib import closing
from pathlib import Path

from benchmarks.load import Work, apply_once, write_calls
from benchmarks.subjects import REPORTERS, TENANT, Device, MissingError, polls, proceeding, reports
from benchmarks.subjects.process import Process

_HERE = Path(__file__).parents[1]
_REQUIREMENTS = _HERE / "requirements-goosebit.txt"
_VENV = _HERE / ".cache" / "goosebit"
_REGISTERED, _ROLLOUT_MODE = 2, 3
"""gooseBit's words in `db/models.py`: it knows the device and asks it for nothing; it follows rollouts."""
_QUIET = {"version": 1, "handlers": {}, "loggers": {}, "root": {"level": "ERROR", "handlers": []}}
_ACTION = "1"
"""gooseBit's action id is the id of the software; a report on one that does not exist is taken as well."""


class GooseBit:
    """gooseBit, one worker: it keeps devices in the memory of its process and can have no second one."""

    name = "gooseBit"
    settle_s = 0.5

    def __init__(self) -> None:
        self._process = Process("goosebit")
        self._devices: list[Device] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def version(self) -> str:
        code = "from importlib.metadata import version as v; print(v('goosebit'), 'on uvicorn', v('uvicorn'))"
        return f"gooseBit {_output([str(_python()), '-c', code], self._process.folder)}"

    def start(self, devices: list[Device]) -> None:
        install()
        self._devices = devices
        environment = self._environment()
        folder = self._process.folder
        migrations = _output(
            [str(_python()), "-c", "import goosebit.db as d; print(d.__path__[0])"], folder, environment
        )
        (folder / "pyproject.toml").write_text(
            f'[tool.aerich]\ntortoise_orm = "goosebit.db.config.TORTOISE_CONF"\n'
            f'location = "{migrations.splitlines()[-1]}/migrations"\nsrc_folder = "./."\n'
        )
        _output([str(_python().with_name("aerich")), "upgrade"], folder, environment)
        self._register()
        command = [str(_python()), "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1"]
        command += ["--port", str(self._process.port), "--no-access-log", "--log-level", "error"]
        self._process.run(command, environment)
        apply_once(self.polls(), word="")  # fills its cache of devices, as a fleet that polls does

    def polls(self) -> Work:
        calls = self._process.folder / "polls.tsv"
        write_calls(calls, list(polls(self._devices)))
        return Work(self._process.port, calls, len(self._devices))

    def reports(self) -> Work:
        calls = self._process.folder / "reports.tsv"
        reporters = self._devices[:REPORTERS]
        write_calls(calls, list(reports(reporters, _ACTION)))
        work = Work(self._process.port, calls, len(reporters), proceeding(_ACTION))
        apply_once(work, word="warm")  # the first report of an update costs it two more commits
        return work

    def kept(self) -> int:
        lines = "SELECT sum(length(last_log) - length(replace(last_log, char(10), ''))) FROM device"
        with closing(sqlite3.connect(self._database)) as database:
            return int(database.execute(lines).fetchone()[0])

    def stop(self) -> None:
        self._process.stop()

    @property
    def _database(self) -> Path:
        return self._process.folder / "db.sqlite3"

    def _environment(self) -> dict[str, str]:
        return {
            "GOOSEBIT_TENANT": TENANT,
            "GOOSEBIT_DB_URI": f"sqlite://{self._database}",
            "GOOSEBIT_ARTIFACTS_DIR": str(self._process.folder / "artifacts"),
            "GOOSEBIT_DEVICE_AUTH": json.dumps({"enable": True, "mode": "strict"}),
            "GOOSEBIT_LOGGING": json.dumps(_QUIET),
            "PYTHONPATH": "",
        }

    def _register(self) -> None:
        """As devices stand in its database after they have registered; 20,000 through its API take an hour."""
        rows = [(d.id, d.token, "1.0.0", _ROLLOUT_MODE, _REGISTERED) for d in self._devices]
        with closing(sqlite3.connect(self._database)) as database, database:
            database.execute("INSERT INTO hardware (id, model, revision) VALUES (1, 'default', 'default')")
            database.executemany(
                "INSERT INTO device (id, auth_token, sw_version, update_mode, last_state, hardware_id, feed, force_update)"
                " VALUES (?, ?, ?, ?, ?, 1, 'default', 0)",
                rows,
            )


def install() -> None:
    """Bring the pinned packages into the virtual environment, unless they are there."""
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = _VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("  installing gooseBit into benchmarks/.cache (once)", flush=True)
    venv.create(_VENV, clear=True, with_pip=True)
    command = [str(_python()), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    try:
        _output([*command, "-r", str(_REQUIREMENTS)], _VENV)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"gooseBit cannot be installed: {error}") from None
    stamp.write_text(wanted)


def _python() -> Path:
    return _VENV / "bin" / "python"


def _output(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout.strip()
