"""`/log/{tenant}/{release|audit}/…`: a tenant's logs as c2sp.org/tlog-tiles serves them, and the log's public key.

The release log is for everybody. The audit log wants a token of its tenant that may read it. Tiles never change, so
anything in between may keep them for ever; a checkpoint is asked for anew each time. Who has seen one shows it
(`POST …/consistency`), and is shown that the newest grows from it. `release/proof/PRODUCT:VERSION` is what a device asks for:
that this release was published, in one text (c2sp.org/tlog-proof).
"""

from otaru.apps.server.api.caller import identify
from otaru.apps.server.body import Receive, Scope, Send, read_body
from otaru.apps.server.settings import Settings
from otaru.domain.access import Permission, may
from otaru.domain.ids import TenantId, tenant_id
from otaru.errors import ForbiddenError, InvalidInputError, MethodNotAllowedError, NotFoundError
from otaru.services.control import gossip, transparency
from otaru.services.control.world import World
from otaru.trust.log.entries import Log
from otaru.trust.log.tiles import tile_at

PREFIX = "/log/"
PROOF = "proof/"
MAX_RELEASE = 260
"""Characters of PRODUCT:VERSION."""
_TEXT = b"text/plain; charset=utf-8"
_BYTES = b"application/octet-stream"
_FOR_EVER = b"max-age=31536000, immutable"


class LogRoad:
    """The road's ASGI application."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        tenant, log, rest = _asked(scope["path"])
        methods = ["POST"] if rest == "consistency" else ["GET", "HEAD"]
        if scope["method"] not in methods:
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=methods)
        if log is Log.AUDIT:
            await self._let_in(scope, tenant)
        if rest == "consistency":
            seen = await read_body(scope, receive, gossip.MAX_SEEN)
            body, kind, lasting = (await self._since(tenant, log, seen)), _TEXT, False
        else:
            body, kind, lasting = await self._read(tenant, log, rest)
        cache = _FOR_EVER if lasting else b"no-cache"
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", (b"private, " if log is Log.AUDIT else b"public, ") + cache),
            (b"x-content-type-options", b"nosniff"),
        ]
        if log is Log.RELEASE:
            headers.append((b"access-control-allow-origin", b"*"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _let_in(self, scope: Scope, tenant: TenantId) -> None:
        caller = await identify(self._world, scope, self._settings.public_url)
        if caller.tenant != tenant:
            raise NotFoundError("there is no such log")
        if not may(caller.role, Permission.READ_AUDIT):
            raise ForbiddenError(
                f"the role {caller.role} may not read the audit log",
                hint=f"It needs {Permission.READ_AUDIT}.",
                needs=Permission.READ_AUDIT,
            )

    async def _read(self, tenant: TenantId, log: Log, rest: str) -> tuple[bytes, bytes, bool]:
        """What is served, its type, and whether it never changes."""
        if rest in {"checkpoint", "witnessed", "key"}:
            return await self._head(tenant, log, rest), _TEXT, False
        if rest.startswith(PROOF) and log is Log.RELEASE:
            release = rest.removeprefix(PROOF)
            if len(release) > MAX_RELEASE:
                raise NotFoundError("there is no such release")
            return (await transparency.proof(self._world, tenant, release)).encode(), _TEXT, False
        try:
            place = tile_at(rest)
        except ValueError:
            raise NotFoundError("a log has a checkpoint, a key and tiles", hint="See docs/log.md.") from None
        return await transparency.tile(self._world, tenant, log, place), _BYTES, True

    async def _since(self, tenant: TenantId, log: Log, seen: bytes) -> bytes:
        try:
            note = seen.decode()
        except UnicodeDecodeError:
            raise InvalidInputError("a checkpoint is text") from None
        return (await gossip.since(self._world, tenant, log, note)).encode()

    async def _head(self, tenant: TenantId, log: Log, what: str) -> bytes:
        found = await transparency.state(self._world, tenant, log)
        head = found.witnessed if what == "witnessed" else found.newest
        if head is None:
            raise NotFoundError(f"the {log} log has no {what} yet")
        return (f"{found.tree.verifier}\n" if what == "key" else head.note).encode()


def _asked(path: str) -> tuple[TenantId, Log, str]:
    tenant, _, more = path.removeprefix(PREFIX).partition("/")
    log, _, rest = more.partition("/")
    try:
        return tenant_id(tenant), Log(log), rest
    except (InvalidInputError, ValueError):
        raise NotFoundError("there is no such log") from None
