"""What opens the door for one device: it may have several credentials at once, of several kinds, beside its target token.

Nothing here is secret: of a token there is the hash, of a certificate or a key the hash of the public key. A certificate
is named by its public key *and* that of the authority that signed it, never by what its subject says.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from otaru.domain.ids import CredentialId

MAX_CREDENTIALS = 20
"""Good credentials of one device."""


class CredentialKind(StrEnum):
    """What a device shows."""

    TOKEN = "token"  # noqa: S105 - a kind
    CERTIFICATE = "certificate"
    KEY = "key"
    """It signs requests for short-lived tokens with it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential of a device."""

    id: CredentialId
    kind: CredentialKind
    digest: bytes
    """SHA-256 of the token, or of the public key's SubjectPublicKeyInfo in DER."""
    issuer: bytes
    """SHA-256 of the issuing authority's SubjectPublicKeyInfo in DER; empty where the kind is not a certificate."""
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def good(self, now: datetime) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
