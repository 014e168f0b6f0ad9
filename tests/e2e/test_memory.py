"""1 GiB goes in and comes out while the server's memory stays where it was."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.server import Serving, serving

MIB = 1024 * 1024
GIB = 1024 * MIB
LIMIT = 32 * MIB


def one_gib() -> Iterator[bytes]:
    block = os.urandom(MIB)
    for n in range(1024):
        yield n.to_bytes(8, "big") + block[8:]


def resident(server: Serving) -> int:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def watched(server: Serving) -> Iterator[list[int]]:
    """The server's resident memory: before, then at every look until the end."""
    seen = [resident(server)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.append(resident(server))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_one_gib_goes_in_and_out_at_constant_memory(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, server.api() as api:
        # What a first request brings into memory is not what a large one costs.
        api.post("/artifacts?filename=small.bin", content=b"x" * MIB).raise_for_status()

        digest = hashlib.sha256()

        def sent() -> Iterator[bytes]:
            for block in one_gib():
                digest.update(block)
                yield block

        with watched(server) as uploading:
            answer = api.post("/artifacts?filename=large.bin", content=sent(), timeout=httpx.Timeout(120))
        assert answer.status_code == 201, answer.text
        assert answer.json()["sha256"] == digest.hexdigest()
        assert answer.json()["size"] == GIB

        received = hashlib.sha256()
        with (
            watched(server) as downloading,
            api.stream("GET", f"/artifacts/{digest.hexdigest()}/content", timeout=60) as stream,
        ):
            for piece in stream.iter_raw(MIB):
                received.update(piece)
        assert received.digest() == digest.digest()

        for what, seen in (("upload", uploading), ("download", downloading)):
            growth = max(seen) - seen[0]
            assert growth < LIMIT, f"the {what} took {growth / MIB:.0f} MiB"
