"""Why a device gets an offer, or not: one ordered list of rules, the first that fails is the answer.

The poll, the plan's preview and "why not updated?" all ask here (DOMAIN.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from otaru.domain.conditions import unmet
from otaru.domain.consent import is_asked
from otaru.domain.deployment import OPEN, WAITING, State
from otaru.domain.device import EVERYTHING, Hardware, Lifecycle
from otaru.domain.ids import ActionId, DeviceId, RolloutId, Version
from otaru.domain.release import Artifact, Release, ReleaseState
from otaru.domain.rollout import Policy, Rollout, RolloutState, Taken, ask_again, full
from otaru.domain.schedule import DEVICE, FOREVER, Blackout, Calendar, Window, appointment


class Rule(StrEnum):
    """The rules, in their order."""

    DEVICE_ACTIVE = "device_active"
    TENANT_HALTED = "tenant_halted"
    ROLLOUT_RUNNING = "rollout_running"
    OVER = "over"
    SEGMENT = "segment"
    INSTALL_ORDER = "install_order"
    MEMBER = "member"
    DUE = "due"
    WITHDRAWN = "withdrawn"
    FITS = "fits"
    COMPONENTS = "components"
    REQUIREMENTS = "requirements"
    FLOOR = "floor"
    SECURITY_FLOOR = "security_floor"
    INSTALLED = "installed"
    PINNED = "pinned"
    BUSY = "busy"
    PRIORITY = "priority"
    WINDOW = "window"
    BLACKOUT = "blackout"
    SLOT = "slot"
    LIMIT = "limit"
    CONDITIONS = "conditions"
    CONSENT = "consent"
    OFFER = "offer"


@dataclass(frozen=True, slots=True)
class Membership:
    """A device's share in a rollout, as the poll knows it. `action` is 0 until it has been offered."""

    rollout: RolloutId
    attempt: int
    state: State
    segment: int
    wave: int
    rank: int
    action: ActionId
    order_cancel: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What the rules need to know of a device."""

    id: DeviceId
    lifecycle: Lifecycle
    hardware: Hardware
    installed: tuple[tuple[str, Version], ...]
    auto_confirm: bool
    memberships: tuple[Membership, ...]
    """Open and scheduled ones, oldest rollout first: of those with the same priority the older one goes first."""
    counters: tuple[tuple[str, int], ...] = ()
    """Security counters by component, those above 0."""
    permits: tuple[tuple[str, int, datetime], ...] = ()
    """Down to which counter a component may go, by a permission signed offline, and until when."""
    zone: str = ""
    """The time zone that it says it is in; empty where it says none, or none that is known."""
    facts: tuple[tuple[str, str], ...] = ()
    """What it last told of what a rollout's conditions ask for: put in by who asks the rules of such a rollout."""

    whole: bool = False
    """Whether its client cannot download without installing: put in by who asks."""
    pins: tuple[str, ...] = ()
    """Components that stay at what they run."""

    @property
    def open(self) -> Membership | None:
        """The deployment that this device has been told of and has not ended."""
        return next((m for m in self.memberships if m.state in OPEN), None)

    def version_of(self, component: str) -> Version | None:
        """What runs in a component, or None where nothing is known."""
        return next((version for name, version in self.installed if name == component), None)

    def counter_of(self, component: str) -> int:
        """The security counter that was burnt in a component."""
        return next((value for name, value in self.counters if name == component), 0)

    def may_go_to(self, component: str, counter: int, now: datetime) -> bool:
        """Whether a release with this counter may come to a component: it is not below what was burnt, or is permitted."""
        return counter >= self.counter_of(component) or any(
            name == component and lowest <= counter and now < until for name, lowest, until in self.permits
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A rollout as the poll knows it: with its release and the watermark of each segment (-1: held)."""

    rollout: Rollout
    release: Release
    watermarks: tuple[int, ...]
    taken: Taken | None = None
    """What it has taken of its limits, where they were looked up for the device that asks."""
    overtaken_by: Rollout | None = None
    """The rollout, started later, that has brought the device that asks something newer; looked up where it would go back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rule that decided, its facts in words, and, where it is OFFER or CONSENT, what is offered."""

    rule: Rule
    because: str
    membership: Membership | None = None
    artifacts: tuple[Artifact, ...] = ()
    ask_at: datetime | None = None
    """Where only time is waited for: when this device should ask again at the latest."""


NO_CALENDAR = Calendar()


def decide(
    subject: Subject,
    plan: Plan,
    membership: Membership,
    *,
    halted: bool,
    now: datetime,
    calendar: Calendar = NO_CALENDAR,
    single: bool = False,
) -> Answer:
    """Whether `subject` is offered its share in one rollout, and why. `halted` and `calendar` are its tenant's.

    `single`: its client takes one file at a time.
    """
    barred = _barred(subject, plan, membership, now, halted=halted)
    return barred or _fit(subject, plan, membership, calendar, now, single=single)


def _barred(subject: Subject, plan: Plan, membership: Membership, now: datetime, *, halted: bool) -> Answer | None:
    """The rules that ask whether anything may be offered at all: device, tenant, rollout and wave."""
    rollout = plan.rollout
    if subject.lifecycle is not Lifecycle.ACTIVE:
        return Answer(Rule.DEVICE_ACTIVE, f"The device is {subject.lifecycle}.")
    if halted:
        return Answer(Rule.TENANT_HALTED, "All rollouts of this tenant are halted.")
    if rollout.state is not RolloutState.RUNNING:
        why = f": {rollout.reason}" if rollout.reason else ""
        return Answer(Rule.ROLLOUT_RUNNING, f"Rollout {rollout.id} is {rollout.state}{why}.")
    if (end := rollout.policy.end_at) is not None and now >= end:
        return Answer(
            Rule.OVER, f"Rollout {rollout.id} has offered nothing new since {end:%Y-%m-%d %H:%M} UTC: its end."
        )
    watermark = plan.watermarks[membership.segment]
    if watermark < 0:
        return _held(rollout, membership)
    installs = told_to_install(subject, rollout, membership)
    if installs and not rollout.may_install(now):
        return _unordered(rollout, membership)
    # What is only downloaded waits for no wave.
    if membership.rank >= watermark and (installs or not rollout.policy.download_only):
        opened = f"rollout {rollout.id} has opened {watermark} of {rollout.size}"
        return Answer(Rule.DUE, f"Its wave has not opened: it is number {membership.rank + 1}, {opened}.")
    return None


def told_to_install(subject: Subject, rollout: Rollout, membership: Membership) -> bool:
    """Whether what the device is told next is to install, in a rollout where it is told to download first."""
    if membership.state in _TOLD_TO_DOWNLOAD:
        return True
    return subject.whole and membership.state is State.SCHEDULED and rollout.policy.downloads_first


def window_for(subject: Subject, rollout: Rollout, membership: Membership) -> Window | None:
    """The window in which the device may be told what it is told next; None where it may be told at any time."""
    installs = told_to_install(subject, rollout, membership)
    return rollout.install_window if installs else rollout.download_window


_TOLD_TO_DOWNLOAD = frozenset({State.OFFERED, State.DOWNLOADED})
"""Who has said nothing of a download is asked about too: there are clients that ignore an order to download only."""


_PROMPTLY = timedelta(minutes=10)
"""In half of that those who would sleep past the moment of an order to install are woken, one after the other."""


def _unordered(rollout: Rollout, membership: Membership) -> Answer:
    """The rule of the order to install."""
    done = _so_far(membership)
    if rollout.install is None:
        said = f"{done}, and waits for the order to install (otaru rollout install {rollout.id})."
        return Answer(Rule.INSTALL_ORDER, said, membership)
    at = rollout.install.at
    said = f"{done}, and is ordered to install it at {at:%Y-%m-%d %H:%M} UTC."
    woken = at + appointment.offset(membership.rank, _PROMPTLY, rollout.size)
    return Answer(Rule.INSTALL_ORDER, said, membership, ask_at=woken)


def _held(rollout: Rollout, membership: Membership) -> Answer:
    segment = rollout.segments[membership.segment]
    why = f": {segment.reason}" if segment.reason else ""
    return Answer(
        Rule.SEGMENT, f"Its segment {segment.index + 1} ({segment.name}) of rollout {rollout.id} is held{why}."
    )


def _so_far(membership: Membership) -> str:
    if membership.state is State.DOWNLOADED:
        return "It has downloaded it"
    return "Its client downloads and installs in one, so it is told nothing yet"


def _fit(
    subject: Subject, plan: Plan, membership: Membership, calendar: Calendar, now: datetime, *, single: bool
) -> Answer:
    """The rules that ask whether this release suits this device now."""
    rollout, release = plan.rollout, plan.release
    if release.state not in {ReleaseState.PUBLISHED, ReleaseState.DEPRECATED}:
        return Answer(Rule.WITHDRAWN, f"Release {release.product} {release.version} is {release.state}.")
    artifacts = release.artifacts_for(subject.hardware)
    components = [artifact.component for artifact in artifacts]
    if single and len(components) > 1:
        return Answer(Rule.COMPONENTS, _several(release, components), membership)
    if (held := _unsuited(subject, release, components, membership, now)) is not None:
        return held
    if (stays := _stays(subject, components, plan, membership)) is not None:
        return stays
    if (busy := subject.open) is not None and busy is not membership:
        return Answer(Rule.BUSY, f"Action {busy.action} of rollout {busy.rollout} is {busy.state}.")
    if (held := _untimely(subject, rollout, membership, calendar, now)) is not None:
        return held
    if (held := _unready(subject, plan, membership, now)) is not None:
        return held
    asked = membership.state not in _TOLD_TO_DOWNLOAD and is_asked(rollout.policy, release)  # those have said yes
    if asked and not subject.auto_confirm:
        return Answer(Rule.CONSENT, "The device or its owner is asked first.", membership, artifacts)
    return Answer(Rule.OFFER, f"Release {release.product} {release.version} is due.", membership, artifacts)


def _unsuited(
    subject: Subject, release: Release, components: Sequence[str], membership: Membership, now: datetime
) -> Answer | None:
    """The rules that ask whether the device may have it at all: hardware, the release's own terms."""
    if not components:
        made_for = ", ".join(sorted({str(a.hardware) for a in release.artifacts}))
        return Answer(Rule.FITS, f"The release is for {made_for}; the device is {subject.hardware}.", membership)
    terms = release.terms
    if terms.requires or terms.floor is not None or subject.counters:  # else nothing to ask: polls pay for no rule
        return _forbidden(subject, release, components, membership, now)
    return None


def _several(release: Release, components: Sequence[str]) -> str:
    return (
        f"{release.product} {release.version} brings {' and '.join(components)} together, and the device's client takes one "
        "file at a time: bring them by releases of their own, or say that clients of this model take several "
        "(otaru tenant set --several)."
    )


def _stays(subject: Subject, components: Sequence[str], plan: Plan, membership: Membership) -> Answer | None:
    """The rules that ask whether there is anything to do: all installed, or something newer; something pinned."""
    version = plan.release.version
    if all((component, version) in subject.installed for component in components):
        verb = "is" if len(components) == 1 else "are"
        return Answer(Rule.INSTALLED, f"{' and '.join(components)} {version} {verb} installed already.", membership)
    if plan.rollout.follows is not None:
        ahead = (_ahead(subject, plan.release, component, membership) for component in components)
        if (newer := next((answer for answer in ahead if answer is not None), None)) is not None:
            return newer
    if (other := plan.overtaken_by) is not None:
        brought = f"{' and '.join(components)} {other.version}"
        said = f"Rollout {other.id}, started later, has brought {brought}: this one does not take it back."
        return Answer(Rule.INSTALLED, said, membership)
    pinned = next((c for c in components if EVERYTHING in subject.pins or c in subject.pins), None)
    if pinned is not None:
        return Answer(Rule.PINNED, f"Its {pinned} is pinned: it stays at what it runs.", membership)
    return None


def _ahead(subject: Subject, release: Release, component: str, membership: Membership) -> Answer | None:
    """The rule of standing orders: nobody goes back by one."""
    runs = subject.version_of(component)
    if runs is None or not release.older_than(runs):
        return None
    said = f"{component} {runs} is newer than {release.version}: what follows a channel never goes back by itself."
    return Answer(Rule.INSTALLED, said, membership)


def _forbidden(
    subject: Subject, release: Release, components: Sequence[str], membership: Membership, now: datetime
) -> Answer | None:
    """The rules of the release's own terms: requirements, floor of what leads, security floor of each component."""
    for wanted in release.terms.requires:
        runs = subject.version_of(wanted.component)
        if not wanted.met_by(runs):
            return Answer(Rule.REQUIREMENTS, f"The release requires {wanted}; {_runs(wanted.component, runs)}.")
    leads = components[0]
    runs = subject.version_of(leads)
    if not release.above_floor(runs):
        floor = f"{leads} {release.terms.floor}"
        return Answer(Rule.FLOOR, f"{release.version} is reached from {floor} or newer; {_runs(leads, runs)}.")
    component = next((c for c in components if not subject.may_go_to(c, release.counter, now)), None)
    if component is not None:
        counter = subject.counter_of(component)
        return Answer(
            Rule.SECURITY_FLOOR,
            f"The device's security counter for {component} is {counter}, that of {release.version} is {release.counter}: "
            "going below needs a permission signed by an offline role (otaru keys permit-downgrade).",
            membership,
        )
    return None


def _runs(component: str, version: Version | None) -> str:
    return f"it is not known what runs in {component}" if version is None else f"the device runs {component} {version}"


def window_of(subject: Subject, window: Window, calendar: Calendar) -> Window:
    """A rollout's window as it is for this device."""
    return calendar.seen_from(window, subject.zone)


def window_words(subject: Subject, window: Window, calendar: Calendar, now: datetime) -> str:
    """How a rollout's window stands for this device, in words."""
    said = window_of(subject, window, calendar).words(now)
    if window.zone == DEVICE and not subject.zone:
        said += f" The device's own time zone is not known, so the tenant's counts, {calendar.zone}."
    return said


def _untimely(
    subject: Subject, rollout: Rollout, membership: Membership, calendar: Calendar, now: datetime
) -> Answer | None:
    """The rules of time: window, blackout."""
    window = window_for(subject, rollout, membership)
    if window is not None and (held := _shut(subject, rollout, membership, window, calendar, now)) is not None:
        return held
    if calendar.blackouts and not rollout.policy.ignore_blackout:
        lasting = calendar.blackout(subject.zone, now)
        if lasting is not None:
            return Answer(Rule.BLACKOUT, _black(*lasting), membership)
    return None if window is None else _early(subject, rollout, membership, window, calendar, now)


def usable(policy: Policy, window: Window) -> timedelta:
    """How much of a window devices may be told in."""
    return window.duration - policy.install_takes


def _turn(rollout: Rollout, membership: Membership, window: Window) -> timedelta:
    """How long after a window's opening a member has its appointment."""
    waves = rollout.waves
    members = waves[membership.wave].size if membership.wave < len(waves) else rollout.size
    return appointment.offset(membership.rank, usable(rollout.policy, window), members)


def _early(
    subject: Subject, rollout: Rollout, membership: Membership, window: Window, calendar: Calendar, now: datetime
) -> Answer | None:
    """The rule of the appointment, in a window that is open."""
    if rollout.size <= appointment.FREELY:
        return None
    window = window_of(subject, window, calendar)
    opened = window.opened_at(now)
    if opened is None or now >= (turn := opened + _turn(rollout, membership, window)):
        return None
    return Answer(
        Rule.SLOT, f"Its appointment in the window is at {turn:%Y-%m-%d %H:%M:%S} UTC.", membership, ask_at=turn
    )


def _shut(
    subject: Subject, rollout: Rollout, membership: Membership, wanted: Window, calendar: Calendar, now: datetime
) -> Answer | None:
    """The rule of the window."""
    window = window_of(subject, wanted, calendar)
    closes, takes = window.closes_at(now), rollout.policy.install_takes
    if closes is not None and closes - now >= takes:
        return None
    opens = window.next_opening(now)
    # Who would sleep past the opening is woken for its appointment: a fleet does not come at once.
    ask_at = opens + _turn(rollout, membership, window) if opens else None
    said = window_words(subject, wanted, calendar, now)
    if told_to_install(subject, rollout, membership):
        said = f"{_so_far(membership)}, and is told to install it in the window. {said}"
    if closes is not None:
        again = f" It opens next at {opens:%Y-%m-%d %H:%M} UTC." if opens else ""
        said += f" An installation takes {takes // timedelta(minutes=1)} minutes, which are not left.{again}"
    return Answer(Rule.WINDOW, said, membership, ask_at=ask_at)


def _unready(subject: Subject, plan: Plan, membership: Membership, now: datetime) -> Answer | None:
    """The rules of what was looked up: limits, conditions."""
    rollout = plan.rollout
    if plan.taken is not None and (held := _limited(subject, rollout, plan.taken, membership, now)) is not None:
        return held
    if rollout.policy.conditions and (said := unmet(rollout.policy.conditions, dict(subject.facts))) is not None:
        return Answer(Rule.CONDITIONS, f"By what the device last told, {said}.", membership)
    return None


def _limited(subject: Subject, rollout: Rollout, taken: Taken, membership: Membership, now: datetime) -> Answer | None:
    """The rule of the rollout's limits: who was told before is asked about places alone, not about the minute."""
    if membership.state is State.OFFERED:
        return None  # it has its place
    limits, told = rollout.policy.limits, membership.state in WAITING
    if (said := full(limits, taken, told=told)) is None:
        return None
    ask_at = None if told else ask_again(limits, taken, membership.rank, now)
    if ask_at is not None and (window := window_for(subject, rollout, membership)) is not None:  # not beyond its end
        ask_at = appointment.again_at(membership.rank, now, window.duration)
    return Answer(Rule.LIMIT, f"Rollout {rollout.id} is at its limit: {said}.", membership, ask_at=ask_at)


def _black(blackout: Blackout, until: datetime) -> str:
    end = "until it is removed" if until == FOREVER else f"until {until:%Y-%m-%d %H:%M} UTC"
    return f"Blackout {blackout.id} ({blackout.reason}) lasts {end}: nothing new is offered."


def in_turn(subject: Subject, plans: Sequence[Plan]) -> list[tuple[Membership, Plan]]:
    """The scheduled memberships with their plans: the highest priority first, then the oldest rollout."""
    by_id = {plan.rollout.id: plan for plan in plans}
    found = [
        (membership, plan)
        for membership in subject.memberships
        if membership.state is State.SCHEDULED and (plan := by_id.get(membership.rollout)) is not None
    ]
    if len(found) > 1:
        found.sort(key=lambda each: -each[1].rollout.policy.priority)
    return found


def first_due(
    subject: Subject,
    plans: Sequence[Plan],
    *,
    halted: bool,
    now: datetime,
    calendar: Calendar = NO_CALENDAR,
    single: bool = False,
) -> list[Answer]:
    """The answers for each scheduled membership in order of priority, up to and with the first that is an offer."""
    answers: list[Answer] = []
    for membership, plan in in_turn(subject, plans):
        answer = decide(subject, plan, membership, halted=halted, now=now, calendar=calendar, single=single)
        answers.append(answer)
        if answer.rule in {Rule.OFFER, Rule.CONSENT}:
            break
    return answers


_ORDER = {rule: number for number, rule in enumerate(Rule)}


def behind(answer: Answer, rollout: Rollout, first: Rollout | None) -> Answer:
    """What `rollout` answers where another one of the device's is due `first`: nothing later than that counts."""
    if first is None or _ORDER[answer.rule] < _ORDER[Rule.PRIORITY]:
        return answer
    higher = first.policy.priority > rollout.policy.priority
    why = f"its priority is {first.policy.priority}, of this one {rollout.policy.priority}" if higher else "it is older"
    return Answer(Rule.PRIORITY, f"Rollout {first.id} goes first: {why}.", answer.membership)
