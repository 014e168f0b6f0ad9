"""Rollouts with their waves and segments; what moves their members is in `members`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, CursorResult, Row, Table, and_, delete, func, insert, or_, select, update

from otaru.adapters.sql import back, counters, members, slots
from otaru.adapters.sql.lean import run
from otaru.adapters.sql.packed import pack, unpack_policy
from otaru.adapters.sql.releases import SqlReleases
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import rollout as table
from otaru.adapters.sql.tables import rollout_segment, rollout_wave
from otaru.adapters.sql.tables import tenant as tenants
from otaru.domain.deployment import State
from otaru.domain.evidence import Cohort, Evidence, Span
from otaru.domain.ids import DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.offer import Plan
from otaru.domain.release import Release
from otaru.domain.rollout import Follows, Install, Rollout, RolloutState, Segment, Stratum, Taken, Wave, WaveState
from otaru.domain.rollout.outlook import Outlook
from otaru.domain.targeting import Query
from otaru.errors import NotFoundError

_NamedRow = Row[*tuple[Any, ...]]


class SqlRollouts:
    """Implements `ports.store.Rollouts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def next_id(self, tenant: TenantId) -> RolloutId:
        newest = select(func.coalesce(func.max(table.c.rollout), 0)).where(table.c.tenant == tenant)
        return RolloutId(self._session.connection.execute(newest).scalar_one() + 1)

    def add(self, tenant: TenantId, rollout: Rollout) -> None:
        self._session.connection.execute(insert(table).values(tenant=tenant, rollout=rollout.id, **_columns(rollout)))
        self._set_parts(tenant, rollout)

    def get(self, tenant: TenantId, rollout: RolloutId) -> Rollout | None:
        return next(iter(self._load(select(table).where(table.c.tenant == tenant, table.c.rollout == rollout))), None)

    def plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        found = self.get(tenant, rollout)
        if found is None:
            return None
        release = SqlReleases(self._session).get(tenant, found.product, found.version)
        if release is None:
            return None
        mark = found.watermark
        return Plan(found, release, tuple(-1 if segment.held else mark for segment in found.segments))

    def save(self, tenant: TenantId, rollout: Rollout) -> None:
        where = and_(table.c.tenant == tenant, table.c.rollout == rollout.id)
        if self._session.connection.execute(update(table).where(where).values(**_columns(rollout))).rowcount != 1:
            raise NotFoundError(f"there is no rollout {rollout.id}")
        for parts in (rollout_wave, rollout_segment):
            of_it = and_(parts.c.tenant == tenant, parts.c.rollout == rollout.id)
            self._session.connection.execute(delete(parts).where(of_it))
        self._set_parts(tenant, rollout)

    def _set_parts(self, tenant: TenantId, rollout: Rollout) -> None:
        mine, mark = {"tenant": tenant, "rollout": rollout.id}, rollout.watermark
        if rollout.waves:
            waves = [mine | _wave_columns(wave) for wave in rollout.waves]
            self._session.connection.execute(insert(rollout_wave), waves)
        if rollout.segments:
            segments = [mine | _segment_columns(segment, mark) for segment in rollout.segments]
            self._session.connection.execute(insert(rollout_segment), segments)

    def page(
        self,
        tenant: TenantId,
        states: Collection[str],
        after: RolloutId | None,
        limit: int,
        release: tuple[ProductName, Version] | None = None,
    ) -> list[Rollout]:
        found = select(table).where(table.c.tenant == tenant).order_by(table.c.rollout.desc()).limit(limit)
        if states:
            found = found.where(table.c.state.in_(sorted(str(state) for state in states)))
        if after is not None:
            found = found.where(table.c.rollout < after)
        if release is not None:
            found = found.where(table.c.product == release[0], table.c.version == release[1])
        return self._load(found)

    def last_of(
        self, tenant: TenantId, product: ProductName, follows: Follows, version: Version | None = None
    ) -> Rollout | None:
        found = select(table).where(
            table.c.tenant == tenant,
            table.c.follows_group == follows.group,
            table.c.product == product,
            table.c.follows_channel == follows.channel,
        )
        if version is not None:
            found = found.where(table.c.version == version)
        return next(iter(self._load(found.order_by(table.c.rollout.desc()).limit(1))), None)

    def _load(self, found: Any) -> list[Rollout]:
        rows = self._session.connection.execute(found).all()
        if not rows:
            return []
        waves: dict[int, list[Wave]] = {}
        segments: dict[int, list[Segment]] = {}
        for row in self._parts(rollout_wave, rollout_wave.c.wave, rows):
            waves.setdefault(row.rollout, []).append(_wave(row))
        for row in self._parts(rollout_segment, rollout_segment.c.segment, rows):
            segments.setdefault(row.rollout, []).append(_segment(row))
        return [_rollout(row, tuple(waves.get(row.rollout, ())), tuple(segments.get(row.rollout, ()))) for row in rows]

    def _parts(self, parts: Table, index: Column[int], of: Sequence[_NamedRow]) -> CursorResult[Any]:
        rollouts = [row.rollout for row in of]
        of_them = select(parts).where(parts.c.tenant == of[0].tenant, parts.c.rollout.in_(rollouts))
        return self._session.connection.execute(of_them.order_by(parts.c.rollout, index))

    def candidates(self, tenant: TenantId, query: Query, release: Release) -> tuple[int, Mapping[str, int]]:
        return members.candidates(self._session, tenant, query, release)

    def strata(self, tenant: TenantId, query: Query, release: Release, split: Sequence[str]) -> tuple[Stratum, ...]:
        return members.strata(self._session, tenant, query, release, split)

    def foresee(
        self, tenant: TenantId, rollout: Rollout, query: Query, release: Release, strata: Sequence[Stratum]
    ) -> Outlook:
        return members.foresee(self._session, tenant, rollout, query, release, strata)

    def enlist(
        self, tenant: TenantId, rollout: Rollout, query: Query, release: Release, strata: Sequence[Stratum] = ()
    ) -> int:
        return members.enlist(self._session, tenant, rollout, query, release, strata)

    def bases(
        self, tenant: TenantId, rollout: Rollout, component: str, segments: Collection[int] = ()
    ) -> list[tuple[Version | None, int]]:
        return back.bases(self._session, tenant, rollout, component, segments)

    def left_behind(
        self,
        tenant: TenantId,
        bad: Rollout,
        base: Version,
        release: Release,
        now: datetime,
        segments: Collection[int] = (),
    ) -> Mapping[str, int]:
        return back.candidates(self._session, tenant, back.Took(bad, base, release, segments), now)

    def strata_back(
        self,
        tenant: TenantId,
        bad: Rollout,
        base: Version,
        release: Release,
        now: datetime,
        segments: Collection[int] = (),
    ) -> tuple[Stratum, ...]:
        return back.strata(self._session, tenant, back.Took(bad, base, release, segments), now)

    def enlist_back(
        self,
        tenant: TenantId,
        rollout: Rollout,
        bad: Rollout,
        release: Release,
        strata: tuple[Stratum, ...],
        segments: Collection[int] = (),
    ) -> int:
        return back.enlist(self._session, tenant, rollout, back.Took(bad, rollout.version, release, segments), strata)

    def rolling_back(self, tenant: TenantId, rollouts: Collection[RolloutId]) -> dict[RolloutId, list[RolloutId]]:
        asked = select(table.c.rolls_back, table.c.rollout).where(
            table.c.tenant == tenant, table.c.rolls_back.in_(sorted(rollouts))
        )
        found: dict[RolloutId, list[RolloutId]] = {}
        for bad, rollout in self._session.connection.execute(asked.order_by(table.c.rollout)):
            found.setdefault(bad, []).append(rollout)
        return found

    def may_join(self, tenant: TenantId, rollout: Rollout, query: Query, release: Release) -> bool:
        return members.may_join(self._session, tenant, rollout, query, release)

    def join(self, tenant: TenantId, rollout: Rollout, query: Query, release: Release, at: datetime) -> list[DeviceId]:
        return members.join(self._session, tenant, rollout, query, release, at)

    def evidence(self, tenant: TenantId, rollout: RolloutId) -> Evidence:
        return counters.evidence(self._session, tenant, rollout)

    def told(self, tenant: TenantId, rollout: RolloutId, dark: Sequence[Span]) -> dict[Cohort, int]:
        return counters.told(self._session, tenant, rollout, dark)

    def recounted(self, tenant: TenantId, rollout: RolloutId) -> Evidence:
        return counters.recounted(self._session, tenant, rollout)

    def move_all(
        self,
        tenant: TenantId,
        rollout: RolloutId,
        states: Collection[State],
        target: State,
        reason: str,
        at: datetime,
    ) -> int:
        return members.move_all(self._session, tenant, rollout, states, target, reason, at)

    def retry(self, tenant: TenantId, rollout: RolloutId, states: Collection[State], at: datetime) -> dict[int, int]:
        return members.retry(self._session, tenant, rollout, states, at)

    def taken(self, tenant: TenantId, rollout: Rollout, device: DeviceId, minute: int) -> Taken:
        return slots.taken(self._session, tenant, rollout, device, minute)

    def reserve(self, tenant: TenantId, rollout: RolloutId, minute: int, wanted: int, capacity: int) -> int:
        return slots.reserve(self._session, tenant, rollout, minute, wanted, capacity)

    def prune_slots(self, before: int) -> None:
        run(self._session, "DELETE FROM offer_slot WHERE minute < ?", before)

    def every_due(self, now: datetime, limit: int) -> list[tuple[TenantId, RolloutId]]:
        # Every millisecond another order: where there are more than `limit`, none of them waits for ever.
        shuffled = (table.c.seed % _SHUFFLE * (int(now.timestamp() * 1000) % _SHUFFLE) + table.c.rollout) % _SHUFFLE
        due = (
            select(table.c.tenant, table.c.rollout)
            .join(tenants, tenants.c.tenant == table.c.tenant)
            .where(
                or_(
                    table.c.state == RolloutState.STOPPING.value,
                    and_(table.c.state == RolloutState.RUNNING.value, ~tenants.c.halted),
                    and_(table.c.state == RolloutState.SCHEDULED.value, table.c.start_at <= now, ~tenants.c.halted),
                )
            )
            .order_by(shuffled)
            .limit(limit)
        )
        return [(tenant, rollout) for tenant, rollout in self._session.connection.execute(due)]


_SHUFFLE = 1_000_003


def without_waves(session: Session, tenant: TenantId, rollouts: Collection[RolloutId]) -> dict[RolloutId, Rollout]:
    """Rollouts by id, their waves and segments left out."""
    found = select(table).where(table.c.tenant == tenant, table.c.rollout.in_(sorted(rollouts)))
    return {row.rollout: _rollout(row, (), ()) for row in session.connection.execute(found)}


def _columns(rollout: Rollout) -> dict[str, Any]:
    return {
        "name": rollout.name,
        "product": rollout.product,
        "version": rollout.version,
        "target": rollout.target,
        "state": rollout.state.value,
        "reason": rollout.reason,
        "policy": pack(rollout.policy),
        "seed": rollout.seed,
        "size": rollout.size,
        "created_at": rollout.created_at,
        "start_at": rollout.start_at,
        "started_at": rollout.started_at,
        "ended_at": rollout.ended_at,
        "edition": rollout.edition,
        "rolls_back": rollout.rolls_back,
        "created_by": rollout.created_by,
        "follows_group": None if rollout.follows is None else rollout.follows.group,
        "follows_channel": None if rollout.follows is None else rollout.follows.channel,
        "superseded_by": rollout.superseded_by,
        "install_at": None if rollout.install is None else rollout.install.at,
        "install_in_window": rollout.install is not None and rollout.install.in_window,
    }


def _wave_columns(wave: Wave) -> dict[str, Any]:
    return {
        "wave": wave.index,
        "start": wave.start,
        "height": wave.height,
        "state": wave.state.value,
        "opened_at": wave.opened_at,
        "complete_at": wave.complete_at,
        "reason": wave.reason,
    }


def _wave(row: _NamedRow) -> Wave:
    return Wave(
        index=row.wave,
        start=row.start,
        height=row.height,
        state=WaveState(row.state),
        opened_at=row.opened_at,
        complete_at=row.complete_at,
        reason=row.reason,
    )


def _segment_columns(segment: Segment, watermark: int) -> dict[str, Any]:
    return {
        "segment": segment.index,
        "name": segment.name,
        "size": segment.size,
        "held": segment.held,
        "watermark": watermark,
        "reason": segment.reason,
        "overruled": segment.overruled,
    }


def _segment(row: _NamedRow) -> Segment:
    return Segment(
        index=row.segment,
        name=row.name,
        size=row.size,
        held=row.held,
        reason=row.reason,
        overruled=row.overruled,
    )


def _rollout(row: _NamedRow, waves: tuple[Wave, ...], segments: tuple[Segment, ...]) -> Rollout:
    return Rollout(
        id=row.rollout,
        product=row.product,
        version=row.version,
        target=row.target,
        state=RolloutState(row.state),
        policy=unpack_policy(row.policy),
        seed=row.seed,
        created_at=row.created_at,
        size=row.size,
        waves=waves,
        segments=segments,
        name=row.name,
        reason=row.reason,
        start_at=row.start_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        edition=row.edition,
        rolls_back=row.rolls_back,
        created_by=row.created_by,
        follows=None if row.follows_group is None else Follows(row.follows_group, row.follows_channel),
        superseded_by=row.superseded_by,
        install=None if row.install_at is None else Install(row.install_at, row.install_in_window),
    )
