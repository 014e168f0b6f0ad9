"""The worker's part: rollouts move by time, by reports and by the judge.

A step is decided on a snapshot first, so that a rollout with nothing to do costs no write; then decided and taken
again inside one transaction. Repeating it after a crash is harmless, and of two workers only one finds it still to do.
"""

from datetime import datetime

from otaru.domain.evidence import Finding
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Rollout, RolloutState, Step, step
from otaru.ports.judge import Judge
from otaru.ports.store import Tx, one
from otaru.services.control.judging import evidence_in, keep, news
from otaru.services.control.rollback import bring_back
from otaru.services.control.rollouts import apply
from otaru.services.control.world import JUDGE, SYSTEM, World

BATCH = 100
"""Rollouts looked at in one round."""

_MAX_STEPS = 8
"""Steps that one rollout takes in one transaction; the next round goes on."""


async def step_due(world: World) -> int:
    """Take the steps that are due; how many rollouts moved."""
    now = world.clock.now()

    def look(tx: Tx) -> list[tuple[TenantId, RolloutId]]:
        due = tx.rollouts.every_due(now, BATCH)
        return [(t, r) for t, r in due if (d := _decide(tx, t, r, world.judge, now)) is not None and (d[1] or d[2])]

    moving = await world.store.read(look)
    for tenant, rollout in moving:
        await world.store.write(_take, (tenant, rollout, world.judge, world.clock.seed(), now))
    return len(moving)


def _decide(
    tx: Tx, tenant: TenantId, rollout_id: RolloutId, judge: Judge, now: datetime
) -> tuple[Rollout, Step | None, list[Finding]] | None:
    """The rollout, what is to become of it, and what its judge found that is new."""
    rollout = tx.rollouts.get(tenant, rollout_id)
    if rollout is None:
        return None
    evidence = evidence_in(tx, tenant, rollout)
    ruling = judge.ruling(rollout, evidence, now)
    found = news(tx, tenant, rollout_id, ruling) if rollout.state is RolloutState.RUNNING else []
    return rollout, step(rollout, evidence, ruling, now), found


@one
def _take(tx: Tx, due: tuple[TenantId, RolloutId, Judge, int, datetime]) -> None:
    tenant, rollout, judge, seed, now = due
    for _ in range(_MAX_STEPS):
        decided = _decide(tx, tenant, rollout, judge, now)
        if decided is None:
            return
        before, taken, found = decided
        keep(tx, tenant, rollout, found, now)
        if taken is None:
            return
        judged = before.held != taken.rollout.held or (
            before.wave is not None and before.wave.state is not taken.rollout.waves[before.wave.index].state
        )
        apply(tx, tenant, before, taken, JUDGE if judged else SYSTEM, now)
        if taken.back:
            bring_back(tx, tenant, JUDGE, taken.rollout, taken.back, seed, now)
