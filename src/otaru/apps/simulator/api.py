"""The few calls of the REST API that a fleet (and the demo) needs, on the event loop."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from otaru import errors

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer that are read; a page of 1,000 devices has less than one million."""
PAGE = 1000

_BY_CODE: Mapping[str, type[errors.OtaruError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.OtaruError)
}
_BY_STATUS: Mapping[int, type[errors.OtaruError]] = {
    400: errors.InvalidInputError,
    401: errors.UnauthenticatedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.InvalidStateError,
    413: errors.TooLargeError,
    503: errors.UnavailableError,
}


@dataclass(frozen=True, slots=True)
class Api:
    """A connection to `/api/v1` of one server with one API token."""

    session: aiohttp.ClientSession
    server: str

    async def call(self, method: str, path: str, body: object = None, **query: str | int) -> Any:
        """Send one request and return the decoded answer; None where it has no body.

        Raises:
            OtaruError: what the server says, as the class that raised it there.
            UnavailableError: the server cannot be reached.
        """
        data = json.dumps(body).encode() if body is not None else None
        return await self._send(method, path, data, "application/json", query)

    async def upload(self, path: str, content: bytes, **query: str | int) -> Any:
        """Send raw bytes; as `call` otherwise."""
        return await self._send("POST", path, content, "application/octet-stream", query)

    async def every(self, path: str, **query: str | int) -> AsyncIterator[Any]:
        """All items of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.call("GET", path, limit=PAGE, **query, **cursor)
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    async def _send(self, method: str, path: str, data: bytes | None, kind: str, query: Mapping[str, str | int]) -> Any:
        headers = {"Content-Type": kind} if data is not None else {}
        url = f"{self.server}/api/v1{path}"
        try:
            async with self.session.request(method, url, data=data, headers=headers, params=query) as answer:
                text = await _whole(answer)
                if answer.status >= 400:
                    raise _said(answer.status, text)
        except aiohttp.ClientConnectorCertificateError as error:
            cause = error.certificate_error
            raise errors.UnavailableError(
                f"the certificate of {self.server} is not trusted: {getattr(cause, 'verify_message', None) or cause}",
                hint="Name the file of its CA with --ca FILE or OTARU_CA.",
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise errors.UnavailableError(
                f"{self.server} does not answer: {str(error) or type(error).__name__}"
            ) from None
        return json.loads(text) if text else None


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    parts = bytearray()
    async for part in answer.content.iter_any():
        parts += part
        if len(parts) > MAX_ANSWER:
            raise errors.TooLargeError("the server's answer is too long", limit=MAX_ANSWER)
    return bytes(parts)


def _said(status: int, text: bytes) -> errors.OtaruError:
    try:
        problem = json.loads(text)
        code, detail, hint = problem["code"], problem["detail"], problem.get("hint")
    except (ValueError, KeyError, TypeError):
        kind = _BY_STATUS.get(status, errors.UnavailableError)
        return kind(f"the server answered {status}")
    return _BY_CODE.get(code, errors.OtaruError)(str(detail), hint=hint)


@asynccontextmanager
async def connected(server: str, token: str, trust: ssl.SSLContext | None = None) -> AsyncIterator[Api]:
    """Talk to a server with an API token; without `trust` it trusts the certificates that the system does."""
    timeout = aiohttp.ClientTimeout(total=120, sock_connect=10)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    connector = aiohttp.TCPConnector(ssl=trust or True)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Api(session, server.rstrip("/"))
