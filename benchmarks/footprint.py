"""What the server takes with a fleet of some size: time to start, memory at rest and with devices in mind, and a fleet's
polls at their pace. Every device polls with its own credential; what it reads of a device at its first poll it keeps.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.duel import Caller
from benchmarks.load import Outcome
from benchmarks.measure import cpu_s
from benchmarks.planning import PRODUCT, VERSION
from benchmarks.subjects.otaru import Otaru

INTERVAL_S = 300
"""Between two polls of a device, at a fleet's pace."""
_BURST_S = 60


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of a server with one fleet."""

    devices: int
    starts_s: tuple[float, ...]
    memory_mib: Mapping[str, float]
    """By what was done before."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A fleet that polls at its pace."""

    devices: int
    per_s: float
    cores: float
    """CPU of the server's process tree by the time it took."""
    outcome: Outcome


def measure(otaru: Otaru, size: int, *, starts: int, everybody: bool) -> Footprint:
    """Start a few times, then let one in a hundred poll, then (`everybody`) all, as members of a rollout."""
    taken = tuple(otaru.restart() for _ in range(starts))
    memory = {"at rest": _memory_mib(otaru)}
    load.apply_once(otaru.polls(), word="", count=max(1, size // 100))
    memory["1 % have polled"] = _memory_mib(otaru)
    if everybody:
        join(otaru)
        _all_poll(otaru, size)
        memory["all have polled"] = _memory_mib(otaru)
    return Footprint(size, taken, memory)


def join(otaru: Otaru) -> None:
    """Make every device a member of a running rollout whose first wave is one device."""
    otaru.release(PRODUCT, VERSION, [f"model-{n}" for n in range(4)], b"firmware of the benchmark")
    wanted = {"release": f"{PRODUCT}:{VERSION}", "target": "id==*", "waves": ["1", "100%"], "start": True}
    caller = Caller(otaru)
    caller.call("POST", "/rollouts", wanted)
    caller.close()


def pace(otaru: Otaru, size: int, seconds: int) -> Pace:
    """Polls that come evenly, as many as the fleet makes; the server keeps to one core, the load to another."""
    rate, began, used = size / INTERVAL_S, time.monotonic(), cpu_s(otaru.pid)
    outcome = load.apply_paced(otaru.polls(), per_s=rate, seconds=seconds)
    return Pace(size, rate, (cpu_s(otaru.pid) - used) / (time.monotonic() - began), outcome)


def _all_poll(otaru: Otaru, size: int) -> None:
    work, sent = otaru.polls(), 0
    while sent < size:
        outcome = load.apply(work, seconds=min(_BURST_S, max(1, size // 5_000)), first=sent, word="-")
        if outcome.refused or outcome.lost:
            raise RuntimeError(f"{outcome.refused} polls were refused, {outcome.lost} lost")
        sent += outcome.answers


def _memory_mib(otaru: Otaru) -> float:
    """What the process has in memory, once it has written what it writes behind."""
    time.sleep(otaru.settle_s)
    status = Path(f"/proc/{otaru.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
