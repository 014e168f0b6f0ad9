"""The canaries of a rollout by what devices tell (`domain.rollout.coverage`): a few rows at the front change their ranks.

Tenants whose devices tell nothing pay for one look at an index.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Subquery, exists, select

from otaru.adapters.sql.lean import fetch, fetch_keyed, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import telemetry_last
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.rollout import Rollout, Stratum
from otaru.domain.rollout.coverage import MAX_POOL, POOL, Told, swapped

_FIRST = "SELECT device, segment, rank FROM deployment WHERE tenant = ? AND rollout = ? AND rank < ?"
_DEVICES = (("device", "text"),)
_TOLD = """
SELECT k.device, t.name, t.value FROM k CROSS JOIN telemetry_last t WHERE t.tenant = ? AND t.device = k.device"""
_MOVE = "UPDATE deployment SET rank = ?, wave = ? WHERE tenant = ? AND rollout = ? AND device = ? AND attempt = 1"


def choose(session: Session, tenant: TenantId, rollout: Rollout, strata: Sequence[Stratum]) -> None:
    """Give the ranks of canaries to those members, enlisted in this transaction, that stand for their segments best."""
    if not _told_anything(session, tenant):
        return
    rows = fetch(session, _FIRST, tenant, rollout.id, _pool(strata))
    moves = _moves(session, tenant, strata, rows)
    run_each(
        session,
        _MOVE,
        [(rank, _wave(rollout, rank), tenant, rollout.id, device) for device, rank in sorted(moves.items())],
    )


def first(session: Session, tenant: TenantId, ranked: Subquery, strata: Sequence[Stratum], most: int) -> list[DeviceId]:
    """Who would come first, of would-be members so ranked: `most` at most."""
    told = bool(strata) and _told_anything(session, tenant)
    height = max(most, _pool(strata)) if told else most
    front = select(ranked.c.device, ranked.c.segment, ranked.c.rank).where(ranked.c.rank < height)
    rows = [tuple(row) for row in session.connection.execute(front)]
    ranks = {DeviceId(device): rank for device, _, rank in rows}
    if told:
        ranks |= _moves(session, tenant, strata, [row for row in rows if row[2] < _pool(strata)])
    return sorted(ranks, key=lambda device: ranks[device])[:most]


def _told_anything(session: Session, tenant: TenantId) -> bool:
    return bool(session.connection.execute(select(exists().where(telemetry_last.c.tenant == tenant))).scalar_one())


def _pool(strata: Sequence[Stratum]) -> int:
    """Below which rank candidates stand: no critical device does."""
    ordinary = sum(stratum.size - stratum.critical for stratum in strata)
    canaries = sum(stratum.canaries for stratum in strata)
    return min(max(canaries, min(POOL * canaries, MAX_POOL)), ordinary)


def _wave(rollout: Rollout, rank: int) -> int:
    return next(wave.index for wave in rollout.waves if rank < wave.height)


def _moves(
    session: Session, tenant: TenantId, strata: Sequence[Stratum], rows: Iterable[Sequence[object]]
) -> dict[DeviceId, int]:
    ranks: dict[int, dict[DeviceId, int]] = defaultdict(dict)
    for device, segment, rank in rows:
        assert isinstance(segment, int)  # noqa: S101
        assert isinstance(rank, int)  # noqa: S101
        ranks[segment][DeviceId(str(device))] = rank
    keys = sorted((device,) for members in ranks.values() for device in members)
    told: dict[DeviceId, dict[str, float]] = defaultdict(dict)
    for device, name, value in fetch_keyed(session, _DEVICES, keys, _TOLD, tenant):
        told[DeviceId(device)][name] = value
    moves: dict[DeviceId, int] = {}
    for segment, members in ranks.items():
        known: dict[DeviceId, Told] = {device: told[device] for device in members if device in told}
        moves |= swapped(members, known, strata[segment].canaries)
    return moves
