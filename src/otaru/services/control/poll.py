"""A device asks what is due. Answered from memory; only the first hand-out of an offer is written, before it is told.

The crash guarantee: what a poll's answer offers is durable before the answer leaves. Contact times are written behind.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.analysis import rate
from otaru.domain.conditions import names
from otaru.domain.consent import automatic_at
from otaru.domain.deployment import DEPLOYMENT, FINAL, NOT_BEGUN, WAITING, Deployment, Event, State
from otaru.domain.device import Lifecycle
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId, Version
from otaru.domain.offer import (
    Answer,
    Membership,
    Plan,
    Rule,
    Subject,
    decide,
    first_due,
    told_to_install,
    usable,
    window_for,
)
from otaru.domain.release import Artifact
from otaru.domain.rollout import Rollout
from otaru.domain.rollout import full as full_of
from otaru.domain.schedule import Window, appointment
from otaru.domain.tenant import WHOLE_PARTS, Tenant
from otaru.domain.trial import LOOKS
from otaru.ports.registry import Entry
from otaru.ports.store import Tx, one
from otaru.services.control import directing
from otaru.services.control.overtaking import goes_back, with_newer
from otaru.services.control.world import World

_MOVES = {
    Rule.OFFER: Event.OFFER,
    Rule.CONSENT: Event.ASK_CONSENT,
    Rule.INSTALLED: Event.SKIP,
    Rule.FITS: Event.SKIP,
    Rule.SECURITY_FLOOR: Event.SKIP,
    Rule.PINNED: Event.SKIP,
}
"""What an answer does to a scheduled deployment. All others wait."""

_INSTALLS = _MOVES | {Rule.OFFER: Event.INSTALL}
"""What an answer does to a deployment whose device is told next to install, where it has downloaded first or cannot."""

_TELLS_AT_ONCE = {Rule.OFFER: Event.INSTALL}
"""What it does to one whose device was told to download, and says nothing of it. Who may install now is told both at once."""

_FREES = {Rule.OFFER: Event.CONSENT}
"""What an answer does to a deployment that waits for consent, where there is a standing yes, or its deadline is over."""

ASK_ANEW_S = 1800
_MAX_TURNS = 20
"""Memberships that one poll works through; a device in more rollouts than that goes on at its next poll."""


@dataclass(frozen=True, slots=True)
class Due:
    """What a device has been told to do: its open deployment, and the artifacts for it, one a component."""

    membership: Membership
    plan: Plan
    artifacts: tuple[Artifact, ...]


async def poll(
    world: World, tenant: Tenant, entry: Entry, *, whole: bool = False, shown: bool = False, single: bool = True
) -> tuple[Entry, Due | None, datetime | None]:
    """What is due for a device now, offering it durably where it is new.

    `whole`: the device has no word for an order to download and not to install yet, and hears of none.
    `shown`: the road shows a device what it has downloaded and holds; without it there is nothing for it meanwhile.
    `single`: the device's client takes one file at a time, as most do: a road says so where it takes several.

    Returns the entry as it is after that; None where nothing is due; and, where something only waits for its window, when
    the device should ask again at the latest. The caller has checked the credential.
    """
    for _ in range(_MAX_TURNS):
        subject = seen(tenant, entry.subject, whole=whole)
        if not subject.memberships or subject.lifecycle is not Lifecycle.ACTIVE:
            return entry, None, None
        if (membership := subject.open) is not None:
            stays = await _stays(world, tenant, subject, membership, shown=shown)
            if stays is not None:
                return entry, *stays
        else:
            answers = await why(world, tenant, subject, single=single)
            moving = next((a.membership for a in answers if a.rule in _MOVES and a.membership is not None), None)
            if moving is None:
                if any(answer.rule is Rule.CONDITIONS for answer in answers):
                    entry = await _asking(world, tenant, entry)
                return entry, None, _soonest(answers)
            membership = moving
        again, full_until = await _take(world, tenant, subject, membership, single=single)
        if again is None or again.subject.memberships == subject.memberships:
            return again or entry, None, full_until
        entry = again
        if entry.verifies and entry.subject.open is not None:
            await directing.told(world, tenant.id, entry.subject)
    return entry, None, None


async def _take(
    world: World, tenant: Tenant, subject: Subject, membership: Membership, *, single: bool
) -> tuple[Entry | None, datetime | None]:
    """Have the rules in the store move a deployment: the entry as it is then.

    Where they said no (this minute is full, or this worker has not heard of something yet): when to ask again.
    """
    now, whole = world.clock.now(), subject.whole
    move = _Move(tenant.id, subject.id, membership.rollout, membership.attempt, now, whole, single)
    full_until = await world.store.write(_move, move)
    world.registry.forget(tenant.id, subject.id)
    again = await world.registry.device(tenant.id, subject.id)
    unmoved = again is not None and again.subject.memberships == subject.memberships
    if unmoved and full_until is None and subject.open is None:
        full_until = _soonest(await why(world, tenant, subject, single=single))
    return again, full_until


_LATER = {State.OFFERED: _TELLS_AT_ONCE, State.DOWNLOADED: _INSTALLS}
"""What answers do to deployments of rollouts that download first, once their devices have been told to download."""


async def _stays(
    world: World, tenant: Tenant, subject: Subject, membership: Membership, *, shown: bool
) -> tuple[Due | None, datetime | None] | None:
    """What a device hears that has been told before, and when it should ask again; None where its deployment moves."""
    told = await due(world, tenant.id, subject, membership)
    if membership.state is State.ON_TRIAL:
        return None, None if told is None else _heard_by(told, world.clock.now())
    if told is not None and told.plan.rollout.policy.downloads_first and membership.state in _LATER:
        answer = await _ordered(world, tenant, subject, told)
        if answer.rule in _LATER[membership.state]:
            return None
        hears = not subject.whole and (shown or not holds(membership, told.plan))
        return told if hears else None, answer.ask_at
    return None if told is not None and await _wakes(world, tenant, subject, told) else (told, None)


def holds(membership: Membership, plan: Plan) -> bool:
    """Whether the device holds what it downloaded, until it is told to install it."""
    return membership.state is State.DOWNLOADED and plan.rollout.policy.downloads_first


def only_downloads(plan: Plan, state: State) -> bool:
    """Whether a device in this state is told to download it and not to install it yet."""
    return plan.rollout.policy.downloads_first and state in NOT_BEGUN | WAITING


async def _ordered(world: World, tenant: Tenant, subject: Subject, told: Due) -> Answer:
    """Whether such a device is told to install it now. A store is asked only where nothing else is in the way."""
    plan, now = told.plan, world.clock.now()
    answer = decide(subject, plan, told.membership, halted=tenant.halted, now=now, calendar=tenant.calendar)
    policy = plan.rollout.policy
    if answer.rule is not Rule.OFFER or not (_takes(plan.rollout) or policy.conditions):
        return answer

    def look(tx: Tx) -> Answer:
        known, found = told_facts(tx, tenant.id, subject, plan), with_taken(tx, tenant.id, plan, subject, now)
        return decide(known, found, told.membership, halted=tenant.halted, now=now, calendar=tenant.calendar)

    return await world.store.glance(look)


def _heard_by(tried: Due, now: datetime) -> datetime:
    """When a device that is on trial should come again: several times in its health window."""
    return now + max(tried.plan.rollout.policy.validate / LOOKS, timedelta(seconds=1))


def _soonest(answers: Sequence[Answer]) -> datetime | None:
    return min((a.ask_at for a in answers if a.ask_at is not None), default=None)


async def _wakes(world: World, tenant: Tenant, subject: Subject, told: Due) -> bool:
    """Whether what waits for consent moves: by a standing yes, by its deadline, or because it was postponed until now.

    A store is asked only where a moment may have come: of what was postponed, and where there is a deadline.
    """
    share, plan, now = told.membership, told.plan, world.clock.now()
    if share.state not in WAITING:
        return False
    timed = share.state is State.POSTPONED or plan.rollout.policy.consent_deadline is not None
    if not subject.auto_confirm and not timed:
        return False

    def look(tx: Tx) -> Event | None:
        (row,) = tx.deployments.current(tenant.id, [(share.rollout, subject.id)])
        return None if row is None else _woken(tx, tenant, subject, plan, share, row, now)

    return await world.store.glance(look) is not None


def _woken(
    tx: Tx, tenant: Tenant, subject: Subject, plan: Plan, share: Membership, row: Deployment, now: datetime
) -> Event | None:
    """What time, or a standing yes, does to a deployment that waits for consent."""
    policy, subject = plan.rollout.policy, told_facts(tx, tenant.id, subject, plan)
    if share.state is State.POSTPONED:  # it holds no slot, and would take one
        plan = with_taken(tx, tenant.id, plan, subject, now)
        if plan.taken is not None and full_of(policy.limits, plan.taken, told=True) is not None:
            return None
    deadline = automatic_at(policy, row.offered_at)
    if deadline is not None and now >= deadline:
        subject = replace(subject, auto_confirm=True)
    if subject.auto_confirm:
        answer = decide(subject, plan, share, halted=tenant.halted, now=now, calendar=tenant.calendar)
        if answer.rule in _FREES:
            return _FREES[answer.rule]
    if (
        row.state is State.POSTPONED
        and (delay := tx.deployments.delay(tenant.id, row)) is not None
        and now >= delay.until
    ):
        return Event.ASK_CONSENT
    return None


async def due(world: World, tenant: TenantId, subject: Subject, membership: Membership) -> Due | None:
    """An open deployment with what belongs to it; None where its release has nothing for this hardware (any more)."""
    plan = await world.registry.plan(tenant, membership.rollout)
    artifacts = plan.release.artifacts_for(subject.hardware) if plan is not None else ()
    return Due(membership, plan, artifacts) if plan is not None and artifacts else None


def seen(tenant: Tenant, subject: Subject, *, whole: bool = False) -> Subject:
    """A device with what is known of its client: by its road, or by its tenant's settings."""
    parts = tenant.settings.chunk_parts
    whole = whole or (bool(parts) and parts.get(subject.hardware.model) in WHOLE_PARTS)
    return replace(subject, whole=True) if whole else subject


