"""`ports.director.Director` by a process of its own, which this one starts, watches, and starts again when it ends.

It is started when it is first needed: who has no device that verifies the director pays nothing for it. What devices ask
for meanwhile goes out together, many in one call. It ends when its pipe does, so it does not outlive this process, however
that ends. When it dies, what it was asked is asked of the next one, once: asking has no effect.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from securesystemslib.signer import Key

from otaru.adapters import child
from otaru.adapters.director import wire
from otaru.domain.ids import TenantId
from otaru.errors import AssignmentRefusedError, MetadataFormError, OverloadedError, UnavailableError
from otaru.ports.director import Assignment
from otaru.trust.tuf.director import Issued
from otaru.trust.tuf.keys import from_json

_log = logging.getLogger("otaru.director")

MAX_WAITING = 10_000
_BEGIN_S = 60.0
"""It loads its libraries first, on whatever machine."""
_LONGEST_REST_S = 30.0
_FREE_FAILURES = 2
"""After so many in a row it rests before it is started again, longer each time."""


@dataclass(frozen=True, slots=True)
class _Job:
    ask: wire.Make | wire.Held | Assignment
    answer: "asyncio.Future[Any]"


class ProcessDirector:
    """See the module. Belongs to one event loop."""

    def __init__(self, begin: wire.Begin, module: str, *, deadline_s: float = 20) -> None:
        """`module` is run as the signer; one that does not answer in time is ended."""
        self._begin = begin
        self._module = module
        self._deadline_s = deadline_s
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(MAX_WAITING)
        self._process: asyncio.subprocess.Process | None = None
        self._work: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._failures = 0
        self._rests_until = 0.0
        self._closed = False

    async def make(self, tenant: TenantId) -> Key:
        """See the port."""
        answer: wire.Answer = await self._ask(wire.Make(tenant))
        try:
            return from_json(answer.key or {})
        except MetadataFormError:
            raise UnavailableError("the director's signer answers what makes no sense") from None

    async def held(self, tenant: TenantId, keys: Collection[str]) -> frozenset[str]:
        """See the port."""
        answer: wire.Answer = await self._ask(wire.Held(tenant, sorted(keys)))
        return frozenset(answer.held or ())

    async def sign(self, assignment: Assignment) -> Issued:
        """See the port."""
        done: wire.Done = await self._ask(assignment)
        if done.issued is None:
            raise AssignmentRefusedError(done.refused or "the signer does not say why")
        return done.issued

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        tasks = [task for task in (self._work, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while not self._jobs.empty():
            _fail([self._jobs.get_nowait()], UnavailableError("the server is ending"))
        await self._end()

    async def _ask(self, ask: wire.Make | wire.Held | Assignment) -> Any:
        if self._closed:
            raise UnavailableError("the server is ending")
        if self._work is None:
            self._work = asyncio.create_task(self._serve())
        job = _Job(ask, asyncio.get_running_loop().create_future())
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            raise OverloadedError("too many wait for the director's signer", hint="Try again in a moment.") from None
        return await job.answer

    async def _serve(self) -> None:
        """Hand on what is asked, one frame after the other: what waits together goes together."""
        while True:
            jobs = [await self._jobs.get()]
            while len(jobs) < wire.MAX_BATCH and not self._jobs.empty():
                jobs.append(self._jobs.get_nowait())
            try:
                await self._answer(jobs)
            except Exception as error:  # noqa: BLE001 - who asked is told; the next ones may fare better
                if not isinstance(error, UnavailableError):
                    _log.exception("the director's signer cannot be asked")
                _fail(jobs, UnavailableError("the director's signer does not answer"))
            except BaseException:
                _fail(jobs, UnavailableError("the server is ending"))
                raise

    async def _answer(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if not isinstance(job.ask, Assignment):
                _give(job, await self._said(job.ask))
        signing = [job for job in jobs if isinstance(job.ask, Assignment)]
        if not signing:
            return
        asked = [job.ask for job in signing if isinstance(job.ask, Assignment)]
        answer = await self._said(wire.Sign(asked))
        done = answer.done or []
        if len(done) != len(signing):
            raise UnavailableError("the director's signer answers what makes no sense")
        for job, one in zip(signing, done, strict=True):
            _give(job, one)

    async def _said(self, ask: wire.Ask) -> wire.Answer:
        """The answer of a signer that is there, or of the next one."""
        for last in (False, True):
            process = self._process or await self._start()
            try:
                async with asyncio.timeout(self._deadline_s):
                    answer = await _exchange(process, ask)
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                await self._end()
                self._fails()
                if last:
                    raise UnavailableError("the director's signer does not answer") from error
                continue
            self._failures = 0
            if answer.failed is not None:
                raise UnavailableError(answer.failed)
            return answer
        raise AssertionError  # the loop returns or raises

    async def _start(self) -> asyncio.subprocess.Process:
        if asyncio.get_running_loop().time() < self._rests_until:
            raise UnavailableError("the director's signer rests after it has failed")
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=_environment(),
            )  # fmt: skip
        except OSError as error:
            self._fails()
            raise UnavailableError("the director's signer cannot be started") from error
        try:
            async with asyncio.timeout(_BEGIN_S):
                await _exchange(process, self._begin)
        except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
            await child.end(process)
            self._fails()
            raise UnavailableError("the director's signer does not begin") from error
        self._process = process
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_up(process))
        return process

    async def _keep_up(self, process: asyncio.subprocess.Process) -> None:
        """Start the signer again when it ends by itself, after a rest that grows while it goes on ending."""
        while not self._closed:
            status = await process.wait()
            if self._process is process:
                self._process = None
                _log.error("the director's signer ended (status %s) and is started again", status)
            while self._process is None and not self._closed:
                await asyncio.sleep(max(self._rests_until - asyncio.get_running_loop().time(), 0.01))
                # Through the queue: only `_serve` starts and ends it.
                with suppress(UnavailableError, OverloadedError):
                    await self._ask(wire.Held("", []))
            if self._process is not None:
                process = self._process

    def _fails(self) -> None:
        self._failures += 1
        if self._failures > _FREE_FAILURES:
            rest = min(0.1 * 2 ** min(self._failures, 10), _LONGEST_REST_S)
            self._rests_until = asyncio.get_running_loop().time() + rest

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await child.end(process)


async def _exchange(process: asyncio.subprocess.Process, ask: wire.Ask) -> wire.Answer:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(wire.framed(ask))
    await process.stdin.drain()
    (size,) = wire.HEAD.unpack(await process.stdout.readexactly(wire.HEAD.size))
    if size > wire.MAX_FRAME:
        raise EOFError
    return wire.answered(await process.stdout.readexactly(size))


def _environment() -> dict[str, str]:
    """Where Python's modules are, what PostgreSQL's library reads, and what keys need that lie in a token or in AWS KMS."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PG", "AWS_")) or name in {"HOME", "TZ", "OTARU_PIN", "SOFTHSM2_CONF"}
    }
    return {**passed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _give(job: _Job, answer: Any) -> None:
    if not job.answer.done():
        job.answer.set_result(answer)


def _fail(jobs: list[_Job], error: UnavailableError) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
