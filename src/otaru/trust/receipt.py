"""Receipts: what a device without a network says of an update, for others to carry to the server.

It is signed with the device's own key, the one that it shows the server (`trust.possession`), over a text that names what
it is, whose it is, by which bundle, when (in seconds since 1970), with which key, and what is said: a line each, with no line
break after the last. So it is worth nothing for another device or tenant, and whoever carries it can only lose it.

    otaru-receipt-v1
    TENANT
    DEVICE
    BUNDLE
    TIME
    SHA-256 of the public key (SubjectPublicKeyInfo, DER)
    SHA-256 of what is said

Digests are lower-case hexadecimal. Brought twice it changes nothing: what is said counts once by ids of its own.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import ReceiptError
from otaru.trust.pki.certificates import PublicKey, fingerprint
from otaru.trust.possession import is_signed

RECEIPT: Final = "otaru-receipt-v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt, as it was brought: nothing of it is believed before `check`."""

    tenant: TenantId
    device: DeviceId
    bundle: str
    time_s: int
    said: bytes
    """The notes, in the form of the native road (docs/connect/native.md, Reports)."""
    public: PublicKey
    signature: bytes


def text(tenant: TenantId, device: DeviceId, bundle: str, time_s: int, key: bytes, said: bytes) -> bytes:
    """What the device signs; `key` is a digest."""
    lines = (RECEIPT, tenant, device, bundle, str(time_s), key.hex(), sha256(said).hexdigest())
    return "\n".join(lines).encode()


def check(receipt: Receipt) -> bytes:
    """The digest of the key that has signed it. Whether that is the device's the caller knows.

    Raises:
        ReceiptError: it has not.
    """
    key = fingerprint(receipt.public)
    signed = text(receipt.tenant, receipt.device, receipt.bundle, receipt.time_s, key, receipt.said)
    if not is_signed(receipt.public, signed, receipt.signature):
        raise ReceiptError(f"the receipt of {receipt.device} is not as it was signed", device=receipt.device)
    return key
