"""Rollouts with their waves and segments; what moves their members is in `members`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, or_, select, update

from otaru.adapters.sql import counters, members
from otaru.adapters.sql.lean import run
from otaru.adapters.sql.packed import pack, unpack_policy
from otaru.adapters.sql.releases import SqlReleases
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import rollout as table
from otaru.adapters.sql.tables import rollout_segment, rollout_wave
from otaru.adapters.sql.tables import tenant as tenants
from otaru.domain.deployment import State
from otaru.domain.evidence import Tally
from otaru.domain.ids import ProductName, RolloutId, TenantId, Version
from otaru.domain.offer import Plan
from otaru.domain.release import Release
from otaru.domain.rollout import Rollout, RolloutState, Wave, WaveState
from otaru.domain.targeting import Query
from otaru.errors import NotFoundError

_NamedRow = Row[*tuple[Any, ...]]

_RAISE = "UPDATE rollout_segment SET watermark = ? WHERE tenant = ? AND rollout = ? AND NOT held"


class SqlRollouts:
    """Implements `ports.store.Rollouts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def next_id(self, tenant: TenantId) -> RolloutId:
        newest = select(func.coalesce(func.max(table.c.rollout), 0)).where(table.c.tenant == tenant)
        return RolloutId(self._session.connection.execute(newest).scalar_one() + 1)

    def add(self, tenant: TenantId, rollout: Rollout) -> None:
        self._session.connection.execute(insert(table).values(tenant=tenant, rollout=rollout.id, **_columns(rollout)))
        self._set_waves(tenant, rollout)

    def get(self, tenant: TenantId, rollout: RolloutId) -> Rollout | None:
        return next(iter(self._load(select(table).where(table.c.tenant == tenant, table.c.rollout == rollout))), None)

    def plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        found = self.get(tenant, rollout)
        if found is None:
            return None
        release = SqlReleases(self._session).get(tenant, found.product, found.version)
        if release is None:
            return None
        segments = (
            select(rollout_segment.c.held, rollout_segment.c.watermark)
            .where(rollout_segment.c.tenant == tenant, rollout_segment.c.rollout == rollout)
            .order_by(rollout_segment.c.segment)
        )
        marks = tuple(-1 if held else mark for held, mark in self._session.connection.execute(segments))
        return Plan(found, release, marks)

    def save(self, tenant: TenantId, rollout: Rollout) -> None:
        where = and_(table.c.tenant == tenant, table.c.rollout == rollout.id)
        if self._session.connection.execute(update(table).where(where).values(**_columns(rollout))).rowcount != 1:
            raise NotFoundError(f"there is no rollout {rollout.id}")
        of_it = and_(rollout_wave.c.tenant == tenant, rollout_wave.c.rollout == rollout.id)
        self._session.connection.execute(delete(rollout_wave).where(of_it))
        self._set_waves(tenant, rollout)

    def _set_waves(self, tenant: TenantId, rollout: Rollout) -> None:
        rows = [{"tenant": tenant, "rollout": rollout.id, **_wave_columns(wave)} for wave in rollout.waves]
        if rows:
            self._session.connection.execute(insert(rollout_wave), rows)
        run(self._session, _RAISE, rollout.watermark, tenant, rollout.id)

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

    def _load(self, found: Any) -> list[Rollout]:
        rows = self._session.connection.execute(found).all()
        if not rows:
            return []
        of_them = (
            select(rollout_wave)
            .where(rollout_wave.c.tenant == rows[0].tenant, rollout_wave.c.rollout.in_([row.rollout for row in rows]))
            .order_by(rollout_wave.c.rollout, rollout_wave.c.wave)
        )
        waves: dict[int, list[Wave]] = {}
        for row in self._session.connection.execute(of_them):
            waves.setdefault(row.rollout, []).append(_wave(row))
        return [_rollout(row, tuple(waves.get(row.rollout, ()))) for row in rows]

    def candidates(self, tenant: TenantId, query: Query, release: Release) -> tuple[int, Mapping[str, int]]:
        return members.candidates(self._session, tenant, query, release)

    def enlist(self, tenant: TenantId, rollout: Rollout, query: Query, release: Release) -> int:
        return members.enlist(self._session, tenant, rollout, query, release)

    def assign_waves(self, tenant: TenantId, rollout: RolloutId, waves: Sequence[Wave]) -> None:
        members.assign_waves(self._session, tenant, rollout, waves)

    def tallies(self, tenant: TenantId, rollout: RolloutId) -> dict[int, Tally]:
        return counters.tallies(self._session, tenant, rollout)

    def recounted(self, tenant: TenantId, rollout: RolloutId) -> dict[int, Tally]:
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
    """Rollouts by id, their waves left out."""
    found = select(table).where(table.c.tenant == tenant, table.c.rollout.in_(sorted(rollouts)))
    return {row.rollout: _rollout(row, ()) for row in session.connection.execute(found)}


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


def _rollout(row: _NamedRow, waves: tuple[Wave, ...]) -> Rollout:
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
        name=row.name,
        reason=row.reason,
        start_at=row.start_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        edition=row.edition,
    )
