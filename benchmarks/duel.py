"""One question to Otaru's REST API and to bare SQL on the same database, in turns."""

import http.client
import json
import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Spread, cpu_s, spread
from benchmarks.subjects.otaru import Otaru

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "temp_store=MEMORY", "cache_size=-16000")
"""As Otaru opens it."""
_QUIET_S = 30.0
"""A connection that was quiet for so long is made anew: the server hangs up after 75 seconds."""


@dataclass(frozen=True, slots=True)
class Duel:
    """Seconds that each took, round by round, and the CPU of Otaru's process in all rounds."""

    name: str
    devices: int
    ours_s: Sequence[float]
    bare_s: Sequence[float]
    cpu_s: float = 0.0
    inner_s: Sequence[float] = ()
    """Ours without the REST API around it: the store alone."""
    bare_cpu_s: float = 0.0
    """The CPU of this process while bare SQL answered: all of it where the database is SQLite."""

    @property
    def ratio(self) -> Spread:
        """Ours by bare, within each round."""
        return spread([ours / bare for ours, bare in zip(self.ours_s, self.bare_s, strict=True)])

    @property
    def cpu_ratio(self) -> float:
        """CPU of ours by that of bare: what a busy machine changes least."""
        return self.cpu_s / self.bare_cpu_s

    @property
    def ratio_p95(self) -> float:
        """The 95th percentile of ours by that of bare."""
        return p95(self.ours_s) / p95(self.bare_s)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[math.ceil(len(values) * 0.95) - 1]


def millis(values: Sequence[float]) -> Spread:
    """Seconds as milliseconds: median, least, greatest."""
    return spread([value * 1e3 for value in values])


class Caller:
    """A connection to the REST API with keep-alive, which times its calls."""

    def __init__(self, otaru: Otaru) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", otaru.port, timeout=600)
        self._headers = {"Authorization": otaru.authorization, "Accept": "application/json"}
        self._used_at = 0.0

    def call(self, method: str, path: str, body: object = None) -> tuple[float, Any]:
        """Seconds from the first byte out to the last byte in, and the answer."""
        sent = None if body is None else json.dumps(body).encode()
        if time.monotonic() - self._used_at > _QUIET_S:
            self._connection.close()
            self._connection.connect()
        headers = self._headers if sent is None else {**self._headers, "Content-Type": "application/json"}
        began = time.perf_counter()
        self._connection.request(method, f"/api/v1{path}", sent, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        took = time.perf_counter() - began
        self._used_at = time.monotonic()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said.decode(errors='replace')[:500]}")
        return took, json.loads(said) if said else None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def bare(otaru: Otaru) -> "closing[sqlite3.Connection]":
    """A connection of our own to Otaru's database."""
    connection = sqlite3.connect(otaru.database, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()
    return closing(connection)


def fight(
    name: str,
    otaru: Otaru,
    ours: Callable[[], float],
    other: Callable[[], float],
    *,
    devices: int,
    rounds: int,
    inner: Callable[[], float] | None = None,
) -> Duel:
    """Let both answer `rounds` times, each beginning in turn. Either says how many seconds it took."""
    inner_s: list[float] = []
    taken: Mapping[bool, list[float]] = {True: [], False: []}
    began, bare_cpu_s = cpu_s(otaru.pid), 0.0
    for number in range(rounds):
        for mine in (number % 2 == 0, number % 2 == 1):
            before = time.process_time()
            taken[mine].append((ours if mine else other)())
            bare_cpu_s += 0.0 if mine else time.process_time() - before
        if inner is not None:
            inner_s.append(inner())
    return Duel(name, devices, taken[True], taken[False], cpu_s(otaru.pid) - began, inner_s, bare_cpu_s)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
