"""One request of an admitted device, and the answers that DDI clients take: 200, 304 where they asked for it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote

from otaru.apps.server.body import Receive, Scope, Send, read_body
from otaru.apps.server.http import Headers, Whole, answer
from otaru.domain.deployment import State
from otaru.domain.device import Lifecycle
from otaru.domain.ids import ActionId
from otaru.domain.offer import Membership, Plan
from otaru.domain.release import Artifact
from otaru.domain.tenant import Tenant
from otaru.errors import NotFoundError
from otaru.ports.registry import Entry
from otaru.protocols.ddi import server as ddi
from otaru.protocols.ddi import words

NO_ACTION = ActionId(0)

_JSON = (b"content-type", b"application/json")
_EMPTY = [(b"content-length", b"0")]


@dataclass(frozen=True, slots=True)
class _Text:
    """A JSON answer, ready to be sent."""

    body: bytes
    headers: Headers
    tag: bytes


def _text(body: bytes) -> _Text:
    tag = b'"' + blake2b(body, digest_size=8).hexdigest().encode() + b'"'
    return _Text(body, [_JSON, (b"content-length", str(len(body)).encode()), (b"etag", tag)], tag)


@lru_cache(maxsize=256)
def _idle(interval: timedelta) -> _Text:
    """One for each polling interval, which is a tenant's: most answers of a server's life are made once."""
    return _text(ddi.idle(interval))


def idle(interval: timedelta) -> Whole:
    """The answer to a poll with nothing due."""
    text = _idle(interval)
    return text.headers, text.body


def may_install(entry: Entry) -> bool:
    """A quarantined device may report, and be told to stop; it is given nothing to install."""
    return entry.subject.lifecycle is Lifecycle.ACTIVE


@dataclass(eq=False, slots=True)
class Call:
    """One request of an admitted device. Not frozen, which would make making it three times as dear; nobody changes it."""

    scope: Scope
    receive: Receive
    send: Send
    tenant: Tenant
    entry: Entry
    public_url: str
    host: bytes | None
    known: bytes | None
    """If-None-Match."""
    last: str = ""
    """The path's last word, where it is a file's name."""
    action: ActionId = NO_ACTION

    @property
    def origin(self) -> str:
        """Where the device sees us."""
        return self.public_url or f"{self.scope['scheme']}://{(self.host or b'localhost').decode('latin-1')}"

    @property
    def base(self) -> str:
        """The URL of the device's root resource."""
        return ddi.base(self.origin, self.tenant.id, self.entry.subject.id)

    def refuse_unfit(self) -> None:
        """What is to be installed, and its files, are for active devices only."""
        if not may_install(self.entry):
            raise self._no_action("The device is not active.")

    def mine(self, states: Collection[State]) -> Membership:
        """The open deployment, if it is the one that is asked for and in one of `states`."""
        open_ = self.entry.subject.open
        if open_ is None or open_.action != self.action or open_.state not in states:
            raise self._no_action()
        return open_

    def artifacts(self, plan: Plan) -> tuple[Artifact, ...]:
        """What a rollout has for this device."""
        artifacts = plan.release.artifacts_for(self.entry.subject.hardware)
        if not artifacts:
            raise NotFoundError(f"action {self.action} has nothing for this device's hardware")
        return artifacts

    def file(self, artifact: Artifact, *, alone: bool = True) -> words.File:
        """A file as the device is told of it."""
        blob = artifact.blob
        path = ddi.file_path(self.tenant.id, self.entry.subject.id, self.action, artifact.filename, alone=alone)
        return words.File(artifact.filename, blob.sha256, blob.sha1, blob.md5, blob.size, self.origin + path)

    async def body(self, limit: int) -> bytes:
        """The request's body, of at most `limit` bytes."""
        return await read_body(self.scope, self.receive, limit)

    async def say(self, body: bytes) -> None:
        """Answer with JSON."""
        await self._tell(_text(body))

    async def say_md5sum(self, artifact: Artifact) -> None:
        """Answer with the line that `md5sum -c` reads."""
        body = ddi.md5sum(self.file(artifact))
        name = quote(artifact.filename + ".MD5SUM", safe="")
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"content-disposition", f"attachment; filename*=UTF-8''{name}".encode()),
        ]
        await answer(self.scope, self.send, 200, headers, body)

    async def idle(self, interval: timedelta) -> None:
        """Answer a poll with nothing due."""
        await self._tell(_idle(interval))

    async def nod(self) -> None:
        """Answer that all is well; there is nothing to say."""
        await answer(self.scope, self.send, 200, _EMPTY)

    def _no_action(self, hint: str | None = None) -> NotFoundError:
        return NotFoundError(f"there is no such action {self.action} now", hint=hint)

    async def _tell(self, text: _Text) -> None:
        if self.known is not None and (text.tag in self.known or self.known == b"*"):
            await answer(self.scope, self.send, 304, [(b"etag", text.tag)])
        else:
            await answer(self.scope, self.send, 200, text.headers, text.body)
