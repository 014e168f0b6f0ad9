"""A load generator of our own: asyncio, keep-alive, one request outstanding on each connection. See `load.py`."""

import argparse
import asyncio
import gc
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.load import WORD

_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Round:
    """The calls, whose turn it is, and what came back."""

    calls: list[bytes]
    at: int
    left: int | None
    until_s: float | None
    word: str
    sent: int = 0
    refused: int = 0
    lost: int = 0
    pace_s: float | None = None
    began_s: float = 0.0
    took_s: list[float] = field(default_factory=list)

    def due(self) -> float | None:
        """When the next request is to leave; None where it leaves as soon as somebody has time for it."""
        return None if self.pace_s is None else self.began_s + self.sent * self.pace_s

    def next(self) -> bytes | None:
        """The next request, or None when it is over."""
        if self.left is not None:
            if self.left == 0:
                return None
            self.left -= 1
        if self.until_s is not None and time.perf_counter() >= self.until_s:
            return None
        call = self.calls[self.at % len(self.calls)]
        self.at += 1
        self.sent += 1
        return call.replace(WORD.encode(), f"{self.word}{self.sent:08x}".encode())


def request(line: str, port: int, body: str | None) -> bytes:
    """The bytes of one call."""
    method, path, authorization = line.split("\t")
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n"
    head += f"Authorization: {authorization}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body or ''}".encode()


async def connection(port: int, todo: Round) -> None:
    """Send calls over one connection until none is left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            due = todo.due()
            if (call := todo.next()) is None:
                break
            ready = time.perf_counter()
            if due is not None and due > ready:
                await asyncio.sleep(due - ready)
            # Whoever comes late because all connections were busy has waited since it was due.
            began = due if due is not None and due < ready else time.perf_counter()
            writer.write(call)
            async with asyncio.timeout(_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                _, _, length = head.lower().partition(b"content-length:")
                await reader.readexactly(int(length.split(b"\r\n", 1)[0] or 0))
            todo.took_s.append(time.perf_counter() - began)
            todo.refused += head[9:10] not in {b"2", b"3"}
    except (OSError, EOFError, TimeoutError):
        todo.lost += 1
    finally:
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--calls", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--word", default="")
    parser.add_argument("--body")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    calls = [request(line, given.port, given.body) for line in given.calls.read_text().splitlines()]
    gc.disable()
    began = time.perf_counter()
    until_s = None if given.seconds is None else began + given.seconds
    todo = Round(calls, given.first, given.count, until_s, given.word)
    if given.rate is not None:
        todo.pace_s, todo.began_s = 1 / given.rate, began
        todo.left, todo.until_s = round(given.seconds * given.rate), None
    await asyncio.gather(*(connection(given.port, todo) for _ in range(given.connections)))
    took_s = time.perf_counter() - began
    waits = sorted(todo.took_s) or [0.0]
    said = {
        "answers": len(todo.took_s),
        "took_us": round(took_s * 1e6),
        "refused": todo.refused,
        "lost": todo.lost,
        "p50_us": round(waits[len(waits) // 2] * 1e6),
        "p99_us": round(waits[len(waits) * 99 // 100] * 1e6),
    }
    print("RESULT " + json.dumps(said))


if __name__ == "__main__":
    uvloop.run(main())
