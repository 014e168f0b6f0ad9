"""What a device keeps of an update under way, and how it moves: decided here from the tables of `update`, done elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from otaru.domain.update import (
    MAX_ATTEMPTS,
    MAX_RETURNS,
    MAX_STRIKES,
    RESTING,
    RESUME,
    TOUCHED,
    UPDATE,
    Event,
    Outcome,
    Standing,
    State,
    Way,
)
from otaru.errors import InvalidStateError


@dataclass(frozen=True, slots=True)
class Piece:
    """What one component is to run: verified facts, signed."""

    component: str
    version: str
    installer: str
    path: str
    size: int
    sha256: str
    counter: int = 0
    installer_digest: str = ""
    """What the installer has to find in the file: its own manifest's hash. Empty: nothing was signed of it."""
    there: bool = False
    """It ran already when the plan was made: nobody touches it, and going back leaves it alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A release as this device takes it: its pieces in the order in which they are installed and switched."""

    action: int
    release: str
    """`PRODUCT:VERSION`."""
    pieces: tuple[Piece, ...] = ()
    lean: bool = False
    """Some of its bytes are made by deltas."""
    floors: Mapping[str, int] = field(default_factory=dict)
    """The security counters that were burnt when it was made. Where one rises there is no way back behind it."""
    bundle: str = ""
    """The bundle on a medium that it came by; empty: a server's."""

    @property
    def work(self) -> tuple[Piece, ...]:
        """The pieces that are to be installed."""
        return tuple(piece for piece in self.pieces if not piece.there)


@dataclass(frozen=True, slots=True)
class Past:
    """An update that is over."""

    action: int
    release: str
    outcome: Outcome
    code: str
    reason: str
    at: str
    """RFC 3339, by the device's own clock."""
    number: int = 0
    """Of the updates that were begun on this device."""


@dataclass(frozen=True, slots=True)
class Former:
    """What can be gone back to: what ran before the plan that was committed last."""

    plan: Plan
    installed: Mapping[str, str]
    """The version before of each component that was changed; of one that is missing it was the factory's."""


MAX_HISTORY = 20
MAX_STRUCK = 16
"""Releases whose failures are remembered: the latest."""
MAX_REASON = 500
UNSAVED = "backup_failed"
"""The code of `BackupError`."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that the device keeps of updates. Written durably before what it says is done."""

    state: State = State.IDLE
    plan: Plan | None = None
    done: int = 0
    """Pieces of the plan that are through with `state`."""
    resumed: int = 0
    """How often `state` was taken up again since the last step forward."""
    attempts: int = 1
    """How often the plan's bytes were tried."""
    outcome: Outcome | None = None
    code: str = ""
    """Why it failed: a refusal's or an error's code."""
    reason: str = ""
    tried: bool = False
    """The new version was started, or may have been."""
    saved: str = ""
    """The backup that was made for it; empty: there was nothing to save."""
    switched: bool = False
    """Switching was begun: from then on the new version may have worked on the data."""
    strikes: Mapping[str, int] = field(default_factory=dict)
    """Failures by release; those of a release that succeeded are forgotten."""
    installed: Mapping[str, str] = field(default_factory=dict)
    """The version of each component that was committed last."""
    history: tuple[Past, ...] = ()
    number: int = 0
    """Updates that were begun on this device: names reports."""
    former: Former | None = None
    """None: there is nothing to go back to, or what it was has been written over."""

    def quarantines(self, release: str) -> bool:
        """Whether a release has failed here too often."""
        return self.strikes.get(release, 0) >= MAX_STRIKES


_GOING_BACK = frozenset({State.REVERTING, State.RETURNING, State.RESTORING})


def offered(record: Record, release: str) -> Event:
    """Whether a release is looked at, or turned down."""
    return Event.TURN_DOWN if record.quarantines(release) else Event.OFFER


def step(
    record: Record, event: Event, plan: Plan | None = None, code: str = "", reason: str = "", saved: str = ""
) -> Record:
    """The record after an event.

    `plan` comes with OFFER, TURN_DOWN and ACCEPT, `saved` with SAVED, `code` and `reason` with what goes wrong.

    ROLL_BACK takes up the plan of `Record.former`.

    Raises:
        InvalidStateError: the table has no such edge.
    """
    before = record.state
    state = UPDATE.next(before, event)
    if state is None:
        allowed = [str(one) for one in UPDATE.allowed(before)]
        raise InvalidStateError(f"an update that is {before} knows no {event}", allowed=allowed)
    done = record.done + 1 if event is Event.PIECE else 0
    if before in RESTING:
        record = _begun(record, event)
    if event is Event.INSTALL:
        record = replace(record, former=None)  # what lies beside what runs is about to be written over
    record = replace(record, state=state, plan=plan or record.plan, resumed=0, done=done)
    if event is Event.RETRY:
        lean = record.plan is not None and record.plan.lean  # the fault may be the delta's: it costs no attempt
        record = replace(record, attempts=record.attempts + (not lean), plan=_in_full(record.plan))
    elif state in {State.REVERTING, State.RESTORING}:
        record = replace(record, attempts=1)
    record = _data(record, before, saved)
    if event is Event.FALL_BACK:
        record = _because(record, "fell_back", "the new version did not come up, and the old one runs")
    record = _because(record, code, reason)
    if event in {Event.TRY, Event.REBOOT, Event.FALL_BACK} and before is not State.REVERTING:
        record = replace(record, tried=True)
    if state is State.REPORTING:
        return _ended(record, before, event)
    if state in RESTING:
        return replace(record, plan=None, strikes={} if event is Event.LIFT else record.strikes)
    return record


