"""The device's machine: its tables are whole, and whatever is cut however often, it ends in a version that runs."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.domain import deployment, update
from otaru.domain.update import (
    MAX_ATTEMPTS,
    MAX_RETURNS,
    MAX_STRIKES,
    RESTING,
    RESUME,
    SAID,
    UPDATE,
    Event,
    Outcome,
    Standing,
    State,
    Way,
)
from otaru.domain.update_record import (
    MAX_HISTORY,
    MAX_STRUCK,
    Piece,
    Plan,
    Record,
    failed,
    found,
    offered,
    remembered,
    reported,
    resume,
    returned,
    step,
)
from otaru.errors import InvalidStateError

PIECES = tuple(Piece(name, "2", "ab", f"p/{name}", 10, "0" * 64) for name in ("os", "app", "fpga"))
PLAN = Plan(7, "app:2", PIECES)


def test_every_state_is_reached_and_has_a_way_on() -> None:
    assert UPDATE.reachable() == frozenset(State)
    assert all(UPDATE.allowed(state) for state in State)


def test_every_state_is_resumed() -> None:
    assert set(RESUME) == set(State)
    for state, row in RESUME.items():
        assert (row.way is Way.REST) == (state in RESTING)
        assert bool(row.limit) == (row.beyond is not None)
        assert row.beyond is None or UPDATE.next(state, row.beyond) is not None


def test_whatever_may_be_found_has_an_edge() -> None:
    for state in State:
        for seen in ([one] for one in Standing):
            for attempts in (1, MAX_RETURNS):
                event = found(Record(state, PLAN, attempts=attempts), seen)
                assert event is None or UPDATE.next(state, event) is not None, (state, seen)
                assert event is None or RESUME[state].way is Way.ASK


def test_every_failure_has_an_edge() -> None:
    for state in set(State) - RESTING - {State.REPORTING, State.RETURNING}:
        for again in (True, False):
            assert UPDATE.next(state, failed(Record(state, PLAN), again=again)) is not None, state


def test_every_state_leads_to_rest() -> None:
    """By no way but the table's: from each state there is one to idle."""
    leads = set(RESTING)
    while more := {a for (a, _), b in UPDATE.table.items() if b in leads} - leads:
        leads |= more
    assert leads == set(State)


def test_what_is_told_is_a_word_of_the_servers_table() -> None:
    assert set(SAID) == set(Outcome)
    for event in SAID.values():
        state = deployment.State.CANCELLING if event is deployment.Event.CANCEL_DONE else deployment.State.ON_TRIAL
        assert deployment.DEPLOYMENT.next(state, event) in deployment.FINAL
    told = deployment.fold(deployment.State.OFFERED, update.PROGRESS.values())
    assert told is deployment.State.REBOOTING


def test_an_event_without_an_edge_is_refused() -> None:
    with pytest.raises(InvalidStateError) as caught:
        step(Record(), Event.COMMIT)
    assert caught.value.facts["allowed"] == ["offer", "turn_down", "roll_back"]


def walked(*events: Event, record: Record | None = None, code: str = "x") -> Record:
    record = record or Record()
    for event in events:
        plan = PLAN if event in {Event.OFFER, Event.TURN_DOWN} else None
        record = step(record, event, plan, code if event is Event.FAIL else "")
    return record


READY = (Event.OFFER, Event.ACCEPT, Event.FETCHED, Event.INSTALL)
ON_TRIAL = (*READY, Event.INSTALLED, Event.ARM, Event.REBOOT, Event.TRY)


def test_a_release_that_fails_too_often_is_quarantined_and_others_are_not() -> None:
    record = Record()
    for _ in range(MAX_STRIKES):
        assert offered(record, PLAN.release) is Event.OFFER
        record = walked(*ON_TRIAL, Event.FAIL, Event.REBOOT, Event.RETURN, record=record)
        assert record.outcome is Outcome.REVERTED
        assert record.code == "x"
        record = step(record, reported(record))
    assert record.state is State.QUARANTINED
    assert offered(record, PLAN.release) is Event.TURN_DOWN
    assert offered(record, "app:3") is Event.OFFER
    turned = step(record, Event.TURN_DOWN, PLAN)
    assert (turned.outcome, turned.code) == (Outcome.REJECTED, "release_quarantined")
    assert turned.strikes == record.strikes
    lifted = step(record, Event.LIFT)
    assert offered(lifted, PLAN.release) is Event.OFFER


def test_what_fails_before_anything_was_touched_is_no_strike() -> None:
    assert walked(Event.OFFER, Event.FAIL).strikes == {}
    assert walked(Event.OFFER, Event.ACCEPT, Event.FAIL).strikes == {}
    assert walked(*READY, Event.FAIL, Event.RETURN).strikes == {PLAN.release: 1}


