"""Four eyes: where the tenant asks for it, nobody starts or approves what they planned."""

from dataclasses import replace
from datetime import datetime

from otaru.domain.ids import TenantId
from otaru.domain.rollout import (
    Approve,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Step,
    obey,
)
from otaru.domain.token import is_one_person
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
        ForbiddenError: they planned it, or it cannot be told whether they did.
    """
    if not four_eyes(tx, tenant):
        return
    if rollout.created_by == actor.name:
        raise ForbiddenError(
            f"you planned rollout {rollout.id}: nobody approves their own (the tenant's four-eyes rule)",
            hint="Have somebody else approve or start it, with a token of their own.",
        )
    check_told_apart(tx, tenant, actor)
    if rollout.created_by.startswith("user:") and not is_one_person(rollout.created_by):
        raise ForbiddenError(
            f"who planned rollout {rollout.id} had a token without a label, and so may be you (the four-eyes rule)",
            hint="Plan it anew with a token that has a label: otaru token create --label NAME.",
        )


def check_told_apart(tx: Tx, tenant: TenantId, actor: Actor) -> None:
    """Refuse a person who cannot be told from others, where the tenant wants four eyes.

    Raises:
        ForbiddenError: their token has no label of its own.
    """
    if actor.name.startswith("user:") and not is_one_person(actor.name) and four_eyes(tx, tenant):
        raise ForbiddenError(
            "your token has no label, so you cannot be told from others (the tenant's four-eyes rule)",
            hint="Use one with a label of your own: otaru token create --label NAME.",
        )


def awaited(tx: Tx, tenant: TenantId, before: Rollout, taken: Step, now: datetime) -> Step:
    """What is done in place of `taken`, where that would start a rollout by itself that nobody has seen.

    It was planned before its tenant wanted four eyes, to start at a time or after another one: now it waits for approval.
    """
    starts = before.state is RolloutState.SCHEDULED and taken.rollout.state is RolloutState.RUNNING
    if not starts or before.policy.approve is not Approve.NONE or not four_eyes(tx, tenant):
        return taken
    watched = replace(before, policy=replace(before.policy, approve=Approve.START))
    asked = obey(watched, RolloutEvent.ASK_APPROVAL, "", now)
    return replace(asked, notes=("it waits for approval: four eyes are wanted since it was planned",))
