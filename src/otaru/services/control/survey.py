"""What a person sees: devices with their history, rollouts with their counts, and what happened. Only reads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.deployment import FAILURES, WAITING, Deployment, Report, State
from otaru.domain.device import Device, Lifecycle
from otaru.domain.events import Kind, Position
from otaru.domain.evidence import Tally
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.offer import Answer, Plan, Rule, Subject, behind, decide, in_turn, window_words
from otaru.domain.release import Release, ReleaseState
from otaru.domain.rollout import Rollout
from otaru.domain.targeting import Query
from otaru.domain.tenant import Tenant
from otaru.domain.upgrade import path
from otaru.errors import NotFoundError
from otaru.ports.store import Recorded, Tx
from otaru.services.control import groups
from otaru.services.control.devices import found
from otaru.services.control.poll import holds, seen, told_facts, with_taken
from otaru.services.control.rollouts import STOPPABLE, Progress, progress_in
from otaru.services.control.world import World

MAX_HISTORY = 100
MAX_SHOWN_REPORTS = 1000
MAX_USES = 100
MAX_STEPS = 200
"""Releases of a product among which a way is looked for, the newest."""
SILENT_POLLS = 3
"""Polls that a device may miss before its silence is shown."""

_NOBODY = Tally({})


@dataclass(frozen=True, slots=True)
class Shown:
    """A device, where it stands (None: nowhere yet), and its deployments, newest first."""

    device: Device
    state: State | None
    history: Sequence[tuple[Deployment, Rollout]] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Devices of a target, and, where it was asked for, how many there are in all."""

    devices: Sequence[Shown]
    total: int | None


@dataclass(frozen=True, slots=True)
class Uses:
    """A release with its newest rollouts, and what withdrawing it would stop."""

    release: Release
    rollouts: Sequence[tuple[Rollout, Tally]]
    stoppable: int
    """Rollouts that would stop; MAX_USES stands for as many or more."""
    devices: int
    """Devices of those that have been told and have not ended."""
    running: int
    """Devices in service that run it."""


@dataclass(frozen=True, slots=True)
class Because:
    """Why a device is offered a rollout's release, or not. `rollout` is None where it is about the device alone."""

    rollout: RolloutId | None
    rule: Rule
    because: str


async def device(world: World, tenant: TenantId, device: DeviceId) -> Shown:
    """A device with its history.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.glance(lambda tx: device_in(tx, tenant, device))


def device_in(tx: Tx, tenant: TenantId, device: DeviceId) -> Shown:
    """As `device`, within a transaction."""
    known = found(tx, tenant, device)
    state = tx.deployments.standing(tenant, [device]).get(device)
    return Shown(known, state, tx.deployments.of_device(tenant, device, MAX_HISTORY))


async def devices(
    world: World, tenant: TenantId, target: str | None, after: DeviceId | None, limit: int, *, count: bool = False
) -> Page:
    """Devices by id, all or those of a target; without their history.

    Raises:
        QuerySyntaxError: the target makes no sense.
    """
    now = world.clock.now()

    def look(tx: Tx) -> Page:
        query: Query | None = None if target is None else groups.target(tx, tenant, target, now)
        page = tx.devices.page(tenant, query, after, limit)
        states = tx.deployments.standing(tenant, [d.id for d in page])
        total = tx.devices.count(tenant, query) if count else None
        return Page([Shown(d, states.get(d.id)) for d in page], total)

    return await world.store.read(look)


async def count(world: World, tenant: TenantId, target: str | None) -> int:
    """How many devices there are, in all or in a target: up to a second where a million match.

    Raises:
        QuerySyntaxError: the target makes no sense.
    """
    now = world.clock.now()

    def look(tx: Tx) -> int:
        query = None if target is None else groups.target(tx, tenant, target, now)
        return tx.devices.count(tenant, query)

    return await world.store.read(look)


async def history(world: World, tenant: TenantId, device: DeviceId, limit: int) -> Sequence[tuple[Deployment, Rollout]]:
    """A device's deployments, newest first.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> Sequence[tuple[Deployment, Rollout]]:
        found(tx, tenant, device)
        return tx.deployments.of_device(tenant, device, limit)

    return await world.store.read(look)


async def reports(world: World, tenant: TenantId, device: DeviceId, action: ActionId, limit: int) -> list[Report]:
    """What a device said of an action, newest first.

    Raises:
        NotFoundError: there is no such device, or it has no such action.
    """

    def look(tx: Tx) -> list[Report]:
        found(tx, tenant, device)
        if tx.deployments.by_action(tenant, [(device, action)])[0] is None:
            raise NotFoundError(f"device {device} has no action {action}")
        return tx.reports.of_action(tenant, device, action, limit)

    return await world.store.read(look)


