"""People start, approve, pause, resume and stop rollouts, and hold and release segments."""

from dataclasses import dataclass
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import (
    ROLLOUT,
    Approve,
    Install,
    Rollout,
    RolloutEvent,
    RolloutState,
    hold,
    installable,
    obey,
    order_install,
    orders,
    release,
    settled,
    withdraw_install,
)
from otaru.errors import InvalidInputError
from otaru.ports.judge import Judge
from otaru.ports.store import Tx, one
from otaru.services.control.evidence import evidence_in
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


async def install(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    at: datetime | None = None,
    *,
    in_window: bool = False,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Order devices to install what they have downloaded: now, from a moment on, or in the rollout's window.

    It happens once, however often it is ordered; until its moment another order moves it.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: the moment has passed, there is no window, or both are asked for.
        InvalidStateError: the rollout does not wait for such an order, or the moment of the one that was given has come.
        NeverDueError: it comes after the rollout's end.
        NothingToDoError: just this was ordered already.
        ForbiddenError: who planned it orders it, and the tenant wants four eyes.
        PreconditionFailedError: it has changed since `edition`.
    """
    now = world.clock.now()
    if at is not None and in_window:
        raise InvalidInputError("it is installed in the window or from a moment on", hint="Leave out one of them.")
    wanted = Install(now if at is None else at, in_window)
    return await world.store.write(_install, _Installing(tenant, actor, rollout, wanted, reason, edition, now))


async def withdraw(
    world: World, tenant: TenantId, actor: Actor, rollout: RolloutId, *, reason: str = "", edition: int | None = None
) -> Rollout:
    """Take the order to install back, before its moment; of one by the window, who was told by now goes on.

    Raises:
        NotFoundError: there is no such rollout.
        InvalidStateError: it waits for no such order, or its moment has come.
        NothingToDoError: it has none.
        PreconditionFailedError: it has changed since `edition`.
    """
    now = world.clock.now()
    return await world.store.write(_install, _Installing(tenant, actor, rollout, None, reason, edition, now))


def allowed(rollout: Rollout, now: datetime) -> list[str]:
    """The orders that a person may give a rollout now."""
    installs = installable(rollout) and not settled(rollout, now)
    return [str(event) for event in orders(rollout)] + (["install"] if installs else [])


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
class _Installing:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    install: Install | None
    """None: the order that was given is withdrawn."""
    reason: str
    edition: int | None
    at: datetime


@one
def _install(tx: Tx, asked: _Installing) -> Rollout:
    tenant, now, wanted = asked.tenant, asked.at, asked.install
    before = found(tx, tenant, asked.rollout)
    check_edition(before, asked.edition)
    if wanted is None:
        taken = withdraw_install(before, now)
    else:
        check_eyes(tx, tenant, before, asked.actor)
        taken = order_install(before, wanted, now)
    after = taken.rollout
    tx.rollouts.save(tenant, after)
    data = {
        "at": None if after.install is None else after.install.at.isoformat(),
        "in_window": after.install is not None and after.install.in_window,
        "notes": list(taken.notes),
        "reason": asked.reason,
    }
    tx.events.add([Happening(tenant, now, asked.actor.name, Kind.ROLLOUT_INSTALL, str(after.id), data)])
    return after


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
        ruling = asked.judge.ruling(before, evidence_in(tx, asked.tenant, before, asked.at), asked.at)
        taken = release(before, asked.segment, asked.reason, ruling)
    apply(tx, asked.tenant, before, taken, asked.actor, asked.at)
    return taken.rollout
