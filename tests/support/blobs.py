"""Bytes for blob stores, and programs that write them in processes of their own."""

import hashlib
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from otaru.domain.ids import Sha256
from otaru.ports.blobs import Blobs


def content(seed: int, size: int) -> bytes:
    """`size` bytes that are always the same for `seed`."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def in_pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    """As a connection brings it."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def put(blobs: Blobs, upload: str, data: bytes) -> Sha256:
    """A whole upload."""
    await blobs.begin(upload, max(len(data), 1))
    await blobs.append(upload, 0, in_pieces(data))
    return (await blobs.finish(upload)).sha256


async def get(blobs: Blobs, sha256: Sha256) -> bytes:
    with blobs.open(sha256) as blob:
        data = bytearray()
        while piece := await blob.read_at(len(data), 100_000):
            data += piece
        return bytes(data)


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


_PRELUDE = """
import asyncio, random, sys
from pathlib import Path
from otaru.adapters.blobs.local import LocalBlobs
from tests.support.blobs import *
blobs = LocalBlobs(Path(sys.argv[1]))
"""


def writer(root: Path, program: str, *words: str, stdin: int | None = None) -> "subprocess.Popen[str]":
    """A process that runs `program` (Python, with `blobs` and this module's names) and prints to a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + program, str(root), *words], stdin=stdin, stdout=subprocess.PIPE, text=True
    )
