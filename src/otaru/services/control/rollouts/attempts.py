"""Members get another attempt, or are spared this one."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.deployment import DEPLOYMENT, FAILURES, RETRIABLE, Deployment, Event, State
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.rollout import (
    Rollout,
    RolloutState,
    reopened,
)
from otaru.errors import (
    InvalidStateError,
    NotFoundError,
    NothingToDoError,
)
from otaru.ports.store import Tx, one
from otaru.services.control.poll import moved_event
from otaru.services.control.rollouts.applying import check_edition, found
from otaru.services.control.rollouts.drafting import published
from otaru.services.control.rollouts.ordering import allowed
from otaru.services.control.world import Actor, World


async def retry(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    states: Collection[State] = FAILURES,
    *,
    reason: str = "",
    edition: int | None = None,
) -> Rollout:
    """Give members that ended in `states` another attempt; their waves are judged again.

    Raises:
        NotFoundError: there is no such rollout.
        InvalidStateError: it is not running, paused or finished, or has expired; its release is not published; or a
            state cannot be retried.
        NothingToDoError: no member is in one of `states`, decommissioned ones aside.
        PreconditionFailedError: it has changed since `edition`.
    """
    if not_retriable := set(states) - RETRIABLE:
        allowed = sorted(map(str, RETRIABLE))
        raise InvalidStateError(f"{', '.join(sorted(not_retriable))} cannot be retried", allowed=allowed)
    return await world.store.write(
        _retry, _Retrying(tenant, actor, rollout, frozenset(states), reason, edition, world.clock.now())
    )


async def cancel(
    world: World, tenant: TenantId, actor: Actor, rollout: RolloutId, device: DeviceId, *, force: bool = False
) -> Deployment:
    """Have one device not do it: at once where it knows nothing yet, else as soon as it confirms; `force` does not wait.

    Raises:
        NotFoundError: the device is no member of this rollout.
        InvalidStateError: its deployment has ended.
    """
    asked = (tenant, actor, rollout, device, force, world.clock.now())
    deployment = await world.store.write(_cancel, asked)
    world.registry.forget(tenant, device)
    return deployment


RETRIED_IN = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.FINISHED})
"""States of a rollout in which members may be given another attempt."""


@dataclass(frozen=True, slots=True)
class _Retrying:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    states: frozenset[State]
    reason: str
    edition: int | None
    at: datetime


@one
def _retry(tx: Tx, asked: _Retrying) -> Rollout:
    tenant, states, now = asked.tenant, asked.states, asked.at
    before = found(tx, tenant, asked.rollout)
    check_edition(before, asked.edition)
    if before.state not in RETRIED_IN:
        raise InvalidStateError(
            f"rollout {before.id} is {before.state}: its members cannot be retried", allowed=allowed(before, now)
        )
    if before.superseded_by is not None:
        raise InvalidStateError(
            f"rollout {before.id} is superseded by rollout {before.superseded_by}",
            hint=f"Retry the newer one: otaru rollout retry {before.superseded_by}.",
            allowed=allowed(before, now),
        )
    if (expires := before.expires_at) is not None and now >= expires:
        raise InvalidStateError(
            f"rollout {before.id} has expired ({expires:%Y-%m-%d %H:%M} UTC): who is retried would be given up at once",
            hint="Create a new rollout for these devices.",
            allowed=allowed(before, now),
        )
    if (end := before.policy.end_at) is not None and now >= end:
        raise InvalidStateError(
            f"rollout {before.id} offers nothing new since its end, {end:%Y-%m-%d %H:%M} UTC",
            hint="Create a new rollout for these devices.",
            allowed=allowed(before, now),
        )
    published(tx, tenant, before.product, before.version)
    by_wave = tx.rollouts.retry(tenant, before.id, states, now)
    if not by_wave:
        raise NothingToDoError(
            f"no member of rollout {before.id} is {' or '.join(sorted(states))}",
            hint="Decommissioned devices are left out.",
        )
    after = reopened(before, list(by_wave), now)
    tx.rollouts.save(tenant, after)
    data = {"states": sorted(states), "members": sum(by_wave.values()), "reason": asked.reason}
    tx.events.add([Happening(tenant, now, asked.actor.name, Kind.ROLLOUT_RETRIED, str(before.id), data)])
    return after


@one
def _cancel(tx: Tx, asked: tuple[TenantId, Actor, RolloutId, DeviceId, bool, datetime]) -> Deployment:
    tenant, actor, rollout, device, force, now = asked
    (before,) = tx.deployments.current(tenant, [(rollout, device)])
    if before is None:
        raise NotFoundError(f"device {device} is no member of rollout {rollout}")
    state = DEPLOYMENT.next(before.state, Event.CANCEL)
    if force:
        # Whoever forces gives up waiting for the device's word; that it may still install is on them.
        state = DEPLOYMENT.next(state or before.state, Event.CANCEL_DONE) or state
    if state is None:
        waiting = before.state is State.CANCELLING
        hint = "The device has been told; `force` (`--force`) does not wait for its word." if waiting else None
        raise InvalidStateError(f"the deployment is {before.state}: it cannot be cancelled", hint=hint)
    after = replace(
        before,
        state=state,
        changed_at=now,
        ended_at=now if state is State.CANCELLED else None,
        reason=f"cancelled by {actor.name}",
    )
    tx.deployments.save(tenant, [(before, after)])
    tx.events.add([moved_event(tenant, before, after, actor.name, now)])
    return after