async def why(world: World, tenant: Tenant, subject: Subject, *, single: bool = False) -> list[Answer]:
    """The rules' answers for each rollout that has this device as a scheduled member, up to the first offer."""
    scheduled = {m.rollout for m in subject.memberships if m.state is State.SCHEDULED}
    plans = [plan for r in sorted(scheduled) if (plan := await world.registry.plan(tenant.id, r)) is not None]
    now, calendar = world.clock.now(), tenant.calendar
    answers = first_due(subject, plans, halted=tenant.halted, now=now, calendar=calendar, single=single)
    asked = frozenset[str]().union(*(names(plan.rollout.policy.conditions) for plan in plans))
    if not answers or answers[-1].rule not in {Rule.OFFER, Rule.CONSENT}:
        return answers
    if not asked and not any(_takes(plan.rollout) or goes_back(subject, plan) for plan in plans):
        return answers

    def look(tx: Tx) -> list[Answer]:
        """Only where nothing else is in the way: with what the device last told, and what is taken of limits."""
        known = replace(subject, facts=tx.devices.facts(tenant.id, subject.id, asked)) if asked else subject
        found = [with_taken(tx, tenant.id, plan, subject, now) for plan in plans]
        return first_due(known, found, halted=tenant.halted, now=now, calendar=calendar, single=single)

    return await world.store.glance(look)


