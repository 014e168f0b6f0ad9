"""A tenant's certificate authorities: its own, which signs for its devices, and others that some of its devices come from.

None of them opens a door by itself: a certificate does only where a credential names its key and its authority. So a
stolen authority's key alone opens nothing, and what is revoked is refused at once, without lists that somebody must fetch.
"""

from dataclasses import dataclass
from datetime import datetime

MAX_AUTHORITIES = 32
"""Of one tenant, the retired ones too."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that a tenant knows."""

    id: str
    """SHA-256 of its public key (SubjectPublicKeyInfo in DER), in hexadecimal."""
    key: str
    """Its private key's id in the keyring; empty where it is somebody else's."""
    certificate: bytes | None
    """DER; None while its request is on its way to an offline root."""
    chain: str
    """The certificates above it, in PEM, up to the root; empty where it is the root, or they are unknown."""
    created_at: datetime
    expires_at: datetime | None
    retired_at: datetime | None = None
    """From then on it signs nothing new; what it has signed stays good."""

    def signs(self, now: datetime) -> bool:
        """Whether it signs for devices now."""
        good = self.expires_at is not None and now < self.expires_at
        return bool(self.key) and self.certificate is not None and self.retired_at is None and good
