"""Rollouts, each device's share in them, and what devices said of it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from otaru.domain.consent import Delay
from otaru.domain.deployment import Deployment, Report, State
from otaru.domain.evidence import Cohort, Evidence, Span
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.offer import Plan
from otaru.domain.release import Release
from otaru.domain.rollout import Follows, Rollout, Stratum, Taken
from otaru.domain.rollout.outlook import Outlook
from otaru.domain.targeting import Query
from otaru.domain.trial import Trial


class Rollouts(Protocol):
    """Rollouts, their waves, segments and members."""

    def next_id(self, tenant: TenantId) -> RolloutId: ...
    def add(self, tenant: TenantId, rollout: Rollout) -> None: ...
    def get(self, tenant: TenantId, rollout: RolloutId) -> Rollout | None: ...
    def plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        """As the poll needs it. A held segment's watermark is -1."""
        ...

    def save(self, tenant: TenantId, rollout: Rollout) -> None:
        """Replace state, waves, segments, reason, times, size and edition; so each segment's watermark is the rollout's.

        O(waves + segments), whatever the number of members.
        """
        ...

    def page(
        self,
        tenant: TenantId,
        states: Collection[str],
        after: RolloutId | None,
        limit: int,
        release: tuple[ProductName, Version] | None = None,
    ) -> list[Rollout]:
        """Newest first; `states` empty means all, `release` None those of any."""
        ...

    def last_of(
        self, tenant: TenantId, product: ProductName, follows: Follows, version: Version | None = None
    ) -> Rollout | None:
        """The rollout that a standing order made last; with `version` the last of that one."""
        ...

    def candidates(self, tenant: TenantId, query: Query, release: Release) -> tuple[int, Mapping[str, int]]:
        """How many devices of the target would be members, and how many are left out for which reason.

        Reasons, in this order: `inactive` (lifecycle), `misfit` (hardware), `installed` (this very version runs),
        `pinned`.
        """
        ...

    def strata(self, tenant: TenantId, query: Query, release: Release, split: Sequence[str]) -> tuple[Stratum, ...]:
        """The candidates by what splits them (`domain.rollout.segment.cut`), biggest first; one where nothing does."""
        ...

    def foresee(
        self, tenant: TenantId, rollout: Rollout, query: Query, release: Release, strata: Sequence[Stratum]
    ) -> Outlook:
        """What is known at `rollout.created_at` of the members that it would have, and of how the tenant's rollouts went."""
        ...

    def enlist(
        self, tenant: TenantId, rollout: Rollout, query: Query, release: Release, strata: Sequence[Stratum] = ()
    ) -> int:
        """Make the candidates members, and count them. Returns how many.

        With the `strata` of this transaction they are ranked as `domain.rollout.segment` says, each in the segment of its
        stratum and in the wave of its rank; without, by the rollout's `draw` and then device id, in one segment and wave.
        Canaries are chosen by what devices tell, where they tell anything (`domain.rollout.coverage`).
        Set-based: no row passes through Python but those few. Their deployments are `scheduled`, attempt 1.
        """
        ...

    def bases(
        self, tenant: TenantId, rollout: Rollout, component: str, segments: Collection[int] = ()
    ) -> list[tuple[Version | None, int]]:
        """What members that were told of a rollout, and run its version, ran before (`Deployment.base`); most first.

        Here and below: those of some segments, where any are named.
        """
        ...

    def left_behind(
        self,
        tenant: TenantId,
        bad: Rollout,
        base: Version,
        release: Release,
        now: datetime,
        segments: Collection[int] = (),
    ) -> Mapping[str, int]:
        """Who of those that ran `base` cannot be brought back to it by `release`, by reason (`LEFT_OUT`)."""
        ...

    def strata_back(
        self,
        tenant: TenantId,
        bad: Rollout,
        base: Version,
        release: Release,
        now: datetime,
        segments: Collection[int] = (),
    ) -> tuple[Stratum, ...]:
        """Who of them can, as one segment; none where nobody can."""
        ...

    def enlist_back(
        self,
        tenant: TenantId,
        rollout: Rollout,
        bad: Rollout,
        release: Release,
        strata: tuple[Stratum, ...],
        segments: Collection[int] = (),
    ) -> int:
        """Make members of those of `strata_back`, as `enlist` does. Returns how many."""
        ...

    def rolling_back(self, tenant: TenantId, rollouts: Collection[RolloutId]) -> dict[RolloutId, list[RolloutId]]:
        """The rollouts that bring devices of these back; without any it is left out."""
        ...

    def may_join(self, tenant: TenantId, rollout: Rollout, query: Query, release: Release) -> bool:
        """Whether there are candidates that are no members and never were."""
        ...

    def join(self, tenant: TenantId, rollout: Rollout, query: Query, release: Release, at: datetime) -> list[DeviceId]:
        """Make such candidates members too, ranked behind all others by id, in the last wave. Who they are."""
        ...

    def evidence(self, tenant: TenantId, rollout: RolloutId) -> Evidence:
        """Members by segment and wave, from the counters that move with the rows."""
        ...

    def told(self, tenant: TenantId, rollout: RolloutId, dark: Sequence[Span]) -> dict[Cohort, int]:
        """The members that were told before the end of the last of these spans (a few), counted. It reads every member."""
        ...

    def recounted(self, tenant: TenantId, rollout: RolloutId) -> Evidence:
        """Counted anew from the rows: what `evidence` must equal in the same snapshot."""
        ...

    def move_all(
        self,
        tenant: TenantId,
        rollout: RolloutId,
        states: Collection[State],
        target: State,
        reason: str,
        at: datetime,
    ) -> int:
        """Move every current member in `states` to `target`, with counters. Set-based. Returns how many.

        The caller has looked `target` up in the deployment table for each of `states`.
        """
        ...

    def retry(self, tenant: TenantId, rollout: RolloutId, states: Collection[State], at: datetime) -> dict[int, int]:
        """Give each current member in `states` a new attempt, `scheduled`, same rank and wave; how many by wave.

        The old attempt stays as history and is no longer counted. Decommissioned devices are left as they are.
        """
        ...

    def taken(self, tenant: TenantId, rollout: Rollout, device: DeviceId, minute: int) -> Taken:
        """What a rollout has taken of its limits, as a device finds it in this minute."""
        ...

    def reserve(self, tenant: TenantId, rollout: RolloutId, minute: int, wanted: int, capacity: int) -> int:
        """Take so many of a minute's places, as far as there are any left; how many were taken."""
        ...

    def prune_slots(self, before: int) -> None:
        """Forget the places of minutes before this one, in every tenant."""
        ...

    def every_due(self, now: datetime, limit: int) -> list[tuple[TenantId, RolloutId]]:
        """Rollouts that a worker should step now: stopping ones, and where no halt holds them, running and due ones.

        Nothing is claimed: a step is decided and taken in one serializable transaction, so two workers cannot both take it.
        """
        ...


