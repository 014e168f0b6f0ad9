"""What is done to all members of a rollout at once: statements over sets, no row of them passes through Python.

The counters move in the same transaction by the differences that the same conditions find (`counters`). Only the
current attempt of a member is ever moved.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Subquery,
    and_,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)

from otaru.adapters.sql import canaries, counters, fleet, health, ranking, targeting
from otaru.adapters.sql.counters import Cell
from otaru.adapters.sql.lean import fetch, run
from otaru.adapters.sql.outlook import outlook
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import deployment, device, device_component, micros
from otaru.domain.deployment import FINAL, State
from otaru.domain.device import EVERYTHING, Hardware, Lifecycle
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.release import Release
from otaru.domain.rollout import Rollout, Stratum, cells
from otaru.domain.rollout.outlook import MAX_FIRST, Outlook
from otaru.domain.targeting import Query

_MANY = 10_000
"""So many rows moved at once change what PostgreSQL should know of them: it would plan on the old picture for minutes."""

ACTIVE_DEVICE: ColumnElement[bool] = device.c.lifecycle == Lifecycle.ACTIVE.value

LEFT_OUT = ("inactive", "misfit", "installed", "pinned")
"""Why a device of the target is no member, in this order."""


def candidates(session: Session, tenant: TenantId, query: Query, release: Release) -> tuple[int, Mapping[str, int]]:
    """How many devices of a target would be members, and how many are left out for which reason."""
    suits, installed = fits(release), _installed(session, tenant, release)
    why = case(
        (not_(ACTIVE_DEVICE), "inactive"),
        (not_(suits), "misfit"),
        (installed, "installed"),
        (_pinned(session, release), "pinned"),
        else_="member",
    )
    target = and_(device.c.tenant == tenant, targeting.condition(session, tenant, query))
    reasons = select(why.label("why")).where(target).subquery()
    counted = select(reasons.c.why, func.count().label("members")).group_by(reasons.c.why)
    found = {row.why: row.members for row in session.connection.execute(counted)}
    return found.get("member", 0), {why: found.get(why, 0) for why in LEFT_OUT}


def strata(
    session: Session, tenant: TenantId, query: Query, release: Release, split: Sequence[str]
) -> tuple[Stratum, ...]:
    """Would-be members by what splits them."""
    return ranking.strata(session, tenant, _members(session, tenant, query, release), release, split)


def foresee(
    session: Session, tenant: TenantId, rollout: Rollout, query: Query, release: Release, strata: Sequence[Stratum]
) -> Outlook:
    """What history says of the candidates."""
    them = _members(session, tenant, query, release)
    ranked = ranking.stratified(rollout, release, strata, them) if strata else ranking.drawn(rollout, them)
    first = canaries.first(session, tenant, ranked, strata, MAX_FIRST)
    return outlook(session, tenant, rollout, them, first)


def enlist(
    session: Session,
    tenant: TenantId,
    rollout: Rollout,
    query: Query,
    release: Release,
    strata: Sequence[Stratum] = (),
) -> int:
    """Make the candidates members by one statement, and choose their canaries; how many."""
    size = enlist_all(session, tenant, rollout, release, strata, _members(session, tenant, query, release))
    if strata:
        canaries.choose(session, tenant, rollout, strata)
    return size


def enlist_all(
    session: Session,
    tenant: TenantId,
    rollout: Rollout,
    release: Release,
    strata: Sequence[Stratum],
    them: ColumnElement[bool],
) -> int:
    """Make these devices members by one statement; how many."""
    ranked = ranking.stratified(rollout, release, strata, them) if strata else ranking.drawn(rollout, them)
    wave = ranking.by_halves(rollout.waves, ranked.c.rank) if strata else literal(0)
    row = _scheduled(tenant, rollout, ranked, wave, rollout.created_at)
    enlisted = (
        insert(deployment).from_select(list(row), select(*row.values())).execution_options(preserve_rowcount=True)
    )
    size = session.connection.execute(enlisted).rowcount
    scheduled = State.SCHEDULED.value
    sizes = cells(rollout, strata) if strata else {(0, 0): size}
    counters.move(session, tenant, {(rollout.id, *cell, scheduled): number for cell, number in sizes.items()})
    exposed = {index: stratum.size for index, stratum in enumerate(strata)} or {0: size}
    at = micros(rollout.created_at)
    health.expose(session, tenant, {(rollout.id, segment, at, scheduled): n for segment, n in exposed.items()})
    _look_anew(session, size)
    return size


def _scheduled(
    tenant: TenantId, rollout: Rollout, ranked: Subquery, wave: ColumnElement[int], at: datetime
) -> dict[str, ColumnElement[Any]]:
    """The rows of those ranked, by column."""
    return {
        "tenant": literal(tenant),
        "rollout": literal(rollout.id),
        "device": ranked.c.device,
        "attempt": literal(1),
        "current": true(),
        "state": literal(State.SCHEDULED.value),
        "segment": ranked.c.segment,
        "wave": wave,
        "rank": ranked.c.rank,
        "action": null(),
        "changed_at": literal(at, deployment.c.changed_at.type),
        "offered_at": null(),
        "ended_at": null(),
    }


def may_join(session: Session, tenant: TenantId, rollout: Rollout, query: Query, release: Release) -> bool:
    """Whether there are candidates that are no members and never were."""
    them = _joiners(session, tenant, rollout, query, release)
    return bool(session.connection.execute(select(exists(select(device.c.device).where(them)))).scalar_one())


def join(
    session: Session, tenant: TenantId, rollout: Rollout, query: Query, release: Release, at: datetime
) -> list[DeviceId]:
    """Make them members by one statement, behind all others; who they are."""
    them = _joiners(session, tenant, rollout, query, release)
    rank = func.row_number().over(order_by=device.c.device) - 1 + rollout.size
    ranked = select(device.c.device, literal(0).label("segment"), rank.label("rank")).where(them).subquery()
    last = rollout.waves[-1].index
    row = _scheduled(tenant, rollout, ranked, literal(last), at)
    joining = insert(deployment).from_select(list(row), select(*row.values())).returning(deployment.c.device)
    joined = sorted(DeviceId(id_) for (id_,) in session.connection.execute(joining))
    if joined:
        scheduled = State.SCHEDULED.value
        counters.move(session, tenant, {(rollout.id, 0, last, scheduled): len(joined)})
        health.expose(session, tenant, {(rollout.id, 0, micros(at), scheduled): len(joined)})
        _look_anew(session, len(joined))
    return joined


def _joiners(
    session: Session, tenant: TenantId, rollout: Rollout, query: Query, release: Release
) -> ColumnElement[bool]:
    ever = exists().where(
        deployment.c.tenant == tenant,
        deployment.c.rollout == rollout.id,
        deployment.c.device == device.c.device,
        deployment.c.attempt == 1,
    )
    return and_(_members(session, tenant, query, release), not_(ever.correlate(device)))


def _members(session: Session, tenant: TenantId, query: Query, release: Release) -> ColumnElement[bool]:
    return and_(
        device.c.tenant == tenant,
        targeting.condition(session, tenant, query),
        ACTIVE_DEVICE,
        fits(release),
        not_(_installed(session, tenant, release)),
        not_(_pinned(session, release)),
    )


def _pinned(session: Session, release: Release) -> ColumnElement[bool]:
    """Whether something that the release is for stays as it is."""
    place = func.strpos if session.postgres else func.instr
    held = [
        and_(_for(release, component), place("," + device.c.pins + ",", f",{component},") > 0)
        for component in release.components
    ]
    return and_(device.c.pins != "", or_(device.c.pins == EVERYTHING, *held))


def _look_anew(session: Session, rows: int) -> None:
    """Have PostgreSQL gather its statistics where many rows were moved (a sample: it takes a moment at any size)."""
    if session.postgres and rows >= _MANY:
        run(session, "ANALYZE deployment, deployment_reason")


def fits(release: Release) -> ColumnElement[bool]:
    """Whether the hardware is right: `Hardware.fits` of one of its artifacts."""
    return _of_hardware({a.hardware for a in release.artifacts})


def _for(release: Release, component: str) -> ColumnElement[bool]:
    """Whether it brings this component to the device, of several."""
    if len(release.components) == 1:
        return true()
    return _of_hardware({a.hardware for a in release.artifacts if a.component == component})


def _of_hardware(hardware: Collection[Hardware]) -> ColumnElement[bool]:
    return or_(false(), *(_runs_on(each) for each in sorted(hardware, key=str)))


def _runs_on(hardware: Hardware) -> ColumnElement[bool]:
    of_model = device.c.model == hardware.model
    return and_(of_model, device.c.hardware_revision == hardware.revision) if hardware.revision else of_model


def _installed(session: Session, tenant: TenantId, release: Release) -> ColumnElement[bool]:
    """Whether this very version runs in all that it is for."""
    each = [_runs(session, tenant, component, release) for component in release.components]
    if len(each) == 1:
        return each[0]
    brings = [_for(release, component) for component in release.components]
    return and_(*(or_(not_(brought), runs) for brought, runs in zip(brings, each, strict=True)))


def _runs(session: Session, tenant: TenantId, component: str, release: Release) -> ColumnElement[bool]:
    runs = select(device_component.c.device).where(
        device_component.c.tenant == tenant,
        device_component.c.component == component,
        device_component.c.version == release.version,
    )
    if session.postgres:
        return exists(runs.where(device_component.c.device == device.c.device).correlate(device))
    return device.c.device.in_(runs)


_OF_STATES = "tenant = ? AND rollout = ? AND state IN ({states}) AND current"

_CELLS = f"SELECT segment, wave, state, count(*) FROM deployment WHERE {_OF_STATES} GROUP BY segment, wave, state"

_SAY = f"""
INSERT INTO deployment_reason (tenant, rollout, device, attempt, reason)
SELECT tenant, rollout, device, attempt, CAST(? AS text) FROM deployment WHERE {_OF_STATES}
ON CONFLICT (tenant, rollout, device, attempt) DO UPDATE SET reason = excluded.reason"""

_MOVE = f"UPDATE deployment SET state = ?, changed_at = ? WHERE {_OF_STATES}"
_END = f"UPDATE deployment SET state = ?, changed_at = ?, ended_at = ? WHERE {_OF_STATES}"

_AGAIN = f"""{_OF_STATES} AND EXISTS (SELECT 1 FROM device v WHERE v.tenant = deployment.tenant
AND v.device = deployment.device AND v.lifecycle <> '{Lifecycle.DECOMMISSIONED.value}')"""
"""A decommissioned device never comes again: its new attempt would wait for ever."""

_CELLS_AGAIN = f"SELECT segment, wave, state, count(*) FROM deployment WHERE {_AGAIN} GROUP BY segment, wave, state"

_TRY_AGAIN = f"""
INSERT INTO deployment (tenant, rollout, device, attempt, current, state, segment, wave, rank, action,
changed_at, offered_at, ended_at)
SELECT tenant, rollout, device, attempt + 1, true, 'scheduled', segment, wave, rank, NULL, CAST(? AS bigint), NULL, NULL
FROM deployment WHERE {_AGAIN}"""

_PUT_BY = f"UPDATE deployment SET current = false WHERE {_AGAIN}"


def move_all(
    session: Session,
    tenant: TenantId,
    rollout: RolloutId,
    states: Collection[State],
    target: State,
    reason: str,
    at: datetime,
) -> int:
    """Move every current member in `states` to `target`; how many."""
    of_states = _listed(set(states) - {target})
    cells = fetch(session, _CELLS.format(states=of_states), tenant, rollout)
    if not cells:
        return 0
    if reason:
        run(session, _SAY.format(states=of_states), reason, tenant, rollout)
    now = micros(at)
    if target in FINAL:
        run(session, _END.format(states=of_states), target.value, now, now, tenant, rollout)
    else:
        run(session, _MOVE.format(states=of_states), target.value, now, tenant, rollout)
    fleet.stand_many(session, tenant, rollout, target.value, now)
    moves: Counter[Cell] = Counter()
    for segment, wave, state, number in cells:
        moves[rollout, segment, wave, state] -= number
        moves[rollout, segment, wave, target.value] += number
    counters.move(session, tenant, moves)
    _expose(session, tenant, moves, now)
    moved: int = sum(number for *_, number in cells)
    _look_anew(session, moved)
    return moved


def retry(
    session: Session, tenant: TenantId, rollout: RolloutId, states: Collection[State], at: datetime
) -> dict[int, int]:
    """Give each current member in `states` a new attempt; how many by wave.

    Only what has ended is tried again, and only on devices that are not decommissioned.
    """
    of_states = _listed(set(states) & FINAL)
    cells = fetch(session, _CELLS_AGAIN.format(states=of_states), tenant, rollout)
    if not cells:
        return {}
    run(session, _TRY_AGAIN.format(states=of_states), micros(at), tenant, rollout)
    run(session, _PUT_BY.format(states=of_states), tenant, rollout)
    moves: Counter[Cell] = Counter()
    again: Counter[int] = Counter()
    for segment, wave, state, number in cells:
        moves[rollout, segment, wave, state] -= number
        moves[rollout, segment, wave, State.SCHEDULED.value] += number
        again[wave] += number
    counters.move(session, tenant, moves)
    _expose(session, tenant, moves, micros(at))
    _look_anew(session, again.total())
    return dict(again)


def _expose(session: Session, tenant: TenantId, moves: Mapping[Cell, int], at: int) -> None:
    exposed: Counter[health.Exposure] = Counter()
    for (rollout, segment, _, state), members in moves.items():
        exposed[rollout, segment, at, state] += members
    health.expose(session, tenant, exposed)


def _listed(states: Collection[State]) -> str:
    """States as SQL text; `NULL`, which nothing equals, for none of them."""
    return ", ".join(f"'{state.value}'" for state in sorted(states)) or "NULL"
