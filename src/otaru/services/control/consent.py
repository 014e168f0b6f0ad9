"""Owners, or people for them, say yes, later or no to an update that waits for it, beside what the device says itself."""

from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.consent import Delay, postponed
from otaru.domain.deployment import DEPLOYMENT, WAITING, Deployment, Event, State
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.errors import InvalidStateError, NotFoundError
from otaru.ports.store import Tx, one
from otaru.services.control.feedback import may_begin
from otaru.services.control.poll import moved_event
from otaru.services.control.world import Actor, World


async def approve(world: World, tenant: TenantId, actor: Actor, rollout: RolloutId, device: DeviceId) -> Deployment:
    """Say yes: the device is told to begin at its next poll.

    Raises:
        NotFoundError: the device is no member of this rollout.
        InvalidStateError: it does not wait for consent, or nothing may begin now.
    """
    return await _answer(world, _Said(tenant, actor, rollout, device, Event.CONSENT, world.clock.now()))


async def postpone(
    world: World, tenant: TenantId, actor: Actor, rollout: RolloutId, device: DeviceId, until: datetime
) -> Deployment:
    """Say later: nobody is asked before `until`. It is no failure, and holds no slot. The same again is said once.

    Raises:
        NotFoundError: the device is no member of this rollout.
        InvalidStateError: it does not wait for consent.
        InvalidInputError: the moment has passed.
        PostponedError: that is too often, too long, or after the moment at which it happens by itself.
    """
    return await _answer(world, _Said(tenant, actor, rollout, device, Event.POSTPONE, world.clock.now(), until=until))


async def reject(
    world: World, tenant: TenantId, actor: Actor, rollout: RolloutId, device: DeviceId, reason: str = ""
) -> Deployment:
    """Say no for good. It is no failure of the release.

    Raises:
        NotFoundError: the device is no member of this rollout.
        InvalidStateError: it does not wait for consent.
    """
    return await _answer(world, _Said(tenant, actor, rollout, device, Event.REJECT, world.clock.now(), reason))


@dataclass(frozen=True, slots=True)
class Asked:
    """Since when an update waits for consent, and whether it was put off."""

    since: datetime | None
    delay: Delay | None


async def asked(world: World, tenant: TenantId, rollout: RolloutId, device: DeviceId) -> Asked:
    """How an update stands that waits for consent."""

    def look(tx: Tx) -> Asked:
        (row,) = tx.deployments.current(tenant, [(rollout, device)])
        return Asked(None, None) if row is None else Asked(row.offered_at, tx.deployments.delay(tenant, row))

    return await world.store.glance(look)


@dataclass(frozen=True, slots=True)
class _Said:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    device: DeviceId
    event: Event
    at: datetime
    reason: str = ""
    until: datetime | None = None


async def _answer(world: World, said: _Said) -> Deployment:
    after = await world.store.write(_take, said)
    world.registry.forget(said.tenant, said.device)
    return after


@one
def _take(tx: Tx, said: _Said) -> Deployment:
    (row,) = tx.deployments.current(said.tenant, [(said.rollout, said.device)])
    if row is None:
        raise NotFoundError(f"device {said.device} is no member of rollout {said.rollout}")
    if row.state not in WAITING:
        raise InvalidStateError(f"the deployment is {row.state}: it does not wait for consent")
    if said.event is Event.CONSENT and not may_begin(tx, said.tenant, row, said.at):
        raise InvalidStateError(
            "nothing may begin now: the rollout does not run or is at its limits, a halt or a blackout lasts, "
            "or the device is not in service",
            hint="otaru device why says what holds it up; approve when that is over.",
        )
    if row.state is State.POSTPONED and said.until is not None:
        known = tx.deployments.delay(said.tenant, row)
        if known is not None and known.until == said.until:
            return row
    reason = f"rejected by {said.actor.name}" + (f": {said.reason}" if said.reason else "")
    if said.until is not None:
        _put_off(tx, row, said, said.until)
        reason = f"postponed until {said.until:%Y-%m-%d %H:%M} UTC"
    # Who has postponed may put it off further: that is the same state.
    state = DEPLOYMENT.next(row.state, said.event) or State.POSTPONED
    ended = state is State.REJECTED
    after = replace(
        row,
        state=state,
        changed_at=said.at,
        ended_at=said.at if ended else None,
        reason="" if said.event is Event.CONSENT else reason,
    )
    tx.deployments.save(said.tenant, [(row, after)])
    tx.events.add([moved_event(said.tenant, row, after, said.actor.name, said.at)])
    return after


def _put_off(tx: Tx, row: Deployment, said: _Said, until: datetime) -> None:
    rollout = tx.rollouts.get(said.tenant, said.rollout)
    if rollout is None:
        raise NotFoundError(f"there is no rollout {said.rollout}")
    known = tx.deployments.delay(said.tenant, row)
    tx.deployments.delay_until(said.tenant, row, postponed(rollout.policy, known, until, row.offered_at, said.at))
