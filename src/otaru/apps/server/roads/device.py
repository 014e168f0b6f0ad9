"""`/device/v1/…`: what devices ask of us in JSON, beside any other server's protocol.

A device comes by itself (`enroll`) and is given tokens for an hour (`token`); what it does once it is known is `native`.

To enroll it shows a claim: `Authorization: Bearer CLAIM`, or a claim certificate as devices show theirs
(`certificates.py`). What a device signs is described in `trust.possession`, what became of it is told as

- 201: taken in; `token` is its target token, `certificate` its certificate, where it asked for one (shown this once);
- 202 with Retry-After: it waits until somebody accepts it, and asks again;
- 403: refused; `code` says why.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from json import dumps
from typing import Annotated, Any

import msgspec

from otaru.apps.server.body import Receive, Scope, Send, header, read_body
from otaru.apps.server.roads.certificates import certificates
from otaru.apps.server.roads.credentials import is_signed
from otaru.apps.server.roads.grants import Grants
from otaru.apps.server.roads.native import RESOURCES, NativeRoad
from otaru.apps.server.settings import Settings
from otaru.domain.device import MAX_ATTRIBUTE_VALUE, Device, hardware
from otaru.domain.enrollment import Wanted
from otaru.domain.ids import DEFAULT_TENANT, TenantId, device_id, tenant_id
from otaru.errors import InvalidInputError, MethodNotAllowedError, NotFoundError, UnauthenticatedError
from otaru.ports.store import Claim
from otaru.services.control import admission, enrolling, grants
from otaru.services.control.enrolling import Asked, Welcome
from otaru.services.control.enrollments import by_token
from otaru.services.control.world import World
from otaru.trust.grant import LIFE
from otaru.trust.pki.certificates import PublicKey, Request, pem, read_key, read_request
from otaru.trust.possession import MAX_SIGNATURE, Proof

MAX_PEM = 2048
"""Characters of a public key. One on P-384 has 215."""
MAX_CSR = 16 * 1024
PREFIX = "/device/v1/"
MAX_BODY = 64 * 1024
MAX_CLAIM = 512
CHALLENGE = 'Bearer realm="otaru"'

_Name = Annotated[str, msgspec.Meta(max_length=300)]
_Value = Annotated[str, msgspec.Meta(max_length=MAX_ATTRIBUTE_VALUE, pattern=r"^[^\x00]*$")]


class _Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    time: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    signature: Annotated[str, msgspec.Meta(max_length=2 * MAX_SIGNATURE)]


class _Enroll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: _Name
    tenant: _Name | None = None
    want: Wanted | None = None
    hardware: _Name | None = None
    attributes: dict[str, _Value] | None = None
    public_key: Annotated[str, msgspec.Meta(max_length=MAX_PEM)] | None = None
    csr: Annotated[str, msgspec.Meta(max_length=MAX_CSR)] | None = None
    proof: _Proof | None = None


class _Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: _Name
    public_key: Annotated[str, msgspec.Meta(max_length=MAX_PEM)]
    proof: _Proof
    tenant: _Name = DEFAULT_TENANT


_enroll_of = msgspec.json.Decoder(_Enroll)
_ask_of = msgspec.json.Decoder(_Ask)


class DeviceRoad:
    """The ASGI application below `/device/v1/`."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._certificates = certificates(settings)
        self.native = NativeRoad(world, settings, Grants(world))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            OtaruError: the shell tells it as a problem.
        """
        what = scope["path"].removeprefix(PREFIX)
        if what in RESOURCES:
            await self.native(what, scope, receive, send)
            return
        if what not in {"enroll", "token"}:
            raise NotFoundError("there is no such resource", hint="See docs/enrollment.md and docs/connect/native.md.")
        if scope["method"] != "POST":
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=["POST"])
        if what == "enroll":
            await self._enroll(scope, receive, send)
        else:
            await self._grant(receive, scope, send)

    async def _enroll(self, scope: Scope, receive: Receive, send: Send) -> None:
        said: _Enroll = _decoded(_enroll_of, await read_body(scope, receive, MAX_BODY))
        tenant = tenant_id(said.tenant) if said.tenant is not None else None
        claim = await self._claim(scope, tenant or DEFAULT_TENANT)
        if claim.issuer and tenant is None:
            tenant = DEFAULT_TENANT
        public, request = _key(said)
        asked = Asked(
            device=device_id(said.id),
            wanted=said.want or (Wanted.TOKEN if request is None else Wanted.CERTIFICATE),
            hardware=None if said.hardware is None else hardware(said.hardware),
            attributes=said.attributes,
            public=public,
            proof=None if said.proof is None else _proof(said.proof),
            request=request,
        )
        name, welcome = await enrolling.enroll(self._world, claim, tenant, asked)
        told: dict[str, Any] = {"id": welcome.device.id, "tenant": name, "state": str(welcome.device.lifecycle)}
        if welcome.waits:
            seconds = await self._polling_s(name)
            await _answer(send, 202, told | {"retry_after_s": seconds}, [(b"retry-after", str(seconds).encode())])
        else:
            await _answer(send, 201, told | _given(welcome))

    async def _grant(self, receive: Receive, scope: Scope, send: Send) -> None:
        said = _decoded(_ask_of, await read_body(scope, receive, MAX_BODY))
        tenant, public = tenant_id(said.tenant), read_key(said.public_key)
        given = await grants.give(self._world, tenant, device_id(said.id), public, _proof(said.proof))
        told = {
            "token": given.token,
            "token_type": "Bearer",
            "expires_in_s": int(LIFE.total_seconds()),
            "expires_at": given.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        await _answer(send, 201, told)

    async def _claim(self, scope: Scope, tenant: TenantId) -> Claim:
        """What the device came with.

        Raises:
            UnauthenticatedError: nothing, or no claim.
        """
        scheme, _, shown = (header(scope, b"authorization") or b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and 0 < len(shown.strip()) <= MAX_CLAIM:
            return by_token(shown.strip())
        if not scheme and self._certificates is not None:
            certificate = self._certificates.shown(scope, self._world.clock.now())
            if certificate is not None:
                for issuer in await enrolling.issuers(self._world, tenant, certificate.key):
                    if await is_signed(self._world, tenant, certificate, issuer):
                        return Claim(certificate.key, issuer)
        raise UnauthenticatedError(
            "the request has no claim",
            hint="Send Authorization: Bearer CLAIM, or connect with the claim certificate.",
            challenge=CHALLENGE,
        )

    async def _polling_s(self, tenant: TenantId) -> int:
        known = await admission.tenant(self._world, tenant)
        return 60 if known is None else int(known.settings.polling.total_seconds())


def _key(said: _Enroll) -> tuple[PublicKey | None, Request | None]:
    """The device's public key, and its request for a certificate, where it sends one.

    Raises:
        InvalidInputError: they are none, or what belongs together does not come together.
    """
    if said.public_key is not None and said.csr is not None:
        raise InvalidInputError("send public_key or csr: the csr holds the key")
    if (said.public_key is None and said.csr is None) != (said.proof is None):
        raise InvalidInputError("a key and its proof go together")
    if (said.csr is not None) != (said.want is Wanted.CERTIFICATE) and (said.want is not None):
        raise InvalidInputError("a certificate wants a csr, and nothing else does")
    if said.csr is not None:
        request = read_request(said.csr.encode())
        return request.public, request
    return (None if said.public_key is None else read_key(said.public_key)), None


def _given(welcome: Welcome) -> dict[str, Any]:
    device: Device = welcome.device
    told: dict[str, Any] = {"hardware": str(device.hardware), "again": welcome.again}
    if welcome.token is not None:
        told["token"] = welcome.token
    if welcome.issued is not None:
        told["certificate"] = pem(welcome.issued.certificate)
        told["chain"] = "".join(map(pem, welcome.issued.above))
    return told


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the body is not what is asked for: {error}") from None


def _proof(said: _Proof) -> Proof:
    try:
        return Proof(said.time, b64decode(said.signature, validate=True))
    except (Base64Error, ValueError):
        raise InvalidInputError("proof.signature is not base64") from None


async def _answer(send: Send, status: int, told: dict[str, Any], more: list[tuple[bytes, bytes]] | None = None) -> None:
    body = dumps(told).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *(more or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
