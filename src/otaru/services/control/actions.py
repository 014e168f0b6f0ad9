"""What a device was told earlier: its actions by their number, and its own words on them."""

from dataclasses import dataclass

from otaru.domain.deployment import Deployment, Report
from otaru.domain.ids import ActionId, DeviceId, TenantId
from otaru.domain.offer import Plan
from otaru.ports.store import Tx
from otaru.services.control.world import World


@dataclass(frozen=True, slots=True)
class Action:
    """A deployment that a device has been told of, with its rollout and release."""

    deployment: Deployment
    plan: Plan


async def action(world: World, tenant: TenantId, device: DeviceId, number: ActionId) -> Action | None:
    """A device's action, ended or not; None where it has none of this number."""

    def look(tx: Tx) -> Action | None:
        row = tx.deployments.by_action(tenant, [(device, number)])[0]
        plan = tx.rollouts.plan(tenant, row.rollout) if row is not None else None
        return None if row is None or plan is None else Action(row, plan)

    return await world.store.glance(look)


async def said(world: World, tenant: TenantId, device: DeviceId, number: ActionId, limit: int) -> list[Report]:
    """What the device said of an action, newest first."""
    return await world.store.glance(lambda tx: tx.reports.of_action(tenant, device, number, limit))