def test_a_success_is_remembered_and_forgets_strikes() -> None:
    record = walked(*ON_TRIAL, Event.PASS, Event.COMMIT, record=Record(strikes={PLAN.release: 2, "b:1": 1}))
    assert record.outcome is Outcome.SUCCEEDED
    assert record.strikes == {"b:1": 1}
    assert record.installed == {"os": "2", "app": "2", "fpga": "2"}
    ended = step(remembered(record, "now"), reported(record))
    assert ended.state is State.IDLE
    assert ended.plan is None
    assert [past.outcome for past in ended.history] == [Outcome.SUCCEEDED]


UPDATED = walked(*ON_TRIAL, Event.PASS, Event.COMMIT, Event.REPORT, record=Record(installed={"os": "1"}))
GOING = walked(Event.ROLL_BACK, record=UPDATED)


def test_who_goes_back_by_hand_has_failed_nothing() -> None:
    record = walked(Event.REBOOT, Event.RETURN, record=GOING)
    assert (record.outcome, record.installed, record.strikes) == (Outcome.REVERTED, {"os": "1"}, {})
    assert record.former is None, "once"
    assert (record.number, GOING.plan) == (UPDATED.number + 1, PLAN)
    pasts = remembered(record, "now").history
    assert (pasts[-1].action, pasts[-1].number) == (PLAN.action, record.number)


def test_a_way_back_by_hand_that_fails_can_be_tried_again() -> None:
    record = walked(Event.FAIL, Event.REPORT, record=GOING)
    assert (record.outcome, record.strikes) == (Outcome.STRANDED, {})
    assert record.former == UPDATED.former
    assert record.installed == UPDATED.installed


def test_what_stayed_as_it_was_stays_so() -> None:
    pieces = (PIECES[0], replace(PIECES[1], there=True))
    record = replace(walked(*ON_TRIAL), plan=replace(PLAN, pieces=pieces), installed={"os": "1", "app": "1"})
    record = walked(Event.PASS, Event.COMMIT, Event.REPORT, Event.ROLL_BACK, Event.RETURN, record=record)
    assert record.installed == {"os": "1", "app": "2"}


def test_there_is_no_way_back_by_hand_once_the_next_is_written() -> None:
    again = walked(Event.OFFER, Event.ACCEPT, Event.FETCHED, record=UPDATED)
    assert again.former is not None
    assert walked(Event.INSTALL, record=again).former is None


def test_the_ladder() -> None:
    record = replace(walked(Event.OFFER, Event.ACCEPT), plan=replace(PLAN, lean=True))
    assert failed(record) is Event.RETRY
    record = step(record, Event.RETRY, code="target_digest")
    assert record.plan == PLAN, "after a delta has failed the full image is fetched"
    assert record.attempts == 1
    for _ in range(MAX_ATTEMPTS - 1):
        assert failed(record) is Event.RETRY
        record = step(record, Event.RETRY)
    assert failed(record) is Event.FAIL
    assert failed(walked(*READY), again=False) is Event.FAIL
    assert walked(*READY, Event.FAIL).state is State.REVERTING, "what was written in place is put back"


def test_all_that_is_kept_is_bounded() -> None:
    record = Record()
    for number in range(100):
        plan = replace(PLAN, release=f"app:{number}")
        record = step(record, Event.OFFER, plan)
        record = walked(*ON_TRIAL[1:], Event.FAIL, Event.RETURN, record=record)
        record = step(remembered(record, ""), reported(record))
    assert len(record.history) == MAX_HISTORY
    assert len(record.strikes) == MAX_STRUCK
    assert record.number == 100


@dataclass
class Board:
    """As little of a device as there can be: what each piece's place says, and what is started next."""

    running: dict[str, str] = field(default_factory=lambda: dict.fromkeys(["os", "app", "fpga"], "old"))
    next: dict[str, str] = field(default_factory=dict)
    tries: int = 2
    dead: bool = False
    """The new version does not come up."""
    data: str = "old"
    """What the version that ran last has made of them."""
    saved: str = ""

    def standing(self, name: str) -> Standing:
        if self.running[name] == "new":
            return Standing.RUNS
        return Standing.ARMED if self.next.get(name) == "new" else Standing.ABSENT

    def start(self) -> None:
        """Power comes (back)."""
        if any(one == "new" for one in self.next.values()):
            self.tries -= 1
            if self.dead or self.tries < 0:
                self.next = {}
                self.running = dict.fromkeys(self.running, "old")
                return
        self.running |= self.next
        self.work()

    def work(self) -> None:
        """What runs works on the data: the new version so that the old one cannot read them."""
        if "new" in self.running.values():
            self.data = "new"


class CutError(BaseException):
    """The power is gone."""


NAMES = [piece.component for piece in PIECES]


