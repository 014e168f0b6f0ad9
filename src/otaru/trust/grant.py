"""Tokens for an hour: what a device that has shown its key says on its requests, so that it need not sign each.

A grant is a JWT (RFC 7519) signed with EdDSA (RFC 8037), and of all that JOSE allows nothing else: what a header says
decides nothing here. It has to be, byte for byte, the one that we write, with the id of a key of the tenant's that we know;
an algorithm, an address or a key that somebody brings in it is refused with it. `cnf.kid` (RFC 7800, section 3.4) is the
device's key, by its digest: whoever takes the token looks whether that is still a credential of the device.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from json import dumps, loads
from re import compile as pattern
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from otaru.domain.ids import DeviceId, TenantId

LIFE = timedelta(hours=1)
SIGNS = timedelta(days=30)
"""So long a key signs tokens, from when it was made; the last of them ends an hour later, and so does all that it can do."""
MAX_GRANT = 2048
"""Bytes. Names of 64 and 128 characters make 800."""
_AUDIENCE = "otaru-device"
_GRANT = pattern(rb"[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{1,1500}\.[A-Za-z0-9_-]{86}")
_ID = pattern("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says."""

    tenant: TenantId
    device: DeviceId
    key: bytes
    """The digest of the device's key that it was given for."""
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Sealed:
    """A token, taken apart; nothing of it is believed yet."""

    signer: str
    """The id of the key that it says has signed it."""
    signed: bytes
    signature: bytes


def unsigned(grant: Grant, signer: str) -> bytes:
    """What the tenant's key has to sign."""
    claims = {
        "iss": f"otaru/{grant.tenant}",
        "aud": _AUDIENCE,
        "sub": grant.device,
        "iat": int(grant.issued_at.timestamp()),
        "exp": int(grant.expires_at.timestamp()),
        "cnf": {"kid": _encoded(grant.key).decode()},
    }
    return _header(signer) + b"." + _encoded(_json(claims))


def whole(signed: bytes, signature: bytes) -> str:
    """The token."""
    return (signed + b"." + _encoded(signature)).decode()


def taken_apart(token: bytes) -> Sealed | None:
    """A token's parts; None where it is none of ours."""
    if not _GRANT.fullmatch(token):
        return None
    signed, _, signature = token.rpartition(b".")
    header = signed.partition(b".")[0]
    said = _decoded(header)
    signer = said.get("kid") if isinstance(said, dict) else None
    if not isinstance(signer, str) or not _ID.fullmatch(signer) or header != _header(signer):
        return None
    return Sealed(signer, signed, urlsafe_b64decode(signature + b"=="))


def signs(made_at: datetime, now: datetime) -> bool:
    """Whether a key that was made then signs tokens now."""
    return now < made_at + SIGNS


def last_end(made_at: datetime) -> datetime:
    """When the last token ends that a key has signed which was made then."""
    return made_at + SIGNS + LIFE


def opened(sealed: Sealed, public: bytes, made_at: datetime, tenant: TenantId) -> Grant | None:
    """What a token says, if the key of a tenant has signed it in its time. Whether the token's hour is over is not asked.

    `public`: the key's 32 bytes. What a stolen key signs says what its thief likes, so no token may end after the last
    that the key could have signed.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(sealed.signature, sealed.signed)
    except (InvalidSignature, ValueError):
        return None
    claims = _decoded(sealed.signed.partition(b".")[2])
    try:
        if claims["iss"] != f"otaru/{tenant}" or claims["aud"] != _AUDIENCE:
            return None
        issued, expires = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
        key = urlsafe_b64decode(claims["cnf"]["kid"] + "=")
        if expires > min(issued + LIFE, last_end(made_at)):
            return None
        return Grant(tenant, DeviceId(claims["sub"]), key, issued, expires)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # signed by us, and yet not of this form: an older or newer program's


def _header(signer: str) -> bytes:
    return _encoded(_json({"alg": "EdDSA", "kid": signer, "typ": "JWT"}))


def _json(value: Any) -> bytes:
    return dumps(value, separators=(",", ":")).encode()


def _encoded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _decoded(part: bytes) -> Any:
    try:
        return loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (Base64Error, ValueError, RecursionError):
        return None
