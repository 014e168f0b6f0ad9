"""The worker's part: rollouts move by time, by reports and by the judge.

A step is decided on a snapshot first, so that a rollout with nothing to do costs no write; then decided and taken
again inside one transaction. Repeating it after a crash is harmless, and of two workers only one finds it still to do.
"""

from dataclasses import dataclass
from datetime import datetime

from otaru.domain.evidence import Finding
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Rollout, RolloutState, Step, step
from otaru.ports.judge import Judge
from otaru.ports.store import Tx, one
from otaru.services.control.judging import keep, last_words, news
from otaru.services.control.looks import Look, Looks
from otaru.services.control.rollback import bring_back
from otaru.services.control.rollouts import apply, awaited
from otaru.services.control.world import JUDGE, SYSTEM, World

BATCH = 100
"""Rollouts looked at in one round."""

_MAX_STEPS = 8
"""Steps that one rollout takes in one transaction; the next round goes on."""


async def step_due(world: World, looks: Looks | None = None) -> int:
    """Take the steps that are due; how many rollouts moved. `looks` is what the worker remembers of its last rounds."""
    now, seen = world.clock.now(), Looks() if looks is None else looks

    def look(tx: Tx) -> list[tuple[TenantId, RolloutId]]:
        return [due for due in tx.rollouts.every_due(now, BATCH) if _moves(tx, *due, world.judge, seen, now)]

    moving = await world.store.read(look)
    for tenant, rollout in moving:
        try:
            await world.store.write(_take, _Due(tenant, rollout, world.judge, seen, world.clock.seed(), now))
        except BaseException:  # it was not taken, whatever ended it: it is looked at again; raised again
            seen.forget(tenant, rollout)
            raise
    return len(moving)


@dataclass(frozen=True, slots=True)
class _Due:
    tenant: TenantId
    rollout: RolloutId
    judge: Judge
    looks: Looks
    seed: int
    at: datetime


def _moves(tx: Tx, tenant: TenantId, rollout_id: RolloutId, judge: Judge, looks: Looks, now: datetime) -> bool:
    """Whether there is something to do."""
    rollout = tx.rollouts.get(tenant, rollout_id)
    if rollout is None:
        return False
    taken, found = _decided(tx, tenant, rollout, looks.glance(tx, tenant, rollout, judge, now), now)
    return taken is not None or bool(found)


def _decided(
    tx: Tx, tenant: TenantId, rollout: Rollout, look: Look, now: datetime
) -> tuple[Step | None, list[Finding]]:
    """What is to become of a rollout, and what its judge found that is new."""
    found = news(tx, tenant, rollout.id, look.ruling) if rollout.state is RolloutState.RUNNING else []
    return step(rollout, look.evidence, look.ruling, now), found


@one
def _take(tx: Tx, due: _Due) -> None:
    tenant, now = due.tenant, due.at
    for _ in range(_MAX_STEPS):
        before = tx.rollouts.get(tenant, due.rollout)
        if before is None:
            return
        look = due.looks.look(tx, tenant, before, due.judge, now)
        taken, found = _decided(tx, tenant, before, look, now)
        if taken is not None and taken.rollout.state is RolloutState.FINISHED:
            found = last_words(tx, tenant, before.id, look.ruling)
        keep(tx, tenant, due.rollout, found, now)
        if taken is None:
            return
        taken = awaited(tx, tenant, before, taken, now)
        judged = before.held != taken.rollout.held or (
            before.wave is not None and before.wave.state is not taken.rollout.waves[before.wave.index].state
        )
        apply(tx, tenant, before, taken, JUDGE if judged else SYSTEM, now)
        if taken.back:
            bring_back(tx, tenant, JUDGE, taken.rollout, taken.back, due.seed, now, taken.segments)
