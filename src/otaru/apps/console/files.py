"""Our own files for the browser: scripts, styles, letters, icons. Addressed by their content, so kept for a year."""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from otaru.errors import NotFoundError

ROOT = Path(str(files("otaru.apps.console") / "static"))
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


def address_of(name: str) -> str:
    """Where a page finds one of our files."""
    return f"/static/{_version()}/{name}"


async def serve(request: Request) -> Response:
    """One of our files. Those of another version are found too: a page from before an update goes on working."""
    name: str = request.path_params["name"]
    known = _known().get(name)
    if known is None:
        raise NotFoundError("there is no such file")
    keep = "max-age=31536000, immutable" if request.path_params["version"] == _version() else "no-cache"
    headers = {"Cache-Control": keep, "X-Content-Type-Options": "nosniff"}
    return FileResponse(known, headers=headers, media_type=_TYPES[known.suffix])


@cache
def _known() -> dict[str, Path]:
    """The files by name: nothing else of the disk has an address."""
    return {
        path.relative_to(ROOT).as_posix(): path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for name, path in _known().items():
        digest.update(name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
