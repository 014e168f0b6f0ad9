"""The device side of the native road: `ports.link.Link` over HTTP/1.1, downloads also over HTTP/2.

It says and hears what `protocols.native` makes of bytes. It never waits of itself and never tries again. Redirects are not
followed; the credential goes to the server's own origin, whatever addresses an answer holds.
"""

import re
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from otaru import errors
from otaru.adapters.links import wire
from otaru.adapters.links.lean import httpcore
from otaru.adapters.links.wire import Wire, header
from otaru.domain.deployment import State
from otaru.domain.device import Merge
from otaru.domain.errand import State as ErrandState
from otaru.domain.errand import Went
from otaru.domain.health import Told as HealthTold
from otaru.domain.ids import ActionId, DeviceId, TenantId
from otaru.domain.link import Answer, Batch, Heard, Taking, Told
from otaru.errors import InvalidInputError, OtaruError, StoppedError, UnavailableError
from otaru.ports.clock import Clock
from otaru.protocols import health
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form
from otaru.trust.verify.steps import Source, Want

SLACK_S = 30.0
"""What a held-back poll may take beyond its wait."""
MAX_RETRY_AFTER_S = 86_400
"""The longest wait that a server's Retry-After is believed."""
_MAX_PROBLEM = 64 * 1024
_RANGE = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.ASCII | re.IGNORECASE)
_UNSATISFIED = re.compile(rb"bytes \*/([0-9]{1,18})", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(rb"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a device shows: values of the Authorization header. None of them where it shows a certificate (`trust`)."""

    header: str | None = field(default=None, repr=False)
    director: str | None = field(default=None, repr=False)
    """For its own director metadata, which is asked for as TUF clients do."""

    @classmethod
    def target(cls, device: DeviceId, token: str) -> "Credential":
        """The device's own token."""
        basic = b64encode(f"{device}:{token}".encode()).decode()
        return cls(f"TargetToken {token}", f"Basic {basic}")

    @classmethod
    def bearer(cls, token: str) -> "Credential":
        """A token for an hour."""
        return cls(f"Bearer {token}", f"Bearer {token}")


class NativeLink:
    """Implements `ports.link.Link`."""

    def __init__(
        self,
        server: str,
        tenant: TenantId,
        device: DeviceId,
        credential: Credential,
        clock: Clock,
        *,
        trust: ssl.SSLContext | None = None,
        form: Form = Form.MSGPACK,
        http2: bool = False,
    ) -> None:
        """Take where the server is (`https://HOST[:PORT]`); nothing is connected yet. `trust` may hold a certificate to show.

        With `http2` files come by that from who offers it, where h2 is installed.

        Raises:
            InvalidInputError: it is no address.
        """
        self._server = server.rstrip("/")
        self._origin = wire.origin(server)
        self._query = f"?device={quote(device, '')}&tenant={quote(tenant, '')}"
        self._tuf = f"{self._server}/tuf/{quote(tenant, '')}"
        self._log = f"{self._server}/log/{quote(tenant, '')}/release"
        self._device = device
        self.credential = credential
        """May be replaced by a fresh one."""
        self._wire = Wire(clock, trust, http2=http2)
        self._form = form
        self._last: tuple[bytes, Told] | None = None

    def poll(self, wait: timedelta = timedelta(0), taking: Taking | None = None) -> Told:
        """See the port."""
        seconds = int(wait.total_seconds())
        headers = [(b"accept", self._form.encode())]
        if self._last is not None:
            headers.append((b"if-none-match", self._last[0]))
        query = "&hold=1" + (f"&wait={seconds}" if seconds > 0 else "") + _said(taking)
        found = self._ask(
            "GET", "poll", headers, None, codec.MAX_TOLD, query, within_s=wire.ANSWER_S + seconds + SLACK_S
        )
        if found.status == 304 and self._last is not None:
            after = _retry_after_s(found.headers)
            told = self._last[1]
            return told if after is None else replace(told, poll_after=timedelta(seconds=after))
        told, _ = codec.read_told(found.body, self._spoken(found))
        tag = header(found.headers, b"etag")
        self._last = None if tag is None else (tag, told)
        return told

    def forget(self) -> None:
        """As after a restart: the next poll asks for the whole answer."""
        self._last = None

    def report(self, said: Batch) -> list[Heard]:
        """See the port."""
        found = self._say("reports", codec.batch(said, self._form))
        return codec.read_kept(found.body, self._spoken(found))

    def decide(self, action: ActionId, answer: Answer, until: datetime | None = None, reason: str = "") -> State:
        """See the port."""
        found = self._say("consent", codec.decision(action, answer, until, reason, self._form))
        return codec.read_decided(found.body, self._spoken(found))

    def describe(self, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None:
        """See the port."""
        self._say("attributes", codec.description(attributes, mode, self._form))

    def tell(self, events: Sequence[HealthTold]) -> None:
        """See the port."""
        kind = [(b"content-type", b"application/json")]
        self._ask("POST", "events", kind, health.said(events), _MAX_PROBLEM)

    def errands(self, said: Sequence[Went]) -> dict[int, ErrandState | None]:
        """See the port."""
        found = self._say("errands", codec.errands(said, self._form))
        return codec.read_standing(found.body, self._spoken(found))

    def received(self, errand: int) -> int:
        """See the port."""
        found = self._ask("GET", "diagnostics", [], None, _MAX_PROBLEM, f"&errand={errand}")
        return codec.read_received(found.body, self._spoken(found))

    def send(self, errand: int, first: int, content: bytes, size: int, sha256: str) -> int:
        """See the port."""
        query = f"&errand={errand}&first={first}&size={size}&sha256={sha256}"
        kind = [(b"content-type", b"application/octet-stream")]
        found = self._ask("POST", "diagnostics", kind, content, _MAX_PROBLEM, query)
        return codec.read_received(found.body, self._spoken(found))

    def backed_up(self, sha256: str) -> int:
        """See `BackupRoad`."""
        found = self._ask("GET", "backups", [], None, _MAX_PROBLEM, f"&sha256={sha256}")
        return codec.read_received(found.body, self._spoken(found))

    def back_up(self, name: str, first: int, content: bytes, size: int, sha256: str) -> int:
        """See `BackupRoad`."""
        query = f"&name={quote(name, '')}&first={first}&size={size}&sha256={sha256}"
        kind = [(b"content-type", b"application/octet-stream")]
        found = self._ask("POST", "backups", kind, content, _MAX_PROBLEM, query)
        return codec.read_received(found.body, self._spoken(found))

    def metadata(self, want: Want) -> bytes | None:
        """See the port."""
        match want.source:
            case Source.DIRECTOR:
                url = f"{self._tuf}/director/{quote(self._device, '')}/metadata/{want.name}"
                headers = _authorization(self.credential.director)
            case Source.IMAGE:
                url, headers = f"{self._tuf}/image/metadata/{want.name}", []
            case Source.LOG:
                url, headers = f"{self._log}/proof/{quote(want.role, '')}", []
        # One byte more than may be: then it is found to be too long by who asks, and is not taken for cut short.
        found = self._wire.ask("GET", url, headers, None, max(want.max_length, _MAX_PROBLEM) + 1, cut=True)
        if found.status == 404:
            return None
        _check(found)
        return found.body

    def open(self, address: str, first: int = 0, tag: str = "") -> "NativeDownload":
        """See the port."""
        headers = _authorization(self.credential.header) if wire.origin(address) == self._origin else []
        if first:
            headers.append((b"range", b"bytes=%d-" % first))
            if tag:
                headers.append((b"if-range", tag.encode("latin-1", "replace")))
        answer = self._wire.open(address, headers)
        try:
            return _begun(self._wire, answer, address)
        except BaseException:
            answer.close()
            raise

    def close(self) -> None:
        """See the port. Connections are closed by `native_link`, in the thread that used them."""
        self._wire.stop()

    def _say(self, what: str, body: bytes) -> wire.Answer:
        kinds = [(b"content-type", self._form.encode()), (b"accept", self._form.encode())]
        return self._ask("POST", what, kinds, body, codec.MAX_TOLD)

    def _ask(
        self,
        method: str,
        what: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None,
        limit: int,
        query: str = "",
        within_s: float = wire.ANSWER_S,
    ) -> wire.Answer:
        url = f"{self._server}/device/v1/{what}{self._query}{query}"
        shown = [*_authorization(self.credential.header), *headers]
        found = self._wire.ask(method, url, shown, body, limit, within_s)
        if found.status != 304:
            _check(found)
        return found

    def _spoken(self, found: wire.Answer) -> Form:
        kind = header(found.headers, b"content-type")
        return codec.form_of(None if kind is None else kind.decode("latin-1"))


@contextmanager
def native_link(*what: Any, **options: Any) -> Iterator[NativeLink]:
    """A `NativeLink` of these, whose connections are closed at the end of the block."""
    link = NativeLink(*what, **options)
    try:
        yield link
    finally:
        link._wire.close()  # noqa: SLF001 - the two are one


class NativeDownload:
    """Implements `ports.link.Download`."""

    def __init__(
        self, wire_: Wire, answer: httpcore.Response, address: str, first: int, total: int | None, tag: str
    ) -> None:
        self.first = first
        self.total = total
        self.tag = tag
        self._wire = wire_
        self._answer = answer
        self._address = address
        self._parts = iter(answer.iter_stream())
        self._closed = False

    def read(self) -> bytes:
        """See the port."""
        if self._closed:
            raise StoppedError("the download was closed")
        return self._wire.next(self._parts, self._address)

    def close(self) -> None:
        """See the port."""
        self._closed = True
        self._answer.close()


def _begun(wire_: Wire, answer: httpcore.Response, address: str) -> NativeDownload:
    """What comes, by what the head says of it.

    Raises:
        InvalidInputError: it makes no sense.
        OtaruError: it is refused.
    """
    length = _number(header(answer.headers, b"content-length"))
    tag = (header(answer.headers, b"etag") or b"").decode("latin-1")
    tag = "" if tag.startswith("W/") else tag
    if (header(answer.headers, b"content-encoding") or b"identity") != b"identity":
        raise InvalidInputError(f"{address} packs its bytes, unasked")
    if answer.status == 200:
        return NativeDownload(wire_, answer, address, 0, length, tag)
    if answer.status == 206:
        found = _RANGE.fullmatch((header(answer.headers, b"content-range") or b"").strip())
        if found is None:
            raise InvalidInputError(f"{address} does not say which part it sends")
        first, last = int(found[1]), int(found[2])
        total = None if found[3] == b"*" else int(found[3])
        if last < first or (total is not None and last >= total) or length not in {None, last - first + 1}:
            raise InvalidInputError(f"{address} contradicts itself about the part it sends")
        return NativeDownload(wire_, answer, address, first, total, tag)
    if answer.status == 416:
        size = _UNSATISFIED.fullmatch((header(answer.headers, b"content-range") or b"").strip())
        raise errors.RangeNotSatisfiableError(
            f"{address} has no such byte", size=None if size is None else int(size[1])
        )
    raise _refusal(answer.status, answer.headers, b"")


def _check(found: wire.Answer) -> None:
    if not 200 <= found.status < 300:
        raise _refusal(found.status, found.headers, found.body)


_BY_STATUS: dict[int, type[OtaruError]] = {
    401: errors.UnauthenticatedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.InvalidStateError,
    410: errors.GoneError,
    413: errors.TooLargeError,
    429: errors.OverloadedError,
    503: errors.OverloadedError,
}
_BY_CODE: dict[tuple[int, str], type[OtaruError]] = {
    (403, errors.BackupsOffError.code): errors.BackupsOffError,
    (403, errors.PostponedError.code): errors.PostponedError,
    (429, errors.RateLimitedError.code): errors.RateLimitedError,
}
"""What is told apart by its code; all else by its status."""


def _refusal(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> OtaruError:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        told = None
    told = told if isinstance(told, dict) else {}
    code, detail = (str(told.get(name, "")) for name in ("code", "detail"))
    kind = _BY_CODE.get((status, code)) or _BY_STATUS.get(status)
    if kind is None:
        kind = UnavailableError if status >= 500 else InvalidInputError
    message = f"the server answered {status}" + (f": {detail[:300]}" if detail else "")
    wait = _retry_after_s(headers)
    return kind(message) if wait is None else kind(message, retry_after_s=wait)


def _said(taking: Taking | None) -> str:
    """What a device says of patches, as it stands in a poll's address."""
    if taking is None:
        return ""
    has = f"&has={','.join(taking.has)}" if taking.has else ""
    return f"&forms={','.join(taking.forms)}&memory={taking.memory}{has}"


def _authorization(value: str | None) -> list[tuple[bytes, bytes]]:
    return [] if value is None else [(b"authorization", value.encode())]


def _retry_after_s(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    found = _number(header(headers, b"retry-after"))
    return None if found is None else min(found, MAX_RETRY_AFTER_S)


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None
