"""The device side of the DDI road: one cheap object a device, one pool of connections for all of a process.

A link says and hears what `otaru.protocols.ddi.device` makes of bytes; what a device does about it is not its business.
It never waits and never tries again: it raises, and the device knows how patient it is. Downloads run at constant
memory into a `Transfer`, which any number of broken connections fill one after the other (Range), and which checks the
bytes at the end against the digests that were announced.

The credential goes only to the server's own origin, whatever hrefs an answer holds.
"""

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from otaru import errors
from otaru.domain.device import Merge
from otaru.domain.ids import ActionId
from otaru.protocols.ddi import device as ddi
from otaru.protocols.ddi.words import Answer, Channel, Consent, Deployment, Feedback, File, Root

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer that are read, downloads aside."""
CONNECT_S = 10.0
SILENCE_S = 60.0
"""How long a connection may be silent."""
IDLE_S = 3.0
"""How long an unused connection is kept: shorter than servers do, so that none is used that is just being closed."""

_RETRY_AFTER_S = 3600
"""The longest wait that a server's Retry-After is believed."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a device shows: the value of its Authorization header."""

    header: str = field(repr=False)

    @classmethod
    def target(cls, token: str) -> "Credential":
        """The device's own token."""
        return cls(f"TargetToken {token}")

    @classmethod
    def gateway(cls, token: str) -> "Credential":
        """The token of a gateway that acts for its tenant's devices."""
        return cls(f"GatewayToken {token}")


class Transfer:
    """The bytes of one file as they come in, over as many connections as it takes.

    `keep` gets the bytes in order and each once; after `begin_anew` it gets them from the start again, so a caller that
    stores them passes `rewind` to be told.
    """

    def __init__(
        self,
        file: File,
        keep: Callable[[bytes], object] | None = None,
        rewind: Callable[[], object] | None = None,
    ) -> None:
        self.file = file
        self.offset = 0
        self._keep = keep
        self._rewind = rewind
        self._digests = _digests(file)

    def take(self, part: bytes) -> None:
        """Take the next bytes.

        Raises:
            ChecksumMismatchError: there are more than were announced.
        """
        if self.offset + len(part) > self.file.size:
            raise errors.ChecksumMismatchError(f"{self.file.filename} is longer than {self.file.size} bytes")
        self.offset += len(part)
        for digest in self._digests.values():
            digest.update(part)
        if self._keep is not None:
            self._keep(part)

    def begin_anew(self) -> None:
        """Forget what came: the server does not continue where we were."""
        self.offset = 0
        self._digests = _digests(self.file)
        if self._rewind is not None:
            self._rewind()

    @property
    def sha256(self) -> str:
        """Of the bytes that came so far."""
        return self._digests["sha256"].hexdigest()

    def verify(self) -> None:
        """Check that these are the bytes that were announced.

        Raises:
            ChecksumMismatchError: they are not, or not all of them; or no digest was announced.
        """
        name = self.file.filename
        if self.offset != self.file.size:
            raise errors.ChecksumMismatchError(f"{name} has {self.offset} bytes, {self.file.size} were announced")
        announced = {"sha256": self.file.sha256, "sha1": self.file.sha1}
        if not any(announced.values()):
            raise errors.ChecksumMismatchError(f"no digest was announced for {name}")
        for kind, expected in announced.items():
            if expected and (found := self._digests[kind].hexdigest()) != expected.lower():
                raise errors.ChecksumMismatchError(f"{name}: the {kind} is {found}, {expected} was announced")


def _digests(file: File) -> "dict[str, hashlib._Hash]":
    digests = {"sha256": hashlib.sha256()}
    if file.sha1:
        digests["sha1"] = hashlib.sha1(usedforsecurity=False)
    return digests