@dataclass
class Agent:
    """As simple as the tables allow, and cut after so many acts, again and again."""

    board: Board
    record: Record
    cuts: list[int]
    healthy: bool

    def act(self) -> None:
        if self.cuts and self.cuts[0] == 0:
            self.cuts.pop(0)
            raise CutError
        if self.cuts:
            self.cuts[0] -= 1

    def write(self, after: Record) -> None:
        self.act()
        self.record = after
        self.act()

    def live(self) -> Record:
        for _ in range(500):
            self.board.start()
            try:
                self.work()
            except CutError:
                continue
            return self.record
        raise AssertionError(f"it never rests: {self.record}")

    def work(self) -> None:
        record, beyond = resume(self.record)
        self.write(record)
        if beyond is not None:
            self.write(step(self.record, beyond))
        fresh = True
        while self.record.state not in RESTING:
            asked = fresh or self.record.state is not State.RETURNING
            standings = [self.board.standing(name) for name in NAMES]
            event = (found(self.record, standings) if asked else None) or self.next()
            fresh = False
            self.write(step(self.record, event, saved="1" if self.record.state is State.SAVING else ""))

    def next(self) -> Event:
        plain = {
            State.VERIFYING: Event.ACCEPT,
            State.FETCHING: Event.FETCHED,
            State.STAGED: Event.INSTALL,
            State.ARMED: Event.REBOOT,
            State.ON_TRIAL: Event.PASS if self.healthy else Event.FAIL,
        }
        match self.record.state:
            case State.SAVING:
                self.board.saved = ""
                self.act()
                self.board.saved = self.board.data
                return Event.SAVED
            case State.RESTORING:
                self.board.data = "half"
                self.act()
                self.board.data = self.board.saved
                return Event.RETURN
            case State.INSTALLING:
                self.act()
                return Event.SAVE if self.record.done == len(NAMES) else Event.PIECE
            case State.ARMING:
                self.switch("new")
                self.board.tries = 2
                return Event.ARM
            case State.REBOOTING | State.RETURNING:
                self.act()
                raise CutError
            case State.COMMITTING:
                self.act()
                self.board.next = {}
                return Event.COMMIT
            case State.REVERTING:
                self.switch("old")
                runs = any(self.board.standing(name) is Standing.RUNS for name in NAMES)
                return Event.REBOOT if runs else returned(self.record)
            case State.REPORTING:
                return reported(self.record)
            case state:
                return plain[state]

    def switch(self, version: str) -> None:
        for name in NAMES:
            self.board.next[name] = version
            self.act()


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.integers(0, 40), max_size=12),
    st.booleans(),
    st.booleans(),
    st.sampled_from(sorted(set(State) - RESTING)),
)
def test_every_crash_sequence_ends_in_one_good_version(
    cuts: list[int], healthy: bool, dead: bool, begin: State
) -> None:
    board = Board(dead=dead)
    road = [*READY, Event.SAVE, Event.SAVED, *ON_TRIAL[len(READY) + 1 :], Event.PASS]
    record = Record()
    while record.state is not begin and road:
        event = road.pop(0)
        if record.state is State.SAVING:
            board.saved = board.data
        saved = "1" if record.state is State.SAVING else ""
        record = step(record, event, PLAN if event is Event.OFFER else None, saved=saved)
        if record.state is State.ARMED:
            board.next = dict.fromkeys(board.running, "new")
    by_the_road = record.state is begin
    if not by_the_road:
        record = Record(begin, PLAN, outcome=Outcome.FAILED if begin is State.REPORTING else None)
    record = Agent(board, record, list(cuts), healthy).live()
    assert len(set(board.running.values())) == 1, "all pieces run, or none"
    if not cuts and healthy and not dead and begin in {State.VERIFYING, State.INSTALLING, State.ARMING}:
        assert set(board.running.values()) == {"new"}
    if record.installed:
        assert set(board.running.values()) == {"new"}
    if by_the_road:
        assert board.data in set(board.running.values()), "the data are those of the version that runs"


def test_data_are_put_back_only_where_something_was_switched() -> None:
    saving = walked(*READY, Event.SAVE)
    unsaved = step(saving, Event.FAIL, code="backup_failed", reason="no")
    assert returned(unsaved) is Event.RETURN, "nobody has worked on them"
    ended = step(unsaved, Event.RETURN)
    assert (ended.outcome, ended.strikes) == (Outcome.FAILED, {}), "the release is not to blame"
    assert step(step(saving, Event.FAIL, code="other"), Event.RETURN).strikes
    arming = step(saving, Event.SAVED, saved="7")
    assert returned(step(arming, Event.FAIL)) is Event.RESTORE
    assert returned(step(step(saving, Event.SAVED), Event.FAIL)) is Event.RETURN, "there was nothing to save"
    tried = walked(Event.ARM, Event.TRY, Event.FAIL, Event.REBOOT, record=arming)
    assert found(tried, [Standing.ABSENT]) is Event.RESTORE
    restoring = step(tried, Event.RESTORE)
    assert step(restoring, Event.RETURN).outcome is Outcome.REVERTED
    for _ in range(MAX_RETURNS - 1):
        assert failed(restoring) is Event.RETRY
        restoring = step(restoring, Event.RETRY, code="backup_failed", reason="later")
    assert failed(restoring) is Event.FAIL
    lost = step(restoring, Event.FAIL, code="backup_failed", reason="later")
    assert (lost.outcome, lost.code) == (Outcome.STRANDED, "x")
    again = step(step(lost, reported(lost)), Event.OFFER, PLAN)
    assert (again.saved, again.switched) == ("", False)
