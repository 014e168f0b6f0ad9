"""The REST API as commands see it: JSON in and out, problems as our own errors, trouble on the way tried again.

What is tried again, and why that is safe: every request is idempotent. GET, HEAD, PATCH and DELETE are by their nature
(a DELETE that finds nothing on its second try has done its work on the first), POST by its Idempotency-Key. A server
that has not answered once is given about a second, so that a wrong address is told at once; one that has is given half
a minute, so that its restart interrupts nobody's work.

httpx is imported when the first request is made: `otaru --help` needs none of it.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from otaru import __version__
from otaru.apps.cli.problems import not_ours, problem, trouble
from otaru.errors import InvalidInputError, OverloadedError, UnavailableError

if TYPE_CHECKING:
    import ssl

    import httpx

API = "/api/v1"
MAX_ANSWER = 64 * 1024 * 1024
MAX_PAGE = 1000
CONNECT_S = 5.0
READ_S = 60.0
AT_FIRST_S = (0.2, 0.4, 0.4)
LATER_S = (0.2, 0.4, 0.8, 1.6, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0)
LONGEST_WAIT_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Body = Callable[[], Iterator[bytes]]
"""Makes the bytes of a request's body, anew for each attempt."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def path(*segments: str | int) -> str:
    """A path below the API of these segments, each quoted."""
    for segment in map(str, segments):
        if segment in {"", ".", ".."}:
            raise InvalidInputError(f"{segment!r} is not a name")
    return "/" + "/".join(quote(str(segment), safe="") for segment in segments)


def origin(server: str) -> str:
    """A server's address without a slash at its end.

    Raises:
        InvalidInputError: it is not an http or https address.
    """
    try:
        parts = urlsplit(server)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or not server.isprintable() or " " in server:
        raise InvalidInputError(
            f"{server!r} is not a server's address", hint="Write it as http://127.0.0.1:8080 (OTARU_SERVER, --server)."
        )
    return server.rstrip("/")


