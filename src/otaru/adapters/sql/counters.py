"""Members of rollouts counted by segment, wave and state: the counters move in the transaction that moves the rows.

Only current attempts count. Each worker adds to the rows of its own shard, so a row of one shard may be negative; the
sum over shards is what is true.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from otaru.adapters.sql.lean import AnyRow, fetch, run_each
from otaru.adapters.sql.session import Session
from otaru.domain.deployment import State
from otaru.domain.evidence import Cohort, Evidence, Span, Tally
from otaru.domain.ids import RolloutId, TenantId

Cell = tuple[int, int, int, str]
"""Rollout, segment, wave, state."""

_ADD = """
INSERT INTO deployment_count (tenant, rollout, segment, wave, state, shard, members) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, segment, wave, state, shard)
DO UPDATE SET members = deployment_count.members + excluded.members"""

_EVIDENCE = """
SELECT segment, wave, state, CAST(sum(members) AS bigint) FROM deployment_count WHERE tenant = ? AND rollout = ?
GROUP BY segment, wave, state HAVING sum(members) <> 0"""

_RECOUNTED = """
SELECT segment, wave, state, count(*) FROM deployment WHERE tenant = ? AND rollout = ? AND current
GROUP BY segment, wave, state"""

_HOUR = timedelta(hours=1) // timedelta(microseconds=1)
_UNDER_WAY = "offered_at < ? AND (ended_at IS NULL OR ended_at >= ?)"
_TOLD = f"""
SELECT segment, offered_at / {_HOUR}, CASE WHEN {{under_way}} THEN 1 ELSE 0 END, state, count(*)
FROM deployment WHERE tenant = ? AND rollout = ? AND current AND offered_at < ? GROUP BY 1, 2, 3, 4"""


def move(session: Session, tenant: TenantId, moves: Mapping[Cell, int]) -> None:
    """Add to counters, in the order of their keys so that two workers never wait for each other in a ring."""
    run_each(
        session, _ADD, [(tenant, *cell, session.shard, members) for cell, members in sorted(moves.items()) if members]
    )


def evidence(session: Session, tenant: TenantId, rollout: RolloutId) -> Evidence:
    """By segment and wave, from the counters."""
    return _by_cell(fetch(session, _EVIDENCE, tenant, rollout))


def recounted(session: Session, tenant: TenantId, rollout: RolloutId) -> Evidence:
    """By segment and wave, from the rows."""
    return _by_cell(fetch(session, _RECOUNTED, tenant, rollout))


def told(session: Session, tenant: TenantId, rollout: RolloutId, dark: Sequence[Span]) -> dict[Cohort, int]:
    """By when they were told, and whether they were under way in one of these spans; from the rows."""
    if not dark:
        return {}
    asked = _TOLD.format(under_way=" OR ".join([_UNDER_WAY] * len(dark)))
    hours = [hour * _HOUR for span in dark for hour in (span.end, span.begin)]
    rows = fetch(session, asked, *hours, tenant, rollout, max(hours))
    return {Cohort(segment, hour, bool(way), State(state)): n for segment, hour, way, state, n in rows}


def _by_cell(rows: Sequence[AnyRow]) -> Evidence:
    counts: dict[tuple[int, int], dict[State, int]] = {}
    for segment, wave, state, members in rows:
        counts.setdefault((segment, wave), {})[State(state)] = members
    return Evidence({cell: Tally(of) for cell, of in counts.items()})
