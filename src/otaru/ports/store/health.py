"""What devices told of their health."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from otaru.domain.health import HealthEvent, Heard, Hush, Kind, Measured, Risk, Spread
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.rollout import Rollout


class Health(Protocol):
    """Events of devices, counted for the judge in the transaction that keeps them."""

    def add(self, tenant: TenantId, events: Sequence[HealthEvent]) -> list[bool]:
        """Keep events and count them; False for each that is known already by (device, id), also within `events`.

        Counted (samples are not) for each active rollout in which the device is in an arm, in the arm, hour and age of
        the moment; for rollout 0 where there is none. The first reboot of an updated device since it was offered the
        update counts nowhere. The newest sample of each name becomes the device's last telemetry, where it differs
        from what is known by more than its precision; beyond MAX_SAMPLED names of a device it does not.
        Of each active rollout that is judged by telemetry, an updated device's newest sample of a judged name is placed
        among those of control at the same time, once in each of LOOKS: see `Placement`.
        """
        ...

    def told_since(self, tenant: TenantId, devices: Sequence[DeviceId], since: datetime) -> dict[DeviceId, int]:
        """How many events of each were kept since then; a device without any may be left out."""
        ...

    def known(self, tenant: TenantId, keys: Sequence[tuple[DeviceId, str]]) -> set[tuple[DeviceId, str]]:
        """Which of these (device, event id) are kept."""
        ...

    def since(
        self, tenant: TenantId, keys: Sequence[tuple[DeviceId, datetime]], kinds: Collection[Kind]
    ) -> dict[DeviceId, Counter[Kind]]:
        """How many events of these kinds each device told since its moment, by kind; without any it is left out."""
        ...

    def risk(self, tenant: TenantId, rollout: RolloutId) -> Risk:
        """What was counted of a rollout (0: of devices in none). It costs as much as there are cells."""
        ...

    def mark(self, tenant: TenantId, rollout: RolloutId) -> int:
        """A number that moves when `risk` does for another reason than that members moved; cheap."""
        ...

    def hushed(self, tenant: TenantId, rollout: Rollout, hour: int, patience_h: int) -> dict[Hush, Heard]:
        """Who stopped being heard in the hour (since 1970) that has just ended, and of how many that could have.

        Silent is who was last heard of `patience_h` hours before. It reads WATCHED members, and as many more. CAME (in
        segment 0) counts who came in that hour or since, of members and of WATCHED others who have been told of nothing
        since the rollout was planned.
        """
        ...

    def note_hushed(self, tenant: TenantId, rollout: RolloutId, found: Mapping[Hush, Heard]) -> None:
        """Keep what was found; what is known of an hour stays."""
        ...

    def hushed_until(self, tenant: TenantId, rollout: RolloutId) -> int:
        """The last hour of which that is kept; 0 where there is none."""
        ...

    def of_device(
        self, tenant: TenantId, device: DeviceId, before: tuple[datetime, str] | None, limit: int
    ) -> list[HealthEvent]:
        """Newest first; `before` is time and id of the last one seen."""
        ...

    def telemetry(self, tenant: TenantId, device: DeviceId) -> list[Measured]:
        """The last telemetry of a device, by name."""
        ...

    def measured(self, tenant: TenantId, limit: int) -> list[str]:
        """What devices measure, by name: one look at the index for each."""
        ...

    def spread(self, tenant: TenantId, name: str) -> Spread | None:
        """How the last values of it lie; None: nobody tells it. It counts them all, by index."""
        ...

    def prune(self, tenant: TenantId, before: datetime, limit: int) -> int:
        """Forget at most `limit` events that came before; how many. Counts and last telemetry stay."""
        ...

    def prune_counts(self, tenant: TenantId, before: datetime) -> None:
        """Forget the counts, of hours before, of devices in no rollout. Those of rollouts stay with them."""
        ...