class Api:
    """A client of one server.

    Args:
        server: The server's address, as people write it.
        token: An API token; None only on the server's own admin socket.
        ca: A file of CA certificates (PEM) to trust instead of the public ones.
        socket: The server's admin socket, to talk there instead of over TCP.
        transport: Another way to send requests.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        server: str,
        token: str | None,
        *,
        ca: str | None = None,
        socket: str | None = None,
        transport: "httpx.BaseTransport | None" = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server = origin(server)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise InvalidInputError("the token holds characters that no token has", hint="Copy it again.")
        self.sleep = sleep
        self._token = token
        self._ca = ca
        self._socket = socket
        self._transport = transport
        self._client: httpx.Client | None = None
        self._heard = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def where(self) -> str:
        """The address for messages."""
        return self._socket or self.server

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET; parameters that are None are left out."""
        return self._json(self._exchange("GET", path, params=params))

    def fetch(self, path: str) -> bytes:
        """The bytes of a GET beside the API, by its whole path."""
        return self._exchange("GET", path, below="").content

    @property
    def known(self) -> bool:
        """Whether it has a token."""
        return self._token is not None

    def post(
        self, path: str, body: Any = None, *, key: str | None = None, read_s: float | None = None, **params: Any
    ) -> Any:
        """The JSON of a POST, which happens once however often it is sent; None where the answer is empty.

        `read_s` is how long it waits for the answer, where that takes longer than answers do.
        """
        import secrets

        import httpx

        request: dict[str, Any] = {"headers": {"Idempotency-Key": key or secrets.token_hex(16)}}
        if read_s is not None:
            request["timeout"] = httpx.Timeout(READ_S, connect=CONNECT_S, read=read_s)
        return self._json(self._exchange("POST", path, json=body, params=params, **request))

    def patch(self, path: str, body: Any, *, edition: int | None = None) -> Any:
        """The JSON of a PATCH; with `edition`, only where the thing is still of that edition.

        Raises:
            PreconditionFailedError: it is not.
        """
        headers = {} if edition is None else {"If-Match": f'"{edition}"'}
        return self._json(self._exchange("PATCH", path, json=body, headers=headers))

    def delete(self, path: str) -> None:
        """A DELETE."""
        self._exchange("DELETE", path)

    def send(self, method: str, path: str, body: Body, size: int, headers: Mapping[str, str], **params: Any) -> Any:
        """Send `size` raw bytes once, not tried again by itself; the JSON of the answer.

        Raises:
            UnavailableError: the connection broke: part of it may have arrived.
        """
        import httpx

        given = {"Content-Type": "application/octet-stream", "Content-Length": str(size), **headers}
        try:
            with self._stream(method, path, params=params, headers=given, content=body()) as response:
                return self._json(self._checked(response))
        except httpx.TransportError as error:
            raise trouble(error, self.where) from error

    def pages(self, path: str, *, limit: int, cursor: str | None = None, **params: Any) -> dict[str, Any]:
        """Items of a list, `limit` at most (0: all of them), page after page: the shape of one page of the API."""
        items: list[Any] = []
        whole: dict[str, Any] = {}
        for page in self.each_page(path, limit=limit, cursor=cursor, **params):
            items += page.pop("items")
            whole |= page
        return {**whole, "items": items, "next": whole.get("next")}

    def each_page(self, path: str, *, limit: int, cursor: str | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """The pages of a list, until `limit` items (0: all of them)."""
        left = limit
        while True:
            page = self.get(path, limit=min(left, MAX_PAGE) if limit else MAX_PAGE, cursor=cursor, **params)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise not_ours(self.where, "a list was expected")
            left -= len(page["items"])
            yield page
            before, cursor = cursor, page.get("next")
            if cursor is None or cursor == before or (limit and left <= 0):
                return

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], read_s: float, **params: Any
    ) -> "Iterator[httpx.Response]":
        """The answer of a GET, to be read as it comes; a wait of more than `read_s` for the next bytes ends it.

        Raises:
            UnavailableError: the connection broke, also while the answer is read.
        """
        import httpx

        try:
            timeout = httpx.Timeout(READ_S, connect=CONNECT_S, read=read_s)
            with self._stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    self._checked(response)
                self._heard = True
                yield response
        except httpx.TransportError as error:
            raise trouble(error, self.where) from error

    def patiently(self, attempt: Callable[[int], Any]) -> Any:
        """What `attempt(number of tries before)` returns, tried again while the server is out of reach or busy."""
        tries = 0
        while True:
            try:
                return attempt(tries)
            except (UnavailableError, OverloadedError) as error:
                waits = LATER_S if self._heard else AT_FIRST_S
                if tries >= len(waits) or not error.facts.get("again", True):
                    raise
                self.sleep(min(max(waits[tries], error.facts.get("retry_after_s", 0.0)), LONGEST_WAIT_S))
                tries += 1

    def _exchange(self, method: str, path: str, **request: Any) -> Answer:
        import httpx

        def attempt(tries: int) -> Answer:
            try:
                with self._stream(method, path, **request) as response:
                    return self._checked(response, gone_is_fine=method == "DELETE" and tries > 0)
            except httpx.TransportError as error:
                raise trouble(error, self.where) from error

        answer: Answer = self.patiently(attempt)
        return answer

    def _checked(self, response: "httpx.Response", *, gone_is_fine: bool = False) -> Answer:
        """The answer, read whole; its problem raised."""
        self._heard = True
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER:
                raise not_ours(self.where, f"its answer is larger than {MAX_ANSWER} bytes")
        if response.is_success or (gone_is_fine and response.status_code == 404):
            return Answer(response.status_code, response.headers, bytes(content))
        raise problem(response.status_code, response.headers, bytes(content), self.where)

    def _json(self, answer: Answer) -> Any:
        if not answer.content:
            return None
        try:
            return json.loads(answer.content)
        except ValueError:
            raise not_ours(self.where, "its answer is not JSON") from None

    def _stream(self, method: str, path: str, **request: Any) -> Any:
        params = {k: _text(v) for k, v in (request.pop("params", None) or {}).items() if v is not None}
        if request.get("json") is None:
            request.pop("json", None)
        below = request.pop("below", API)
        return self._http().stream(method, f"{self.server}{below}{path}", params=params, **request)

    def _http(self) -> "httpx.Client":
        if self._client is None:
            self._client = self._connected()
        return self._client

    def _connected(self) -> "httpx.Client":
        import httpx

        headers = {"User-Agent": f"otaru/{__version__}", "Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._transport is not None:
            transport: httpx.BaseTransport | None = self._transport
        else:
            transport = httpx.HTTPTransport(uds=self._socket) if self._socket else None
        return httpx.Client(
            headers=headers,
            transport=transport,
            verify=self._trust(),
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            # A proxy of the environment is for the world outside, not for a server on this machine.
            trust_env=urlsplit(self.server).hostname not in _LOOPBACK,
        )

    def _trust(self) -> Any:
        if not self.server.startswith("https:"):
            return False
        return True if self._ca is None else trusting(self._ca)


def trusting(ca: str) -> "ssl.SSLContext":
    """What trusts the CA certificates of a file, and no others.

    Raises:
        InvalidInputError: there are none in it.
    """
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError(
            f"{ca} holds no CA certificates that can be read: {error}",
            hint="--ca and OTARU_CA take a PEM file.",
        ) from error


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
