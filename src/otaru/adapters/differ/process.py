"""`ports.differ.Differ` by worker processes: one that makes a delta, then one that applies it."""

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
from otaru.adapters.differ.wire import Answer, Request
from otaru.adapters.inspector.process import descriptor
from otaru.errors import UnavailableError
from otaru.images.delta.choice import Way
from otaru.images.facts import Format
from otaru.images.reading import BLOCK
from otaru.ports.blobs import OpenBlob
from otaru.ports.differ import PatchFailedError, UselessPatchError

_LARGEST_ANSWER = 1 << 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """What making one delta may take."""

    memory: int = 1536 << 20
    """Address space in bytes. Suffix sorting takes 17 times the source, zstd about a quarter of a GiB."""
    cpu_s: int = 900
    deadline_s: float = 1800
    """Of both steps together; the worker is nice, so that others go first."""


@dataclass(frozen=True, slots=True)
class Patch:
    """`ports.differ.MadePatch` in a temporary file."""

    size: int
    full: int
    memory: int
    file: IO[bytes]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes."""
        for at in range(0, self.size, BLOCK):
            yield await asyncio.to_thread(os.pread, self.file.fileno(), BLOCK, at)


class ProcessDiffer:
    """One delta at a time; who asks meanwhile waits."""

    def __init__(self, bounds: Bounds | None = None, module: str = "otaru.adapters.differ.worker") -> None:
        self._bounds = bounds or Bounds()
        self._module = module
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def make(self, way: Way, form: Format, source: OpenBlob, target: OpenBlob) -> AsyncIterator[Patch]:
        """A delta, made and tried."""
        with tempfile.TemporaryFile() as file:
            async with self._turn, descriptor(source) as old, descriptor(target) as new:
                request = Request(
                    old, source.size, new, target.size, file.fileno(), way.codec, way.window, form,
                    self._bounds.memory, self._bounds.cpu_s,
                )  # fmt: skip
                try:
                    async with asyncio.timeout(self._bounds.deadline_s):
                        made = await self._ask(request)
                        tried = await self._ask(msgspec.structs.replace(request, apply=True))
                except TimeoutError:
                    raise PatchFailedError(f"it takes longer than {self._bounds.deadline_s:g} s") from None
            if made.size is None or made.full is None or tried.memory is None:
                raise PatchFailedError("its maker gave no answer")
            yield Patch(made.size, made.full, tried.memory, file)

    async def _ask(self, request: Request) -> Answer:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, pass_fds=(request.source, request.target, request.patch),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError("no process could be started to make a delta") from error
        try:
            answer = await _talk(process, msgspec.json.encode(request))
        finally:
            await child.end(process)
        if answer.useless is not None:
            raise UselessPatchError(answer.useless)
        if answer.failed is not None:
            raise PatchFailedError(answer.failed)
        return answer


async def _talk(process: asyncio.subprocess.Process, request: bytes) -> Answer:
    assert process.stdin is not None  # noqa: S101 -- both are pipes
    assert process.stdout is not None  # noqa: S101
    with suppress(ConnectionError):  # it ended before it read all: its status says why
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()
    raw = b""
    while (piece := await process.stdout.read(BLOCK)) and len(raw) <= _LARGEST_ANSWER:
        raw += piece
    if len(raw) > _LARGEST_ANSWER:
        raise PatchFailedError("its maker says too much")
    status = await process.wait()
    if status == -signal.SIGXCPU:
        raise PatchFailedError("it takes too much processor time")
    if status < 0:
        raise PatchFailedError(f"making it ended its maker ({signal.Signals(-status).name})")
    try:
        return msgspec.json.decode(raw, type=Answer)
    except msgspec.DecodeError:
        raise PatchFailedError("making it ended its maker") from None
