"""One device's share in one rollout, per attempt: its states, and why a device is offered it or not.

The table below is the only place that moves a deployment. Reports arrive late, twice and out of order (they come from
devices on bad networks): progress only moves forward, a final state is left only along an edge the table names
(`silent → …`), and everything else is kept in history and changes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from otaru.domain.ids import ActionId, DeviceId, RolloutId, Version
from otaru.domain.machine import Machine


class State(StrEnum):
    """Where a deployment is."""

    SCHEDULED = "scheduled"
    OFFERED = "offered"
    AWAITING_CONSENT = "awaiting_consent"
    POSTPONED = "postponed"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    ON_TRIAL = "on_trial"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVERTED = "reverted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    SILENT = "silent"


class Event(StrEnum):
    """What can happen to a deployment; every road maps its own words onto these."""

    OFFER = "offer"
    ASK_CONSENT = "ask_consent"
    CONSENT = "consent"
    POSTPONE = "postpone"
    DOWNLOAD = "download"
    DOWNLOAD_DONE = "download_done"
    INSTALL = "install"
    REBOOT = "reboot"
    TRY = "try"
    SUCCEED = "succeed"
    FAIL = "fail"
    REVERT = "revert"
    REJECT = "reject"
    REFUSE = "refuse"
    CANCEL = "cancel"
    CANCEL_DONE = "cancel_done"
    CANCEL_REFUSED = "cancel_refused"
    SKIP = "skip"
    SILENCE = "silence"


_PROGRESS = (
    (State.OFFERED, None),
    (State.DOWNLOADING, Event.DOWNLOAD),
    (State.DOWNLOADED, Event.DOWNLOAD_DONE),
    (State.INSTALLING, Event.INSTALL),
    (State.REBOOTING, Event.REBOOT),
    (State.ON_TRIAL, Event.TRY),
)
"""The road of an update, in order. A device may leave steps out, never go back."""

_OUTCOMES = {
    Event.SUCCEED: State.SUCCEEDED,
    Event.FAIL: State.FAILED,
    Event.REVERT: State.REVERTED,
    Event.REJECT: State.REJECTED,
}

NOT_BEGUN = frozenset({State.OFFERED, State.DOWNLOADING, State.DOWNLOADED})
"""The device has been told, and has not begun to install."""
_REFUSES = NOT_BEGUN | {State.INSTALLING}
"""Where it may say that what is asked of it does not hold now. Told to install what it downloaded before, it looks again."""

OPEN = frozenset(
    {
        State.OFFERED,
        State.AWAITING_CONSENT,
        State.POSTPONED,
        State.DOWNLOADING,
        State.DOWNLOADED,
        State.INSTALLING,
        State.REBOOTING,
        State.ON_TRIAL,
        State.CANCELLING,
    }
)
"""The device has been told and has not ended: at most one a device."""

FINAL = frozenset(
    {
        State.SUCCEEDED,
        State.FAILED,
        State.REVERTED,
        State.REJECTED,
        State.CANCELLED,
        State.SKIPPED,
        State.SILENT,
    }
)

FAILURES = frozenset({State.FAILED, State.REVERTED, State.SILENT})
"""The final states that speak against the release. `rejected` is a no of the device or its owner, not a fault."""

RETRIABLE = FAILURES | {State.REJECTED, State.CANCELLED}

WAITING = frozenset({State.AWAITING_CONSENT, State.POSTPONED})
"""The device has been told and a yes is waited for: its own, or its owner's."""

IN_FLIGHT = OPEN - {State.POSTPONED}

TOLD = OPEN - WAITING - {State.CANCELLING, State.ON_TRIAL}
"""The device has been told to install it, and has not said that it did: nobody's yes is waited for, nothing is called off."""