class DdiLink:
    """One device's side of the road."""

    __slots__ = ("_etag", "_headers", "_last", "_url", "_wire")

    def __init__(self, wire: "Wire", url: URL, credential: Credential) -> None:
        self._wire = wire
        self._url = url
        self._headers = {"Authorization": credential.header}
        self._etag = ""
        self._last: Root | None = None

    def forget(self) -> None:
        """As after a reboot: the next poll asks for the whole answer."""
        self._etag, self._last = "", None

    async def poll(self) -> Root:
        """Ask what is due.

        Every method raises
            UnauthenticatedError, ForbiddenError: the credential is not good (enough).
            NotFoundError: the server does not know the device, or the action.
            OverloadedError: not now; `retry_after_s` where the server says when.
            UnavailableError: no server answers, or it fails.
            InvalidInputError: it answers something else than DDI.
        """
        conditional = {"If-None-Match": self._etag} if self._last is not None and self._etag else {}
        status, headers, body = await self._send("GET", self._url, None, conditional)
        if status == 304 and self._last is not None:
            return self._last
        heard = ddi.root(body)
        self._etag, self._last = headers.get("ETag", ""), heard
        return heard

    async def configure(self, href: str, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None:
        """Report the device's attributes. Raises as `poll`."""
        await self._send("PUT", _href(href), ddi.attributes(attributes, mode))

    async def deployment(self, href: str) -> Deployment:
        """Fetch an order. Raises as `poll`."""
        return ddi.deployment(await self._get(href))

    async def confirmation(self, href: str) -> Deployment:
        """Fetch an order that waits for consent. Raises as `poll`."""
        return ddi.confirmation(await self._get(href))

    async def confirm(self, action: ActionId, answer: Answer, *sentences: str) -> None:
        """Say yes or no to an order that waits for consent. Raises as `poll`."""
        url = self._url / "confirmationBase" / str(action) / "feedback"
        await self._send("POST", url, ddi.consent(Consent(answer, sentences)))

    async def cancellation(self, href: str) -> ActionId:
        """Fetch which action is to be cancelled. Raises as `poll`."""
        return ddi.cancel(await self._get(href))

    async def report(self, action: ActionId, said: Feedback, channel: Channel = Channel.DEPLOYMENT) -> None:
        """Say how it goes; when it returns, the server has it durably. Raises as `poll`."""
        url = self._url / channel / str(action) / "feedback"
        await self._send("POST", url, ddi.feedback(action, said))

    async def receive(self, transfer: Transfer, until: int | None = None) -> None:
        """Fetch (more of) a file over one connection, up to `until` bytes, where the connection is broken off.

        What came before an error stays in `transfer`. Raises as `poll`, and
            ChecksumMismatchError: there are more bytes than were announced.
        """
        url = _href(transfer.file.href)
        headers = {"Accept": "application/octet-stream", **self._credential(url)}
        if transfer.offset:
            headers["Range"] = f"bytes={transfer.offset}-"
        with _told(url):
            async with self._wire.session.get(url, headers=headers) as answer:
                if answer.status not in {200, 206, 416}:
                    raise _refusal(answer.status, answer.headers, url)
                if not _continues(answer, transfer):
                    transfer.begin_anew()
                if answer.status == 416:  # nothing lies where we were: next time from the start
                    return
                await _pour(answer, transfer, until)

    def _credential(self, url: URL) -> Mapping[str, str]:
        return self._headers if url.origin() == self._wire.origin else {}

    async def _get(self, href: str) -> bytes:
        return (await self._send("GET", _href(href), None))[2]

    async def _send(
        self, method: str, url: URL, body: bytes | None, extra: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {**self._credential(url), **(extra or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with _told(url):
            request = self._wire.session.request(method, url, data=body, headers=headers, allow_redirects=False)
            async with request as answer:
                if answer.status not in {200, 204, 304}:
                    raise _refusal(answer.status, answer.headers, url)
                return answer.status, answer.headers, await _whole(answer)


@dataclass(frozen=True, slots=True)
class Wire:
    """The connections that all links of a process share; `wire` makes one."""

    session: aiohttp.ClientSession
    base: URL
    origin: URL
    tenant: str

    def link(self, device: str, credential: Credential) -> DdiLink:
        """A device's link. It costs a few hundred bytes and no connection."""
        return DdiLink(self, self.base / device, credential)


@asynccontextmanager
async def wire(
    server: str, tenant: str, *, connections: int = 100, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Wire]:
    """Open a pool of at most so many connections to a server (`http://HOST:PORT`, or HTTPS).

    Requests beyond wait for a free connection, in their order. Without `trust`, the certificates that the system trusts
    are trusted.
    """
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE_S, ssl=trust or True)
    # No total: a download takes as long as it takes, and waiting for a free connection is no fault of the server.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    origin = URL(server).origin()
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": "otaru-link", "Accept": "application/json"},
        skip_auto_headers=("Accept-Encoding",),
    ) as session:
        yield Wire(session, URL(server) / tenant / "controller" / "v1", origin, tenant)


class _told:  # noqa: N801 - reads as a statement
    """Turns what the network does into our errors. A class, since it runs for every request of thousands of devices."""

    __slots__ = ("_url",)

    def __init__(self, url: URL) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, aiohttp.ClientError | OSError):
            message = f"{self._url.origin()} does not answer: {str(error) or type(error).__name__}"
            raise errors.UnavailableError(message) from None


def _href(text: str) -> URL:
    """An href as it stands, which must be absolute.

    Raises:
        InvalidInputError: it is not.
    """
    try:
        url = URL(text, encoded=True)
        url.origin()
    except ValueError:
        raise errors.InvalidInputError(f"{text[:200]!r} is not an absolute URL") from None
    return url


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER:
            raise errors.InvalidInputError("the server's answer is longer than any of DDI")
        parts.append(part)
    return b"".join(parts)


def _continues(answer: aiohttp.ClientResponse, transfer: Transfer) -> bool:
    """Whether an answer's bytes follow on those that came before."""
    if transfer.offset == 0:
        return True
    start = f"bytes {transfer.offset}-"
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(start)


async def _pour(answer: aiohttp.ClientResponse, transfer: Transfer, until: int | None) -> None:
    """Take the body's bytes; at `until` break the connection off."""
    end = transfer.file.size if until is None else until
    async for part in answer.content.iter_any():
        if transfer.offset + len(part) > end and end < transfer.file.size:
            transfer.take(part[: end - transfer.offset])
            answer.close()
            return
        transfer.take(part)
    if transfer.offset < end:
        raise errors.UnavailableError(f"the download ended at byte {transfer.offset} of {transfer.file.size}")


def _refusal(status: int, headers: Mapping[str, str], url: URL) -> errors.OtaruError:
    message = f"the server answered {status} to {url.path}"
    match status:
        case 401:
            return errors.UnauthenticatedError(message)
        case 403:
            return errors.ForbiddenError(message)
        case 404 | 410:
            return errors.NotFoundError(message)
        case 409:
            return errors.InvalidStateError(message)
        case 413:
            return errors.TooLargeError(message)
        case 429 | 503:
            return errors.OverloadedError(message, retry_after_s=_retry_after_s(headers))
        case _ if status >= 500:
            return errors.UnavailableError(message)
        case _:
            return errors.InvalidInputError(message)


def _retry_after_s(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Retry-After", "")
    return min(int(text), _RETRY_AFTER_S) if text.isascii() and text.isdigit() and len(text) < 10 else None
