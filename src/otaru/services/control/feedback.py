"""A device says how it goes. Durable before it is acknowledged; the same words twice change nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from otaru.domain.deployment import (
    DEPLOYMENT,
    FINAL,
    IN_FLIGHT,
    MAX_MESSAGE,
    MAX_MESSAGES,
    NOT_BEGUN,
    Deployment,
    Event,
    Report,
    State,
)
from otaru.domain.device import Installed, Lifecycle, Source
from otaru.domain.events import Happening
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.offer import Plan
from otaru.domain.release import Release
from otaru.domain.rollout import Rollout, RolloutState, full
from otaru.domain.schedule import ATTRIBUTE, appointment, told
from otaru.errors import NotFoundError
from otaru.ports.store import Tx
from otaru.services.control.poll import moved_event
from otaru.services.control.world import World

_EARLY = {
    Event.INSTALL: Event.DOWNLOAD,
    Event.REBOOT: Event.DOWNLOAD,
    Event.TRY: Event.DOWNLOAD_DONE,
    Event.SUCCEED: Event.DOWNLOAD_DONE,
}
"""What a device means by its words that was told to download and not to install.

Clients say `proceeding` while they download. And one that takes the order for a whole update closes it: SWUpdate without
having done anything. Whatever it did, it is told again, and its success counts then.
"""

_EXPLAINED = frozenset({Event.CANCEL_REFUSED, Event.REFUSE})
"""What a device says no to: its words are why it is where it is."""
_CLOSED_EARLY = "closed it before it was told to install: "
_MAX_REASON = 500
_NEWEST = 20


async def report(world: World, tenant: TenantId, said: Report) -> State:
    """Keep what a device said of an action and move its deployment, durably; return the deployment's state.

    A report without an edge in the deployment table (late, repeated, out of order) is kept and moves nothing.

    Raises:
        NotFoundError: the device has no such action.
        OverloadedError: too much is waiting; the device tries again.
    """
    (state,) = await reports(world, tenant, [said])
    if state is None:
        raise NotFoundError(f"device {said.device} has no action {said.action}")
    return state


async def reports(world: World, tenant: TenantId, said: Sequence[Report]) -> list[State | None]:
    """As `report`, of several in their order and in one transaction; None where the device has no such action.

    Raises:
        OverloadedError: too much is waiting; the device tries again.
    """
    outcomes = await world.store.write(_report, [_Said(tenant, _bounded(one)) for one in said])
    for one, (_, moved) in zip(said, outcomes, strict=True):
        if moved:
            world.registry.forget(tenant, one.device)
    return [state for state, _ in outcomes]


def _bounded(said: Report) -> Report:
    messages = tuple(m[:MAX_MESSAGE] for m in said.messages[:MAX_MESSAGES])
    return said if messages == said.messages else replace(said, messages=messages)


def may_begin(tx: Tx, tenant: TenantId, row: Deployment, now: datetime) -> bool:
    """Whether a device that waits for consent may begin now.

    Its yes does not outrun a halt, pause, quarantine, blackout or, where it was postponed and held no slot, a limit.
    It goes on waiting then, and is asked again when that is over.
    """
    known, device = tx.tenants.get(tenant), tx.devices.get(tenant, row.device)
    rollout = tx.rollouts.get(tenant, row.rollout)
    zone = "" if device is None else told(device.attributes.get(ATTRIBUTE))
    return (
        known is not None
        and not known.halted
        and device is not None
        and device.lifecycle is Lifecycle.ACTIVE
        and rollout is not None
        and rollout.state is RolloutState.RUNNING
        and (rollout.policy.ignore_blackout or known.calendar.blackout(zone, now) is None)
        and (row.state is not State.POSTPONED or _has_room(tx, tenant, rollout, row.device, now))
    )


def _has_room(tx: Tx, tenant: TenantId, rollout: Rollout, device: DeviceId, now: datetime) -> bool:
    limits = rollout.policy.limits
    return (
        not limits.any
        or full(limits, tx.rollouts.taken(tenant, rollout, device, appointment.minute(now)), told=True) is None
    )


@dataclass(frozen=True, slots=True)
class _Said:
    tenant: TenantId
    report: Report


_Outcome = tuple[State | None, bool]
"""The state after a report (None: no such action), and whether it moved."""


def _report(tx: Tx, callers: Sequence[Sequence[_Said]]) -> list[list[_Outcome]]:
    """Bulk: for each caller, what became of its reports."""
    outcomes = iter(_taken(tx, [said for of_caller in callers for said in of_caller]))
    return [list(islice(outcomes, len(of_caller))) for of_caller in callers]


def _taken(tx: Tx, all_said: Sequence[_Said]) -> list[_Outcome]:
    by_tenant: dict[TenantId, list[int]] = defaultdict(list)
    for index, said in enumerate(all_said):
        by_tenant[said.tenant].append(index)
    results: list[_Outcome] = [(None, False)] * len(all_said)
    for tenant, indexes in by_tenant.items():
        outcomes = _Batch(tx, tenant).take([all_said[i].report for i in indexes])
        for index, outcome in zip(indexes, outcomes, strict=True):
            results[index] = outcome
    return results


class _Batch:
    """The reports of one tenant in one transaction: read together, decided one by one, written together."""

    def __init__(self, tx: Tx, tenant: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant
        self._events: list[Happening] = []
        self._installed: list[tuple[DeviceId, Installed]] = []
        self._plans: dict[RolloutId, Plan | None] = {}

    def take(self, reports: Sequence[Report]) -> list[_Outcome]:
        keys = [(r.device, r.action) for r in reports]
        distinct = list(dict.fromkeys(keys))
        before = dict(zip(distinct, self._tx.deployments.by_action(self._tenant, distinct), strict=True))
        known = [r for r, key in zip(reports, keys, strict=True) if before[key] is not None]
        fresh = dict(zip(map(id, known), self._tx.reports.add(self._tenant, known), strict=True))
        after = dict(before)
        results: list[_Outcome] = []
        for said, key in zip(reports, keys, strict=True):
            row = after[key]
            if row is None:
                results.append((None, False))
                continue
            # Without an id also words that are known already: the same "no" may answer a second order to cancel. Where
            # they are only repeated, the table has no edge for them.
            moved = row if said.has_id and not fresh[id(said)] else self._decide(row, said)
            if moved is row and row.state in FINAL and fresh[id(said)] and said.event is Event.SUCCEED:
                self._install_late(row, said)
            after[key] = moved
            results.append((moved.state, moved is not row))
        self._write(
            [(b, a) for key, b in before.items() if b is not None and (a := after[key]) is not None and a is not b]
        )
        return results

    def _decide(self, row: Deployment, said: Report) -> Deployment:
        event = self._meant(row, said)
        early = said.event is Event.SUCCEED and event is Event.DOWNLOAD_DONE
        state = DEPLOYMENT.next(row.state, event) if event is not None else None
        if state is None or (
            said.event is Event.CONSENT and not may_begin(self._tx, self._tenant, row, said.received_at)
        ):
            return row
        if said.event is Event.REFUSE and _reason(row, said, state) == row.reason:
            return row  # as it said before
        moved = replace(
            row,
            state=state,
            changed_at=said.received_at,
            ended_at=said.received_at if state in FINAL else None,
            reason=f"{_CLOSED_EARLY}{_last_words(said)}" if early else _reason(row, said, state),
        )
        if row.state is State.POSTPONED and moved.state in IN_FLIGHT:
            # At once, so that the next one of this batch finds the slot taken.
            self._tx.deployments.save(self._tenant, [(row, moved)])
        self._events.append(moved_event(self._tenant, row, moved, f"device:{said.device}", said.received_at))
        if event in {Event.SUCCEED, Event.TRY}:
            self._install(row, said, confirmed=state is State.SUCCEEDED)
        return moved

    def _meant(self, row: Deployment, said: Report) -> Event | None:
        """What a report means for this deployment: the success of one with a health window begins its trial."""
        if said.event in _EARLY and row.state in NOT_BEGUN and self._downloads_first(row):
            return _EARLY[said.event]
        if said.event is not Event.SUCCEED:
            return said.event
        if row.state is State.ON_TRIAL:
            return None  # said again: its window decides
        if not self._was_ordered(row, said):
            return Event.CANCEL_DONE if row.state is State.CANCELLING else None
        plan = self._plan(row.rollout)
        if said.offline:
            return Event.SUCCEED  # its own checks have judged it: nobody will hear of it in a window of ours
        tried = plan is not None and plan.rollout.policy.validate and DEPLOYMENT.next(row.state, Event.TRY) is not None
        return Event.TRY if tried else Event.SUCCEED

    def _downloads_first(self, row: Deployment) -> bool:
        plan = self._plan(row.rollout)
        return plan is not None and plan.rollout.policy.downloads_first

    def _was_ordered(self, row: Deployment, said: Report) -> bool:
        """Whether it may be that the device was told to install: else its success is none, whatever became of it since."""
        plan = self._plan(row.rollout)
        return plan is None or plan.rollout.may_install(said.received_at)

    def _plan(self, rollout: RolloutId) -> Plan | None:
        if rollout not in self._plans:
            self._plans[rollout] = self._tx.rollouts.plan(self._tenant, rollout)
        return self._plans[rollout]

    def _install_late(self, row: Deployment, said: Report) -> None:
        """A success that moves nothing any more (after a forced cancel, say) is still what runs on the device.

        Unless the device has been given something newer since, of which its reports will tell.
        """
        known = self._tx.deployments.of_device(self._tenant, said.device, _NEWEST)
        if (
            row.state is not State.SUCCEEDED
            and self._was_ordered(row, said)
            and all(other.action <= row.action for other, _ in known)
        ):
            self._install(row, said)

    def _install(self, row: Deployment, said: Report, *, confirmed: bool = True) -> None:
        """What an authenticated device reports as installed is true for the inventory (DOMAIN, Invariants)."""
        if (plan := self._plan(row.rollout)) is not None:
            release = plan.release
            burnt = release.terms.security_floor or 0  # only a release that declares it raises the device's counter
            source = Source.OFFLINE if said.offline else Source.OTARU
            for component in self._components(release, said.device):
                fact = Installed(component, release.version, source, said.received_at, confirmed, burnt)
                self._installed.append((said.device, fact))

    def _components(self, release: Release, device: DeviceId) -> Sequence[str]:
        """What a release brings to a device: of several components those that it has for its hardware."""
        if len(release.components) == 1:
            return release.components
        entry = self._tx.devices.entry(self._tenant, device)
        return () if entry is None else [a.component for a in release.artifacts_for(entry.subject.hardware)]

    def _write(self, changed: Sequence[tuple[Deployment, Deployment]]) -> None:
        if changed:
            self._tx.deployments.save(self._tenant, changed)
        if self._installed:
            self._tx.devices.install(self._tenant, self._installed)
            # New software may describe itself anew; rauc-hawkbit-updater tells its attributes only when it is asked.
            self._tx.devices.ask_attributes(self._tenant, [device for device, _ in self._installed])
        if self._events:
            self._tx.events.add(self._events)


def _reason(row: Deployment, said: Report, state: State) -> str:
    """Why it is where it is: a success needs no reason, and a refused order to cancel is none."""
    if state is State.SUCCEEDED:
        return ""
    return _last_words(said) if state in FINAL or said.event in _EXPLAINED else row.reason


def _last_words(said: Report) -> str:
    words = [m.strip() for m in said.messages if m.strip()]
    return words[-1][:_MAX_REASON] if words else said.execution
