"""A device asks what is due. Answered from memory; only the first hand-out of an offer is written, before it is told.

The crash guarantee: what a poll's answer offers is durable before the answer leaves. Contact times are written behind.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.deployment import DEPLOYMENT, FINAL, WAITING, Deployment, Event, State
from otaru.domain.device import Lifecycle
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId
from otaru.domain.offer import Answer, Membership, Plan, Rule, Subject, decide, first_due
from otaru.domain.release import Artifact
from otaru.domain.tenant import Tenant
from otaru.domain.trial import LOOKS
from otaru.ports.registry import Entry
from otaru.ports.store import Tx
from otaru.services.control import directing
from otaru.services.control.world import World

_MOVES = {
    Rule.OFFER: Event.OFFER,
    Rule.CONSENT: Event.ASK_CONSENT,
    Rule.INSTALLED: Event.SKIP,
    Rule.FITS: Event.SKIP,
    Rule.SECURITY_FLOOR: Event.SKIP,
}
"""What an answer does to a scheduled deployment. All others wait."""

_FREES = {Rule.OFFER: Event.CONSENT}
"""What an answer does to a deployment that waits for consent, where the device has given a standing yes."""

_MAX_TURNS = 20
"""Memberships that one poll works through; a device in more rollouts than that goes on at its next poll."""


@dataclass(frozen=True, slots=True)
class Due:
    """What a device has been told to do: its open deployment, and the artifact for it."""

    membership: Membership
    plan: Plan
    artifact: Artifact


async def poll(world: World, tenant: Tenant, entry: Entry) -> tuple[Entry, Due | None, datetime | None]:
    """What is due for a device now, offering it durably where it is new.

    Returns the entry as it is after that; None where nothing is due; and, where something only waits for its window, when
    the device should ask again at the latest. The caller has checked the credential.
    """
    for _ in range(_MAX_TURNS):
        subject = entry.subject
        if not subject.memberships or subject.lifecycle is not Lifecycle.ACTIVE:
            return entry, None, None
        if (membership := subject.open) is not None:
            told = await due(world, tenant.id, subject, membership)
            if membership.state is State.ON_TRIAL:
                return entry, None, None if told is None else _heard_by(told, world.clock.now())
            if told is None or not _agreed(world, tenant, subject, told):
                return entry, told, None
        else:
            answers = await why(world, tenant, subject)
            moving = next((a.membership for a in answers if a.rule in _MOVES and a.membership is not None), None)
            if moving is None:
                return entry, None, min((a.ask_at for a in answers if a.ask_at is not None), default=None)
            membership = moving
        move = _Move(tenant.id, subject.id, membership.rollout, membership.attempt, world.clock.now())
        await world.store.write(_move, move)
        world.registry.forget(tenant.id, subject.id)
        again = await world.registry.device(tenant.id, subject.id)
        if again is None or again.subject.memberships == subject.memberships:
            return again or entry, None, None  # the rules in the store said no: this worker has not heard of it yet
        entry = again
        if entry.verifies and entry.subject.open is not None:
            await directing.told(world, tenant.id, entry.subject)
    return entry, None, None


def _heard_by(tried: Due, now: datetime) -> datetime:
    """When a device that is on trial should come again: several times in its health window."""
    return now + max(tried.plan.rollout.policy.validate / LOOKS, timedelta(seconds=1))


def _agreed(world: World, tenant: Tenant, subject: Subject, told: Due) -> bool:
    """Whether a standing yes, given meanwhile, lets what waits for consent begin: then the rules find no other obstacle."""
    if told.membership.state not in WAITING or not subject.auto_confirm:
        return False
    answer = decide(
        subject, told.plan, told.membership, halted=tenant.halted, now=world.clock.now(), calendar=tenant.calendar
    )
    return answer.rule is Rule.OFFER


async def due(world: World, tenant: TenantId, subject: Subject, membership: Membership) -> Due | None:
    """An open deployment with what belongs to it; None where its release has nothing for this hardware (any more)."""
    plan = await world.registry.plan(tenant, membership.rollout)
    artifact = plan.release.artifact_for(subject.hardware) if plan is not None else None
    return None if plan is None or artifact is None else Due(membership, plan, artifact)


async def why(world: World, tenant: Tenant, subject: Subject) -> list[Answer]:
    """The rules' answers for each rollout that has this device as a scheduled member, up to the first offer."""
    scheduled = {m.rollout for m in subject.memberships if m.state is State.SCHEDULED}
    plans = [plan for r in sorted(scheduled) if (plan := await world.registry.plan(tenant.id, r)) is not None]
    return first_due(subject, plans, halted=tenant.halted, now=world.clock.now(), calendar=tenant.calendar)


