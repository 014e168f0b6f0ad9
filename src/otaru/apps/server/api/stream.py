"""The record as it grows, as server-sent events (WHATWG HTML, section 9.2).

A stream reads the record by itself, from a position on, so nothing is missed however many hints of the bus are lost and
whichever worker wrote it. It ends when the client goes, when the process is asked to end (the client comes back with
Last-Event-ID, here or elsewhere), or when the caller's token dies.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec
from fastapi import Response

from otaru.apps.server.api.call import Call
from otaru.apps.server.api.caller import Caller, still_good
from otaru.apps.server.api.models.events import EventOut
from otaru.apps.server.body import Receive, Scope, Send
from otaru.domain.events import START, Position
from otaru.domain.ids import TenantId, TokenId
from otaru.errors import OverloadedError
from otaru.ports.store import Recorded
from otaru.services.control import survey

HEARTBEAT_S = 15.0
"""A comment after so much silence: proxies and clients see that the connection lives, we see that the client does."""
LOOK_S = 1.0
"""Look at the record this often without a hint."""
SETTLE_S = 0.05
"""After a hint, wait this long for others: one look serves many changes."""
BRIEF_S = 1.0
PAGE = 500
MAX_STREAMS = 200
MAX_OF_TENANT = 100
MAX_OF_TOKEN = 20
"""Of one process: a tenant, or one token or session of it, must not take the places of all others."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Streams:
    """The streams of one process."""

    def __init__(self, closing: asyncio.Event) -> None:
        self.closing = closing
        self._all = 0
        self._of_tenant: Counter[TenantId] = Counter()
        self._of_token: Counter[tuple[TenantId, TokenId]] = Counter()

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """A place for one stream of this caller.

        Raises:
            OverloadedError: all are taken, or all that its tenant or token may have.
        """
        tenant, token = caller.tenant, (caller.tenant, caller.token)
        for whose, taken, limit in (
            ("this token or session", self._of_token[token], MAX_OF_TOKEN),
            ("this tenant", self._of_tenant[tenant], MAX_OF_TENANT),
            ("all tenants together", self._all, MAX_STREAMS),
        ):
            if taken >= limit:
                raise OverloadedError(f"{limit} streams of {whose} are open already", retry_after_s=5)
        self._count(caller, 1)
        try:
            yield
        finally:
            self._count(caller, -1)

    def _count(self, caller: Caller, step: int) -> None:
        self._all += step
        self._of_tenant[caller.tenant] += step
        self._of_token[caller.tenant, caller.token] += step
        if step < 0:  # forget who has none
            self._of_tenant, self._of_token = +self._of_tenant, +self._of_token


class Live(Response):
    """The answer that does not end."""

    media_type = "text/event-stream"

    def __init__(
        self, streams: Streams, call: Call, after: Position, subject: str | None, *, brief: bool = False
    ) -> None:
        super().__init__()
        self._streams = streams
        self._call = call
        self._position = after
        self._subject = subject
        self._brief = brief

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what happens until somebody ends it."""
        del scope
        woken = asyncio.Event()
        with self._streams.place(self._call.caller):
            leave = self._call.world.bus.subscribe("events", woken.set)
            pump = asyncio.create_task(self._pump(send, woken))
            ends = {asyncio.create_task(self._streams.closing.wait()), asyncio.create_task(_gone(receive))}
            try:
                await asyncio.wait({pump, *ends}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                leave()
                for task in (pump, *ends):
                    task.cancel()
                await asyncio.wait({pump, *ends})
            if not pump.cancelled():
                pump.result()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await send({"type": "http.response.body", "body": b""})

    async def _pump(self, send: Send, woken: asyncio.Event) -> None:
        clock, caller = self._call.world.clock, self._call.caller
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _write(send, b"retry: 1000\n\n")
        said = checked = clock.monotonic()
        while True:
            woken.clear()
            page = await self._look()
            now = clock.monotonic()
            if page:
                await _write(send, _changed(page[-1]) if self._brief else b"".join(map(_frame, page)))
                self._position = page[-1].at
                said = now
            elif now - said >= HEARTBEAT_S:
                await _write(send, _ALIVE if self._brief else b":\n\n")
                said = now
            if now - checked >= HEARTBEAT_S:
                if not await still_good(self._call.world, caller):
                    return
                checked = now
            if self._brief and page:
                await asyncio.sleep(BRIEF_S)
            elif len(page) < PAGE:
                await _pause(woken)

    async def _look(self) -> list[Recorded]:
        world, tenant = self._call.world, self._call.caller.tenant
        if not self._brief:
            return await survey.events(world, tenant, self._position, PAGE, self._subject)
        newest = await survey.events(world, tenant, START, 1, self._subject, newest=True)
        return [event for event in newest if event.at > self._position]


_ALIVE = b"event: alive\ndata: {}\n\n"
"""A page's script hears of no comment, and has to know that the stream lives."""


def _changed(newest: Recorded) -> bytes:
    return b"id: %b\nevent: changed\ndata: {}\n\n" % str(newest.at).encode()


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _pause(woken: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            await woken.wait()
            await asyncio.sleep(SETTLE_S)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _frame(recorded: Recorded) -> bytes:
    event = EventOut.of(recorded)
    # JSON without line breaks: one `data` line holds it.
    data = msgspec.json.encode(event.model_dump(mode="json"))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), event.kind.encode(), data)
