"""Answers that are files: GET and HEAD, whole or in parts (RFC 9110, 13 and 14), from the kernel's hands or nginx's.

A blob never changes under its SHA-256, so that is its strong ETag, and a download that was cut resumes with `Range`
(and `If-Range`) against any server that has the blob. Ranges that make no sense get the whole file, as 14.2 allows.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import quote

from otaru.apps.server.body import Receive, Scope, Send, header
from otaru.apps.server.http import Headers, answer
from otaru.apps.server.ranges import Multipart, Part, parse_range
from otaru.domain.ids import Sha256
from otaru.errors import PreconditionFailedError
from otaru.ports.blobs import Blobs, OpenBlob

PIECE = 256 * 1024


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
    parts = wanted(scope, tag, blob.size)
    if parts is not None and len(parts) > 1:
        await _send_parts(receive, send, blob, headers, Multipart(parts, blob.size, etag[:32].encode("ascii")))
        return
    part, status = Part(0, blob.size), 200
    if parts is not None:
        (part,), status = parts, 206
        headers.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, blob.size)))
    headers.append((b"content-length", b"%d" % part.size))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _body(scope, receive, send, blob, part)


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


def wanted(scope: Scope, tag: bytes, size: int) -> tuple[Part, ...] | None:
    """The parts of the file that are asked for; None for all of it.

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


@lru_cache(maxsize=256)
def disposition(filename: str) -> bytes:
    """A Content-Disposition (RFC 6266) that saves under `filename`, whatever it contains."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        value += f"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
    return value.encode("ascii")


async def _body(scope: Scope, receive: Receive, send: Send, blob: OpenBlob, part: Part) -> None:
    if scope["method"] == "HEAD" or part.size == 0:
        await send({"type": "http.response.body", "body": b""})
    elif "http.response.zerocopysend" in scope.get("extensions", {}) and blob.fileno() is not None:
        await send({"type": "http.response.zerocopysend", "file": blob, "offset": part.start, "count": part.size})
    else:
        with _leaving(receive) as gone:
            await _stream(send, blob, part, gone)


async def _send_parts(receive: Receive, send: Send, blob: OpenBlob, headers: Headers, body: Multipart) -> None:
    """Several parts, each with what says which it is. They are small, or nobody would ask so: they pass through us."""
    told = [pair for pair in headers if pair[0] != b"content-type"]
    told += [(b"content-type", body.content_type), (b"content-length", b"%d" % body.length)]
    await send({"type": "http.response.start", "status": 206, "headers": told})
    with _leaving(receive) as gone:
        for head, part in body.pieces():
            if gone.done():
                return
            await send({"type": "http.response.body", "body": head, "more_body": True})
            await _stream(send, blob, part, gone, more=True)
        await send({"type": "http.response.body", "body": body.end})


async def _stream(send: Send, blob: OpenBlob, part: Part, gone: "asyncio.Future[None]", *, more: bool = False) -> None:
    """Send piece by piece, until the end or until nobody listens. `more`: something comes after it."""
    start = part.start
    while start < part.end and not gone.done():
        piece = await blob.read_at(start, min(PIECE, part.end - start))
        if not piece:
            raise OSError("the file is shorter than it was")
        start += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": more or start < part.end})
        await asyncio.sleep(0)  # neither of these may have waited: that nobody listens is heard in another turn


@contextmanager
def _leaving(receive: Receive) -> Iterator["asyncio.Future[None]"]:
    """Done when nobody listens any more: `send` does not say so, `receive` does."""
    gone = asyncio.ensure_future(_gone(receive))
    try:
        yield gone
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
