"""One request of an admitted device, and the answers that DDI clients take: 200, 304 where they asked for it."""

from dataclasses import dataclass
from hashlib import blake2b

from otaru.apps.server.body import Receive, Scope, Send, read_body
from otaru.domain.ids import ActionId
from otaru.domain.tenant import Tenant
from otaru.ports.registry import Entry
from otaru.protocols.ddi import server as ddi

NO_ACTION = ActionId(0)

_JSON = (b"content-type", b"application/json")
_EMPTY = [(b"content-length", b"0")]


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an admitted device."""

    scope: Scope
    receive: Receive
    send: Send
    tenant: Tenant
    entry: Entry
    origin: str
    known: bytes | None
    """If-None-Match."""
    last: str = ""
    """The path's last word, where it is a file's name."""
    action: ActionId = NO_ACTION

    @property
    def base(self) -> str:
        """The URL of the device's root resource."""
        return ddi.base(self.origin, self.tenant.id, self.entry.subject.id)

    async def body(self, limit: int) -> bytes:
        """The request's body, of at most `limit` bytes."""
        return await read_body(self.scope, self.receive, limit)

    async def say(self, body: bytes) -> None:
        """Answer with JSON."""
        tag = b'"' + blake2b(body, digest_size=8).hexdigest().encode() + b'"'
        if self.known is not None and (tag in self.known or self.known == b"*"):
            await self.send({"type": "http.response.start", "status": 304, "headers": [(b"etag", tag)]})
            await self.send({"type": "http.response.body", "body": b""})
            return
        headers = [_JSON, (b"content-length", str(len(body)).encode()), (b"etag", tag)]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def nod(self) -> None:
        """Answer that all is well; there is nothing to say."""
        await self.send({"type": "http.response.start", "status": 200, "headers": _EMPTY})
        await self.send({"type": "http.response.body", "body": b""})