async def _asking(world: World, tenant: Tenant, entry: Entry) -> Entry:
    """The entry of a device that is held back by what it last told: now and then it is asked to tell it anew.

    That is at its first poll in each half hour, so that most polls write nothing.
    """
    now, polling = world.clock.now().timestamp(), tenant.settings.polling.total_seconds()
    if entry.attributes_requested or now // ASK_ANEW_S == (now - polling) // ASK_ANEW_S:
        return entry
    await world.store.write(_ask, (tenant.id, entry.subject.id))
    world.registry.forget(tenant.id, entry.subject.id)
    return await world.registry.device(tenant.id, entry.subject.id) or entry


@one
def _ask(tx: Tx, asked: tuple[TenantId, DeviceId]) -> None:
    tenant, device = asked
    tx.devices.ask_attributes(tenant, [device])


def told_facts(tx: Tx, tenant: TenantId, subject: Subject, plan: Plan) -> Subject:
    """The device with what a rollout's conditions ask of it."""
    conditions = plan.rollout.policy.conditions
    if not conditions:
        return subject
    return replace(subject, facts=tx.devices.facts(tenant, subject.id, names(conditions)))


def with_taken(tx: Tx, tenant: TenantId, plan: Plan, subject: Subject, now: datetime) -> Plan:
    """The plan with what its rollout has taken of its limits, its rate or its window's minutes, and what has overtaken it."""
    return _with_limits(tx, tenant, with_newer(tx, tenant, subject, plan), subject, now)


