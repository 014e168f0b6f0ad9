"""The load: a process of its own that keeps N connections busy and goes round the fleet, call by call.

`wrk` with `load.lua` where it is installed; otherwise, and wherever an exact number of calls is wanted (warming up),
`loader.py`, which costs about ten times as much CPU per request: req/s then say more of it than of the server, CPU per
request of the server stays right. Every connection has one request outstanding; the next leaves when the answer is in.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
LOAD_CORE = 1
"""Where paced load runs; what is measured by it has another core to itself."""
WORD = "@" * 12
"""Stands in a body for twelve letters that are new in each request."""
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Work:
    """What a subject is asked: a file of calls (method, path, authorization by tabs) that are sent in turn."""

    port: int
    calls: Path
    size: int
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. `handled` counts what the server was given, with what was on its way when the load stopped."""

    answers: int
    took_s: float
    refused: int
    lost: int
    p50_ms: float
    p99_ms: float
    handled: int

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return self.answers / self.took_s


class LoadError(Exception):
    """The load could not be applied."""


def loader() -> str:
    """Which program makes the load."""
    return "wrk -t1" if shutil.which("wrk") else "benchmarks/loader.py (wrk is not installed: apt-get install wrk)"


def write_calls(path: Path, calls: list[tuple[str, str, str]]) -> None:
    """Write a file of calls: method, path, value of the Authorization header."""
    path.write_text("".join(f"{method}\t{target}\t{authorization}\n" for method, target, authorization in calls))


def apply(work: Work, *, seconds: int, first: int, word: str, connections: int = CONNECTIONS) -> Outcome:
    """Keep the connections busy for `seconds`, beginning with call number `first`; `word` is new in each round."""
    if shutil.which("wrk") is None:
        return _own(work, first=first, word=word, connections=connections, until=("--seconds", str(seconds)))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_HERE / "load.lua")]
    command += [f"http://127.0.0.1:{work.port}", "--", str(work.calls), str(first), work.body or "-"]
    command += [word if work.body else "-"]
    return _outcome(_run(command, seconds + 60), connections)


def apply_once(work: Work, *, word: str, first: int = 0, count: int | None = None) -> Outcome:
    """Send every call (or `count` of them, from `first` on) exactly once."""
    until = ("--count", str(work.size if count is None else count))
    outcome = _own(work, first=first, word=word, connections=CONNECTIONS, until=until)
    if outcome.refused or outcome.lost:
        raise LoadError(f"{outcome.refused} of {outcome.answers} calls were refused, {outcome.lost} lost")
    return outcome


def apply_paced(work: Work, *, per_s: float, seconds: int, connections: int = 64) -> Outcome:
    """Send calls evenly, `per_s` of them, whether or not earlier ones are answered: who waits for a connection waits."""
    until = ("--seconds", str(seconds), "--rate", str(per_s), "--core", str(LOAD_CORE))
    return _own(work, first=0, word="", connections=connections, until=until)


def _own(work: Work, *, first: int, word: str, connections: int, until: tuple[str, ...]) -> Outcome:
    command = [sys.executable, "-m", "benchmarks.loader", "--port", str(work.port), "--calls", str(work.calls)]
    command += ["--first", str(first), "--connections", str(connections), "--word", word, *until]
    command += ["--body", work.body] if work.body else []
    return _outcome(_run(command, 1200), connections if until[0] == "--seconds" else 0)


def _run(command: list[str], timeout_s: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=_HERE.parent, check=False)
    if done.returncode != 0:
        raise LoadError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def _outcome(printed: str, in_flight: int) -> Outcome:
    line = next((line for line in printed.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise LoadError(f"no result in: {printed.strip()[-500:]}")
    said = json.loads(line.removeprefix("RESULT "))
    return Outcome(
        answers=said["answers"],
        took_s=said["took_us"] / 1e6,
        refused=said["refused"],
        lost=said["lost"],
        p50_ms=said["p50_us"] / 1e3,
        p99_ms=said["p99_us"] / 1e3,
        handled=said["answers"] + in_flight,
    )
