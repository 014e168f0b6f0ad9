"""Enrolment over Secure Transport (RFC 7030, with RFC 8951's plain base64), at `/.well-known/est/{tenant}/…`.

Whoever may ask: a device with its id and target token (`Authorization: Basic`), or with a certificate that it polls with.
The label is the tenant; without one it is `DEFAULT`. A device that nobody has accepted yet, or that is quarantined, is
asked to come again (202).
"""

from base64 import encodebytes
from collections.abc import Sequence
from typing import TYPE_CHECKING

from otaru.apps.server.body import Receive, Scope, Send, header, read_body
from otaru.apps.server.roads.basic import basic
from otaru.apps.server.roads.certificates import certificates
from otaru.apps.server.roads.credentials import admit, credential_of, device_of
from otaru.apps.server.settings import Settings
from otaru.domain.credential import Credential
from otaru.domain.device import Lifecycle
from otaru.domain.ids import DEFAULT_TENANT, TenantId, tenant_id
from otaru.errors import InvalidInputError, MethodNotAllowedError, NotFoundError, UnauthenticatedError
from otaru.ports.registry import Entry
from otaru.services.control import admission
from otaru.services.control.world import World

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

PREFIX = "/.well-known/est/"
CHALLENGE = 'Basic realm="otaru"'
RETRY_S = 300
"""Seconds until somebody may have accepted a device."""
MAX_BODY = 16 * 1024
_METHODS = {"cacerts": "GET", "csrattrs": "GET", "simpleenroll": "POST", "simplereenroll": "POST"}
_CERTIFICATES = b"application/pkcs7-mime; smime-type=certs-only"
_ATTRIBUTES = bytes.fromhex(
    # SEQUENCE { SEQUENCE { ecPublicKey, SET { prime256v1 } }, ecdsa-with-SHA256 } (RFC 7030, 4.5.2)
    "3021 3015 06072a8648ce3d0201 310a 06082a8648ce3d030107 06082a8648ce3d040302"
)


class EstRoad:
    """The ASGI application below `PREFIX`."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._certificates = certificates(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            OtaruError: the shell tells it as a problem.
        """
        label, _, operation = scope["path"].removeprefix(PREFIX).rpartition("/")
        method = _METHODS.get(operation)
        if method is None:
            raise NotFoundError("there is no such address", hint=f"EST has {', '.join(_METHODS)} here.")
        if scope["method"] != method:
            raise MethodNotAllowedError(f"{operation} does not know {scope['method']}", allowed=[method])
        tenant = await self._tenant(label)
        match operation:
            case "cacerts":
                await self._authorities(send, tenant)
            case "csrattrs":
                await _say(send, b"application/csrattrs", _ATTRIBUTES)
            case _:
                await self._enroll(scope, receive, send, tenant, again=operation == "simplereenroll")

    async def _authorities(self, send: Send, tenant: TenantId) -> None:
        from otaru.services.control.authorities import chain_of, signing  # noqa: PLC0415 - for those who use it

        known = await admission.authorities(self._world, tenant)
        await _say_certificates(send, chain_of(signing(known, self._world.clock.now())))

    async def _enroll(self, scope: Scope, receive: Receive, send: Send, tenant: TenantId, *, again: bool) -> None:
        from otaru.services.control.issuing import issue  # noqa: PLC0415 - for those who use it
        from otaru.trust.pki.certificates import read_request  # noqa: PLC0415

        entry, shown = await self._admitted(scope, tenant, again=again)
        body = await read_body(scope, receive, MAX_BODY)
        if entry.subject.lifecycle is not Lifecycle.ACTIVE:
            await _later(send, entry.subject.lifecycle)
            return
        kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != b"application/pkcs10":
            raise InvalidInputError("the body is not application/pkcs10", hint="Send Content-Type: application/pkcs10.")
        replaced = None if shown is None else shown.id
        issued = await issue(self._world, tenant, entry.subject.id, read_request(body), replaced)
        await _say_certificates(send, [issued.certificate])

    async def _admitted(self, scope: Scope, tenant: TenantId, *, again: bool) -> tuple[Entry, Credential | None]:
        """The device that asks, and what it has shown, where that is a certificate that we have a credential of.

        Raises:
            UnauthenticatedError: it is none of this tenant's, or `again` and without a certificate.
        """
        world = self._world
        authorization = header(scope, b"authorization")
        try:
            if authorization is not None and not again:
                device, token = basic(authorization)
                return (await admit(world, tenant, device, b"TargetToken " + token))[1], None
            shown = self._certificates and self._certificates.shown(scope, world.clock.now())
            if shown and (found := await device_of(world, tenant, shown)) is not None:
                entry = (await admit(world, tenant, found, None, shown))[1]
                return entry, await credential_of(world, tenant, entry, shown)
        except (NotFoundError, UnauthenticatedError) as error:
            raise _refused(again=again) from error
        raise _refused(again=again)

    async def _tenant(self, label: str) -> TenantId:
        try:
            found = await admission.tenant(self._world, tenant_id(label) if label else DEFAULT_TENANT)
        except InvalidInputError:
            found = None
        if found is None:
            raise NotFoundError("there is no such tenant")
        return found.id


async def _say_certificates(send: Send, found: "Sequence[Certificate]") -> None:
    from otaru.trust.pki.certificates import certs_only  # noqa: PLC0415 - for those who use it

    await _say(send, _CERTIFICATES, certs_only(found))


async def _say(send: Send, kind: bytes, der: bytes) -> None:
    body = encodebytes(der)
    headers = [
        (b"content-type", kind),
        (b"content-transfer-encoding", b"base64"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _later(send: Send, lifecycle: Lifecycle) -> None:
    """RFC 7030, 4.2.3: the request waits for somebody."""
    body = f"The device is {lifecycle}: somebody has to let it in first. Ask again later.\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"retry-after", str(RETRY_S).encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refused(*, again: bool) -> UnauthenticatedError:
    if again:
        return UnauthenticatedError(
            "simplereenroll wants the certificate that the device has now",
            hint="Show it to the devices' listener (device_listen). Without one: simpleenroll.",
            challenge=CHALLENGE,
        )
    return UnauthenticatedError(
        "the credential is not that of a device of this tenant",
        hint="Send Authorization: Basic with the device's id and target token, or show its certificate.",
        challenge=CHALLENGE,
    )