def resume(record: Record) -> tuple[Record, Event | None]:
    """The record as it is taken up after a start, to be written first, and the event where that is once too often."""
    row = RESUME[record.state]
    if row.way is Way.REST:
        return record, None
    record = replace(record, resumed=record.resumed + 1)
    return record, row.beyond if row.limit and record.resumed > row.limit else None


def found(record: Record, standings: Iterable[Standing]) -> Event | None:
    """In a state whose way is ASK: what follows from what runs now; None: go on as if nothing had been.

    RETURNING is asked of only after a start: until then the way back is not gone.
    """
    seen = set(standings)
    runs = seen <= {Standing.RUNS}
    coming = seen <= {Standing.RUNS, Standing.ARMED}
    match record.state:
        case State.ARMED | State.REBOOTING:
            # Still armed: the reboot has not happened, and is ordered again.
            return Event.TRY if runs else None if coming else Event.FALL_BACK
        case State.ON_TRIAL | State.COMMITTING:
            return None if runs else Event.FALL_BACK
        case State.RETURNING:
            if not seen & {Standing.RUNS, Standing.ARMED}:
                return returned(record)
            return Event.RETRY if record.attempts < MAX_RETURNS else Event.FAIL
        case _:
            return None


def returned(record: Record) -> Event:
    """What ran before runs again: whether that is all, or its data are put back."""
    return Event.RESTORE if record.saved and record.switched else Event.RETURN


def failed(record: Record, *, again: bool = True) -> Event:
    """The next rung after a failure; `again`: it may do to try once more."""
    match record.state:
        case State.FETCHING | State.STAGED | State.INSTALLING:
            lean = record.plan is not None and record.plan.lean
            return Event.RETRY if again and (lean or record.attempts < MAX_ATTEMPTS) else Event.FAIL
        case State.REVERTING | State.RESTORING:
            return Event.RETRY if record.attempts < MAX_RETURNS else Event.FAIL
        case State.COMMITTING:
            return Event.FALL_BACK
        case _:
            return Event.FAIL


def reported(record: Record) -> Event:
    """How REPORTING is left."""
    release = "" if record.plan is None else record.plan.release
    return Event.QUARANTINE if record.quarantines(release) else Event.REPORT


def remembered(record: Record, at: str) -> Record:
    """The record with its update in the history; once, however often it is asked."""
    if record.plan is None or record.outcome is None:
        return record
    past = Past(record.plan.action, record.plan.release, record.outcome, record.code, record.reason, at, record.number)
    return replace(record, history=(*record.history, past)[-MAX_HISTORY:])


def _begun(record: Record, event: Event) -> Record:
    record = replace(record, attempts=1, outcome=None, code="", reason="", tried=False, saved="", switched=False)
    record = replace(record, number=record.number + 1)
    if event is Event.ROLL_BACK and record.former is not None:
        return replace(record, plan=record.former.plan, tried=True)
    return record


def _data(record: Record, before: State, saved: str) -> Record:
    """What is known of the data that may have to be put back."""
    if before is State.SAVING:
        record = replace(record, saved=saved)
    return replace(record, switched=True) if record.state is State.ARMING else record


def _because(record: Record, code: str, reason: str) -> Record:
    """With why it failed: what went wrong first, what follows from it is not told; but a new attempt has its own."""
    if not code or (record.code and record.state in _GOING_BACK | {State.REPORTING}):
        return record
    return replace(record, code=code, reason=reason[:MAX_REASON])


def _ended(record: Record, before: State, event: Event) -> Record:
    """The outcome, and what it means for the release."""
    plan = record.plan or Plan(0, "")
    match event:
        case Event.COMMIT:
            installed = {**record.installed, **{piece.component: piece.version for piece in plan.pieces}}
            strikes = {release: n for release, n in record.strikes.items() if release != plan.release}
            work = {piece.component for piece in plan.work}
            ran = {name: version for name, version in record.installed.items() if name in work}
            record = replace(record, former=Former(plan, ran), installed=installed, strikes=strikes)
            # A way there that was not smooth is no failure.
            return replace(record, outcome=Outcome.SUCCEEDED, code="", reason="")
        case Event.CANCEL:
            return replace(record, outcome=Outcome.CANCELLED)
        case Event.TURN_DOWN:
            said = f"{plan.release} has failed on this device {MAX_STRIKES} times"
            return replace(record, outcome=Outcome.REJECTED, code="release_quarantined", reason=said)
        case Event.RETURN:
            outcome = Outcome.REVERTED if record.tried else Outcome.FAILED
        case _:
            outcome = Outcome.STRANDED if before in _GOING_BACK else Outcome.FAILED
    record = replace(record, outcome=outcome)
    if record.former is not None and before in _GOING_BACK:
        return _back(record, record.former)  # a person's wish: nothing has failed
    unsaved = record.code == UNSAVED and not record.switched  # which is not the release's fault
    return _struck(record, plan.release) if before in TOUCHED and not unsaved else record


def _back(record: Record, former: Former) -> Record:
    """With what runs after a person went back; where that failed it may be tried again."""
    if record.outcome is not Outcome.REVERTED:
        return record
    gone = {piece.component for piece in former.plan.work}
    stayed = {name: version for name, version in record.installed.items() if name not in gone}
    return replace(record, installed={**stayed, **former.installed}, former=None)


def _struck(record: Record, release: str) -> Record:
    others = [(name, n) for name, n in record.strikes.items() if name != release][1 - MAX_STRUCK :]
    return replace(record, strikes=dict([*others, (release, record.strikes.get(release, 0) + 1)]))


def _in_full(plan: Plan | None) -> Plan | None:
    return None if plan is None else replace(plan, lean=False)
