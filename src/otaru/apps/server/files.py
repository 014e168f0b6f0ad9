"""Stored bytes as an answer: whole or a range, at constant memory (RFC 9110, sections 13 and 14)."""

import re
from urllib.parse import quote

from otaru.apps.server.body import Scope, Send, header
from otaru.domain.release import Blob
from otaru.errors import NotFoundError, RangeNotSatisfiableError
from otaru.ports.blobs import Blobs

_STEP = 256 * 1024
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


async def serve_blob(blobs: Blobs, blob: Blob, filename: str, scope: Scope, send: Send, *, x_accel: str = "") -> None:
    """Answer GET or HEAD with a blob.

    Raises:
        NotFoundError: the bytes are gone.
        RangeNotSatisfiableError: the range lies outside the file.
    """
    etag = f'"{blob.sha256}"'.encode()
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag),
        (b"content-disposition", f"attachment; filename*=UTF-8''{quote(filename, safe='')}".encode()),
    ]
    if etag in (header(scope, b"if-none-match") or b""):
        await _send(send, 304, headers, b"")
        return
    if x_accel:
        path = blobs.path(blob.sha256)
        if path is None:
            raise NotFoundError("the bytes are gone")
        await _send(send, 200, [*headers, (b"x-accel-redirect", (x_accel + path).encode())], b"")
        return
    span = _span(scope, blob.size, etag)
    start, end = span or (0, blob.size)
    headers.append((b"content-length", str(end - start).encode()))
    if span is not None:
        headers.append((b"content-range", f"bytes {start}-{end - 1}/{blob.size}".encode()))
    status = 200 if span is None else 206
    if scope["method"] == "HEAD":
        await _send(send, status, headers, b"")
        return
    with blobs.open(blob.sha256) as opened:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while start < end:
            piece = await opened.read_at(start, min(_STEP, end - start))
            start += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _span(scope: Scope, size: int, etag: bytes) -> tuple[int, int] | None:
    """The half-open range that is asked for; None for the whole file."""
    asked = header(scope, b"range")
    condition = header(scope, b"if-range")
    if asked is None or (condition is not None and condition != etag):
        return None
    found = _RANGE.fullmatch(asked.replace(b" ", b""))
    if found is None or found.groups() == (b"", b""):
        return None  # several ranges, or none that we know: the whole file is a right answer
    first, last = found.groups()
    if first == b"":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= size or start >= end:
        if first and last and int(last) < int(first):
            return None
        raise RangeNotSatisfiableError(f"the range lies outside the file of {size} bytes", size=size)
    return start, end
