"""Rollouts that overlap: the one that was started later has the last word on a device, whichever came to it first.

A rollout of the highest priority, or one that updates a single device now, comes to a device before an older one that still has
it as a member. When the older one's turn comes, the device runs something newer: it is skipped, and not taken back.
"""

from dataclasses import replace

from otaru.domain.deployment import State
from otaru.domain.ids import TenantId
from otaru.domain.offer import Plan, Subject
from otaru.ports.store import Tx

_LOOKED_AT = 50
"""Of a device's deployments, the newest: what it runs came with one of them."""


def goes_back(subject: Subject, plan: Plan) -> bool:
    """Whether the release is older than what the device runs. That alone forbids nothing: people take devices back."""
    runs = subject.version_of(plan.release.component)
    return runs is not None and plan.release.older_than(runs)


def with_newer(tx: Tx, tenant: TenantId, subject: Subject, plan: Plan) -> Plan:
    """The plan with the rollout that has overtaken it on this device, where there is one. Costs only where it would go back."""
    rollout = plan.rollout
    if rollout.started_at is None or not goes_back(subject, plan):
        return plan
    runs = subject.version_of(plan.release.component)
    for deployment, other in tx.deployments.of_device(tenant, subject.id, _LOOKED_AT):
        brought = deployment.state is State.SUCCEEDED and (other.product, other.version) == (rollout.product, runs)
        if brought and other.started_at and (other.started_at, other.id) > (rollout.started_at, rollout.id):
            return replace(plan, overtaken_by=other)
    return plan
