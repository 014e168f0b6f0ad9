"""A step of a rollout is made so: its row, its members, the record, and what waits for its end."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from otaru.domain.deployment import DEPLOYMENT, OPEN, WAITING, Event, State
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, RolloutId, TenantId, Version
from otaru.domain.rollout import (
    ROLLOUT,
    Order,
    Rollout,
    RolloutEvent,
    RolloutState,
    Step,
    obey,
)
from otaru.errors import (
    NotFoundError,
    PreconditionFailedError,
)
from otaru.ports.store import Tx
from otaru.services.control.rollouts.approving import awaited
from otaru.services.control.world import SYSTEM, Actor

STOPPABLE = tuple(str(s) for s in RolloutState if ROLLOUT.next(s, RolloutEvent.STOP) is not None)
"""The states of rollouts that can be stopped."""


_PAGE = 100


def stop_all(
    tx: Tx, tenant: TenantId, actor: Actor, product: ProductName, version: Version, reason: str, at: datetime
) -> None:
    """Stop every rollout of a release that can be stopped."""
    after: RolloutId | None = None
    while page := tx.rollouts.page(tenant, STOPPABLE, after, _PAGE, (product, version)):
        for rollout in page:
            apply(tx, tenant, rollout, obey(rollout, RolloutEvent.STOP, reason, at), actor, at)
        after = page[-1].id


def apply(tx: Tx, tenant: TenantId, before: Rollout, taken: Step, actor: Actor, at: datetime) -> None:
    """Make a step so: the rollout, its members, the record."""
    after = taken.rollout
    tx.rollouts.save(tenant, after)
    moved = {str(o): n for o in taken.orders if (n := _carry_out(tx, tenant, after, o, at))}
    data: dict[str, object] = {
        "from": str(before.state),
        "to": str(after.state),
        "notes": list(taken.notes),
        "reason": after.reason,
        "moved": moved,
    }
    if before.superseded_by is None and after.superseded_by is not None:
        data["superseded_by"] = after.superseded_by
    tx.events.add(_segments_moved(tenant, before, after, actor, at))
    if after.state is before.state and not (moved or taken.notes):
        return
    kind = Kind.ROLLOUT_MOVED if after.state is not before.state or moved else Kind.ROLLOUT_WAVE
    tx.events.add([Happening(tenant, at, actor.name, kind, str(after.id), data)])
    if after.state in ROLLOUT.final and before.state is not after.state:
        _ended(tx, tenant, after, at)


def _segments_moved(tenant: TenantId, before: Rollout, after: Rollout, actor: Actor, at: datetime) -> list[Happening]:
    was = before.held
    changed = [segment for segment in after.segments if segment.held is not (segment.index in was)]
    return [
        Happening(
            tenant,
            at,
            actor.name,
            Kind.ROLLOUT_SEGMENT,
            str(after.id),
            {"segment": s.index, "name": s.name, "held": s.held, "reason": s.reason},
        )
        for s in changed
    ]


_ORDERS: Mapping[Order, tuple[Collection[State], Event]] = {
    Order.CANCEL_OPEN: (OPEN, Event.CANCEL),
    Order.CANCEL_SCHEDULED: ((State.SCHEDULED,), Event.CANCEL),
    Order.SKIP_SCHEDULED: ((State.SCHEDULED,), Event.SKIP),
    Order.SILENCE_OPEN: (OPEN, Event.SILENCE),
    Order.SKIP_HELD: ((State.DOWNLOADED,), Event.SKIP),
    Order.SKIP_WAITING: (WAITING, Event.SKIP),
}


def _carry_out(tx: Tx, tenant: TenantId, rollout: Rollout, wanted: Order, at: datetime) -> int:
    states, event = _ORDERS[wanted]
    by_target: dict[State, set[State]] = {}
    for state in states:
        if (target := DEPLOYMENT.next(state, event)) is not None:
            by_target.setdefault(target, set()).add(state)
    reason = f"rollout {rollout.state}" + (f": {rollout.reason}" if rollout.reason else "")
    if rollout.superseded_by is not None:
        reason = rollout.reason
    return sum(
        tx.rollouts.move_all(tenant, rollout.id, sources, target, reason, at) for target, sources in by_target.items()
    )


def started_after(tx: Tx, tenant: TenantId, rollout: Rollout, at: datetime) -> Rollout:
    """A rollout that waits for another one, started where that has finished well."""
    if rollout.policy.after is None or rollout.state is not RolloutState.SCHEDULED:
        return rollout
    if not found(tx, tenant, rollout.policy.after).finished_well:
        return rollout
    started = obey(rollout, RolloutEvent.START, f"rollout {rollout.policy.after} has finished well", at)
    started = awaited(tx, tenant, rollout, started, at)
    apply(tx, tenant, rollout, started, SYSTEM, at)
    return started.rollout


def _ended(tx: Tx, tenant: TenantId, rollout: Rollout, at: datetime) -> None:
    """Start what waits for a rollout that has finished well; tell of it where it did not."""
    after: RolloutId | None = None
    while page := tx.rollouts.page(tenant, [RolloutState.SCHEDULED], after, _PAGE):
        for waiting in page:
            if waiting.policy.after != rollout.id:
                continue
            if rollout.finished_well:
                started_after(tx, tenant, waiting, at)
                continue
            why = f"rollout {rollout.id} has {rollout.state}" + (f": {rollout.reason}" if rollout.reason else "")
            kept = replace(waiting, reason=f"{why}; start it by hand, or stop it", edition=waiting.edition + 1)
            apply(tx, tenant, waiting, Step(kept, notes=(f"does not start: {why}",)), SYSTEM, at)
        after = page[-1].id


def found(tx: Tx, tenant: TenantId, rollout: RolloutId) -> Rollout:
    """A rollout.

    Raises:
        NotFoundError: there is none.
    """
    known = tx.rollouts.get(tenant, rollout)
    if known is None:
        raise NotFoundError(f"there is no rollout {rollout}")
    return known


def check_edition(rollout: Rollout, edition: int | None) -> None:
    """Check that a rollout is as it was when somebody looked at it.

    Raises:
        PreconditionFailedError: it has changed since.
    """
    if edition is not None and edition != rollout.edition:
        raise PreconditionFailedError(f"rollout {rollout.id} has changed: it is at edition {rollout.edition}")
