"""`ports.inspector.Inspector` by a worker process for each image."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO

import msgspec

from otaru.adapters import child
from otaru.adapters.inspector.worker import Answer, Request
from otaru.domain.ids import Sha256
from otaru.errors import OverloadedError, UnavailableError
from otaru.images.facts import Facts
from otaru.images.reading import BLOCK, BrokenImageError, EndlessImageError
from otaru.ports.blobs import OpenBlob
from otaru.ports.inspector import TrustTexts

_LARGEST_ANSWER = 32 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What reading one image may take, and how many are read at once."""

    memory: int = 1 << 30
    """Address space in bytes; Python and its libraries take about a quarter of it."""
    cpu_s: int = 120
    deadline_s: float = 300
    workers: int = 2
    waiting: int = 256
    """How many more may wait for their turn."""


class ProcessInspector:
    """Starts a worker for each image, and ends it when its time is over."""

    def __init__(self, bounds: Bounds | None = None, module: str = "otaru.adapters.inspector.worker") -> None:
        self._bounds = bounds or Bounds()
        self._module = module
        self._turns = asyncio.Semaphore(self._bounds.workers)
        self._asked = 0
        self._images: dict[Sha256, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, sha256: Sha256) -> AsyncIterator[None]:
        """Hold what is done about one image to one at a time."""
        lock, holders = self._images.get(sha256) or (asyncio.Lock(), 0)
        self._images[sha256] = lock, holders + 1
        try:
            async with lock:
                yield
        finally:
            _, holders = self._images[sha256]
            if holders == 1:
                del self._images[sha256]
            else:
                self._images[sha256] = lock, holders - 1

    async def inspect(self, blob: OpenBlob, trust: TrustTexts) -> Facts:
        """Read what an image says of itself."""
        if self._asked >= self._bounds.workers + self._bounds.waiting:
            raise OverloadedError(f"{self._asked} images wait to be read", retry_after_s=10)
        self._asked += 1
        try:
            return await self._inspected(blob, trust)
        finally:
            self._asked -= 1

    async def _inspected(self, blob: OpenBlob, trust: TrustTexts) -> Facts:
        async with self._turns, descriptor(blob) as opened:
            bounds = self._bounds
            texts = {kind: list(anchors) for kind, anchors in trust.items()}
            request = Request(opened, blob.size, texts, bounds.memory, bounds.cpu_s)
            raw = await self._ask(request)
        try:
            answer = msgspec.json.decode(raw, type=Answer)
        except msgspec.DecodeError:
            raise EndlessImageError("reading it ended the reader") from None
        if answer.invalid is not None:
            raise ValueError(answer.invalid)
        if answer.facts is None:
            raise BrokenImageError(answer.broken) if answer.broken else EndlessImageError("reading it ended the reader")
        return answer.facts

    async def _ask(self, request: Request) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, pass_fds=(request.descriptor,),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError("no process could be started to read the image") from error
        try:
            async with asyncio.timeout(self._bounds.deadline_s):
                return await _talk(process, msgspec.json.encode(request))
        except TimeoutError:
            raise EndlessImageError(f"reading it takes longer than {self._bounds.deadline_s:g} s") from None
        finally:
            await child.end(process)


async def _talk(process: asyncio.subprocess.Process, request: bytes) -> bytes:
    """Send the request, and take the answer of a worker that ended well."""
    assert process.stdin is not None  # noqa: S101 -- both are pipes
    assert process.stdout is not None  # noqa: S101
    with suppress(ConnectionError):  # it ended before it read all: its status says why
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while piece := await process.stdout.read(BLOCK):
        answer += piece
        if len(answer) > _LARGEST_ANSWER:
            raise BrokenImageError("what it says of itself is too long")
    status = await process.wait()
    if status == -signal.SIGXCPU:
        raise EndlessImageError("reading it takes too much processor time")
    if status < 0:
        raise EndlessImageError(f"reading it ended the reader ({signal.Signals(-status).name})")
    if status:
        raise EndlessImageError("reading it ended the reader")
    return bytes(answer)


@asynccontextmanager
async def descriptor(blob: OpenBlob) -> AsyncIterator[int]:
    """The image's own descriptor, or that of a copy where it lies elsewhere."""
    own = blob.fileno()
    if own is not None:
        yield own
        return
    with tempfile.TemporaryFile() as copy:
        for at in range(0, blob.size, BLOCK):
            await asyncio.to_thread(_append, copy, await blob.read_at(at, BLOCK))
        copy.flush()
        yield copy.fileno()


def _append(copy: IO[bytes], piece: bytes) -> None:
    copy.write(piece)
