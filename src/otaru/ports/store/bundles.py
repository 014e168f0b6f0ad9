"""Bundles for places without a network, as they were exported."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from otaru.domain.bundle import Aboard, Exported
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId


class Bundles(Protocol):
    """What was exported, and whose orders are in it. Nothing of it changes, until it is forgotten."""

    def add(self, tenant: TenantId, bundle: Exported, aboard: Sequence[Aboard]) -> None: ...

    def get(self, tenant: TenantId, bundle: str) -> Exported | None: ...

    def holds(self, tenant: TenantId, bundle: str, device: DeviceId) -> bool:
        """Whether a device's order is in it."""
        ...

    def aboard(self, tenant: TenantId, bundle: str, limit: int) -> list[DeviceId]:
        """The first devices whose orders are in it, by id."""
        ...

    def page(self, tenant: TenantId, rollout: RolloutId | None, limit: int) -> list[Exported]:
        """The newest first; of a rollout, or of all."""
        ...

    def of_action(self, tenant: TenantId, device: DeviceId, action: ActionId, now: datetime) -> Exported | None:
        """The bundle with this order that holds longest, where one holds now."""
        ...

    def prune(self, before: datetime, most: int) -> int:
        """Forget bundles, of all tenants, that ended before, so many at most; how many."""
        ...
