"""Problem details (RFC 9457) and broken connections, as our own errors: the client's edge of `errors.py`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otaru import errors
from otaru.errors import OtaruError, UnavailableError

if TYPE_CHECKING:
    import ssl

MAX_SHOWN = 500


# Those of `errors` alone: what else is raised somewhere (a device's refusals) is no server's answer.
BY_CODE: dict[str, type[OtaruError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OtaruError)
}
BY_STATUS: dict[int, type[OtaruError]] = {
    400: errors.InvalidInputError,
    401: errors.UnauthenticatedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.InvalidStateError,
    412: errors.PreconditionFailedError,
    413: errors.TooLargeError,
    416: errors.RangeNotSatisfiableError,
    422: errors.InvalidInputError,
    429: errors.OverloadedError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    504: errors.UnavailableError,
    507: errors.StorageFullError,
}
"""For answers that are no problem details: somebody else between us and the server spoke."""

_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "code", "hint", "message", "self"})


def problem(status: int, headers: Mapping[str, str], body: bytes, where: str) -> OtaruError:
    """The error that an answer tells of."""
    if 300 <= status < 400:
        return not_ours(where, f"it redirects to {headers.get('location', 'nowhere')[:MAX_SHOWN]}")
    told = _told(headers, body)
    if told is None:
        kind = BY_STATUS.get(status, OtaruError)
        error = kind(f"{where} answered {status} without saying why", hint=_hint(kind))
    else:
        kind = BY_CODE.get(str(told.get("code")), BY_STATUS.get(status, OtaruError))
        message = str(told.get("detail") or told.get("title") or f"{where} answered {status}")
        facts = {name: value for name, value in told.items() if name not in _MEMBERS}
        error = kind(message, hint=told.get("hint") or _hint(kind), **facts)
    if (wait := headers.get("retry-after", "")).isdecimal() and wait.isascii():
        error.facts["retry_after_s"] = float(min(int(wait), 3600))
    return error


def _told(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if not headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        told = json.loads(body)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _hint(kind: type[OtaruError]) -> str | None:
    if kind is errors.UnauthenticatedError:
        return "Make a token on the server's machine: otaru token create --data DIR --role admin."
    return None


def not_ours(where: str, what: str) -> OtaruError:
    """The error of an answer that no Otaru server gives."""
    return OtaruError(
        f"{where} does not answer as an Otaru server: {what}", hint="Check the address (OTARU_SERVER, --server)."
    )


def trouble(error: Exception, where: str) -> UnavailableError:
    """The error of a connection that failed: `again` in its facts says whether another try makes sense."""
    import httpx

    if (tls := _tls(error)) is not None:
        return tls_trouble(tls, where)
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return UnavailableError(
                f"no server answers at {where}",
                hint="Is it running? Its address: OTARU_SERVER or --server.",
                again=True,
            )
        case httpx.TimeoutException():
            return UnavailableError(f"{where} takes too long to answer", again=False)
        case httpx.UnsupportedProtocol() | httpx.ProxyError():
            return UnavailableError(f"{where} cannot be reached: {str(error)[:MAX_SHOWN]}", again=False)
        case _:
            return UnavailableError(f"the connection to {where} broke", again=True)


def tls_trouble(error: "ssl.SSLError", where: str) -> UnavailableError:
    """The error of a TLS handshake that failed: trying again changes nothing."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"the certificate of {where} is not trusted: {getattr(error, 'verify_message', None) or error}",
            hint="Name the file of its CA with --ca or OTARU_CA.",
            again=False,
        )
    return UnavailableError(
        f"{where} does not speak TLS as we do: {getattr(error, 'reason', None) or error}",
        hint="Is it http:// rather than https://?",
        again=False,
    )


def _tls(error: BaseException | None) -> "ssl.SSLError | None":
    import ssl

    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLError):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None
