"""What a device shows at the door: `Authorization: TargetToken …` or `GatewayToken …` (hawkBit's schemes), or a certificate.

A target token is the device's own, which may have several; a gateway token, off by default, acts for every device of its
tenant. All are kept as SHA-256 and compared in constant time. A client certificate (`certificates.py`) counts where there is
no such header: where a credential of the device names its key and its authority's, or, of authorities in `client_ca`,
where its subject names the device. A key that was revoked is refused always.

A wrong credential is 401, whether there is such a device or not: nobody finds out by asking which ids there are. Only who
may know that there is none is told so, by 404: a good gateway token, a good certificate of that very name, and everybody
for files that the tenant gives out to everybody.
"""

from hashlib import sha256
from hmac import compare_digest

from otaru.apps.server.roads.certificates import CHALLENGE, Certificate, signed_by_any
from otaru.apps.server.roads.grants import Grants
from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.device import Lifecycle
from otaru.domain.ids import DeviceId, TenantId, device_id
from otaru.domain.tenant import Tenant
from otaru.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from otaru.ports.clock import Clock
from otaru.ports.registry import Entry
from otaru.services.control import admission, devices
from otaru.services.control.world import World

_LONGEST = 128
"""Characters of a tenant's name or a device's id."""


async def admit(
    world: World,
    tenant_name: str,
    device_name: str,
    authorization: bytes | None,
    certificate: Certificate | None = None,
    *,
    grants: Grants | None = None,
    anonymous: bool = False,
) -> tuple[Tenant, Entry]:
    """The tenant and the device that a request is from. `anonymous`: this resource may do without a credential.

    `grants`: tokens for an hour are taken too.

    Raises:
        NotFoundError: no such tenant or device.
        UnauthenticatedError: no credential, or not this device's.
    """
    # No coroutine for what is in memory: they would cost more than everything else here.
    known = world.registry.known(TenantId(tenant_name), DeviceId(device_name))
    if known is None:
        tenant = await _tenant(world, tenant_name)
        if tenant is None:
            raise NotFoundError("there is no such tenant")
        entry = await admission.device(world, tenant.id, DeviceId(device_name)) if _plain(device_name) else None
        if entry is None:
            may_know = anonymous and authorization is None and tenant.settings.download_anonymous
            return tenant, await _unknown(world, tenant, device_name, authorization, certificate, may_know=may_know)
    else:
        tenant, entry = known
    if authorization is not None:
        if not good(tenant, entry, authorization, world.clock) and not (
            grants is not None and await grants.opens(tenant.id, entry, authorization)
        ):
            raise _wrong()
    elif certificate is not None:
        await _check_certificate(world, tenant, entry, certificate)
    elif not (anonymous and tenant.settings.download_anonymous):
        raise _missing()
    return tenant, entry


async def _tenant(world: World, name: str) -> Tenant | None:
    """The tenant of this name, else of its upper case: Zephyr before 4.1 polls `/default/`, hawkBit takes any case."""
    for spelling in dict.fromkeys((name, name.upper())) if _plain(name) else ():
        if (tenant := await admission.tenant(world, TenantId(spelling))) is not None:
            return tenant
    return None


def _plain(name: str) -> bool:
    """Whether a name may be looked up at all. What else a name has to be, its absence says."""
    return len(name) <= _LONGEST and name.isascii() and name.isprintable()


def good(tenant: Tenant, entry: Entry, authorization: bytes, clock: Clock) -> bool:
    """Whether a credential is that of a device that may still speak."""
    scheme, _, token = authorization.partition(b" ")
    match scheme.lower():
        case b"targettoken":
            digest = sha256(token.strip()).digest()
            right = compare_digest(digest, entry.token_hash) or _is_another(entry, digest, clock)
        case b"gatewaytoken":
            right = _opens(tenant, token)
        case _:
            right = False
    return right and entry.subject.lifecycle is not Lifecycle.DECOMMISSIONED


def _is_another(entry: Entry, digest: bytes, clock: Clock) -> bool:
    """Whether a token is one that a device has beside its own."""
    known = entry.credentials
    return bool(known) and any(
        one.kind is CredentialKind.TOKEN and compare_digest(digest, one.digest) and one.good(clock.now())
        for one in known
    )


