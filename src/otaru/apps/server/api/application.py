"""The web application: who calls, the routes, and errors handed up to the shell, which is the one edge that tells them.

FastAPI would answer errors by itself in several layers. Here each of them becomes one of our own errors, or stays what it
is, and leaves the framework as an exception: the shell logs what is not ours and answers all of them in one form.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Never, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from otaru.apps.console.session import SAFE
from otaru.apps.server import http
from otaru.apps.server.api import pages
from otaru.apps.server.api.call import JSON
from otaru.apps.server.api.caller import identify
from otaru.apps.server.api.noun import PREFIX
from otaru.apps.server.api.openapi import described
from otaru.apps.server.api.routes import (
    alerts,
    anchors,
    artifacts,
    attributes,
    authorities,
    backups,
    blackouts,
    bundles,
    consent,
    credentials,
    devices,
    enrollments,
    errands,
    events,
    fleet,
    following,
    groups,
    keys,
    logs,
    monitoring,
    releases,
    rollouts,
    tenants,
    tokens,
)
from otaru.apps.server.api.stream import Streams
from otaru.apps.server.body import App, Message, Receive, Scope, Send
from otaru.errors import InvalidInputError, MethodNotAllowedError, NotFoundError, OtaruError, RefusedError
from otaru.services.control.once import Answers
from otaru.services.control.world import World

_FAILURE = "otaru.failure"
_HEADERS = ((b"content-type", JSON.encode()), (b"cache-control", b"no-store"))
MAX_ERRORS = 20


class Options(Protocol):
    """The settings that count here."""

    @property
    def public_url(self) -> str:
        """The address that a proxy in front makes of ours; empty without one."""
        ...

    @property
    def x_accel(self) -> str:
        """The prefix under which a proxy serves artifacts itself; empty without one."""
        ...


class Runtime(Protocol):
    """What the process gives its applications."""

    @property
    def world(self) -> World:
        """The ports."""
        ...

    @property
    def settings(self) -> Options:
        """The settings."""
        ...

    @property
    def closing(self) -> asyncio.Event:
        """Set when the process is asked to end."""
        ...


def application(runtime: Runtime) -> App:
    """The application for everything that is no device road. Raises what the shell is to tell."""
    world, framework = runtime.world, framework_of(runtime)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(f"{PREFIX}/"):
            scope["otaru.caller"] = caller = await identify(world, scope, runtime.settings.public_url)
            if scope["path"] == devices.LIST and scope["method"] == "GET":
                page = await devices.list_at_once(world, caller, scope["query_string"])
                if page is not None:
                    length = (b"content-length", b"%d" % len(page))
                    await http.answer(scope, send, 200, [*_HEADERS, length], page)
                    return
        await framework(scope, receive, _Settled(world, scope, send))
        if (failure := scope.pop(_FAILURE, None)) is not None:
            raise failure

    return answer


def framework_of(runtime: Runtime) -> FastAPI:
    """The routes, in the framework."""
    app = FastAPI(
        title="Otaru",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={RequestValidationError: _invalid, HTTPException: _refused},
    )
    for noun in (
        tokens,
        tenants,
        fleet,
        devices,
        backups,
        errands,
        alerts,
        attributes,
        enrollments,
        groups,
        following,
        credentials,
        authorities,
        blackouts,
        consent,
        artifacts,
        releases,
        keys,
        anchors,
        rollouts,
        bundles,
        events,
        logs,
        monitoring,
    ):
        # As if they were made here: `include_router` wraps them, and then nobody can list an address's methods.
        app.router.routes.extend(noun.router.routes)
    app.router.routes.extend(pages.router.routes)
    app.add_middleware(_Handing)
    app.state.world = runtime.world
    app.state.settings = runtime.settings
    app.state.answers = Answers(runtime.world)
    app.state.streams = Streams(runtime.closing)
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(described(app))
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to do it
    return app


class _Handing:
    """Hands what no handler took up to the shell, past the framework's own last resort."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - raised again by `application`
            scope[_FAILURE] = error


class _Settled:
    """`send` for an answer: after a change, only once every registry question sees it."""

    __slots__ = ("_scope", "_send", "_world")

    def __init__(self, world: World, scope: Scope, send: Send) -> None:
        self._world = world
        self._scope = scope
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._scope["method"] not in SAFE and message["status"] < 400:
                await self._world.registry.caught_up()
            if not any(name == b"cache-control" for name, _ in message["headers"]):
                message = {**message, "headers": [*message["headers"], (b"cache-control", b"no-store")]}
        await self._send(message)


async def _invalid(request: Request, error: Exception) -> Never:
    """What FastAPI says of a request that does not fit its description, in our words."""
    del request
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    raise invalid(error.errors())


def invalid(errors: Sequence[Any]) -> InvalidInputError:
    """The error of a request that does not fit its description, field by field."""
    first = errors[0]
    if first["type"] == "json_invalid":
        where, why = first["loc"][-1], first.get("ctx", {}).get("error", "")
        return InvalidInputError(
            f"the body is not JSON: {why}, at character {where}", hint="A JSON document was expected."
        )
    told = [{"field": _field(e["loc"]), "message": e["msg"]} for e in errors[:MAX_ERRORS]]
    if all(e["loc"] == ("body",) for e in errors):
        hint = "A JSON object was expected, with Content-Type: application/json."
        return InvalidInputError(f"the body does not fit: {first['msg']}", hint=hint, errors=told)
    more = "" if len(errors) == 1 else f", and {len(errors) - 1} more"
    return InvalidInputError(f"{told[0]['field']}: {told[0]['message']}{more}", errors=told)


def _field(place: Sequence[str | int]) -> str:
    return ".".join(str(step) for step in (place[1:] if len(place) > 1 else place))[:200]


async def _refused(request: Request, error: Exception) -> Never:
    """What the framework refuses by itself, in our words."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    cause = error.__cause__
    if isinstance(cause, OtaruError):
        raise cause  # reading the body failed: the framework has wrapped it
    match error.status_code:
        case 404:
            raise NotFoundError("there is no such address", hint="The API is described at /api/docs.")
        case 405:
            raise MethodNotAllowedError(f"this address does not know {request.method}", allowed=_methods(request))
        case 400:
            raise InvalidInputError("the body is not JSON", hint="A JSON document in UTF-8 was expected.")
        case _:
            raise RefusedError(str(error.detail))


def _methods(request: Request) -> list[str]:
    """All methods of an address, which may be those of several routes."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    return sorted(
        {m for route in routes if route.matches(request.scope)[0] is not Match.NONE for m in route.methods or ()}
    )
