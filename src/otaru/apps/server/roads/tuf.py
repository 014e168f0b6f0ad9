"""A tenant's repositories, as any TUF client fetches them.

The image repository is at `/tuf/{tenant}/image/metadata/…` and `…/targets/…`, the director's at
`/tuf/{tenant}/director/{device}/metadata/…`, which only that device reads, by its own credential; the director's roots are
at `/tuf/{tenant}/director/metadata/…` too, for everybody.

The image repository's metadata is for everybody: it is signed, and who may read it must not depend on what it says.
Targets are a tenant's firmware: they want the credential of a device (`Authorization: Basic`, its id and target token,
`Bearer` and its token for an hour, or its certificate) or of a person (`Bearer` and an API token), unless the tenant
lets artifacts be fetched anonymously.
"""

from otaru.apps.server.body import Receive, Scope, Send, header
from otaru.apps.server.files import not_modified, serve_artifact
from otaru.apps.server.roads.basic import basic
from otaru.apps.server.roads.certificates import certificates
from otaru.apps.server.roads.credentials import admit, device_of
from otaru.apps.server.roads.grants import Grants
from otaru.apps.server.settings import Settings
from otaru.domain.ids import tenant_id
from otaru.domain.tenant import Tenant
from otaru.errors import InvalidInputError, MethodNotAllowedError, NotFoundError, UnauthenticatedError
from otaru.ports.registry import Entry
from otaru.services.control import admission, directing, metadata, tokens
from otaru.services.control.world import World

CHALLENGE = 'Basic realm="otaru"'
METHODS = ("GET", "HEAD")


class TufRoad:
    """The ASGI application below `/tuf/`."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._certificates = certificates(settings)
        self._grants = Grants(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            OtaruError: the shell tells it as a problem.
        """
        _, _, name, repository, kind, *rest = [*scope["path"].split("/", 5), "", "", ""][:6]
        if repository == "director":
            await self._director(scope, send, name, [kind, *rest[0].split("/")])
            return
        if repository != "image" or kind not in {"metadata", "targets"} or not rest[0]:
            raise NotFoundError("there is no such TUF repository")
        if scope["method"] not in METHODS:
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=METHODS)
        tenant = await self._tenant(name)
        if kind == "metadata":
            await self._metadata(scope, send, tenant, rest[0])
        else:
            await self._target(scope, receive, send, tenant, rest[0])

    async def _metadata(self, scope: Scope, send: Send, tenant: Tenant, name: str) -> None:
        kept = await metadata.file(self._world, tenant.id, name)
        await _send(scope, send, kept.content, f"{kept.role}-{kept.version}")

    async def _director(self, scope: Scope, send: Send, name: str, parts: list[str]) -> None:
        *own, kind, file = ["", *parts][-3:]
        device = own[0] if own else ""
        if kind != "metadata" or not file or len(parts) != (3 if device else 2):
            raise NotFoundError("there is no such TUF repository")
        if scope["method"] not in METHODS:
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=METHODS)
        tenant = await self._tenant(name)
        if not device:
            found = await directing.root(self._world, tenant.id, file)
        else:
            found = await directing.file(self._world, tenant.id, await self._own(scope, tenant, device), file)
        await _send(scope, send, found.content, found.tag)

    async def _own(self, scope: Scope, tenant: Tenant, device: str) -> Entry:
        """The device itself, by its own credential: nobody else's opens what is made for it.

        Raises:
            UnauthenticatedError: it is somebody else.
        """
        authorization = header(scope, b"authorization")
        scheme = (authorization or b"").decode("latin-1").partition(" ")[0]
        certificate = None
        if scheme.lower() == "basic":
            authorization = _token_of(device, authorization or b"")
        elif authorization is None and self._certificates is not None:
            certificate = self._certificates.shown(scope, self._world.clock.now())
        if scheme.lower() == "gatewaytoken":
            raise _refused()
        try:
            _, entry = await admit(self._world, tenant.id, device, authorization, certificate, grants=self._grants)
        except (NotFoundError, UnauthenticatedError):
            raise _refused() from None
        return entry

    async def _target(self, scope: Scope, receive: Receive, send: Send, tenant: Tenant, address: str) -> None:
        if not tenant.settings.download_anonymous:
            await self._admit(scope, tenant)
        artifact = await metadata.target(self._world, tenant.id, address)
        blobs, accel = self._world.blobs, self._settings.x_accel
        await serve_artifact(
            scope, receive, send, blobs, artifact.blob.sha256, filename=artifact.filename, x_accel=accel
        )

    async def _admit(self, scope: Scope, tenant: Tenant) -> None:
        """Let a device or a person of the tenant through.

        Raises:
            UnauthenticatedError: it is neither.
        """
        authorization = header(scope, b"authorization") or b""
        scheme, _, shown = authorization.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and "." in shown:  # a JWT's parts; an API token has no dots
            await self._device_for_an_hour(tenant, authorization)
        elif scheme.lower() == "bearer":
            if (await tokens.check(self._world, shown.strip())).tenant != tenant.id:
                raise _refused()
        elif scheme.lower() == "basic":
            await self._device(tenant, authorization)
        elif not scheme and self._certificates is not None:
            certificate = self._certificates.shown(scope, self._world.clock.now())
            device = None if certificate is None else await device_of(self._world, tenant.id, certificate)
            if device is None:
                raise _refused()
            await admit(self._world, tenant.id, device, None, certificate)
        else:
            raise _refused()

    async def _device(self, tenant: Tenant, authorization: bytes) -> None:
        try:
            device, token = basic(authorization)
            await admit(self._world, tenant.id, device, b"TargetToken " + token)
        except (NotFoundError, UnauthenticatedError):
            raise _refused() from None

    async def _device_for_an_hour(self, tenant: Tenant, authorization: bytes) -> None:
        grant = await self._grants.shown(tenant.id, authorization)
        if grant is None:
            raise _refused()
        try:
            await admit(self._world, tenant.id, grant.device, authorization, grants=self._grants)
        except (NotFoundError, UnauthenticatedError):
            raise _refused() from None

    async def _tenant(self, name: str) -> Tenant:
        try:
            found = await admission.tenant(self._world, tenant_id(name))
        except InvalidInputError:
            found = None
        if found is None:
            raise NotFoundError("there is no such tenant")
        return found


async def _send(scope: Scope, send: Send, content: bytes, name: str) -> None:
    """Answer with a metadata file, whose content is never another under this name."""
    tag = f'"{name}"'.encode()
    known = not_modified(scope, tag)
    headers = [(b"etag", tag), (b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff")]
    if not known:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 304 if known else 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if known or scope["method"] == "HEAD" else content})


def _token_of(device: str, authorization: bytes) -> bytes:
    """A device's own target token, of Basic, as the scheme of that name has it."""
    try:
        named, token = basic(authorization)
    except UnauthenticatedError:
        raise _refused() from None
    if named != device:
        raise _refused()
    return b"TargetToken " + token


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError(
        "targets want the credential of a device or a person of this tenant",
        hint="Send Authorization: Basic with the device's id and target token, or Bearer with an API token.",
        challenge=CHALLENGE,
    )