def _with_limits(tx: Tx, tenant: TenantId, plan: Plan, subject: Subject, now: datetime) -> Plan:
    share = next((m for m in subject.memberships if m.rollout == plan.rollout.id), None)
    if share is None or not _takes(plan.rollout):
        return plan
    taken = tx.rollouts.taken(tenant, plan.rollout, subject.id, appointment.minute(now))
    window = window_for(subject, plan.rollout, share)
    return replace(plan, taken=replace(taken, per_minute=_per_minute(tx, tenant, plan.rollout, window)))


def _takes(rollout: Rollout) -> bool:
    """Whether there is only so much that its devices may take."""
    policy = rollout.policy
    return policy.limits.any or policy.rate is not None or _has_places(rollout, policy.window)


def _has_places(rollout: Rollout, window: Window | None) -> bool:
    """Whether minutes of a window have only so many places: a rollout of few has places for all."""
    return window is not None and rollout.size > appointment.FREELY


@dataclass(frozen=True, slots=True)
class _Move:
    tenant: TenantId
    device: DeviceId
    rollout: RolloutId
    attempt: int
    at: datetime
    whole: bool = False
    single: bool = False


def _move(tx: Tx, moves: Sequence[_Move]) -> list[datetime | None]:
    """Bulk: offer or skip scheduled deployments, and let those begin that a standing yes frees.

    Where a window's minute is full: when the device should ask again.

    The poll decided in memory; here the same rules decide again on what is true in this transaction, so that nothing is
    offered after a halt, a quarantine or an order that has been acknowledged, by whichever worker.
    """
    by_tenant: dict[TenantId, dict[DeviceId, _Move]] = defaultdict(dict)
    for move in moves:
        by_tenant[move.tenant].setdefault(move.device, move)  # twins of one device: the first decides
    again: dict[tuple[TenantId, DeviceId], datetime] = {}
    for tenant, of_tenant in by_tenant.items():
        for device, at in _move_of(tx, tenant, list(of_tenant.values())).items():
            again[tenant, device] = at
    return [again.get((move.tenant, move.device)) for move in moves]


def _move_of(tx: Tx, tenant: TenantId, moves: Sequence[_Move]) -> dict[DeviceId, datetime]:
    """Make the moves of one tenant; who found no place in this minute, and when it should ask again."""
    known = tx.tenants.get(tenant)
    if known is None:
        return {}
    plans = {rollout: tx.rollouts.plan(tenant, rollout) for rollout in {m.rollout for m in moves}}
    limited = {r for r, plan in plans.items() if plan is not None and plan.rollout.policy.limits.any}
    free = [move for move in moves if move.rollout not in limited]
    full = _move_some(tx, known, free, plans) if free else {}
    for move in moves:  # one after the other: each finds what those before it have taken
        if move.rollout in limited:
            full |= _move_some(tx, known, [move], plans)
    return full


def _move_some(
    tx: Tx, known: Tenant, moves: Sequence[_Move], plans: Mapping[RolloutId, Plan | None]
) -> dict[DeviceId, datetime]:
    tenant = known.id
    rows = tx.deployments.current(tenant, [(m.rollout, m.device) for m in moves])
    valid = [
        (move, row, answer)
        for move, row in zip(moves, rows, strict=True)
        if row is not None
        and (plan := plans[move.rollout]) is not None
        and (answer := _again(tx, known, move, plan, row)) is not None
    ]
    full = _crowded_out(tx, known, plans, valid)
    valid = [one for one in valid if one[0].device not in full]
    offering = [move.device for move, row, found in valid if row.state is State.SCHEDULED and _tells(row, found.event)]
    actions = dict(zip(offering, tx.deployments.allot(tenant, offering), strict=True))
    changed = [(row, _moved(row, answer, move.at, actions.get(move.device))) for move, row, answer in valid]
    tx.deployments.save(tenant, changed)
    tx.events.add([moved_event(tenant, before, after, "system", after.changed_at) for before, after in changed])
    return full


@dataclass(frozen=True, slots=True)
class _Found:
    """What the rules do to a deployment, why, and what runs on the device as they do."""

    event: Event
    because: str
    base: Version | None


_Valid = tuple[_Move, Deployment, _Found]