@dataclass(frozen=True, slots=True)
class _Move:
    tenant: TenantId
    device: DeviceId
    rollout: RolloutId
    attempt: int
    at: datetime


def _move(tx: Tx, moves: Sequence[_Move]) -> list[None]:
    """Bulk: offer or skip scheduled deployments, and let those begin that a standing yes frees.

    The poll decided in memory; here the same rules decide again on what is true in this transaction, so that nothing is
    offered after a halt, a quarantine or an order that has been acknowledged, by whichever worker.
    """
    by_tenant: dict[TenantId, dict[DeviceId, _Move]] = defaultdict(dict)
    for move in moves:
        by_tenant[move.tenant].setdefault(move.device, move)  # twins of one device: the first decides
    for tenant, of_tenant in by_tenant.items():
        _move_of(tx, tenant, list(of_tenant.values()))
    return [None] * len(moves)


def _move_of(tx: Tx, tenant: TenantId, moves: Sequence[_Move]) -> None:
    known = tx.tenants.get(tenant)
    if known is None:
        return
    plans = {rollout: tx.rollouts.plan(tenant, rollout) for rollout in {m.rollout for m in moves}}
    rows = tx.deployments.current(tenant, [(m.rollout, m.device) for m in moves])
    valid = [
        (move, row, answer)
        for move, row in zip(moves, rows, strict=True)
        if row is not None
        and (plan := plans[move.rollout]) is not None
        and (answer := _again(tx, known, move, plan)) is not None
    ]
    offering = [
        move.device
        for move, row, answer in valid
        if row.state is State.SCHEDULED and answer.rule in {Rule.OFFER, Rule.CONSENT}
    ]
    actions = dict(zip(offering, tx.deployments.allot(tenant, offering), strict=True))
    changed = [(row, _moved(row, answer, move.at, actions.get(move.device))) for move, row, answer in valid]
    tx.deployments.save(tenant, changed)
    tx.events.add([moved_event(tenant, before, after, "system", after.changed_at) for before, after in changed])


def _again(tx: Tx, tenant: Tenant, move: _Move, plan: Plan) -> Answer | None:
    """The rules' answer as things stand now; None where it moves nothing."""
    entry = tx.devices.entry(tenant.id, move.device)
    if entry is None:
        return None
    for membership in entry.subject.memberships:
        if (membership.rollout, membership.attempt) == (move.rollout, move.attempt):
            moves = _MOVES if membership.state is State.SCHEDULED else _FREES if membership.state in WAITING else {}
            answer = decide(
                entry.subject, plan, membership, halted=tenant.halted, now=move.at, calendar=tenant.calendar
            )
            return answer if answer.rule in moves else None
    return None


def _moved(row: Deployment, answer: Answer, at: datetime, action: ActionId | None) -> Deployment:
    if row.state in WAITING:
        return replace(row, state=DEPLOYMENT.next(row.state, _FREES[answer.rule]) or row.state, changed_at=at)
    state = DEPLOYMENT.next(row.state, _MOVES[answer.rule]) or row.state
    offered = state not in FINAL
    return replace(
        row,
        state=state,
        action=row.action if action is None else action,
        changed_at=at,
        offered_at=at if offered else None,
        ended_at=None if offered else at,
        reason="" if offered else answer.because,
    )


def moved_event(tenant: TenantId, before: Deployment, after: Deployment, actor: str, at: datetime) -> Happening:
    """The record of a deployment's move."""
    data = {
        "rollout": after.rollout,
        "attempt": after.attempt,
        "action": after.action,
        "from": str(before.state),
        "to": str(after.state),
    }
    if after.reason:
        data["reason"] = after.reason
    return Happening(tenant, at, actor, Kind.DEPLOYMENT_MOVED, after.device, data)