async def why(world: World, tenant: TenantId, device: DeviceId) -> list[Because]:
    """What the rules say of each rollout that has the device as a member now, in the order of priority.

    Raises:
        NotFoundError: there is no such device.
    """
    now = world.clock.now()

    def look(tx: Tx) -> list[Because]:
        entry, owner = tx.devices.entry(tenant, device), tx.tenants.get(tenant)
        if entry is None or owner is None:
            raise NotFoundError(f"there is no device {device}")
        subject = seen(owner, entry.subject)
        if (alone := _of_itself(subject)) is not None:
            return [_after(alone, tx.deployments.of_device(tenant, device, 1))]
        plans = [plan for m in subject.memberships if (plan := tx.rollouts.plan(tenant, m.rollout)) is not None]
        answers = [_holding(tx, owner, subject, plans, now) or _told(tx, owner, subject, now)]
        first: Rollout | None = None
        for membership, plan in in_turn(subject, plans):
            answer = decide(
                told_facts(tx, tenant, subject, plan),
                with_taken(tx, tenant, plan, subject, now),
                membership,
                halted=owner.halted,
                now=now,
                calendar=owner.calendar,
            )
            answer = behind(answer, plan.rollout, first)
            if answer.rule in {Rule.OFFER, Rule.CONSENT}:
                first = plan.rollout
            advice = _advice(tx, tenant, subject, plan.release, answer.rule)
            if answer.rule in {Rule.OFFER, Rule.CONSENT} and not entry.verifies:
                advice = _by_ddi(owner, subject, answer)
            answers.append(Because(membership.rollout, answer.rule, f"{answer.because}{advice}"))
        return [a for a in answers if a is not None]

    return await world.store.read(look)


def _of_itself(subject: Subject) -> Because | None:
    """What is to be said before any rollout is asked."""
    if subject.lifecycle is not Lifecycle.ACTIVE:
        return Because(None, Rule.DEVICE_ACTIVE, f"The device is {subject.lifecycle}.")
    if not subject.memberships:
        return Because(None, Rule.MEMBER, "No rollout that has not ended has it as a member.")
    return None


def _after(alone: Because, last: Sequence[tuple[Deployment, Rollout]]) -> Because:
    """With how its last update ended, where that was badly: who asks why it is not updated wants to hear of it."""
    if alone.rule is not Rule.MEMBER or not last or last[0][0].state not in FAILURES | {State.REJECTED}:
        return alone
    deployment, rollout = last[0]
    words = f": {deployment.reason}" if deployment.reason else "."
    ended = f"Its last update, {rollout.product} {rollout.version} in rollout {rollout.id}, {deployment.state}{words}"
    return replace(alone, because=f"{alone.because} {ended}")


def _holding(tx: Tx, tenant: Tenant, subject: Subject, plans: Sequence[Plan], now: datetime) -> Because | None:
    """What a device waits for that has downloaded it first; None where it does not."""
    share = subject.open
    plan = None if share is None else next((p for p in plans if p.rollout.id == share.rollout), None)
    if share is None or plan is None or not holds(share, plan):
        return None
    answer = decide(
        told_facts(tx, tenant.id, subject, plan),
        with_taken(tx, tenant.id, plan, subject, now),
        share,
        halted=tenant.halted,
        now=now,
        calendar=tenant.calendar,
    )
    due = "It has downloaded it, and is told to install it at its next poll."
    return Because(share.rollout, answer.rule, due if answer.rule is Rule.OFFER else answer.because)


def _told(tx: Tx, tenant: Tenant, subject: Subject, now: datetime) -> Because | None:
    busy = subject.open
    if busy is None:
        return None
    word = "Its consent is awaited" if busy.state in WAITING else "It has been told"
    said = f"{word}: action {busy.action} is {busy.state}."
    (row,) = tx.deployments.current(tenant.id, [(busy.rollout, subject.id)])
    if row is not None and row.reason:
        said += f" Last said of it: {row.reason.rstrip('.')}."
    if busy.state is State.ON_TRIAL:
        said = f"It installed action {busy.action} and runs it on trial, until its health window is over."
    rollout = tx.rollouts.get(tenant.id, busy.rollout)
    if rollout is not None and rollout.policy.window is not None:
        said += f" {window_words(subject, rollout.policy.window, tenant.calendar, now)}"
    if (stick := tx.bundles.of_action(tenant.id, subject.id, busy.action, now)) is not None:
        said += f" It is on a stick until {stick.expires_at:%Y-%m-%d %H:%M} UTC (bundle {stick.id})."
    return Because(busy.rollout, Rule.OFFER, said)


def _advice(tx: Tx, tenant: TenantId, subject: Subject, goal: Release, rule: Rule) -> str:
    """What to install first, where that is all that is missing."""
    if rule is Rule.FLOOR:
        return _way(tx, tenant, subject, goal)
    if rule is not Rule.REQUIREMENTS:
        return ""
    # `_refuse_products`: a product that is named as a component updates that component.
    lacking = next(w for w in goal.terms.requires if not w.met_by(subject.version_of(w.component)))
    wanted = [w for w in goal.terms.requires if w.component == lacking.component]
    for release in _fitting(tx, tenant, ProductName(lacking.component), subject):
        if release.state is ReleaseState.PUBLISHED and all(w.met_by(release.version) for w in wanted):
            return _way(tx, tenant, subject, release, last=True)
    return ""


