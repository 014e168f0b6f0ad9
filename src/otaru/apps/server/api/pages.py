"""The pages for people: the API's description, log in, log out. No script or style but our own files, no frames.

A login link works once. Opening it shows a button and changes nothing, since programs that preview links open them too;
the button's POST exchanges the code for a session.
"""

from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

import swagger_ui_bundle
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse

from otaru.apps.server.api.caller import COOKIE, refuse_other_pages, session_of
from otaru.apps.server.api.openapi import in_older_words
from otaru.domain.token import TokenKind
from otaru.errors import NotFoundError, UnauthenticatedError
from otaru.services.control import tokens
from otaru.services.control.world import World

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"})
_OURS = frozenset({"init.js", "page.css"})

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<link rel="icon" href="/api/docs/favicon-32x32.png">
<link rel="stylesheet" href="/api/docs/page.css"></head>
<body><main><h1>{title}</h1>{body}</main></body>
</html>
"""

_DOCS = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Otaru REST API</title>
<link rel="icon" href="/api/docs/favicon-32x32.png">
<link rel="stylesheet" href="/api/docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="/api/docs/swagger-ui-bundle.js"></script><script src="/api/docs/init.js"></script></body>
</html>
"""


@router.get("/")
async def start() -> Response:
    """The way onward from the bare address: the API's page, until there is a console."""
    return RedirectResponse("/api/docs", 303, headers=_HEADERS)


@router.get("/api/openapi.json")
async def description(request: Request) -> Response:
    """The description, OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/api/docs")
async def docs() -> Response:
    """The description to read and try."""
    return HTMLResponse(_DOCS, headers=_HEADERS)


@router.get("/api/docs/openapi.json")
async def older_description(request: Request) -> Response:
    """The description for the page's own reader."""
    return JSONResponse(in_older_words(request.app.openapi()))


@router.get("/api/docs/{name}")
async def asset(name: str) -> Response:
    """A file of these pages."""
    if name in _ASSETS:
        path = _swagger_ui() / name
    elif name in _OURS:
        path = Path(str(files("otaru.apps.server.api") / "static" / name))
    else:
        raise NotFoundError("there is no such page")
    return FileResponse(path, headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=3600"})


@cache
def _swagger_ui() -> Path:
    return next(Path(swagger_ui_bundle.__file__).parent.joinpath("vendor").glob("swagger-ui-[4-9]*"))


@router.get("/login")
async def login_page(code: Annotated[str, Query(max_length=512)] = "") -> Response:
    """The page behind a login link."""
    if not code:
        return _page("Log in", "<p>Open the login link that the server printed, or ask an admin for one.</p>")
    button = f'<input type="hidden" name="code" value="{escape(code)}"><button>Log in</button>'
    return _page("Otaru", f'<form method="post" action="/login">{button}</form>')


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Exchange the code for a session."""
    refuse_other_pages(request.scope, request.app.state.settings.public_url)
    try:
        form = parse_qs((await request.body())[:4096].decode("latin-1"), max_num_fields=8)
    except ValueError:
        return _page("This is not the login form", "<p>It has one field, the code. Open the login link again.</p>", 400)
    world: World = request.app.state.world
    try:
        session = await tokens.log_in(world, form.get("code", [""])[0])
    except UnauthenticatedError:
        said = "<p>This login link is unknown, was used before, or has expired. Each one works once.</p>"
        return _page("This link does not work", said + "<p>Ask an admin for a new one.</p>", 403)
    answer = RedirectResponse("/api/docs", 303, headers=_HEADERS)
    _set_cookie(request, answer, session.secret, int(tokens.SESSION_LIFE.total_seconds()))
    return answer


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    refuse_other_pages(request.scope, request.app.state.settings.public_url)
    world: World = request.app.state.world
    if secret := session_of(request.scope):
        try:
            session = await tokens.check(world, secret, TokenKind.SESSION)
            await tokens.revoke(world, session.tenant, tokens.user(session), session.id)
        except UnauthenticatedError:
            pass  # it had ended before
    answer = RedirectResponse("/login", 303, headers=_HEADERS)
    _set_cookie(request, answer, "", 0)
    return answer


def _set_cookie(request: Request, answer: Response, secret: str, max_age_s: int) -> None:
    secure = request.scope["scheme"] == "https"
    answer.set_cookie(COOKIE, secret, max_age_s, path="/", secure=secure, httponly=True, samesite="strict")


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(title=title, body=body), status, headers=_HEADERS)