async def _check_certificate(world: World, tenant: Tenant, entry: Entry, certificate: Certificate) -> None:
    if entry.subject.lifecycle is not Lifecycle.DECOMMISSIONED and not await admission.is_denied(
        world, tenant.id, certificate.key
    ):
        # An authority of `client_ca` is one that the operator lets speak for whomever it names.
        if _names(certificate, tenant, entry.subject.id):
            return
        if await credential_of(world, tenant.id, entry, certificate) is not None:
            return
    raise _another()


async def credential_of(world: World, tenant: TenantId, entry: Entry, certificate: Certificate) -> Credential | None:
    """The device's credential that a certificate is good by, now."""
    for known in entry.credentials:
        mine = known.kind is CredentialKind.CERTIFICATE and known.digest == certificate.key
        if mine and known.good(world.clock.now()) and await is_signed(world, tenant, certificate, known.issuer):
            return known
    return None


async def device_of(world: World, tenant: TenantId, certificate: Certificate) -> DeviceId | None:
    """Whose a certificate may be, where the request does not say it. `admit` says whether it is."""
    if certificate.says is not None and certificate.says[0] == tenant:
        return DeviceId(certificate.says[1])
    others = [bytes.fromhex(one.id) for one in await admission.authorities(world, tenant)]
    for issuer in (certificate.issuer, certificate.key, *others):
        if (found := await admission.holder(world, tenant, issuer, certificate.key)) is not None:
            return found
    return DeviceId(certificate.device) if certificate.tenant == tenant else None


async def is_signed(world: World, tenant: TenantId, certificate: Certificate, issuer: bytes) -> bool:
    """Whether the authority with this key has signed a certificate: `client_ca`'s, the tenant's, or the key itself."""
    if issuer in {certificate.issuer, *certificate.signed}:
        return True
    by = [certificate.der] if issuer == certificate.key else []
    by += [
        one.certificate
        for one in await admission.authorities(world, tenant)
        if one.certificate is not None and one.id == issuer.hex()
    ]
    if by and signed_by_any(certificate.der, by):
        certificate.signed.add(issuer)
        return True
    return False


def _names(certificate: Certificate, tenant: Tenant, name: str) -> bool:
    return certificate.tenant == tenant.id and certificate.device == name


# What a device that is there is told when its credential is wrong, and one that is not there too, letter for letter.


def _missing() -> UnauthenticatedError:
    hint = "Send Authorization: TargetToken TOKEN."
    return UnauthenticatedError("the request has no credential", hint=hint, challenge=CHALLENGE)


def _wrong() -> UnauthenticatedError:
    return UnauthenticatedError("the credential is not that of this device", challenge=CHALLENGE)


def _another() -> UnauthenticatedError:
    hint = (
        "A credential of the device has to name its key and its authority, and must not be revoked: docs/identity.md."
    )
    return UnauthenticatedError("the client certificate is not that of this device", hint=hint, challenge=CHALLENGE)


def _opens(tenant: Tenant, token: bytes) -> bool:
    digest = tenant.settings.gateway_token_hash
    return digest is not None and compare_digest(sha256(token.strip()).digest(), digest)


async def _unknown(
    world: World,
    tenant: Tenant,
    name: str,
    authorization: bytes | None,
    certificate: Certificate | None,
    *,
    may_know: bool,
) -> Entry:
    """Register a device that a good gateway token speaks for, where the tenant lets devices register themselves."""
    scheme, _, token = (authorization or b"").partition(b" ")
    gateway = scheme.lower() == b"gatewaytoken" and _opens(tenant, token)
    if gateway and tenant.settings.self_registration:
        try:
            wanted = device_id(name)
        except InvalidInputError as error:
            raise NotFoundError(error.message, hint=error.hint) from None
        return await devices.register(world, tenant.id, wanted)
    if gateway or may_know or (authorization is None and certificate and _names(certificate, tenant, name)):
        raise NotFoundError("there is no such device", hint="Add it: otaru device add ID --hardware MODEL")
    if authorization is not None:
        raise _wrong()
    raise _missing() if certificate is None else _another()
