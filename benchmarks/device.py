"""What the agent takes of a small device: its install, memory at rest and at an update, CPU of a day.

The base install is made anew, from this checkout, in a virtual environment of its own: no server library is in it. Its agent
asks a server of this checkout over loopback, without TLS, every second; a device does so every five minutes, and is let in
anew with its key once an hour, which a process of its own does.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measure import Spread, cpu_s, spread
from benchmarks.report import Mark, Section
from benchmarks.subjects import MissingError
from benchmarks.subjects.process import Process

_ROOT = Path(__file__).parents[1]
_COMMAND = ["-c", "import sys; from otaru.apps.cli import main; sys.exit(main())"]
_NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth", "__pycache__")
_SETTLE_S = 3.0
_MIB = 1 << 20
POLLS_A_DAY, KEYS_A_DAY = 288, 24


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured; memory in kB, CPU in seconds."""

    installed: int
    """Bytes on the disk, without pip."""
    packages: int
    idle_rss: Spread
    idle_own: Spread
    update_rss: float
    """The most, while it took an update."""
    update: int
    """Bytes of that."""
    poll_s: float
    key_s: float

    @property
    def day_s(self) -> float:
        """CPU of a day with nothing to do."""
        return POLLS_A_DAY * self.poll_s + KEYS_A_DAY * self.key_s


def measure(*, starts: int, seconds: int, size: int) -> Found:
    """Measure an agent that is started so often, that is idle for so long, and then takes an update of so many bytes.

    Raises:
        MissingError: the base install cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="otaru-bench-device-") as folder:
        python, installed, packages = _base(Path(folder) / "venv")
        with _site(Path(folder)) as site:
            config = site.enrolled(python)
            idle = []
            for _ in range(starts):
                with _agent(python, config) as pid:
                    time.sleep(_SETTLE_S)
                    idle.append(_memory(pid))
            with _agent(python, config) as pid:
                time.sleep(_SETTLE_S)
                began = cpu_s(pid)
                time.sleep(seconds)
                poll = (cpu_s(pid) - began) / seconds
                site.update(size)
                peak = _line(f"/proc/{pid}/status", "VmHWM")
            key = _cpu_of([str(python), "-m", "otaru.apps.agent.signing", str(config.parent / "data")])
    rss, own = (spread([one[which] for one in idle]) for which in (0, 1))
    return Found(installed, packages, rss, own, peak, size, poll, key)


def section(found: Found) -> Section:
    """For people."""
    rows = [
        ("base install on the disk", f"{found.installed / 1e6:.1f} MB, {found.packages} packages"),
        ("idle, resident", f"{found.idle_rss.middle / 1000:.1f} MB"),
        ("idle, its own (not shared files)", f"{found.idle_own.middle / 1000:.1f} MB"),
        (f"the most at an update of {found.update // _MIB} MiB, resident", f"{found.update_rss / 1000:.1f} MB"),
        ("CPU of a poll with nothing due", f"{found.poll_s * 1000:.1f} ms"),
        ("CPU of being let in anew, each hour", f"{found.key_s * 1000:.0f} ms"),
        (f"CPU of a day: {POLLS_A_DAY} polls, {KEYS_A_DAY} times let in", f"{found.day_s:.1f} s"),
    ]
    mark = Mark("idle agent, resident", 25, 25, " MB", at_most=True)
    shown = Spread(*(getattr(found.idle_rss, name) / 1000 for name in ("middle", "least", "greatest")))
    goals = [mark.row("1", shown)]
    return Section("The agent", (__doc__ or "").partition("\n\n")[2], ("", ""), rows, goals=goals)


class _Server:
    """A server, and an operator."""

    def __init__(self, folder: Path, process: Process, api: httpx.Client) -> None:
        self._folder = folder
        self._process = process
        self._api = api

    def enrolled(self, python: Path) -> Path:
        """The configuration of a device that was let in."""
        device = self._folder / "device"
        (device / "app").mkdir(parents=True)
        config = device / "agent.toml"
        part = f'[[component]]\nname = "app"\ninstaller = "files"\nfolder = "{device}/app"\n'
        config.write_text(f'data = "{device}/data"\n{part}')
        self._release("1.0.0", b"the first one, with which the tenant's keys begin")
        made = self._ok("POST", "/enrollments", json={"label": "line", "quota": 10})
        words = ["--server", f"http://127.0.0.1:{self._process.port}", "--token", made["claim"]]
        words += ["--data", f"{device}/data", "--device", "gw-1", "--hardware", "gateway"]
        _run([str(python), *_COMMAND, "agent", "enroll", *words])
        return config

    def update(self, size: int) -> None:
        """Bring an update of so many bytes to the device."""
        self._release("2.0.0", os.urandom(size))
        body = {"release": "app:2.0.0", "target": "id==gw-1", "start": True}
        path = f"/rollouts/{self._ok('POST', '/rollouts', json=body)['id']}/deployments"
        _until(lambda: self._ok("GET", path)["items"][0]["state"] == "succeeded")

    def _release(self, version: str, data: bytes) -> None:
        made = self._ok("POST", "/artifacts", params={"filename": "app.bin"}, content=data)
        part = {"sha256": made["sha256"], "filename": "app.bin", "hardware": ["gateway"], "component": "app"}
        self._ok("POST", "/releases", json={"product": "app", "version": version, "artifacts": [part]})

    def _ok(self, method: str, path: str, **options: Any) -> Any:
        answer = self._api.request(method, path, **options)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


@contextmanager
def _site(folder: Path) -> Iterator[_Server]:
    process = Process("device")
    here = {"PYTHONPATH": str(_ROOT / "src"), "OTARU_POLL_INTERVAL_S": "1"}
    command, data = [sys.executable, *_COMMAND], str(folder / "server")
    try:
        process.run([*command, "serve", "--data", data, "--listen", f"127.0.0.1:{process.port}"], here)
        made = _run([*command, "token", "create", "--data", data, "--role", "admin", "--json"], here)
        headers = {"Authorization": f"Bearer {json.loads(made)['token']}"}
        base = f"http://127.0.0.1:{process.port}/api/v1"
        with httpx.Client(base_url=base, headers=headers, timeout=120) as api:
            yield _Server(folder, process, api)
    finally:
        process.stop()


@contextmanager
def _agent(python: Path, config: Path) -> Iterator[int]:
    words = [str(python), *_COMMAND, "agent", "run", "--config", str(config)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/") as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def _base(folder: Path) -> tuple[Path, int, int]:
    """The base install: its Python, its bytes, and how many packages it has."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    try:
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(_ROOT)])
    except RuntimeError as error:
        raise MissingError(f"the base install cannot be made: {error}") from None
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = [one for one in packages.iterdir() if not one.name.startswith(_NOT_OURS)]
    files = [one for top in ours for one in ([top] if top.is_file() else top.rglob("*")) if one.is_file()]
    return python, sum(one.stat().st_size for one in files), sum(one.suffix == ".dist-info" for one in ours)


def _run(words: Sequence[str], more: dict[str, str] | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**environment, **(more or {})}, cwd="/"
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words[-4:])}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _cpu_of(words: Sequence[str]) -> float:
    before = os.times()
    _run(words)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _memory(pid: int) -> tuple[float, float]:
    """Resident, and its own: what would be free if it ended. kB."""
    at = f"/proc/{pid}/smaps_rollup"
    return _line(at, "Rss"), _line(at, "Private_Clean") + _line(at, "Private_Dirty")


def _line(path: str, name: str) -> float:
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return next(float(words[1]) for words in lines if words[0] == f"{name}:")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come about")
        time.sleep(0.1)
