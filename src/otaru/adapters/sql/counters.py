"""Members of rollouts counted by segment, wave and state: the counters move in the transaction that moves the rows.

Only current attempts count. Each worker adds to the rows of its own shard, so a row of one shard may be negative; the
sum over shards is what is true.
"""

from collections.abc import Mapping, Sequence

from otaru.adapters.sql.lean import AnyRow, fetch, run_each
from otaru.adapters.sql.session import Session
from otaru.domain.deployment import State
from otaru.domain.evidence import Evidence, Tally
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


def _by_cell(rows: Sequence[AnyRow]) -> Evidence:
    counts: dict[tuple[int, int], dict[State, int]] = {}
    for segment, wave, state, members in rows:
        counts.setdefault((segment, wave), {})[State(state)] = members
    return Evidence({cell: Tally(of) for cell, of in counts.items()})
