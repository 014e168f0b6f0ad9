"""Devices, and how many of them are what."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from otaru.domain.attribute import AttributeChange, Declared
from otaru.domain.authority import Authority
from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.deployment import State
from otaru.domain.device import AutoConfirm, Device, Installed, Lifecycle
from otaru.domain.fleet import Counts, Move, Runs
from otaru.domain.group import Group, GroupName
from otaru.domain.ids import CredentialId, DeviceId, TenantId, Version
from otaru.domain.rollout import RolloutState
from otaru.domain.targeting import Field, Query
from otaru.ports.registry import Entry


class Devices(Protocol):
    """The inventory."""

    def get(self, tenant: TenantId, device: DeviceId) -> Device | None: ...
    def entry(self, tenant: TenantId, device: DeviceId) -> Entry | None:
        """What a poll needs, by key, in as few statements as it takes."""
        ...

    def lifecycles(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, Lifecycle]:
        """The lifecycle of each; who is unknown is left out."""
        ...

    def add(self, tenant: TenantId, devices: Sequence[tuple[Device, bytes]]) -> list[bool]:
        """Add devices with their token hashes; False for each whose id is taken (nothing of it is changed)."""
        ...

    def save(self, tenant: TenantId, device: Device) -> None:
        """Replace what a person or the device changes of it, with edition and updated_at; not what runs on it.

        That is lifecycle, hardware, tags, attributes, auto_confirm, attributes_requested, assurance and pins.
        """
        ...

    def set_token(self, tenant: TenantId, device: DeviceId, digest: bytes) -> None: ...
    def install(self, tenant: TenantId, installed: Sequence[tuple[DeviceId, Installed]]) -> None:
        """Set what runs in a component. Its security counter only rises: a lower one than is known changes nothing."""
        ...

    def confirm(self, tenant: TenantId, installed: Sequence[tuple[DeviceId, str, Version]]) -> None:
        """Note that a component's version held; where another one runs now, nothing changes."""
        ...

    def ask_attributes(self, tenant: TenantId, devices: Sequence[DeviceId]) -> None:
        """Have each asked for its attributes at its next poll."""
        ...

    def facts(self, tenant: TenantId, device: DeviceId, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """What a device last told of these, by name: its attributes and, before them, its telemetry; else it is left out."""
        ...

    def set_auto_confirm(self, tenant: TenantId, device: DeviceId, standing: AutoConfirm | None) -> None: ...
    def contacts(self, contacts: Sequence[tuple[TenantId, DeviceId, datetime, str]]) -> None:
        """Set last contact times and addresses; an older time than the known one, or an unknown device, changes nothing."""
        ...

    def page(self, tenant: TenantId, query: Query | None, after: DeviceId | None, limit: int) -> list[Device]:
        """Devices that match, by id, without a full scan where the query has an index."""
        ...

    def count(self, tenant: TenantId, query: Query | None) -> int: ...
    def words(self, tenant: TenantId, field: Field, limit: int, name: str = "", prefix: str = "") -> list[str]:
        """The first distinct values of hardware, revision or tag, sorted, that begin so; what is read is as much as is returned.

        Of attributes and components those of the one called `name`; without it, their names.
        """
        ...


class Attributes(Protocol):
    """Attributes whose type is declared, and what became of attributes. `Devices` keeps both true."""

    def declared(self, tenant: TenantId) -> list[Declared]:
        """All of a tenant, by name."""
        ...

    def declare(self, tenant: TenantId, declared: Declared) -> None:
        """Declare a type, in place of another one. What changes from then on is sorted; the rest is by `sort`."""
        ...

    def sort(self, tenant: TenantId, declared: Declared, after: DeviceId | None, limit: int) -> DeviceId | None:
        """Sort what the next `limit` devices behind `after` have; the last of them. None: all are, and it is ready."""
        ...

    def drop(self, tenant: TenantId, name: str) -> None:
        """Forget a declaration. What was sorted by it goes by `clear`."""
        ...

    def clear(self, tenant: TenantId, name: str, limit: int) -> int:
        """Forget how at most `limit` values are sorted; how many."""
        ...

    def unreadable(self, tenant: TenantId, name: str) -> int:
        """How many devices say of it what is no value of its type."""
        ...

    def changes(
        self, tenant: TenantId, device: DeviceId, before: tuple[datetime, str] | None, limit: int
    ) -> list[AttributeChange]:
        """Newest first, at most MAX_CHANGES; `before` is time and name of the last one seen."""
        ...

    def purge(self, tenant: TenantId, device: DeviceId) -> int:
        """Forget what became of a device's attributes; how many changes."""
        ...

    def prune(self, before: datetime, limit: int) -> int:
        """Forget, of all tenants, at most `limit` changes that were before; how many."""
        ...


class Groups(Protocol):
    """Groups of devices."""

    def add(self, tenant: TenantId, group: Group) -> bool:
        """False where the name is taken (nothing is changed)."""
        ...

    def get(self, tenant: TenantId, name: str) -> Group | None: ...
    def page(self, tenant: TenantId, after: str | None, limit: int) -> list[Group]:
        """By name."""
        ...

    def save(self, tenant: TenantId, group: Group) -> None:
        """Replace query, description, time of change and edition."""
        ...

    def remove(self, tenant: TenantId, name: GroupName) -> None:
        """Forget a group with its list."""
        ...

    def enter(self, tenant: TenantId, name: GroupName, devices: Collection[DeviceId]) -> int:
        """Put devices on a group's list; how many were not on it. The caller has looked whether there are such."""
        ...

    def leave(self, tenant: TenantId, name: GroupName, devices: Collection[DeviceId]) -> int:
        """Take devices off it; how many were on it."""
        ...

    def members(self, tenant: TenantId, name: GroupName) -> int:
        """How many are on it."""
        ...

    def of_device(self, tenant: TenantId, device: DeviceId) -> list[GroupName]:
        """The lists that a device is on, by name."""
        ...


class Credentials(Protocol):
    """What opens the door for devices beside their target tokens. What was revoked is never forgotten: it stays refused.

    Of one tenant there is one row of a kind, an issuer and a digest, whoever's it is.
    """

    def add(self, tenant: TenantId, device: DeviceId, credential: Credential) -> bool:
        """False where somebody has it already, also where it is revoked (nothing is changed)."""
        ...

    def of(self, tenant: TenantId, device: DeviceId) -> list[Credential]:
        """All of a device, by id, with those that are revoked or have expired."""
        ...

    def prolong(self, tenant: TenantId, device: DeviceId, credential: CredentialId, end: datetime | None) -> bool:
        """Set another end (None: without one). False where it is unknown or revoked."""
        ...

    def revoke(self, tenant: TenantId, device: DeviceId, credential: CredentialId, at: datetime) -> bool:
        """False where it is unknown or revoked already: of two who try, one gets True."""
        ...

    def revoke_all(self, tenant: TenantId, device: DeviceId, at: datetime) -> int:
        """Revoke all of a device that are not revoked; how many there were."""
        ...

    def prune(self, tenant: TenantId, device: DeviceId, before: datetime) -> None:
        """Forget those of a device that have ended before, but were not revoked."""
        ...

    def holder(
        self, tenant: TenantId, kind: CredentialKind, issuer: bytes, digest: bytes
    ) -> tuple[DeviceId, Credential] | None:
        """Whose it is, be it good or not."""
        ...

    def is_denied(self, tenant: TenantId, digest: bytes) -> bool:
        """Whether any credential with this digest is revoked, of whatever kind and issuer: that key is refused always."""
        ...


class Authorities(Protocol):
    """Certificate authorities of tenants."""

    def add(self, tenant: TenantId, authority: Authority) -> bool:
        """False where it is known (nothing is changed)."""
        ...

    def of(self, tenant: TenantId) -> list[Authority]:
        """All of a tenant, in the order of their making, with those that are retired or have no certificate yet."""
        ...

    def save(self, tenant: TenantId, authority: Authority) -> None:
        """Replace certificate, chain, end and retirement."""
        ...

    def every_certificate(self) -> list[bytes]:
        """All certificates of authorities of all tenants: whom a TLS listener lets come as far as the credentials' check."""
        ...


class Fleet(Protocol):
    """All devices of a tenant, counted: from counters that move with the rows, whatever the number of devices."""

    def counts(self, tenant: TenantId, before: datetime) -> Counts:
        """How many are what; `silent` are those last heard of before the hour of `before`."""
        ...

    def recounted(self, tenant: TenantId, before: datetime) -> Counts:
        """The same counted anew from the rows: what `counts` must equal in the same snapshot."""
        ...

    def running(self, tenant: TenantId, component: str, version: Version) -> int:
        """How many devices in service run this version in this component."""
        ...

    def spread(self, tenant: TenantId, component: str, limit: int) -> dict[Runs, int]:
        """On how many devices in service of which hardware each version of a component runs, the most common ones."""
        ...

    def moves(self, tenant: TenantId, since: datetime) -> list[Move]:
        """How the versions that run changed, by hour, from the hour of `since` on."""
        ...

    def heard(self, tenant: TenantId, since: int) -> dict[int, int]:
        """How many devices were last heard of in which hour (since 1970), from an hour on."""
        ...

    def members(self, tenant: TenantId) -> dict[tuple[RolloutState, State], int]:
        """Members of active rollouts by the state of both."""
        ...

    def prune(self, before: datetime) -> None:
        """Forget, of all tenants, how versions changed before, and hours before that nobody was last heard of in."""
        ...
