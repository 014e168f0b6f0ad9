"""The outermost ASGI application: routes device roads past the frameworks, bounds bodies, turns errors into answers.

Order of questions for a request: a device road (`/{tenant}/controller/v1/…`) → health → metrics → the logs (`/log/…`) →
devices that enroll (`/device/v1/…`) → TUF (`/tuf/…`) → EST (`/.well-known/est/…`) → the REST API (`/api/…`) → the console,
which is everything else. A device's poll thus costs no framework.
Errors that anything below raises before it has begun to answer become problem+json here, and a page where a browser asked
the console; what is not ours is logged with the request's id and answered with 500 and that id.
"""

import itertools
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from otaru.apps.server.body import (
    LIMIT,
    METADATA_LIMIT,
    App,
    ClientGoneError,
    Message,
    Receive,
    Scope,
    Send,
    header,
    read_body,
)
from otaru.apps.server.http import Whole
from otaru.apps.server.problems import Headers, problem, problem_page
from otaru.errors import NotFoundError, OtaruError

_log = logging.getLogger("otaru.server")
_READING = frozenset({"GET", "HEAD"})
_ids = itertools.count(1)
_RUN = secrets.token_hex(3)


@dataclass(frozen=True, slots=True)
class Shell:
    """One listener's application. `local_admin` marks requests of the admin socket, which only its owner can open."""

    ddi: App
    api: App
    console: App
    ready: App
    tuf: App
    log: App
    est: App
    device: App
    metrics: App
    local_admin: bool = False
    poll: Callable[[Scope], Whole | None] | None = None
    """Answers GET and HEAD requests for which nobody has to be waited for."""

    def at_once(self, scope: Scope) -> Whole | None:
        """The answer to what takes no waiting (`http.Protocol`); None where the request goes the usual way."""
        return None if self.poll is None or scope["method"] not in _READING else self.poll(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # lifespan is ours (`serve`), websockets are not offered
        answer = _Answer(scope, send)
        try:
            path: str = scope["path"]
            slash = path.find("/", 1)
            if slash > 0 and path.startswith("controller/v1/", slash + 1):
                await self.ddi(scope, receive, answer)
            elif path in {"/healthz", "/readyz"}:
                await self.ready(scope, receive, answer)
            elif path == "/metrics":
                scope.setdefault("state", {})["local_admin"] = self.local_admin
                await self.metrics(scope, receive, answer)
            else:
                await self._road(path)(scope, receive, answer)
        except ClientGoneError:
            return
        except OtaruError as error:
            await answer.problem(error, None)
        except Exception:  # noqa: BLE001 - the last edge: logged with its id, never shown
            request = f"{_RUN}-{next(_ids)}"
            _log.exception("request %s failed: %s %s", request, scope["method"], scope["path"])
            await answer.problem(OtaruError("Something went wrong on our side."), request)

    def _road(self, path: str) -> App:
        """Who answers at an address that is no device's own."""
        roads = (
            ("/log/", self.log),
            ("/device/v1/", self.device),
            ("/tuf/", self.tuf),
            ("/.well-known/est/", self.est),
        )
        return next((road for prefix, road in roads if path.startswith(prefix)), self._web)

    async def _web(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "\x00" in scope["path"]:
            raise NotFoundError("there is no such page")
        state = scope.setdefault("state", {})
        state["local_admin"] = self.local_admin
        if not streamed(scope):
            body = await read_body(scope, receive, _limit(scope))
            receive = _Replay(body, receive)
        await (self.api if of_api(scope) else self.console)(scope, receive, send)


def of_api(scope: Scope) -> bool:
    """Whether a request is the REST API's to answer, and not the console's."""
    path: str = scope["path"]
    return path.startswith("/api/") or path == "/api"


def streamed(scope: Scope) -> bool:
    """Whether the body is bytes that a service bounds while they flow: an artifact or a part of one."""
    path: str = scope["path"]
    if scope["method"] == "POST":
        return path == "/api/v1/artifacts"
    return scope["method"] == "PATCH" and path.startswith("/api/v1/uploads/")


def _limit(scope: Scope) -> int:
    """Bytes of a body that is read whole before anybody looks at it."""
    return METADATA_LIMIT if scope["method"] == "POST" and scope["path"] == "/api/v1/keys/metadata" else LIMIT


class _Replay:
    """Hands a body that has been read to whoever reads it next, then whatever the connection says."""

    __slots__ = ("_body", "_receive")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if (body := self._body) is not None:
            self._body = None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


class _Answer:
    """`send`, remembering whether an answer has begun: after that an error can only end the connection."""

    __slots__ = ("_begun", "_scope", "_send")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._begun = False

    def __call__(self, message: Message) -> Awaitable[None]:
        # Not a coroutine function: each message would pay for one more.
        self._begun = True
        return self._send(message)

    async def problem(self, error: OtaruError, request: str | None) -> None:
        if self._begun:
            raise error
        status, headers, body = self._told(error, request)
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})

    def _told(self, error: OtaruError, request: str | None) -> tuple[int, Headers, bytes]:
        """For people where a browser asked the console, for programs everywhere else."""
        scope = self._scope
        within = header(scope, b"hx-request") is not None
        if of_api(scope) or not (within or b"text/html" in (header(scope, b"accept") or b"")):
            return problem(error, request)
        return problem_page(error, request, within=within)