def _tells(row: Deployment, event: Event) -> bool:
    """Whether a device is told of something new."""
    return row.state in {State.SCHEDULED, State.DOWNLOADED} and event is not Event.SKIP


def _crowded_out(
    tx: Tx, tenant: Tenant, plans: Mapping[RolloutId, Plan | None], valid: Sequence[_Valid]
) -> dict[DeviceId, datetime]:
    """Reserve places in minutes that have only so many; who finds none, and when it should ask again."""
    full: dict[DeviceId, datetime] = {}
    wanted: dict[tuple[RolloutId, int, bool], list[tuple[_Move, Deployment]]] = defaultdict(list)
    for move, row, found in valid:
        if _tells(row, found.event):
            wanted[row.rollout, appointment.minute(move.at), found.event is Event.INSTALL].append((move, row))
    for (rollout, minute, installs), asking in wanted.items():
        plan = plans[rollout]
        if plan is None:
            continue
        window = plan.rollout.install_window if installs else plan.rollout.download_window
        if (capacity := _per_minute(tx, tenant.id, plan.rollout, window)) is None:
            continue
        granted = tx.rollouts.reserve(tenant.id, rollout, minute, len(asking), capacity)
        for move, row in asking[granted:]:
            full[move.device] = appointment.again_at(row.rank, move.at, window.duration if window else timedelta(0))
    return full


def _per_minute(tx: Tx, tenant: TenantId, rollout: Rollout, window: Window | None) -> int | None:
    """How many devices are told in one minute, by the limit, the rate or the window; None where none of them says."""
    policy, most = rollout.policy, []
    if policy.limits.per_minute is not None:
        most.append(policy.limits.per_minute)
    if policy.rate is not None:
        told = tx.rollouts.evidence(tenant, rollout.id).whole
        notified = told.members - told.of(State.SCHEDULED, State.SKIPPED)
        most.append(rate.per_minute(policy.rate, notified, told.of(State.SUCCEEDED)))
    if window is not None and _has_places(rollout, window):
        due = rollout.size if policy.download_only else rollout.watermark
        most.append(appointment.per_minute(usable(policy, window), due))
    return min(most, default=None)


def _again(tx: Tx, tenant: Tenant, move: _Move, plan: Plan, row: Deployment) -> _Found | None:
    """What the rules do to it as things stand now, and why; None where they move nothing."""
    entry = tx.devices.entry(tenant.id, move.device)
    if entry is None:
        return None
    base = entry.subject.version_of(plan.release.component)
    for share in entry.subject.memberships:
        if (share.rollout, share.attempt) != (move.rollout, move.attempt):
            continue
        if share.state in WAITING:
            event = _woken(tx, tenant, entry.subject, plan, share, row, move.at)
            return None if event is None else _Found(event, "", base)
        later = _LATER.get(share.state) if plan.rollout.policy.downloads_first else None
        if share.state is State.SCHEDULED or later is not None:
            subject = told_facts(tx, tenant.id, replace(entry.subject, whole=move.whole), plan)
            plan = with_newer(tx, tenant.id, subject, plan)
            if plan.rollout.policy.limits.any:  # else of its minutes so many are given away below
                plan = _with_limits(tx, tenant.id, plan, subject, move.at)
            answer = decide(
                subject, plan, share, halted=tenant.halted, now=move.at, calendar=tenant.calendar, single=move.single
            )
            moves = later or (_INSTALLS if told_to_install(subject, plan.rollout, share) else _MOVES)
            return _Found(moves[answer.rule], answer.because, base) if answer.rule in moves else None
    return None


def _moved(row: Deployment, found: _Found, at: datetime, action: ActionId | None) -> Deployment:
    state = DEPLOYMENT.next(row.state, found.event) or row.state
    if row.state in WAITING:
        return replace(row, state=state, changed_at=at, reason="", base=found.base)
    offered = state not in FINAL
    if row.state in _LATER:  # told again: the same action
        reason, base = ("", found.base) if offered else (found.because, row.base)
        return replace(row, state=state, changed_at=at, ended_at=None if offered else at, reason=reason, base=base)
    return replace(
        row,
        state=state,
        action=row.action if action is None else action,
        changed_at=at,
        offered_at=at if offered else None,
        ended_at=None if offered else at,
        reason="" if offered else found.because,
        base=found.base if offered else None,
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
