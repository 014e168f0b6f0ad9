"""HTTP for a small device: every request has an end in time, every answer a bound, and all of it stops when it is told to.

A server may send a byte now and then for ever, also of its head, so that no time-out between two bytes ends it. So each read
and write is given what is left until the deadline of the call that it belongs to. `stop` shuts the sockets of all
connections: whoever waits in one of them is woken at once, from whatever thread it is called.

All of it is HTTP/1.1. Downloads may go by HTTP/2 where the server chooses it (ALPN) and h2 is installed, each over a connection
of its own that ends with it: one that is left in the middle would go on sending. What came is taken from the socket only as it is
asked for, so one who reads slowly is sent slowly, too.

Looking a name up, and connecting, are bounded by the system's own time-outs and CONNECT_S.
"""

import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from otaru.adapters.links.lean import httpcore
from otaru.errors import InvalidInputError, StoppedError, UnavailableError
from otaru.ports.clock import Clock

CONNECT_S = 15.0
ANSWER_S = 60.0
"""A whole answer, downloads aside."""
SILENCE_S = 30.0
"""The next bytes of a download."""
IDLE_S = 30.0
"""How long an unused connection is kept: shorter than servers do, so that none is used that is just being closed."""
CONNECTIONS = 4

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


class Wire:
    """The connections of one device. One thread, but for `stop`."""

    def __init__(self, clock: Clock, trust: ssl.SSLContext | None = None, *, http2: bool = False) -> None:
        """Take a clock for deadlines, whom to trust beside whom the system trusts, and whether `open` may speak HTTP/2."""
        self._streams = _Streams(clock)
        self._trust = trust or ssl.create_default_context()
        self._http2 = http2
        self._pool = self._made()
        self._downloads: httpcore.ConnectionPool | None = None

    def ask(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | None,
        limit: int,
        within_s: float = ANSWER_S,
        *,
        cut: bool = False,
    ) -> Answer:
        """One request with its whole answer, of which at most `limit` bytes are read; with `cut`, only so many of a longer one.

        Raises:
            UnavailableError: no answer, or not in time.
            InvalidInputError: it is longer than `limit`, or packed.
            StoppedError: it was stopped.
        """
        with self.named(url):
            self._streams.until(within_s)
            answer = self._send(method, url, headers, body)
            try:
                return Answer(answer.status, answer.headers, _whole(answer, limit, cut=cut))
            finally:
                answer.close()

    def open(self, url: str, headers: Headers) -> httpcore.Response:
        """Begin a GET whose body is read by `pour`; close it."""
        with self.named(url):
            self._streams.until(ANSWER_S)
            return self._send("GET", url, headers, None, self._for_downloads(url))

    def next(self, parts: Iterator[bytes], url: str) -> bytes:
        """The next part of a body; none at its end. Raises as `ask`."""
        with self.named(url):
            self._streams.until(SILENCE_S)
            return next(filter(None, parts), b"")  # frames of HTTP/2 may be empty

    def stop(self) -> None:
        """End everything that is under way, and let nothing begin any more."""
        self._streams.stop()

    def close(self) -> None:
        """Close the connections: in the thread that uses them."""
        self._streams.stop()
        for pool in (self._pool, self._downloads):
            if pool is not None:
                pool.close()

    @contextmanager
    def named(self, url: str) -> Iterator[None]:
        """Turn what the network does into our errors."""
        self._streams.check()
        try:
            yield
        except _broken() as error:
            self._streams.check()
            what = str(error) or type(error).__name__
            raise UnavailableError(f"{_place(url)} does not answer: {what[:200]}") from None

    def _made(self, **more: Any) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=self._trust,
            max_connections=CONNECTIONS,
            keepalive_expiry=IDLE_S,
            network_backend=self._streams,
            **more,
        )

    def _for_downloads(self, url: str) -> httpcore.ConnectionPool:
        if not self._http2 or parsed(url).scheme != b"https" or find_spec("h2") is None:
            return self._pool
        if self._downloads is None:
            self._downloads = self._made(http2=True, max_keepalive_connections=0)
        return self._downloads

    def _send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | None,
        pool: httpcore.ConnectionPool | None = None,
    ) -> httpcore.Response:
        where = parsed(url)
        own = [(b"host", _host(where)), (b"user-agent", b"otaru-agent"), (b"accept-encoding", b"identity")]
        if body is not None:
            own.append((b"content-length", b"%d" % len(body)))
        limits = {"connect": CONNECT_S, "read": ANSWER_S, "write": ANSWER_S, "pool": CONNECT_S}
        request = httpcore.Request(
            method, where, headers=[*own, *headers], content=body, extensions={"timeout": limits}
        )
        try:
            return (pool or self._pool).handle_request(request)
        except httpcore.UnsupportedProtocol:  # pragma: no cover - `parsed` lets none through
            raise InvalidInputError(f"{url[:200]!r} is not an address") from None


