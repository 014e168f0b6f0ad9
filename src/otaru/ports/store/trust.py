"""What makes tampering visible: transparency logs, signed metadata and its keys."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otaru.domain.ids import DeviceId, TenantId
from otaru.images.facts import Format
from otaru.trust.log.entries import Draft, Log
from otaru.trust.log.tiles import Tile
from otaru.trust.tuf.director import Issued, KeptPermit
from otaru.trust.tuf.kept import End, Kept, KnownKey


@dataclass(frozen=True, slots=True)
class Tree:
    """How far a log has come."""

    size: int = 0
    """Entries that have their place."""
    signed: int = 0
    """How many of them the newest checkpoint covers."""
    verifier: str | None = None
    """The public key of its checkpoints, once there is one."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it is kept."""

    size: int
    note: str
    at: datetime
    witnessed: bool = False


class Logs(Protocol):
    """Tenants' logs. Entries come to wait by `Events.add`; who integrates gives each its place, one after the other.

    Two who integrate at once cannot both commit. What has a place never changes, but that text can be erased.
    """

    def every_unsettled(self) -> list[tuple[TenantId, Log]]:
        """Logs, of all tenants, in which entries wait for their place or have one that no checkpoint covers."""
        ...

    def tree(self, tenant: TenantId, log: Log) -> Tree: ...
    def place_waiting(self, tenant: TenantId, log: Log, limit: int) -> list[bytes]:
        """Give the first `limit` that wait the next places; what is hashed of each. `put` must follow."""
        ...

    def put(self, tenant: TenantId, log: Log, tiles: Mapping[Tile, bytes]) -> None:
        """Keep tiles; one that is there is replaced by the wider one."""
        ...

    def behind(self, tenant: TenantId, log: Log) -> tuple[int, datetime | None]:
        """How many entries no checkpoint covers, and from when the oldest of them is."""
        ...

    def tile(self, tenant: TenantId, log: Log, tile: Tile) -> bytes:
        """As many of its hashes as are there, up to its width."""
        ...

    def entries(self, tenant: TenantId, log: Log, start: int, end: int) -> list[bytes | None]:
        """What is hashed of those at places `start` up to `end`; None for one that is not there."""
        ...

    def found(
        self, tenant: TenantId, log: Log, subject: str | None, before: int | None, limit: int
    ) -> list[tuple[int, Draft]]:
        """Of a subject (None: of all), the newest first, below the place `before`."""
        ...

    def name(self, tenant: TenantId, log: Log, verifier: str) -> None:
        """Say whose checkpoints the log has, where nobody has yet."""
        ...

    def publish(self, tenant: TenantId, log: Log, checkpoint: Signed) -> None:
        """Keep a checkpoint, or what a witness made of it. Older ones go, but for the newest that is witnessed."""
        ...

    def checkpoints(self, tenant: TenantId, log: Log) -> list[Signed]:
        """The newest first."""
        ...

    def erase(self, tenant: TenantId, place: int) -> bool:
        """Erase salt and text of an audit entry; False where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """Somebody whom a tenant trusts to sign images of a format: certificates, or a public key."""

    format: Format
    id: str
    """The SHA-256 of `pem`, in hex."""
    pem: str
    name: str
    """Whom it names: a certificate's subject, or the kind of the key."""
    ends_at: datetime | None
    """When the first of its certificates ends; it is told, and judges nothing."""
    created_at: datetime


class Anchors(Protocol):
    """Tenants' trust anchors for images."""

    def of(self, tenant: TenantId, form: Format | None = None) -> list[Anchor]:
        """By format, the oldest first."""
        ...

    def add(self, tenant: TenantId, anchor: Anchor) -> bool:
        """False where it is there (nothing is changed)."""
        ...

    def remove(self, tenant: TenantId, form: Format, anchor: str) -> bool:
        """False where it is not there."""
        ...


class Signatures(Protocol):
    """TUF metadata and the public keys of tenants. What is signed never changes; versions of a role rise."""

    def newest(self, tenant: TenantId, repository: str, roles: Collection[str] | None = None) -> dict[str, Kept]:
        """The newest version of each role, or of those of `roles` that there are."""
        ...

    def get(self, tenant: TenantId, repository: str, role: str, version: int) -> Kept | None: ...
    def ends(self, tenant: TenantId, repository: str) -> dict[str, End]:
        """Of every role, the newest version's number and end, without its bytes."""
        ...

    def add(self, tenant: TenantId, repository: str, kept: Kept) -> bool:
        """False where this version is there (nothing is changed)."""
        ...

    def forget(self, tenant: TenantId, repository: str, role: str, before: int | None = None) -> int:
        """Forget a role's versions, with `before` only those below it; how many."""
        ...

    def every_ending(self, before: datetime) -> list[tuple[TenantId, str]]:
        """Repositories of all tenants in which some role's newest version ends by then."""
        ...

    def add_key(self, tenant: TenantId, key: KnownKey) -> bool:
        """False where it is known (nothing is changed)."""
        ...

    def keys(self, tenant: TenantId) -> list[KnownKey]:
        """The oldest first."""
        ...

    def revoke_keys(self, tenant: TenantId, keys: Collection[str], at: datetime) -> int:
        """Say of keys that no role has them any more; of how many it was not said before."""
        ...

    def every_development(self) -> list[TenantId]:
        """Tenants with development keys that are not revoked."""
        ...


class Directions(Protocol):
    """What the director has signed for devices: of each the newest, of those that verify it."""

    def get(self, tenant: TenantId, device: DeviceId) -> Issued | None: ...
    def put(self, tenant: TenantId, device: DeviceId, issued: Issued) -> bool:
        """Keep it in place of the version before it; False where that is not the one that is there."""
        ...

    def asked(self, tenant: TenantId, device: DeviceId, at: datetime) -> None:
        """Note that a device has fetched it; nothing where there is none of it."""
        ...

    def asked_at(self, tenant: TenantId, device: DeviceId) -> datetime | None:
        """When it last fetched it, as far as that was noted."""
        ...

    def permit(self, tenant: TenantId, device: DeviceId, kept: KeptPermit, at: datetime) -> None:
        """Keep a permission to downgrade, in place of the one that the device's component had."""
        ...

    def permits(self, tenant: TenantId, device: DeviceId) -> list[KeptPermit]:
        """Those of a device by component, also expired ones."""
        ...