def _edges() -> Iterator[tuple[tuple[State, Event], State]]:
    yield (State.SCHEDULED, Event.OFFER), State.OFFERED
    yield (State.SCHEDULED, Event.ASK_CONSENT), State.AWAITING_CONSENT
    # Told to download and install in one, of a rollout that tells others twice: its client knows no other order.
    yield (State.SCHEDULED, Event.INSTALL), State.INSTALLING
    yield (State.SCHEDULED, Event.SKIP), State.SKIPPED
    yield (State.SCHEDULED, Event.CANCEL), State.CANCELLED

    for asked in (State.AWAITING_CONSENT, State.POSTPONED):
        yield (asked, Event.CONSENT), State.OFFERED
        # The device knows nothing of it that it would have to undo, so no word of it is awaited.
        yield (asked, Event.CANCEL), State.CANCELLED
        yield (asked, Event.SKIP), State.SKIPPED
        yield (asked, Event.REJECT), State.REJECTED
        yield (asked, Event.SILENCE), State.SILENT
    yield (State.AWAITING_CONSENT, Event.POSTPONE), State.POSTPONED
    yield (State.POSTPONED, Event.ASK_CONSENT), State.AWAITING_CONSENT

    steps = [state for state, _ in _PROGRESS]
    for earlier, state in enumerate(steps):
        for target, event in _PROGRESS[earlier + 1 :]:
            if event is not None:
                yield (state, event), target
        for event, target in _OUTCOMES.items():
            yield (state, event), target
        if state in _REFUSES:
            yield (state, Event.REFUSE), state  # what is asked of it does not hold now: it may begin later
        # Who is on trial has done it: nothing is left to call off, and no word of it is awaited.
        yield (state, Event.CANCEL), State.CANCELLED if state is State.ON_TRIAL else State.CANCELLING
        yield (state, Event.SILENCE), State.SILENT

    # It has fetched it and was never told to install it (`Policy.downloads_first`).
    yield (State.DOWNLOADED, Event.SKIP), State.SKIPPED

    # An order to cancel crosses the device's own report: whichever is true wins.
    yield (State.CANCELLING, Event.CANCEL_DONE), State.CANCELLED
    yield (State.CANCELLING, Event.CANCEL_REFUSED), State.INSTALLING
    for event, target in _OUTCOMES.items():
        yield (State.CANCELLING, event), target
    yield (State.CANCELLING, Event.SILENCE), State.SILENT

    yield (State.SILENT, Event.SUCCEED), State.SUCCEEDED
    yield (State.SILENT, Event.REVERT), State.REVERTED


DEPLOYMENT: Machine[State, Event] = Machine("deployment", State.SCHEDULED, FINAL, dict(_edges()))


def fold(state: State, events: Iterable[Event]) -> State:
    """The state after `events` in order, where those without an edge change nothing."""
    for event in events:
        state = DEPLOYMENT.next(state, event) or state
    return state


def forward_order() -> tuple[tuple[State, State], ...]:
    """The neighbouring pairs of the road of an update, for tests and diagrams."""
    return tuple(pairwise(state for state, _ in _PROGRESS))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as it is stored. `action` is 0 until the device has been offered it."""

    rollout: RolloutId
    device: DeviceId
    attempt: int
    state: State
    segment: int
    wave: int
    rank: int
    action: ActionId
    changed_at: datetime
    offered_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    """The device's last words on it, or ours."""
    base: Version | None = None
    """What ran before, as far as it was known when the device was told: where a rollback brings it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a device said of an action, as it arrived. `digest` makes the same report twice one report."""

    device: DeviceId
    action: ActionId
    received_at: datetime
    event: Event | None
    """What it means on our table; None where it is only progress in words."""
    execution: str
    result: str
    messages: tuple[str, ...]
    digest: bytes
    device_time: str = ""
    has_id: bool = False
    """The digest is of an id that the device gave it: the same again is never a new word, whatever happened meanwhile."""
    offline: bool = False
    """It was carried here: the device may not be heard of for long."""


MAX_REPORTS = 1000
"""Reports kept for one action; later ones still move the deployment, their words are dropped."""
MAX_MESSAGES = 50
MAX_MESSAGE = 4096
