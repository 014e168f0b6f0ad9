"""How a device shows that it has its private key: it signs a text that is good for one request, here and now.

The text names what it is for, the tenant, the device, the time (in seconds since 1970) and the key, and to enroll the
claim as well: a line each, with no line break after the last. So it is worth nothing for another purpose, another server
(the claim is known to one), another device or later; and the server takes each text once where it gives something for it.

    otaru-enroll-v1             otaru-token-v1
    TENANT                      TENANT
    DEVICE                      DEVICE
    TIME                        TIME
    SHA-256 of the claim        SHA-256 of the public key (SubjectPublicKeyInfo, DER)
    SHA-256 of the public key

Digests are lower-case hexadecimal. Signatures are Ed25519's 64 bytes, or DER of ECDSA with SHA-256 on P-256 and SHA-384 on
P-384.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import ProofError, ProofSpentError, ProofTimeError

if TYPE_CHECKING:
    from otaru.trust.pki.certificates import PublicKey

ENROLL = "otaru-enroll-v1"
GRANT = "otaru-token-v1"
TOLERANCE = timedelta(minutes=5)
"""How far a device's clock may be from ours. As long a text that was used is remembered."""
MAX_SIGNATURE = 160
"""Bytes. DER of P-384 has 104."""


@dataclass(frozen=True, slots=True)
class Proof:
    """When a device signed, and what came out."""

    time_s: int
    """Seconds since 1970, by the device's clock."""
    signature: bytes


def to_enroll(tenant: TenantId, device: DeviceId, time_s: int, claim: bytes, key: bytes) -> bytes:
    """What a device signs to enroll; `claim` and `key` are digests."""
    return "\n".join((ENROLL, tenant, device, str(time_s), claim.hex(), key.hex())).encode()


def for_grant(tenant: TenantId, device: DeviceId, time_s: int, key: bytes) -> bytes:
    """What a device signs to be given a token for an hour; `key` is a digest."""
    return "\n".join((GRANT, tenant, device, str(time_s), key.hex())).encode()


def verify(public: "PublicKey", statement: bytes, proof: Proof, now: datetime) -> None:
    """Check that the key signed the statement, and did it now.

    Raises:
        ProofTimeError: the device's clock and ours differ by more than `TOLERANCE`.
        ProofError: it did not.
    """
    if abs(now.timestamp() - proof.time_s) > TOLERANCE.total_seconds():
        raise ProofTimeError(
            f"what was signed is not of now: our clocks differ by more than {TOLERANCE.total_seconds():.0f} seconds",
            hint="Set the clock, or sign again with the time that server_time says.",
            server_time=int(now.timestamp()),
        )
    if not is_signed(public, statement, proof.signature):
        raise ProofError(
            "the signature is not of this key over this text", hint="See docs/enrollment.md, What is signed."
        )


def is_signed(public: "PublicKey", text: bytes, signature: bytes) -> bool:
    """Whether a device's key signed a text, whenever that was."""
    # A device signs, and never looks at a signature of this kind: it does without these.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an idle device does without
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415 - an idle device does without
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - an idle device does without
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384  # noqa: PLC0415 - an idle device does without

    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature, text)
        else:
            public.verify(signature, text, ECDSA(SHA384() if public.key_size == 384 else SHA256()))
    except InvalidSignature:
        return False
    return True


def spent_until(proof: Proof) -> datetime:
    """Until when a text that was used has to be remembered: later its time alone refuses it."""
    return datetime.fromtimestamp(proof.time_s, UTC) + 2 * TOLERANCE


def spent() -> ProofSpentError:
    """The error for a text that was used before."""
    return ProofSpentError("what was signed has been used", hint="Sign anew, with the present time.")
