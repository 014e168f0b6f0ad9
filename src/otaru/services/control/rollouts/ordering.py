"""People start, approve, pause, resume and stop rollouts, and hold and release segments."""

from dataclasses import dataclass
from datetime import datetime

from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import (
    ROLLOUT,
    Approve,
    Rollout,
    RolloutEvent,
    RolloutState,
    hold,
    obey,
    orders,
    release,
)
from otaru.ports.judge import Judge
from otaru.ports.store import Tx, one
from otaru.services.control.judging import evidence_in
from otaru.services.control.rollouts.applying import apply, check_edition, found, started_after
from otaru.services.control.rollouts.approving import check_eyes
from otaru.services.control.world import Actor, World


async def order(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    event: RolloutEvent,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Approve, start, pause, resume or stop a rollout. `edition` is what If-Match names.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: its state does not allow it; `allowed` says what it allows.
        ForbiddenError: who planned it approves it, and the tenant wants four eyes.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Asked(tenant, actor, rollout, event, reason, edition, world.clock.now())
    return await world.store.write(_order, asked)


async def hold_segment(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    segment: int,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Hold a segment: who has begun goes on, nobody else of it is offered the release; the other segments go on.

    Raises:
        NotFoundError: there is no such rollout, or segment.
        NothingToDoError: it is held already.
        InvalidStateError: the rollout has ended.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Holding(tenant, actor, rollout, segment, reason, edition, world.clock.now())
    return await world.store.write(_hold, asked)


async def release_segment(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    segment: int,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Have a held segment go on. Where the judge would stop it, your word counts from now on.

    Raises:
        NotFoundError: there is no such rollout, or segment.
        NothingToDoError: it is not held.
        InvalidStateError: the rollout has ended.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Holding(tenant, actor, rollout, segment, reason, edition, world.clock.now(), world.judge)
    return await world.store.write(_hold, asked)


def allowed(rollout: Rollout) -> list[str]:
    """The orders that a person may give a rollout now."""
    return [str(event) for event in orders(rollout)]


def segments_move(rollout: Rollout) -> bool:
    """Whether its segments can be held and released now."""
    return bool(rollout.segments) and rollout.state not in {*ROLLOUT.final, RolloutState.STOPPING}


@dataclass(frozen=True, slots=True)
class _Asked:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    event: RolloutEvent
    reason: str
    edition: int | None
    at: datetime


@one
def _order(tx: Tx, asked: _Asked) -> Rollout:
    before = found(tx, asked.tenant, asked.rollout)
    check_edition(before, asked.edition)
    # Whoever starts what was planned before the four-eyes rule, and so waits for nobody's approval, approves it.
    unseen = asked.event is RolloutEvent.START and before.policy.approve is Approve.NONE
    if unseen or asked.event is RolloutEvent.APPROVE:
        check_eyes(tx, asked.tenant, before, asked.actor)
    taken = obey(before, asked.event, asked.reason, asked.at)
    apply(tx, asked.tenant, before, taken, asked.actor, asked.at)
    return started_after(tx, asked.tenant, taken.rollout, asked.at)


@dataclass(frozen=True, slots=True)
class _Holding:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    segment: int
    reason: str
    edition: int | None
    at: datetime
    judge: Judge | None = None
    """Who would have held it: to release is to ask."""


@one
def _hold(tx: Tx, asked: _Holding) -> Rollout:
    before = found(tx, asked.tenant, asked.rollout)
    check_edition(before, asked.edition)
    if asked.judge is None:
        taken = hold(before, asked.segment, asked.reason)
    else:
        ruling = asked.judge.ruling(before, evidence_in(tx, asked.tenant, before), asked.at)
        taken = release(before, asked.segment, asked.reason, ruling)
    apply(tx, asked.tenant, before, taken, asked.actor, asked.at)
    return taken.rollout