def _by_ddi(tenant: Tenant, subject: Subject, answer: Answer) -> str:
    """What the road that it asks by adds: which it is shows when it asks."""
    if len(answer.artifacts) < 2 or subject.hardware.model in tenant.settings.several:
        return ""
    return (
        f" It brings {' and '.join(a.component for a in answer.artifacts)} together: a DDI client is not told of it, as "
        "clients of this model take one file at a time (otaru tenant set --several)."
    )


def _way(tx: Tx, tenant: TenantId, subject: Subject, goal: Release, *, last: bool = False) -> str:
    runs = subject.version_of(goal.component)
    if runs is None:
        return f" Install {goal.product} {goal.version} first." if last and goal.terms.floor is None else ""
    steps = path(runs, goal, _fitting(tx, tenant, goal.product, subject))
    first = [f"{step.product} {step.version}" for step in (steps or ())][: None if last else -1]
    return f" Install {', then '.join(first)} first." if first else " No published release leads there."


def _fitting(tx: Tx, tenant: TenantId, product: ProductName, subject: Subject) -> list[Release]:
    """The newest releases of a product that have something for this device, newest first."""
    found = tx.releases.ranked(tenant, product, None, MAX_STEPS)
    return [release for release in found if release.artifacts_for(subject.hardware)]


async def rollouts(
    world: World,
    tenant: TenantId,
    states: Collection[str],
    after: RolloutId | None,
    limit: int,
    *,
    among: int | None = None,
) -> list[Progress]:
    """Rollouts with how far they are, newest first; `states` empty means all. `among` as in `rollouts.progress`."""

    def look(tx: Tx) -> list[Progress]:
        page = tx.rollouts.page(tenant, states, after, limit)
        return [progress_in(tx, tenant, rollout, among=among) for rollout in page]

    return await world.store.read(look)


async def uses(world: World, tenant: TenantId, product: ProductName, version: Version, limit: int) -> Uses:
    """What a release is used for: its newest rollouts, at most `limit`, and what can be stopped of it.

    Raises:
        NotFoundError: there is no such release.
    """

    def look(tx: Tx) -> Uses:
        release = tx.releases.get(tenant, product, version)
        if release is None:
            raise NotFoundError(f"there is no release {product} {version}")

        def page(states: Collection[str], limit: int) -> list[tuple[Rollout, Tally]]:
            found = tx.rollouts.page(tenant, states, None, limit, (product, version))
            return [(rollout, tx.rollouts.evidence(tenant, rollout.id).whole) for rollout in found]

        stoppable = page(STOPPABLE, MAX_USES)
        runs = tx.fleet.running(tenant, release.component, version)
        return Uses(release, page((), limit), len(stoppable), sum(tally.in_flight for _, tally in stoppable), runs)

    return await world.store.read(look)


async def members(
    world: World,
    tenant: TenantId,
    rollout: RolloutId,
    states: Collection[State],
    after: DeviceId | None,
    limit: int,
    wave: int | None = None,
) -> list[Deployment]:
    """The current attempts of a rollout's members, all or those of a wave, by device; `states` empty means all.

    Raises:
        NotFoundError: there is no such rollout.
    """

    def look(tx: Tx) -> list[Deployment]:
        if tx.rollouts.get(tenant, rollout) is None:
            raise NotFoundError(f"there is no rollout {rollout}")
        return tx.deployments.page(tenant, rollout, states, after, limit, wave)

    return await world.store.read(look)


async def unheard(
    world: World, tenant: TenantId, rollout: RolloutId, wave: int | None, limit: int, among: int
) -> list[DeviceId]:
    """Unended members of a wave (None: of all) that have missed SILENT_POLLS polls or never polled, these first.

    `among` is how many members of each state are looked at, the first by device.
    """
    now = world.clock.now()

    def look(tx: Tx) -> list[DeviceId]:
        owner = tx.tenants.get(tenant)
        polling = owner.settings.polling if owner is not None else timedelta(0)
        return tx.deployments.unheard(tenant, rollout, wave, now - polling * SILENT_POLLS, limit, among)

    return await world.store.read(look)


async def events(
    world: World,
    tenant: TenantId,
    after: Position,
    limit: int,
    subject: str | None = None,
    *,
    newest: bool = False,
    kinds: Collection[Kind] = (),
) -> list[Recorded]:
    """What happened after a position; with `newest`, before it and backwards. `kinds` empty means all."""
    return await world.store.read(lambda tx: tx.events.page(tenant, after, limit, subject, newest, kinds))


async def end_of_record(world: World) -> Position:
    """Where the record ends now."""
    return await world.store.glance(lambda tx: tx.events.last())


def counted(tallies: Mapping[int, Tally], wave: int | None = None) -> dict[str, int]:
    """Members by state, of one wave or of all; states that nobody is in are left out."""
    chosen = tallies.values() if wave is None else [tallies.get(wave, _NOBODY)]
    return {str(s): n for s in State if (n := sum(t.of(s) for t in chosen))}