class Deployments(Protocol):
    """Devices' shares in rollouts."""

    def current(self, tenant: TenantId, keys: Sequence[tuple[RolloutId, DeviceId]]) -> list[Deployment | None]:
        """The newest attempt of each."""
        ...

    def by_action(self, tenant: TenantId, keys: Sequence[tuple[DeviceId, ActionId]]) -> list[Deployment | None]: ...
    def open_of(self, tenant: TenantId, device: DeviceId) -> Deployment | None:
        """The deployment that the device has been told of and has not ended."""
        ...

    def unended_of(self, tenant: TenantId, device: DeviceId) -> list[Deployment]:
        """All of the device's deployments that are not final, by rollout, whatever state the rollout is in."""
        ...

    def allot(self, tenant: TenantId, devices: Sequence[DeviceId]) -> list[ActionId]:
        """The next action id of each device: 1, 2, 3 …, each given out once. `devices` are distinct."""
        ...

    def save(self, tenant: TenantId, changed: Sequence[tuple[Deployment, Deployment]]) -> None:
        """Replace (before → after) state, action, times and reason, and move the counters by the differences.

        `changed` holds a deployment once. At most one open deployment a device is held by the schema.
        """
        ...

    def delay(self, tenant: TenantId, deployment: Deployment) -> Delay | None:
        """Until when its owner has postponed it; None: never did."""
        ...

    def delay_until(self, tenant: TenantId, deployment: Deployment, delay: Delay) -> None:
        """Keep that, in place of what was known."""
        ...

    def of_device(self, tenant: TenantId, device: DeviceId, limit: int) -> list[tuple[Deployment, Rollout]]:
        """Newest first, every attempt (the rollouts come without waves and segments)."""
        ...

    def standing(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, State]:
        """The state of each device's open deployment, else of the one that ended last; without either it is left out."""
        ...

    def page(
        self,
        tenant: TenantId,
        rollout: RolloutId,
        states: Collection[State],
        after: DeviceId | None,
        limit: int,
        wave: int | None = None,
    ) -> list[Deployment]:
        """Current attempts of a rollout, by device id. With `wave` only its members; those of others are read over."""
        ...

    def unheard(
        self, tenant: TenantId, rollout: RolloutId, wave: int | None, before: datetime, limit: int, among: int
    ) -> list[DeviceId]:
        """Unended members of a wave (None: of all) not heard of since `before`: who never was first, then the longest.

        `among` is how many members of each state, of whatever wave, are looked at, the first by device.
        """
        ...

    def reasons(
        self, tenant: TenantId, rollout: RolloutId, limit: int, among: int | None = None
    ) -> list[tuple[State, str, int]]:
        """Why members failed: state and last words, with how many, most frequent first.

        `among` is how many members of each state are looked at, the first by device; None is all.
        """
        ...

    def every_rollout_on_trial(self) -> list[tuple[TenantId, RolloutId]]:
        """Active rollouts, of every tenant, with members on trial."""
        ...

    def trials_over(
        self, tenant: TenantId, rollout: RolloutId, component: str, began: datetime, unheard: datetime, limit: int
    ) -> list[Trial]:
        """Members on trial since `began` or before, oldest first: who was heard of since, and who was not by `unheard`.

        It costs as much as there are of those, however many are on trial. `component` is what the rollout updates.
        """
        ...

    def on_trial(self, tenant: TenantId, devices: Collection[DeviceId]) -> list[Deployment]:
        """The deployments on trial of those devices that have one."""
        ...


class Reports(Protocol):
    """What devices said: append-only."""

    def add(self, tenant: TenantId, reports: Sequence[Report]) -> list[bool]:
        """Keep reports; False for each that is known already by (device, action, digest), also within `reports`.

        Beyond MAX_REPORTS of an action, words are dropped: the report counts as new and is not kept.
        """
        ...

    def of_action(self, tenant: TenantId, device: DeviceId, action: ActionId, limit: int) -> list[Report]:
        """Newest first."""
        ...
