"""Interleaved rounds, A B C B C A …: what a noisy machine does to one it does to all; only ratios of a round mean much.

CPU is what the server's process tree has used, in the kernel's ticks of 10 ms, from the first request until the tree is
at rest again: what is written behind the answers is paid by those who write behind. Requests counted are those that the
server was given; the few that were on their way when the load stopped are work too.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load import Outcome, Work, apply

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_REST_S = 0.25
_REST_TICKS = 1
_REST_MAX_S = 3.0


@dataclass(frozen=True, slots=True)
class Entrant:
    """A server in the race."""

    name: str
    pid: int
    settle_s: float
    work: Work


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one entrant."""

    outcome: Outcome
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        """CPU per request, microseconds."""
        return self.cpu_s * 1e6 / self.outcome.handled


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the greatest of what it came from."""

    middle: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Race:
    """What was measured: for each entrant a sample a round."""

    samples: dict[str, list[Sample]]

    @property
    def rounds(self) -> int:
        """Rounds that all have run."""
        return min(len(found) for found in self.samples.values())

    def spread(self, name: str, value: Callable[[Sample], float]) -> Spread:
        """A value of one entrant over the rounds."""
        return spread([value(sample) for sample in self.samples[name]])

    def ratio(self, above: str, below: str, value: Callable[[Sample], float]) -> Spread:
        """One entrant's value by another's, round by round."""
        pairs = zip(self.samples[above], self.samples[below], strict=True)
        return spread([value(a) / value(b) for a, b in pairs])


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest."""
    return Spread(median(values), min(values), max(values))


def run(entrants: Sequence[Entrant], *, rounds: int, seconds: int, stop_at: float) -> Race:
    """Let all run `rounds` times, or until the monotonic time `stop_at`, but once at least."""
    samples: dict[str, list[Sample]] = {entrant.name: [] for entrant in entrants}
    sent = dict.fromkeys(samples, 0)
    for number in range(rounds):
        if number and time.monotonic() >= stop_at:
            break
        turn = number % len(entrants)
        for entrant in [*entrants[turn:], *entrants[:turn]]:
            sample = _sample(entrant, seconds, sent[entrant.name], f"r{number:03x}")
            sent[entrant.name] += sample.outcome.handled
            samples[entrant.name].append(sample)
    return Race(samples)


def _sample(entrant: Entrant, seconds: int, first: int, word: str) -> Sample:
    before = cpu_s(entrant.pid)
    outcome = apply(entrant.work, seconds=seconds, first=first, word=word)
    return Sample(outcome, _at_rest(entrant) - before)


def _at_rest(entrant: Entrant) -> float:
    """The tree's CPU once it has nothing more to do with what it was sent."""
    time.sleep(entrant.settle_s)
    used, deadline = cpu_s(entrant.pid), time.monotonic() + _REST_MAX_S
    while time.monotonic() < deadline:
        time.sleep(_REST_S)
        last, used = used, cpu_s(entrant.pid)
        if used - last <= (_REST_TICKS + 0.5) * TICK_S:
            break
    return used


def cpu_s(pid: int) -> float:
    """CPU that a process, its descendants and those that it has waited for have used, seconds."""
    ticks, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
            for task in Path(f"/proc/{current}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(value) for value in fields[11:15])  # utime, stime, cutime, cstime
    return ticks * TICK_S
