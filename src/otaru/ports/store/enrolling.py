"""How devices come by themselves: claims, who came by them, and what they signed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otaru.domain.enrollment import Enrolled, Enrollment, EnrollmentId
from otaru.domain.ids import DeviceId, TenantId


@dataclass(frozen=True, slots=True)
class Claim:
    """What opens an enrollment: a token, or a client certificate."""

    digest: bytes
    """The SHA-256 of the token, or of the certificate's public key."""
    issuer: bytes = b""
    """Of a certificate: the SHA-256 of its authority's public key."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """Somebody asked for a device's serial without its key."""

    device: DeviceId
    key: bytes
    """The digest of the key that was shown, empty for none."""
    at: datetime


@dataclass(frozen=True, slots=True)
class GrantKey:
    """A key that signs a tenant's tokens for an hour."""

    id: str
    public: bytes
    """32 bytes of Ed25519."""
    created_at: datetime


class Enrollments(Protocol):
    """Claims, and who came by them."""

    def add(self, tenant: TenantId, enrollment: Enrollment, claim: Claim) -> bool:
        """False where the claim opens another one that is not revoked (nothing is changed)."""
        ...

    def get(self, tenant: TenantId, enrollment: EnrollmentId) -> Enrollment | None: ...
    def every_by_token(self, digest: bytes) -> tuple[TenantId, Enrollment] | None:
        """Which one a claim token opens; the tenant is what the claim says, so no tenant is asked for."""
        ...

    def by_certificate(self, tenant: TenantId, claim: Claim) -> Enrollment | None:
        """Which one a claim certificate opens, the newest of those that it ever opened."""
        ...

    def issuers(self, tenant: TenantId, key: bytes) -> list[bytes]:
        """The authorities, by their keys' digests, that claim certificates with this key are of."""
        ...

    def page(self, tenant: TenantId, after: EnrollmentId | None, limit: int, newest: bool = False) -> list[Enrollment]:
        """By id, which sorts by time; `newest` first and then below `after`."""
        ...

    def revoke(self, tenant: TenantId, enrollment: EnrollmentId, at: datetime) -> bool:
        """False where it is unknown or revoked already."""
        ...

    def use(self, tenant: TenantId, enrollment: EnrollmentId) -> bool:
        """Count one more device, within the quota; False where it is used up."""
        ...

    def list_serials(self, tenant: TenantId, enrollment: EnrollmentId, serials: Sequence[DeviceId]) -> int:
        """List serials; how many of them were not listed yet."""
        ...

    def is_listed(self, tenant: TenantId, enrollment: EnrollmentId, serial: DeviceId) -> bool: ...
    def enrolled(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, Enrolled]:
        """How devices came to us; those that came otherwise are left out."""
        ...

    def holder(self, tenant: TenantId, key: bytes) -> DeviceId | None:
        """Which device showed this public key when it came, by the key's digest."""
        ...

    def enrol(self, tenant: TenantId, enrolled: Enrolled) -> None:
        """Note how a new device came."""
        ...

    def dispute(self, tenant: TenantId, dispute: Dispute, since: datetime) -> bool:
        """Note one; False where another of this device was noted after `since` (nothing is changed)."""
        ...

    def disputes(self, tenant: TenantId, limit: int) -> list[Dispute]:
        """The newest first; of each device the last."""
        ...

    def spend(self, tenant: TenantId, proof: bytes, until: datetime) -> bool:
        """Remember that a signed text, by its digest, was used; False where it was used before."""
        ...

    def add_grant_key(self, tenant: TenantId, key: GrantKey) -> None: ...
    def grant_keys(self, tenant: TenantId) -> list[GrantKey]:
        """The newest first."""
        ...

    def prune(self, now: datetime, disputes_before: datetime, keys_before: datetime) -> None:
        """Forget, of all tenants, texts that are too old to be used again, old disputes, and keys made before then."""
        ...
