"""What polls are answered from: devices, active rollouts and settings in memory, kept true to the store."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from otaru.domain.authority import Authority
from otaru.domain.credential import Credential
from otaru.domain.device import AutoConfirm
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.offer import Plan, Subject
from otaru.domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Entry:
    """All that a poll needs to know of a device."""

    subject: Subject
    token_hash: bytes
    attributes_requested: bool
    auto_confirm: AutoConfirm | None
    last_installed_action: int
    """The device's newest deployment that succeeded, 0 for none: what DDI's installedBase points at."""

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """Those beside the target token, by id, without revoked ones: ask each whether it is `good` now."""
        return ()

    @property
    def verifies(self) -> bool:
        """Whether it is a device that verifies the director: it has something signed, or is said to (`Device.assurance`)."""
        return False


@dataclass(frozen=True, slots=True)
class KeyedEntry(Entry):
    """The entry of a device that has credentials beside its target token, or verifies the director.

    The million that do neither pay no byte for it.
    """

    credentials: tuple[Credential, ...] = field()
    verifies: bool = field()


class Watch(Protocol):
    """Somebody who waits for what may change the answer to one device's poll."""

    def rest_on(self, rollouts: Collection[RolloutId]) -> None:
        """From now on be woken by what happens to the device, its tenant and these rollouts; before, by any of the tenant's."""
        ...

    def leave(self) -> None:
        """Be woken no more. May be called twice."""
        ...


class Registry(Protocol):
    """A cache of the store that is never silently stale.

    Everything is read from the store when it is first asked for, and forgotten when the record of events says that it
    changed. In this process a change that is recorded is forgotten before the request that made it is answered
    (`Store.follow`); other workers follow within `tail_interval` (250 ms). When the tail is more than a second behind,
    `fresh` is False and callers check credentials in the store.
    """

    async def tenant(self, tenant: TenantId) -> Tenant | None:
        """The tenant with its settings."""
        ...

    async def device(self, tenant: TenantId, device: DeviceId) -> Entry | None:
        """The device, or None where there is none (unknown names are looked up in the store each time)."""
        ...

    def known(self, tenant: TenantId, device: DeviceId) -> tuple[Tenant, Entry] | None:
        """Both, where they are in memory and `fresh`: nearly every poll. None says nothing; ask the others then."""
        ...

    async def plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        """A rollout with its release and watermarks."""
        ...

    async def authorities(self, tenant: TenantId) -> tuple[Authority, ...]:
        """The certificate authorities of a tenant."""
        ...

    async def errands(self, tenant: TenantId) -> frozenset[DeviceId]:
        """Devices that have errands to run: few, mostly none."""
        ...

    async def is_denied(self, tenant: TenantId, digest: bytes) -> bool:
        """Whether a credential with this digest was revoked (`Credentials.is_denied`)."""
        ...

    def known_denied(self, tenant: TenantId, digest: bytes) -> bool | None:
        """As `is_denied`, where it is in memory. None says nothing."""
        ...

    def known_plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        """As `plan`, where it is in memory. None says nothing."""
        ...

    def forget(self, tenant: TenantId, device: DeviceId) -> None:
        """Read the device anew when it is asked for next.

        What a change recorded is forgotten without being asked; this is for changes that are not recorded.
        """
        ...

    async def caught_up(self) -> None:
        """Return when every change committed before this call has been seen."""
        ...

    @property
    def fresh(self) -> bool:
        """Whether the tail is less than a second behind."""
        ...

    def watch(self, tenant: TenantId, device: DeviceId, wake: Callable[[], None]) -> Watch:
        """Have `wake` called after what was recorded and may change what is due for a device; also where it did not, after all.

        Ask anew between this call and `rest_on`, so that nothing is missed. Many who wait for the same are woken little by
        little; each wake-up serves all that happened before it. What is not recorded, and time, wake nobody.
        """
        ...

    def touch(self, tenant: TenantId, device: DeviceId, at: datetime, address: str) -> None:
        """Note a contact: written behind, in batches, within seconds. A crash loses at most one interval of them."""
        ...
