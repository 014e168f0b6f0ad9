"""The API's description as a page to read and try. No script or style but our own files, no frames."""

from functools import cache
from importlib.resources import files
from pathlib import Path

import swagger_ui_bundle
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from otaru.apps.console.rendering import HEADERS
from otaru.apps.server.api.openapi import in_older_words
from otaru.errors import NotFoundError

router = APIRouter(include_in_schema=False)

_ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"})
_OURS = frozenset({"init.js"})

_DOCS = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Otaru REST API</title>
<link rel="icon" href="/api/docs/favicon-32x32.png">
<link rel="stylesheet" href="/api/docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="/api/docs/swagger-ui-bundle.js"></script><script src="/api/docs/init.js"></script></body>
</html>
"""


@router.get("/api/openapi.json")
async def description(request: Request) -> Response:
    """The description, OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/api/docs")
async def docs() -> Response:
    """The description to read and try."""
    return HTMLResponse(_DOCS, headers=HEADERS)


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
