"""Four eyes: where the tenant asks for it, nobody starts or approves what they planned."""

from dataclasses import replace

from otaru.domain.ids import TenantId
from otaru.domain.rollout import (
    Approve,
    Policy,
    Rollout,
)
from otaru.errors import (
    ForbiddenError,
)
from otaru.ports.store import Tx
from otaru.services.control.world import Actor


def four_eyes(tx: Tx, tenant: TenantId) -> bool:
    """Whether the tenant asks for them."""
    known = tx.tenants.get(tenant)
    return known is not None and known.settings.four_eyes


def watched(tx: Tx, tenant: TenantId, policy: Policy) -> Policy:
    """The policy, with an approval where the tenant asks for one."""
    if policy.approve is Approve.NONE and four_eyes(tx, tenant):
        return replace(policy, approve=Approve.START)
    return policy


def check_eyes(tx: Tx, tenant: TenantId, rollout: Rollout, actor: Actor) -> None:
    """Refuse whoever planned a rollout, where somebody else has to see it.

    Raises:
        ForbiddenError: they planned it.
    """
    if rollout.created_by == actor.name and four_eyes(tx, tenant):
        raise ForbiddenError(
            f"you planned rollout {rollout.id}: nobody approves their own (the tenant's four-eyes rule)",
            hint="Have somebody else approve or start it, with a token of their own.",
        )
