"""Errands of devices, the diagnostics that they sent, and alerts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from otaru.domain.alert import Alert
from otaru.domain.errand import Errand
from otaru.domain.ids import DeviceId, TenantId


class Errands(Protocol):
    """What devices are asked to do beside updates."""

    def add(self, tenant: TenantId, errand: Errand) -> None:
        """Keep a new one, whose number is above the device's `newest`."""
        ...

    def newest(self, tenant: TenantId, device: DeviceId) -> int:
        """The highest number that the device ever had; 0: none. What is forgotten counts on."""
        ...

    def get(self, tenant: TenantId, device: DeviceId, number: int) -> Errand | None: ...
    def of_device(self, tenant: TenantId, device: DeviceId, before: int | None, limit: int) -> list[Errand]:
        """Newest first; `before` is the number of the last one seen."""
        ...

    def save(self, tenant: TenantId, errand: Errand) -> None:
        """Replace what moves of it."""
        ...

    def open_of(self, tenant: TenantId, device: DeviceId) -> list[Errand]:
        """Those that are waited for, by number."""
        ...

    def waited_for(self, tenant: TenantId, limit: int) -> list[DeviceId]:
        """Devices with any, each once."""
        ...

    def open_in_all(self, tenant: TenantId) -> int:
        """How many there are."""
        ...

    def due(self, tenant: TenantId, before: datetime, limit: int) -> list[Errand]:
        """Of those, what expires by then, the oldest first."""
        ...

    def put_part(self, tenant: TenantId, device: DeviceId, number: int, first: int, content: bytes) -> None:
        """Keep a part of an errand's diagnostics, from a byte on; the same again changes nothing."""
        ...

    def received(self, tenant: TenantId, device: DeviceId, number: int) -> int:
        """How many bytes of its diagnostics are here."""
        ...

    def parts(self, tenant: TenantId, device: DeviceId, number: int) -> list[bytes]:
        """Its diagnostics, in order."""
        ...

    def drop_parts(self, tenant: TenantId, device: DeviceId, number: int) -> None:
        """Forget its diagnostics."""
        ...

    def prune(self, bundles_before: datetime, before: datetime, limit: int) -> int:
        """Forget diagnostics of errands that ended before the one, and errands that ended before the other; how many.

        A device's newest errand stays: it says which numbers were used.
        """
        ...


class Alerts(Protocol):
    """Alerts, by name."""

    def add(self, tenant: TenantId, alert: Alert) -> bool:
        """Keep a new one; False where the name is taken."""
        ...

    def get(self, tenant: TenantId, name: str) -> Alert | None: ...
    def save(self, tenant: TenantId, alert: Alert) -> None:
        """Replace how it stands."""
        ...

    def remove(self, tenant: TenantId, name: str) -> bool:
        """Forget it; False where there is none."""
        ...

    def page(self, tenant: TenantId, after: str | None, limit: int) -> list[Alert]:
        """By name."""
        ...

    def raised(self, tenant: TenantId, limit: int) -> Sequence[Alert]:
        """Those that are raised, by name."""
        ...

    def count(self, tenant: TenantId) -> int: ...
