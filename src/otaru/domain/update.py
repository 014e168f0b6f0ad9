"""The device's own side of an update: one table of where it stands, and one of what to do after power came back.

A *plan* is a release's pieces for this device, one a component, in the order in which they are installed: all of them come
to run, or none. Every piece is written aside first; only when the last one is there (the first barrier) are they switched,
and only when all of them run and are healthy (the second) does any become permanent. So until the end there is a way back,
and `COMMITTING` may still find that a bootloader went back by itself.

What `update_record.Record` says is written durably before it is done. So after a cut the record names what *may* have been
begun, never less; and whatever an agent does is harmless when it is done again. `RESUME` says for each state how to go
on. Each resumption is counted: whoever dies of the same step again and again gives it up (`Resume.limit`).

The ladder of self-healing: try again, then without deltas, then back to what ran before, then never again (`QUARANTINED`:
releases that have failed `MAX_STRIKES` times here are turned down; all others are still taken).
"""

from dataclasses import dataclass
from enum import StrEnum

from otaru.domain import deployment
from otaru.domain.machine import Machine


class State(StrEnum):
    """Where the device is in an update."""

    IDLE = "idle"
    VERIFYING = "verifying"
    FETCHING = "fetching"
    STAGED = "staged"
    """All bytes are here and are the right ones; nothing has been changed."""
    INSTALLING = "installing"
    """Pieces are written aside; what runs is not touched."""
    SAVING = "saving"
    """The data that the new version may work on are being saved; what runs still is not touched."""
    ARMING = "arming"
    """Pieces are switched, one by one."""
    ARMED = "armed"
    """All of them run from the next start on."""
    REBOOTING = "rebooting"
    ON_TRIAL = "on_trial"
    COMMITTING = "committing"
    REVERTING = "reverting"
    RETURNING = "returning"
    """On the way back, the reboot into what ran before was ordered."""
    RESTORING = "restoring"
    """What ran before runs again; the data that it had is being put back."""
    REPORTING = "reporting"
    """It is over; what became of it is being put where reports are kept."""
    QUARANTINED = "quarantined"
    """Idle, after a release that failed too often."""


class Event(StrEnum):
    """What moves it."""

    OFFER = "offer"
    TURN_DOWN = "turn_down"
    NOTHING = "nothing"
    ACCEPT = "accept"
    FETCHED = "fetched"
    INSTALL = "install"
    PIECE = "piece"
    INSTALLED = "installed"
    SAVE = "save"
    SAVED = "saved"
    ARM = "arm"
    REBOOT = "reboot"
    TRY = "try"
    PASS = "pass"  # noqa: S105 - of health, not a password
    COMMIT = "commit"
    RETRY = "retry"
    CANCEL = "cancel"
    FAIL = "fail"
    FALL_BACK = "fall_back"
    """The bootloader, or whoever starts the new version, went back by itself."""
    RESTORE = "restore"
    RETURN = "return"
    REPORT = "report"
    QUARANTINE = "quarantine"
    LIFT = "lift"
    ROLL_BACK = "roll_back"
    """A person at the device goes back to the version before, which was healthy, too."""


_S, _E = State, Event

TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.IDLE, _E.OFFER): _S.VERIFYING,
    (_S.IDLE, _E.TURN_DOWN): _S.REPORTING,
    (_S.QUARANTINED, _E.OFFER): _S.VERIFYING,
    (_S.QUARANTINED, _E.TURN_DOWN): _S.REPORTING,
    (_S.QUARANTINED, _E.LIFT): _S.IDLE,
    (_S.IDLE, _E.ROLL_BACK): _S.REVERTING,
    (_S.QUARANTINED, _E.ROLL_BACK): _S.REVERTING,
    (_S.VERIFYING, _E.NOTHING): _S.IDLE,
    (_S.VERIFYING, _E.ACCEPT): _S.FETCHING,
    (_S.VERIFYING, _E.FAIL): _S.REPORTING,
    (_S.FETCHING, _E.FETCHED): _S.STAGED,
    (_S.FETCHING, _E.RETRY): _S.FETCHING,
    (_S.FETCHING, _E.CANCEL): _S.REPORTING,
    (_S.FETCHING, _E.FAIL): _S.REPORTING,
    (_S.STAGED, _E.INSTALL): _S.INSTALLING,
    (_S.STAGED, _E.RETRY): _S.FETCHING,
    (_S.STAGED, _E.CANCEL): _S.REPORTING,
    (_S.STAGED, _E.FAIL): _S.REPORTING,
    (_S.INSTALLING, _E.PIECE): _S.INSTALLING,
    (_S.INSTALLING, _E.INSTALLED): _S.ARMING,
    # What lies here may have rotten: fetching looks at it again, and asks only for what is not right.
    (_S.INSTALLING, _E.RETRY): _S.FETCHING,
    (_S.INSTALLING, _E.FAIL): _S.REVERTING,
    (_S.INSTALLING, _E.SAVE): _S.SAVING,
    (_S.SAVING, _E.SAVED): _S.ARMING,
    (_S.SAVING, _E.FAIL): _S.REVERTING,
    (_S.ARMING, _E.ARM): _S.ARMED,
    (_S.ARMING, _E.FAIL): _S.REVERTING,
    # Switched and given up again and again before it could be noted: whoever starts it is right.
    (_S.ARMING, _E.FALL_BACK): _S.REVERTING,
    (_S.ARMED, _E.REBOOT): _S.REBOOTING,
    (_S.ARMED, _E.TRY): _S.ON_TRIAL,
    (_S.ARMED, _E.FAIL): _S.REVERTING,
    (_S.ARMED, _E.FALL_BACK): _S.REVERTING,
    (_S.REBOOTING, _E.TRY): _S.ON_TRIAL,
    (_S.REBOOTING, _E.FAIL): _S.REVERTING,
    (_S.REBOOTING, _E.FALL_BACK): _S.REVERTING,
    (_S.ON_TRIAL, _E.PASS): _S.COMMITTING,
    (_S.ON_TRIAL, _E.FAIL): _S.REVERTING,
    (_S.ON_TRIAL, _E.FALL_BACK): _S.REVERTING,
    (_S.COMMITTING, _E.COMMIT): _S.REPORTING,
    (_S.COMMITTING, _E.FALL_BACK): _S.REVERTING,
    (_S.REVERTING, _E.REBOOT): _S.RETURNING,
    (_S.REVERTING, _E.RESTORE): _S.RESTORING,
    (_S.REVERTING, _E.RETURN): _S.REPORTING,
    (_S.REVERTING, _E.RETRY): _S.REVERTING,
    (_S.REVERTING, _E.FAIL): _S.REPORTING,
    (_S.RETURNING, _E.RESTORE): _S.RESTORING,
    (_S.RETURNING, _E.RETURN): _S.REPORTING,
    (_S.RETURNING, _E.RETRY): _S.REVERTING,
    (_S.RETURNING, _E.FAIL): _S.REPORTING,
    (_S.RESTORING, _E.RETURN): _S.REPORTING,
    (_S.RESTORING, _E.RETRY): _S.RESTORING,
    (_S.RESTORING, _E.FAIL): _S.REPORTING,
    (_S.REPORTING, _E.REPORT): _S.IDLE,
    (_S.REPORTING, _E.QUARANTINE): _S.QUARANTINED,
}

UPDATE: Machine[State, Event] = Machine("update", State.IDLE, frozenset(), TRANSITIONS)
"""A device is never done: what ends is an update, and then it is idle or quarantined."""

RESTING = frozenset({State.IDLE, State.QUARANTINED})
"""Nothing is under way."""
TOUCHED = frozenset(
    {
        State.INSTALLING,
        State.SAVING,
        State.ARMING,
        State.ARMED,
        State.REBOOTING,
        State.ON_TRIAL,
        State.COMMITTING,
        State.REVERTING,
        State.RETURNING,
        State.RESTORING,
    }
)
"""The plan's pieces may have been changed in some way."""
CANCELLABLE = frozenset({State.FETCHING, State.STAGED})
"""An order to cancel is followed; later it is refused, since going back costs more than going on."""