def _broken() -> tuple[type[Exception], ...]:
    """What the network does and, once h2 is there, what httpcore lets through of it: a body against the rules, say."""
    found = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError)
    http2 = sys.modules.get("h2.exceptions")
    return found if http2 is None else (*found, http2.H2Error, httpcore.ConnectionNotAvailable, ValueError)


class _Streams(httpcore.SyncBackend):
    """All sockets, each held to the deadline of the call under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadline = 0.0
        self._open: set[_Stream] = set()
        self._stopped = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        inner = super().connect_tcp(
            host, port, self.left(timeout, httpcore.ConnectTimeout), local_address, socket_options
        )
        return self.kept(inner)

    def kept(self, inner: httpcore.NetworkStream) -> "_Stream":
        found = _Stream(inner, self)
        self._open.add(found)
        if self._stopped:
            found.shut()
        return found

    def until(self, seconds: float) -> None:
        self._deadline = self._clock.monotonic() + seconds

    def left(self, timeout: float | None, late: type[Exception]) -> float:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise late("it takes too long")
        return left if timeout is None else min(left, timeout)

    def forget(self, stream: "_Stream") -> None:
        self._open.discard(stream)

    def stop(self) -> None:
        self._stopped = True
        for stream in list(self._open):
            stream.shut()

    def check(self) -> None:
        if self._stopped:
            raise StoppedError("the link was closed")


class _Stream(httpcore.NetworkStream):
    """One socket."""

    def __init__(self, inner: httpcore.NetworkStream, all_: _Streams) -> None:
        self._inner = inner
        self._all = all_

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._all.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), 64 * 1024):
            part = buffer[start : start + 64 * 1024]
            self._inner.write(part, self._all.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._all.forget(self)
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._all.left(timeout, httpcore.ConnectTimeout)
        inner = self._inner.start_tls(ssl_context, server_hostname, left)
        self._all.forget(self)
        return self._all.kept(inner)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def shut(self) -> None:
        """Wake whoever reads or writes. Not `SSLSocket.shutdown`: it takes TLS from under the thread that uses it."""
        found = self._inner.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of a name in lower case."""
    return next((value for found, value in headers if found.lower() == name), None)


def parsed(url: str) -> httpcore.URL:
    """An address of HTTP.

    Raises:
        InvalidInputError: it is none.
    """
    found = None
    if url.isascii() and url.isprintable() and " " not in url:
        with suppress(ValueError):
            found = httpcore.URL(url)
    if found is None or found.scheme not in {b"http", b"https"} or not found.host:
        raise InvalidInputError(f"{url[:200]!r} is not an address")
    return found


def origin(url: str) -> tuple[bytes, bytes, int]:
    """Scheme, host and port: two addresses with the same are of one server.

    Raises:
        InvalidInputError: it is no address.
    """
    found = parsed(url)
    return found.scheme, found.host.lower(), found.port or (443 if found.scheme == b"https" else 80)


def _host(where: httpcore.URL) -> bytes:
    name = b"[%b]" % where.host if b":" in where.host else where.host
    return name if where.port is None else b"%b:%d" % (name, where.port)


def _place(url: str) -> str:
    scheme, host, port = origin(url)
    return f"{scheme.decode()}://{host.decode()}:{port}"


def _whole(answer: httpcore.Response, limit: int, *, cut: bool) -> bytes:
    if (header(answer.headers, b"content-encoding") or b"identity") != b"identity":
        raise InvalidInputError("the server packs its answer, unasked")
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_stream():
        size += len(part)
        parts.append(part)
        if size > limit and cut:
            return b"".join(parts)[:limit]
        if size > limit:
            raise InvalidInputError(f"the server's answer is longer than {limit} bytes")
    return b"".join(parts)
