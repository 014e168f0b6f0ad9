"""uvicorn with what devices need: the peer's certificate, files copied by the kernel, bounds, and a shutdown of ours.

The subclasses use names that uvicorn does not promise to keep, so its version is pinned and `tests/contract/
test_uvicorn.py` holds each of them (docs/adr/0003).

- `scope["extensions"]["tls"]["client_cert"]` is the peer's certificate in DER or None; only on TLS connections. The key
  is that of uvicorn's own proposal, pull request 3132.
- `http.response.zerocopysend` is ASGI's extension of that name. On TLS, where the kernel cannot encrypt, and wherever
  else it does not copy, the same message is answered in small steps through memory.
- `otaru.answer` is an extension of our own: a whole answer in one message, sent by one system call. ASGI's two messages
  cost two, and uvicorn looks each header over anew; for a poll that is a quarter of everything.
- `app.at_once(scope)`, where the application has it, may give the whole answer (`Whole`) before a task is made for the
  request, which costs more than the poll itself. It neither waits nor raises; None is "ask me as ASGI does".
- `otaru.peer` is who holds the other end of the connection, whatever a proxy says in `X-Forwarded-For`.
- A connection has `HEAD_S` to bring a request's head and may make it `HEAD_LIMIT` long; one that takes nothing of an
  answer for `STALL_S` is cut. What a body may be is its reader's business (`body.py`).
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Generator
from ipaddress import ip_network
from typing import Any

import uvicorn
import uvicorn.protocols.http.httptools_impl as impl
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from otaru.apps.server.body import App, Message, Scope, Send
from otaru.apps.server.settings import Settings
from otaru.apps.server.zerocopy import NOT_HERE, STALL_S, KernelCopy, read_piece, unsent

# What runs for every request calls these by name: `super()` costs as much as the check it stands in.
_send = impl.RequestResponseCycle.send
_data_received = impl.HttpToolsProtocol.data_received

Headers = list[tuple[bytes, bytes]]
Whole = tuple[Headers, bytes]
"""Headers, as `ANSWER` has them, and body of an answer with status 200."""

ZEROCOPY = "http.response.zerocopysend"
ANSWER = "otaru.answer"
"""`{"type": ANSWER, "status", "headers", "body"}`: names in lower case, Content-Length among them, nothing follows."""
PEER = "otaru.peer"
"""`scope["extensions"][PEER]["address"]`; empty on a Unix socket."""
HEAD_S = 30.0
HEAD_LIMIT = 64 * 1024
KEEP_ALIVE_S = 75
SHUTDOWN_S = 20
"""How long requests may go on after we are asked to end. A download that is cut resumes."""


async def answer(scope: Scope, send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Answer a request at once: in one message where the server takes it, in ASGI's two elsewhere."""
    if ANSWER in scope.get("extensions", ()):
        await send({"type": ANSWER, "status": status, "headers": headers, "body": body})
    else:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Cycle(impl.RequestResponseCycle):
    """One request and its answer."""

    copying: KernelCopy | None = None

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """ASGI's `send`. Not itself a coroutine function: every other message would pay for one more."""
        if message["type"] == ANSWER:
            return self._send_answer(message)
        return _send(self, message) if message["type"] != ZEROCOPY else self._send_file(message)

    async def _send_answer(self, message: Message) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_started:
            raise RuntimeError(f"{ANSWER} is the whole answer, and one has begun")
        self.answer(message["status"], message["headers"], message["body"])

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the whole answer; nothing of it has been sent, and the client takes what we send."""
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        lines = [impl.STATUS_LINE[status]]
        for name, value in self.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        if self.scope["method"] != "HEAD":
            lines.append(body)
        self.transport.write(b"".join(lines))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    async def _send_file(self, message: Message) -> None:
        if self.disconnected:
            return
        if not self.response_started or self.response_complete or self.chunked_encoding:
            raise RuntimeError(f"{ZEROCOPY} belongs after a start that says Content-Length")
        source: int = message["file"].fileno()
        offset: int = message["offset"]
        count: int = message["count"]
        if self.scope["method"] != "HEAD":
            if count > self.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            copied = await self._copy(source, offset, count)
            self.expected_content_length -= copied
            await self._pump(source, offset + copied, count - copied)
        await super().send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})

    async def _copy(self, source: int, offset: int, count: int) -> int:
        """Let the kernel copy; how many bytes it did: all, or none where it can't."""
        socket = self.transport.get_extra_info("socket")
        if socket is None or self.transport.get_extra_info("ssl_object") is not None or not await self._flushed():
            return 0
        self.copying = copying = KernelCopy(source, offset, count)
        try:
            if not await copying.run(socket.fileno()):
                self._give_up()
        except OSError as error:
            if error.errno not in NOT_HERE or copying.at != offset:
                raise
        finally:
            self.copying = None
        return copying.at - offset

    async def _flushed(self) -> bool:
        """Wait until the transport has handed over what it holds, and is still there."""
        await asyncio.sleep(0)  # uvloop writes at the end of a turn
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)
            await self.flow.drain()
            self.transport.set_write_buffer_limits()
        return not (self.disconnected or self.transport.is_closing() or self.transport.get_write_buffer_size())

    async def _pump(self, source: int, offset: int, count: int) -> None:
        """Send by way of memory, a piece at a time; the flow control of `send` keeps it constant."""
        while count and not self.disconnected:
            if self.transport.is_closing():
                self._give_up()
                return
            piece = await read_piece(source, offset, count)
            await super().send({"type": "http.response.body", "body": piece, "more_body": True})
            offset += len(piece)
            count -= len(piece)
            await asyncio.sleep(0)  # others' turn: `send` waits only for a slow client

    def _give_up(self) -> None:
        self.disconnected = True
        self.transport.abort()


