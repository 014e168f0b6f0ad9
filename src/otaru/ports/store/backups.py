"""Backups that devices have sent."""

from typing import Protocol

from otaru.domain.backup import Backup
from otaru.domain.ids import DeviceId, Sha256, TenantId


class Backups(Protocol):
    """Backups by device and digest."""

    def get(self, tenant: TenantId, device: DeviceId, sha256: Sha256) -> Backup | None: ...
    def put(self, tenant: TenantId, backup: Backup) -> None:
        """Keep it, in place of one with its device and digest."""
        ...

    def of_device(self, tenant: TenantId, device: DeviceId) -> list[Backup]:
        """Whole ones and others, those begun last first."""
        ...

    def remove(self, tenant: TenantId, device: DeviceId, sha256: Sha256) -> None:
        """Forget it; one that is not there is no error."""
        ...

    def holds(self, tenant: TenantId, sha256: Sha256) -> bool:
        """Whether these bytes are a backup of any device, whole."""
        ...

    def alone(self, tenant: TenantId, sha256: Sha256) -> bool:
        """Whether they are a backup, and nobody has uploaded them as a file."""
        ...

    def size(self, tenant: TenantId) -> int:
        """Bytes of all devices' together, also those that are still to come; none whose bytes were removed."""
        ...
