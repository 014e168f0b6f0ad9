"""What happens to a device's deployments when the device itself can no longer carry them out.

Without this they would stay unended: their rollouts would wait for a device that never comes.
"""

from dataclasses import replace
from datetime import datetime

from otaru.domain.deployment import DEPLOYMENT, FINAL, Deployment, Event
from otaru.domain.device import Device
from otaru.domain.events import Happening
from otaru.domain.ids import DeviceId, TenantId
from otaru.ports.store import Tx
from otaru.services.control.poll import moved_event
from otaru.services.control.world import Actor


def end_all(tx: Tx, tenant: TenantId, device: DeviceId, actor: Actor, now: datetime) -> list[Happening]:
    """End, by the deployment table, all that a decommissioned device is still a member of; the record of it.

    Whatever the rollout's state: one that is planned or paused would wait for the device once it runs.
    """
    changed = [(row, ended(row, now)) for row in tx.deployments.unended_of(tenant, device)]
    if changed:
        tx.deployments.save(tenant, changed)
    return [moved_event(tenant, before, after, actor.name, now) for before, after in changed]


def cancel_misfit(tx: Tx, tenant: TenantId, device: Device, actor: Actor, now: datetime) -> list[Happening]:
    """Cancel what the device has been told of where the release has nothing for its (new) hardware; the record of it.

    It could not be shown to the device any more, and while it is open nothing else is offered. A device that installs
    already may still say how that ended. What is merely scheduled is skipped at the next poll.
    """
    row = tx.deployments.open_of(tenant, device.id)
    plan = tx.rollouts.plan(tenant, row.rollout) if row is not None else None
    if row is None or plan is None or plan.release.artifacts_for(device.hardware):
        return []
    state = DEPLOYMENT.next(row.state, Event.CANCEL)
    if state is None:  # it is being cancelled already
        return []
    reason = f"{plan.release.product} {plan.release.version} has nothing for {device.hardware}"
    after = replace(row, state=state, changed_at=now, ended_at=now if state in FINAL else None, reason=reason)
    tx.deployments.save(tenant, [(row, after)])
    return [moved_event(tenant, row, after, actor.name, now)]


def ended(row: Deployment, now: datetime) -> Deployment:
    """An unended deployment as decommissioning its device ends it."""
    state = DEPLOYMENT.next(row.state, Event.SKIP)
    if state is None:
        # It has been told; nobody waits for the word of a device that is gone.
        cancelling = DEPLOYMENT.next(row.state, Event.CANCEL) or row.state
        state = DEPLOYMENT.next(cancelling, Event.CANCEL_DONE) or cancelling
    return replace(row, state=state, changed_at=now, ended_at=now, reason="device decommissioned")