# uvicorn looks its class up by this name whenever a request begins.
impl.RequestResponseCycle = Cycle  # type: ignore[misc]


class Protocol(impl.HttpToolsProtocol):
    """One connection."""

    extensions: dict[str, Any]
    _head_size = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note what the scopes of this connection will say."""
        super().connection_made(transport)
        self.extensions = {ZEROCOPY: {}, ANSWER: {}, PEER: {"address": self.client[0] if self.client else ""}}
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.extensions["tls"] = {"client_cert": tls.getpeercert(True)}
        self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits to send."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._stall_timer = None
        if isinstance(self.cycle, Cycle) and self.cycle.copying is not None:
            self.cycle.copying.stop()

    def data_received(self, data: bytes) -> None:
        """Parse; watch over heads that do not come whole."""
        _data_received(self, data)
        # A scope is made when a request's first byte comes, and gets its method when the head is whole.
        if self._head_timer is not None or "method" not in self.scope:
            self._watch_head(len(data))

    def _watch_head(self, size: int) -> None:
        scope: Any = self.scope
        if scope is None or "method" not in scope:
            self._head_goes_on(size)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
            self._head_size = 0

    def _head_goes_on(self, size: int) -> None:
        if self._head_timer is None:
            # What has come just now may be the end of another request's body: counted from the next time on.
            self._head_timer = self.loop.call_later(HEAD_S, self._head_late)
            return
        self._head_size += size
        if self._head_size > HEAD_LIMIT and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def _head_late(self) -> None:
        self._head_timer = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self.transport.is_closing():
            return  # the answer before it was the last one
        # Only the newest request: those that have waited in line would answer one within the other.
        if cycle is self.cycle and isinstance(cycle, Cycle) and not self.flow.write_paused:
            at_once = getattr(app, "at_once", None)
            if at_once is not None and (found := at_once(self.scope)) is not None:
                cycle.answer(200, *found)
                return
        super()._start_asgi_task(cycle, app)

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the address, and the moment to add to the scope."""
        self.url += url
        self.scope["extensions"] = self.extensions

    def pause_writing(self) -> None:
        """The client takes less than we send: for how long?"""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(STALL_S, self._stalled, self._backlog())

    def _backlog(self) -> tuple[int, int]:
        socket = self.transport.get_extra_info("socket")
        return (self.transport.get_write_buffer_size(), 0 if socket is None else unsent(socket.fileno()))

    def _stalled(self, before: tuple[int, int]) -> None:
        now = self._backlog()
        if now == before:
            self.transport.abort()
        else:
            self._stall_timer = self.loop.call_later(STALL_S, self._stalled, now)

    def resume_writing(self) -> None:
        """It takes again."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class Forwarded(ProxyHeadersMiddleware):
    """Puts the client in the place of a trusted proxy, as uvicorn does it, also where the application answers at once."""

    def __init__(self, app: Any, proxies: list[str]) -> None:
        """Take the application, and the addresses and networks that may say who the client was."""
        super().__init__(app, proxies)
        self._rewrite: Any = ProxyHeadersMiddleware(_nobody, proxies)

    def at_once(self, scope: Scope) -> Whole | None:
        """See the module. What is rewritten twice is the same: uvicorn looks only at the headers and at whom it trusts."""
        at_once: Callable[[Scope], Whole | None] | None = getattr(self.app, "at_once", None)
        if at_once is None:
            return None
        with contextlib.suppress(StopIteration):  # it waits for nothing
            self._rewrite(scope, None, None).send(None)
        return at_once(scope)


async def _nobody(*_: Any) -> None:
    """The application behind what only rewrites scopes."""


class Server(uvicorn.Server):
    """A server inside a process of ours: whoever runs it sets `should_exit`, and requests in flight are finished."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone: uvicorn would raise the one that ended it again, before we have cleaned up."""
        yield


def config(app: App, settings: Settings | None = None) -> uvicorn.Config:
    """How we run uvicorn: for the public listener with `settings`, for a private one without."""
    if settings is None:
        return _config(app)
    proxies = [_network(proxy) for proxy in settings.trusted_proxies]
    return _config(
        Forwarded(app, proxies) if proxies else app,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


def mutual_config(app: App, settings: Settings) -> uvicorn.Config:
    """How we run it for devices with certificates. Whoever comes has one; no proxy can stand between."""
    return _config(
        app,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=settings.client_ca,
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        ssl_context_factory=_mutual,
    )


def _mutual(_: uvicorn.Config, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = make()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # each of `client_ca` is an authority, not roots only
    return context


def _config(app: Any, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `Forwarded` does it
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        **options,
    )


def _network(proxy: str) -> str:
    """Uvicorn takes a network with host bits set for a name, and would never trust it."""
    return str(ip_network(proxy, strict=False)) if "/" in proxy else proxy
