"""Installations on trial: the worker ends those whose health window is over, bad health events end them at once.

Who passes, and who was not heard of, is found by one statement for each rollout; each end is a move like any other, with
its event. A sweep repeated after a crash finds nothing left to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.deployment import DEPLOYMENT, FINAL, Deployment, Event, State
from otaru.domain.health import HealthEvent
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.offer import Plan
from otaru.domain.release import Release
from otaru.domain.trial import BAD, Trial, outcome, spoiled
from otaru.ports.store import Tx, one
from otaru.services.control.poll import moved_event
from otaru.services.control.world import JUDGE, World

BATCH = 500
"""Trials ended in one transaction: what people and devices wait for gets in between."""
_ROUNDS = 40
"""Transactions for one rollout in one sweep; the next sweep goes on."""


async def end_trials(world: World) -> int:
    """End the trials whose time is over; how many."""
    now = world.clock.now()

    def look(tx: Tx) -> list[tuple[TenantId, RolloutId]]:
        return [(t, r) for t, r in tx.deployments.every_rollout_on_trial() if _over(tx, t, r, now, 1)]

    ended = 0
    for tenant, rollout in await world.store.read(look):
        for _ in range(_ROUNDS):
            ended += (batch := await world.store.write(_end, _Sweep(tenant, rollout, now)))
            if batch < BATCH:
                break
    return ended


def spoil(tx: Tx, tenant: TenantId, events: Sequence[HealthEvent]) -> None:
    """Fail the trials of devices that told too many bad events, these (which are kept already) among them."""
    told = {event.device: event.received_at for event in events if event.kind in BAD}
    if not told or not (rows := tx.deployments.on_trial(tenant, told)):
        return
    counted = tx.health.since(tenant, [(row.device, row.changed_at) for row in rows], BAD)
    rollouts = {rollout: tx.rollouts.get(tenant, rollout) for rollout in {row.rollout for row in rows}}
    changed: list[tuple[Deployment, Deployment]] = []
    for row in rows:
        rollout, kinds = rollouts[row.rollout], counted.get(row.device)
        if rollout is None or kinds is None:
            continue
        why = spoiled(kinds.total(), kinds, rollout.policy.validate_events)
        if why is not None:
            changed.append((row, _ended(row, Event.FAIL, why, told[row.device])))
    _keep(tx, tenant, changed)


@dataclass(frozen=True, slots=True)
class _Sweep:
    tenant: TenantId
    rollout: RolloutId
    at: datetime


@one
def _end(tx: Tx, sweep: _Sweep) -> int:
    found = _over(tx, sweep.tenant, sweep.rollout, sweep.at, BATCH)
    if found is None:
        return 0
    plan, trials = found
    release, window = plan.release, plan.rollout.policy.validate
    changed: list[tuple[Deployment, Deployment]] = []
    passed: list[DeviceId] = []
    for trial in trials:
        event, why = outcome(_whole(tx, sweep.tenant, release, trial), release.version, window)
        after = _ended(trial.deployment, event, why, sweep.at)
        changed.append((trial.deployment, after))
        if after.state is State.SUCCEEDED:
            passed.append(after.device)
    _keep(tx, sweep.tenant, changed)
    held = [(device, component, release.version) for device in passed for component in release.components]
    tx.devices.confirm(sweep.tenant, held)
    return len(changed)


def _whole(tx: Tx, tenant: TenantId, release: Release, trial: Trial) -> Trial:
    """The trial with what runs in all that the release brought: it is kept as a whole, or not at all."""
    entry = None
    if len(release.components) > 1:
        entry = tx.devices.entry(tenant, trial.deployment.device)
    if entry is None:
        return trial
    subject = entry.subject
    runs = [subject.version_of(a.component) for a in release.artifacts_for(subject.hardware)]
    return replace(trial, runs=next((v for v in runs if v is not None and v != release.version), trial.runs))


def _over(
    tx: Tx, tenant: TenantId, rollout: RolloutId, now: datetime, limit: int
) -> tuple[Plan, Sequence[Trial]] | None:
    """A rollout's trials whose time is over; None where there are none."""
    plan, known = tx.rollouts.plan(tenant, rollout), tx.tenants.get(tenant)
    if plan is None or known is None:
        return None
    began = now - plan.rollout.policy.validate
    unheard = began - max(known.settings.polling, timedelta(seconds=10))  # contacts are written behind
    trials = tx.deployments.trials_over(tenant, rollout, plan.release.component, began, unheard, limit)
    return (plan, trials) if trials else None


def _ended(row: Deployment, event: Event, why: str, at: datetime) -> Deployment:
    state = DEPLOYMENT.table[row.state, event]
    return replace(row, state=state, changed_at=at, ended_at=at if state in FINAL else None, reason=why)


def _keep(tx: Tx, tenant: TenantId, changed: Sequence[tuple[Deployment, Deployment]]) -> None:
    if changed:
        tx.deployments.save(tenant, changed)
        tx.events.add([moved_event(tenant, before, after, JUDGE.name, after.changed_at) for before, after in changed])
