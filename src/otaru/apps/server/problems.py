"""Our errors in HTTP's language (RFC 9110, RFC 9457): the one table, for the REST API, the roads and the shell alike."""

import json
from typing import Any

from otaru import errors
from otaru.apps.console.problem import problem_as_page
from otaru.apps.console.rendering import HEADERS
from otaru.errors import OtaruError

MEDIA_TYPE = "application/problem+json"

_TABLE: dict[type[OtaruError], tuple[int, str]] = {
    OtaruError: (500, "Internal error"),
    errors.InvalidInputError: (400, "Invalid input"),
    errors.QuerySyntaxError: (400, "Invalid query"),
    errors.UnauthenticatedError: (401, "Not authenticated"),
    errors.ForbiddenError: (403, "Forbidden"),
    errors.RefusedError: (403, "Refused by policy"),
    errors.NotFoundError: (404, "Not found"),
    errors.MethodNotAllowedError: (405, "Method not allowed"),
    errors.AlreadyExistsError: (409, "Already exists"),
    errors.LogSplitError: (409, "Log split"),
    errors.InvalidStateError: (409, "Not in this state"),
    errors.IdempotencyConflictError: (409, "Idempotency-Key used before"),
    errors.GoneError: (410, "Gone"),
    errors.PreconditionFailedError: (412, "Precondition failed"),
    errors.TooLargeError: (413, "Too large"),
    errors.RangeNotSatisfiableError: (416, "Range not satisfiable"),
    errors.ChecksumMismatchError: (422, "Checksum mismatch"),
    errors.MetadataError: (422, "Metadata refused"),
    errors.ImageError: (422, "Image refused"),
    errors.NothingToDoError: (422, "Nothing to do"),
    errors.RateLimitedError: (429, "Too many"),
    errors.OverloadedError: (503, "Overloaded"),
    errors.UnavailableError: (503, "Unavailable"),
    errors.DataFolderError: (500, "Data folder unusable"),
    errors.StorageFullError: (507, "Storage full"),
}

_RETRY_AFTER_S: dict[type[OtaruError], int] = {errors.OverloadedError: 1, errors.UnavailableError: 5}

_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "hint", "request_id", "challenge"})

Headers = list[tuple[bytes, bytes]]


def status_of(error: OtaruError | type[OtaruError]) -> tuple[int, str]:
    """The HTTP status and title of an error: its class's, else the nearest parent's that the table names."""
    kind = error if isinstance(error, type) else type(error)
    return next(_TABLE[parent] for parent in kind.__mro__ if parent in _TABLE)


def problem(error: OtaruError, request_id: str | None = None) -> tuple[int, Headers, bytes]:
    """The answer that tells `error`: status, headers and a problem details object (RFC 9457)."""
    told = _told(error, request_id)
    # Text that came from outside may hold lone surrogates: escapes carry them, UTF-8 cannot.
    body = json.dumps(told, default=str).encode()
    kind = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
    return told["status"], [*kind, (b"content-length", str(len(body)).encode()), *_headers_of(error)], body


def problem_page(error: OtaruError, request_id: str | None = None, *, within: bool) -> tuple[int, Headers, bytes]:
    """The same for somebody who looks at the console: as a page, or `within` one as words."""
    told = _told(error, request_id)
    body = problem_as_page(told, within=within)
    kind = [(b"content-type", b"text/html; charset=utf-8")]
    kind += [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    return told["status"], [*kind, (b"content-length", str(len(body)).encode()), *_headers_of(error)], body


def _told(error: OtaruError, request_id: str | None) -> dict[str, Any]:
    """Facts of the error are members, beside `code` and `hint`; a fact cannot stand in for one of those."""
    status, title = status_of(error)
    told: dict[str, Any] = {
        "type": f"about:blank#{error.code}",
        "title": title,
        "status": status,
        "detail": error.message,
        "code": error.code,
    }
    if error.hint:
        told["hint"] = error.hint
    told |= {name: fact for name, fact in error.facts.items() if name not in _MEMBERS}
    if request_id is not None:
        told["request_id"] = request_id
    return told


def _headers_of(error: OtaruError) -> Headers:
    match error:
        case errors.UnauthenticatedError():
            return [(b"www-authenticate", error.facts.get("challenge", 'Bearer realm="otaru"').encode("latin-1"))]
        case errors.MethodNotAllowedError():
            return [(b"allow", ", ".join(error.facts.get("allowed", ())).encode("latin-1"))]
        case errors.RangeNotSatisfiableError():
            return [(b"content-range", f"bytes */{error.facts.get('size', '*')}".encode())]
        case (
            errors.OverloadedError()
            | errors.UnavailableError()
            | errors.DevicePendingError()
            | errors.RateLimitedError()
        ):
            seconds = error.facts.get("retry_after_s", _RETRY_AFTER_S.get(type(error), 1))
            return [(b"retry-after", str(seconds).encode())]
        case _:
            return []
