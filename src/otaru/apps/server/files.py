"""Answers that are files: GET and HEAD with one range (RFC 9110, 13 and 14), from the kernel's hands or nginx's.

A blob never changes under its SHA-256, so that is its strong ETag, and a download that was cut resumes with `Range`
(and `If-Range`) against any server that has the blob. Requests for several ranges, and ranges that make no sense, get
the whole file, as 14.2 allows.
"""

import asyncio
import re
from functools import lru_cache
from urllib.parse import quote

from otaru.apps.server.body import Receive, Scope, Send, header
from otaru.apps.server.http import Headers, answer
from otaru.domain.ids import Sha256
from otaru.errors import PreconditionFailedError, RangeNotSatisfiableError
from otaru.ports.blobs import Blobs, OpenBlob

PIECE = 256 * 1024
_RANGE = re.compile(rb"bytes=([0-9]{0,64})-([0-9]{0,64})", re.IGNORECASE)


async def serve_artifact(
    scope: Scope, receive: Receive, send: Send, blobs: Blobs, sha256: Sha256, *, filename: str, x_accel: str = ""
) -> None:
    """Answer with a stored blob; `x_accel` is the setting of that name.

    Raises:
        NotFoundError: there is no such blob.
        RangeNotSatisfiableError, PreconditionFailedError: as `serve_blob`.
    """
    if x_accel and (path := blobs.path(sha256)) is not None:
        await serve_accelerated(scope, send, x_accel + path, etag=sha256, filename=filename)
        return
    with blobs.open(sha256) as blob:
        await serve_blob(scope, receive, send, blob, etag=sha256, filename=filename)


async def serve_accelerated(scope: Scope, send: Send, location: str, *, etag: str, filename: str) -> None:
    """Answer a GET or HEAD by telling nginx where the file is: it sends the bytes, whole or in parts, and we none.

    Raises:
        PreconditionFailedError: If-Match asks for other bytes; nothing was sent.
    """
    tag = f'"{etag}"'.encode("ascii")
    if not_modified(scope, tag):
        await answer(scope, send, 304, [(b"etag", tag)])
        return
    await answer(scope, send, 200, accelerated(location, etag, filename))


@lru_cache(maxsize=256)
def accelerated(location: str, etag: str, filename: str) -> Headers:
    """What tells nginx to send a whole file or the part that its client asks for. Nobody changes it."""
    where = [(b"x-accel-redirect", location.encode()), (b"content-length", b"0")]
    return [*_headers(f'"{etag}"'.encode("ascii"), filename), *where]


async def serve_blob(scope: Scope, receive: Receive, send: Send, blob: OpenBlob, *, etag: str, filename: str) -> None:
    """Answer a GET or HEAD with an open file.

    Args:
        scope: ASGI's.
        receive: ASGI's.
        send: ASGI's.
        blob: what is sent.
        etag: names these bytes and no others (their SHA-256); without quotes.
        filename: under which a browser saves it.

    Raises:
        RangeNotSatisfiableError: the range lies outside the file; nothing was sent.
        PreconditionFailedError: If-Match asks for other bytes; nothing was sent.
    """
    tag = f'"{etag}"'.encode("ascii")
    if not_modified(scope, tag):
        await answer(scope, send, 304, [(b"etag", tag)])
        return
    headers = _headers(tag, filename)
    start, end = 0, blob.size
    status = 200
    if (part := wanted(scope, tag, blob.size)) is not None:
        start, end = part
        status = 206
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, blob.size)))
    headers.append((b"content-length", b"%d" % (end - start)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _body(scope, receive, send, blob, start, end)


def _headers(tag: bytes, filename: str) -> Headers:
    return [
        (b"etag", tag),
        (b"accept-ranges", b"bytes"),
        (b"content-type", b"application/octet-stream"),
        (b"content-disposition", disposition(filename)),
        (b"cache-control", b"no-transform"),
        (b"x-content-type-options", b"nosniff"),
    ]


def not_modified(scope: Scope, tag: bytes) -> bool:
    """Whether the client says that it has these bytes (13.1.2).

    Raises:
        PreconditionFailedError: it wants other bytes or none (13.1.1).
    """
    match = header(scope, b"if-match")
    if match is not None and match.strip() != b"*" and tag not in _tags(match):
        raise PreconditionFailedError("If-Match names other bytes than these")
    none_match = header(scope, b"if-none-match")
    if none_match is None:
        return False
    return none_match.strip() == b"*" or tag in {found.removeprefix(b"W/") for found in _tags(none_match)}


def _tags(value: bytes) -> list[bytes]:
    return [found.strip(b" \t") for found in value.split(b",")]


def wanted(scope: Scope, tag: bytes, size: int) -> tuple[int, int] | None:
    """The part of the file that is asked for, as start and end; None for all of it.

    Raises:
        RangeNotSatisfiableError: see `parse_range`.
    """
    asked = [value for name, value in scope["headers"] if name == b"range"]
    if len(asked) != 1 or scope["method"] != "GET":  # 14.2: a Range has no meaning for other methods
        return None
    if_range = header(scope, b"if-range")
    if if_range is not None and if_range.strip() != tag:  # a date never matches: we give none
        return None
    return parse_range(asked[0], size)


def parse_range(value: bytes, size: int) -> tuple[int, int] | None:
    """Read a Range header; start and end of the part, or None where it is to be ignored.

    Raises:
        RangeNotSatisfiableError: it is a single range that holds not one byte of the file.
    """
    found = _RANGE.fullmatch(value.strip(b" \t"))
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), size
        if found[2]:
            if int(found[2]) < start:
                return None
            end = min(size, int(found[2]) + 1)
    if start >= end:
        raise RangeNotSatisfiableError(f"the file has {size} bytes; that range holds none of them", size=size)
    return start, end


@lru_cache(maxsize=256)
def disposition(filename: str) -> bytes:
    """A Content-Disposition (RFC 6266) that saves under `filename`, whatever it contains."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        value += f"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
    return value.encode("ascii")


async def _body(scope: Scope, receive: Receive, send: Send, blob: OpenBlob, start: int, end: int) -> None:
    if scope["method"] == "HEAD" or start == end:
        await send({"type": "http.response.body", "body": b""})
    elif "http.response.zerocopysend" in scope.get("extensions", {}) and blob.fileno() is not None:
        await send({"type": "http.response.zerocopysend", "file": blob, "offset": start, "count": end - start})
    else:
        await _stream(receive, send, blob, start, end)


async def _stream(receive: Receive, send: Send, blob: OpenBlob, start: int, end: int) -> None:
    """Send piece by piece, until the end or until nobody listens: `send` does not say so, `receive` does."""
    gone = asyncio.ensure_future(_gone(receive))
    try:
        while start < end and not gone.done():
            piece = await blob.read_at(start, min(PIECE, end - start))
            if not piece:
                raise OSError("the file is shorter than it was")
            start += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": start < end})
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