class Way(StrEnum):
    """How a state goes on after power came back, or the agent was started anew."""

    REST = "rest"
    """Nothing was under way."""
    GO_ON = "go_on"
    """What was done counts; the rest of it follows."""
    REDO = "redo"
    """All of the step is done again."""
    ASK = "ask"
    """Installers and bootloader say what runs now; `found` decides."""


@dataclass(frozen=True, slots=True)
class Resume:
    """A row of RESUME: `limit` resumptions without a step forward, and then the event `beyond`."""

    way: Way
    limit: int = 0
    beyond: Event | None = None


MAX_ATTEMPTS = 3
"""How often a plan's bytes are fetched and written before it is given up."""
MAX_RETURNS = 6
"""How often the way back is tried, and then putting data back, before it is said that there is none. Power cuts do not count."""
MAX_STRIKES = 3
"""Failures of one release on this device, after which it is turned down."""

RESUME: dict[State, Resume] = {
    State.IDLE: Resume(Way.REST),
    State.QUARANTINED: Resume(Way.REST),
    State.VERIFYING: Resume(Way.REDO, 10, Event.FAIL),
    State.FETCHING: Resume(Way.GO_ON, 100, Event.FAIL),
    State.STAGED: Resume(Way.GO_ON, 100, Event.FAIL),
    State.INSTALLING: Resume(Way.GO_ON, 10, Event.FAIL),
    State.SAVING: Resume(Way.REDO, 10, Event.FAIL),
    State.ARMING: Resume(Way.REDO, 5, Event.FALL_BACK),
    State.ARMED: Resume(Way.ASK, 5, Event.FALL_BACK),
    State.REBOOTING: Resume(Way.ASK, 5, Event.FALL_BACK),
    State.ON_TRIAL: Resume(Way.ASK, 3, Event.FALL_BACK),
    State.COMMITTING: Resume(Way.ASK),
    State.REVERTING: Resume(Way.REDO),
    State.RETURNING: Resume(Way.ASK),
    State.RESTORING: Resume(Way.REDO),
    State.REPORTING: Resume(Way.REDO),
}
"""For each state what to do after power came back. Without a limit: there is nothing better than to do it again."""


class Standing(StrEnum):
    """What an installer says of a piece, from what is there, not from what it remembers."""

    ABSENT = "absent"
    """What ran before runs, and will after the next start: nothing was switched, or whoever starts it has given it up."""
    ARMED = "armed"
    """It will run after the next start."""
    RUNS = "runs"


class Moment(StrEnum):
    """A turn of an update at which programs on the device are asked or told."""

    BEFORE_DOWNLOAD = "before_download"
    BEFORE_INSTALL = "before_install"
    AFTER_COMMIT = "after_commit"
    AFTER_FAILURE = "after_failure"
    """Also where it went back by itself, and where a person went back."""


class Outcome(StrEnum):
    """What became of an update."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Nothing of it has ever run."""
    REVERTED = "reverted"
    """It ran, or was tried, and what ran before runs again."""
    STRANDED = "stranded"
    """It was not to be kept, and the way back failed, too: the device runs what `reason` says."""
    REJECTED = "rejected"
    CANCELLED = "cancelled"


SAID = {
    Outcome.SUCCEEDED: deployment.Event.SUCCEED,
    Outcome.FAILED: deployment.Event.FAIL,
    Outcome.REVERTED: deployment.Event.REVERT,
    Outcome.STRANDED: deployment.Event.FAIL,
    Outcome.REJECTED: deployment.Event.REJECT,
    Outcome.CANCELLED: deployment.Event.CANCEL_DONE,
}
"""What the server is told."""

PROGRESS = {
    State.FETCHING: deployment.Event.DOWNLOAD,
    State.STAGED: deployment.Event.DOWNLOAD_DONE,
    State.INSTALLING: deployment.Event.INSTALL,
    State.REBOOTING: deployment.Event.REBOOT,
}
"""What the server is told when a state is entered."""
