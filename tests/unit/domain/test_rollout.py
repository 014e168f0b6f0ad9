"""`step` and `obey`: a rollout driven by random reports, time and orders."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.adapters.judges.classic import ClassicJudge
from otaru.domain.deployment import DEPLOYMENT, FINAL, OPEN, Event, State
from otaru.domain.device import LOT_PRIME
from otaru.domain.evidence import Evidence, Ruling, Tally, Verdict
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout import (
    ClassicRule,
    OnError,
    Order,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Segment,
    Share,
    Step,
    WaveState,
    check,
    draw,
    layout,
    obey,
    reopened,
    step,
)
from otaru.errors import InvalidInputError, InvalidStateError

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
STAGED = Policy(
    waves=(Share(2, percent=False), Share(10, percent=False), Share(100, percent=True)), rule=ClassicRule(0.9, 0.1)
)


def planned(policy: Policy = STAGED, members: int = 30, segments: int = 1) -> Rollout:
    draft = Rollout(
        RolloutId(1),
        ProductName("app"),
        Version("1"),
        "id==*",
        RolloutState.DRAFT,
        policy,
        7,
        NOW,
        members,
        layout(policy, members),
        tuple(Segment(n, f"segment {n}", len(range(n, members, segments))) for n in range(segments)),
    )
    return obey(draft, RolloutEvent.PLAN, "", NOW).rollout


class Fleet:
    """The members' states by rank, and the rollout, moved as the worker and devices move them."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.states = [State.SCHEDULED] * rollout.size
        self.now = NOW
        self.bad: dict[int, Verdict] = {}
        self.ahead: int | None = None
        self.brought: list[str] = []
        """Why devices were to be brought back."""

    def at(self, state: RolloutState) -> bool:
        return self.rollout.state is state

    def evidence(self) -> Evidence:
        cells: dict[tuple[int, int], Counter[State]] = {}
        for wave in self.rollout.waves:
            for rank in range(wave.start, wave.height):
                cells.setdefault((self.segment(rank), wave.index), Counter())[self.states[rank]] += 1
        return Evidence({cell: Tally(counts) for cell, counts in cells.items()})

    def segment(self, rank: int) -> int:
        return rank % len(self.rollout.segments)

    def ruling(self) -> Ruling:
        ruling = ClassicJudge().ruling(self.rollout, self.evidence(), self.now)
        return replace(ruling, segments=self.bad, ahead=self.ahead)

    def order(self, event: RolloutEvent) -> None:
        self.take(obey(self.rollout, event, "", self.now))

    def work(self) -> None:
        for _ in range(100):
            taken = step(self.rollout, self.evidence(), self.ruling(), self.now)
            if taken is None:
                return
            self.take(taken)
        raise AssertionError("the rollout never comes to rest")

    def take(self, taken: Step) -> None:
        events = {
            Order.CANCEL_OPEN: (OPEN, Event.CANCEL),
            Order.CANCEL_SCHEDULED: ({State.SCHEDULED}, Event.CANCEL),
            Order.SKIP_SCHEDULED: ({State.SCHEDULED}, Event.SKIP),
            Order.SILENCE_OPEN: (OPEN, Event.SILENCE),
        }
        self.rollout = taken.rollout
        self.brought += [taken.back] * bool(taken.back)
        for wanted in taken.orders:
            sources, event = events[wanted]
            self.states = [(DEPLOYMENT.next(s, event) or s) if s in sources else s for s in self.states]

    def offer(self, rank: int) -> None:
        held = self.rollout.segments[self.segment(rank)].held
        if self.rollout.state is RolloutState.RUNNING and rank < self.rollout.watermark and not held:
            self.tell(rank, Event.OFFER)

    def tell(self, rank: int, event: Event) -> None:
        self.states[rank] = DEPLOYMENT.next(self.states[rank], event) or self.states[rank]


def finish_wave(fleet: Fleet, failing: int = 0) -> None:
    wave = fleet.rollout.wave
    assert wave is not None
    for rank in range(wave.start, wave.height):
        fleet.offer(rank)
        fleet.tell(rank, Event.FAIL if rank - wave.start < failing else Event.SUCCEED)
    fleet.work()


def test_a_simple_rollout_offers_to_all_at_once_and_finishes_with_the_last_report() -> None:
    fleet = Fleet(planned(Policy(), 3))
    fleet.order(RolloutEvent.START)
    assert fleet.rollout.watermark == 3
    fleet.work()
    assert fleet.at(RolloutState.RUNNING)
    for rank, event in enumerate((Event.SUCCEED, Event.FAIL, Event.SUCCEED)):
        fleet.offer(rank)
        fleet.tell(rank, event)
    fleet.work()
    assert fleet.at(RolloutState.FINISHED)
    assert fleet.rollout.ended_at == NOW


def test_waves_open_one_after_the_other() -> None:
    fleet = Fleet(planned())
    fleet.order(RolloutEvent.START)
    heights = []
    while fleet.at(RolloutState.RUNNING):
        heights.append(fleet.rollout.watermark)
        finish_wave(fleet)
    assert heights == [2, 10, 30]
    assert fleet.at(RolloutState.FINISHED)
    assert all(w.state is WaveState.PASSED for w in fleet.rollout.waves)


def test_a_bad_wave_pauses_and_says_why() -> None:
    fleet = Fleet(planned())
    fleet.order(RolloutEvent.START)
    finish_wave(fleet)
    finish_wave(fleet, failing=2)
    assert fleet.at(RolloutState.PAUSED)
    assert "2 of 8 failed" in fleet.rollout.reason
    assert fleet.rollout.watermark == 10


def test_resuming_overrules_the_failed_wave_and_opens_the_next() -> None:
    fleet = Fleet(planned())
    fleet.order(RolloutEvent.START)
    finish_wave(fleet, failing=1)
    assert fleet.at(RolloutState.PAUSED)
    fleet.order(RolloutEvent.RESUME)
    assert fleet.rollout.watermark == 10
    assert "overruled" in fleet.rollout.waves[0].reason


def test_a_wave_that_passed_is_watched_until_its_last_member_has_ended() -> None:
    early = replace(STAGED, waves=(Share(4, percent=False), Share(100, percent=True)), rule=ClassicRule(0.5, 0.3))
    fleet = Fleet(planned(early))
    fleet.order(RolloutEvent.START)
    for rank, event in enumerate((Event.SUCCEED, Event.SUCCEED, Event.INSTALL, Event.INSTALL)):
        fleet.offer(rank)
        fleet.tell(rank, event)
    fleet.work()
    assert fleet.rollout.watermark == 30
    fleet.tell(2, Event.FAIL)
    fleet.tell(3, Event.FAIL)
    fleet.work()
    assert fleet.at(RolloutState.PAUSED)
    assert "after it had passed: 2 of 4 failed" in fleet.rollout.reason
    fleet.order(RolloutEvent.RESUME)
    fleet.work()
    assert fleet.at(RolloutState.RUNNING)
    assert fleet.rollout.waves[0].state is WaveState.OVERRULED


def test_retrying_has_the_wave_judged_again() -> None:
    fleet = Fleet(planned())
    fleet.order(RolloutEvent.START)
    finish_wave(fleet, failing=1)
    fleet.rollout = reopened(fleet.rollout, [0], NOW)
    fleet.states = [State.SCHEDULED if s is State.FAILED else s for s in fleet.states]
    fleet.order(RolloutEvent.RESUME)
    assert fleet.rollout.watermark == 2
    finish_wave(fleet)
    assert fleet.rollout.watermark == 10


def test_a_bad_wave_stops_where_the_policy_says_so() -> None:
    fleet = Fleet(planned(replace(STAGED, on_error=OnError.STOP)))
    fleet.order(RolloutEvent.START)
    fleet.offer(0)
    fleet.offer(1)
    fleet.tell(0, Event.FAIL)
    fleet.work()
    assert fleet.at(RolloutState.STOPPING)
    assert fleet.states[1] is State.CANCELLING
    assert fleet.states[2:] == [State.CANCELLED] * 28
    fleet.tell(1, Event.CANCEL_DONE)
    fleet.work()
    assert fleet.at(RolloutState.STOPPED)


def test_a_stopping_rollout_does_not_wait_for_ever() -> None:
    fleet = Fleet(planned())
    fleet.order(RolloutEvent.START)
    fleet.offer(0)
    fleet.order(RolloutEvent.STOP)
    fleet.work()
    assert fleet.at(RolloutState.STOPPING)
    fleet.now += timedelta(days=1)
    fleet.work()
    assert fleet.at(RolloutState.STOPPED)
    assert fleet.states[0] is State.SILENT


def test_expiry_skips_the_unreached_and_gives_up_the_silent() -> None:
    fleet = Fleet(planned(replace(STAGED, expires_after=timedelta(hours=1))))
    fleet.order(RolloutEvent.START)
    fleet.offer(0)
    fleet.now += timedelta(hours=1)
    fleet.work()
    assert fleet.at(RolloutState.FINISHED)
    assert fleet.states[0] is State.SILENT
    assert set(fleet.states[1:]) == {State.SKIPPED}


def test_a_complete_wave_is_watched_before_the_next_one_opens() -> None:
    fleet = Fleet(planned(replace(STAGED, observe=timedelta(minutes=10))))
    fleet.order(RolloutEvent.START)
    finish_wave(fleet)
    assert fleet.rollout.waves[0].state is WaveState.OBSERVING
    assert fleet.rollout.watermark == 2
    fleet.now += timedelta(minutes=10)
    fleet.work()
    assert fleet.rollout.watermark == 10


def test_a_wave_whose_time_is_up_is_judged_by_who_came() -> None:
    fleet = Fleet(planned(replace(STAGED, wave_timeout=timedelta(hours=2), observe=timedelta(minutes=1))))
    fleet.order(RolloutEvent.START)
    fleet.offer(0)
    fleet.tell(0, Event.SUCCEED)
    fleet.now += timedelta(hours=2)
    fleet.work()
    fleet.now += timedelta(minutes=1)
    fleet.work()
    assert fleet.at(RolloutState.PAUSED)
    assert "complete, but 1 of 2 succeeded" in fleet.rollout.reason


def test_an_order_out_of_place_names_the_allowed_ones() -> None:
    with pytest.raises(InvalidStateError) as caught:
        obey(planned(), RolloutEvent.RESUME, "", NOW)
    assert caught.value.facts["allowed"] == ["start", "stop"]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(waves=()),
        Policy(waves=(Share(101, percent=True),)),
        Policy(waves=(Share(0, percent=False),)),
        Policy(waves=(Share(1.5, percent=False),)),
        Policy(waves=(Share(10, percent=False), Share(2, percent=False))),
        Policy(waves=(Share(50, percent=True), Share(50, percent=True))),
        Policy(rule=ClassicRule(1.2, 0)),
        Policy(quorum=0),
        Policy(observe=timedelta(seconds=-1)),
    ],
)
def test_senseless_policies_are_refused(policy: Policy) -> None:
    with pytest.raises(InvalidInputError):
        check(policy)


shares = st.one_of(
    st.integers(1, 50).map(lambda n: Share(n, percent=False)),
    st.floats(0.01, 100).map(lambda n: Share(n, percent=True)),
)


@given(st.lists(shares, min_size=1, max_size=6), st.integers(0, 200))
def test_waves_cover_every_member_once(waves: list[Share], members: int) -> None:
    laid = layout(Policy(waves=tuple(waves)), members)
    assert [rank for wave in laid for rank in range(wave.start, wave.height)] == list(range(members))
    assert all(wave.size > 0 for wave in laid)


@given(st.integers(0, 2**62 - 1), st.sets(st.integers(0, LOT_PRIME - 1), min_size=2, max_size=50))
def test_a_draw_ranks_different_lots_differently(seed: int, lots: set[int]) -> None:
    keys = {draw(seed).key(lot) for lot in lots}
    assert len(keys) == len(lots)
    assert all(0 <= key < LOT_PRIME for key in keys)


moves = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 14), st.sampled_from(list(Event))),
        st.sampled_from([RolloutEvent.PAUSE, RolloutEvent.RESUME, RolloutEvent.STOP]),
        st.integers(1, 20_000).map(lambda s: timedelta(seconds=s)),
    ),
    max_size=60,
)
policies = st.builds(
    Policy,
    waves=st.lists(shares, min_size=1, max_size=4).map(tuple),
    rule=st.none() | st.builds(ClassicRule, st.floats(0, 1), st.floats(0, 1)),
    quorum=st.floats(0.1, 1),
    observe=st.sampled_from([timedelta(0), timedelta(minutes=5)]),
    wave_timeout=st.none() | st.just(timedelta(hours=1)),
    expires_after=st.none() | st.just(timedelta(hours=8)),
    on_error=st.sampled_from(list(OnError)),
)


@given(policies, st.integers(1, 15), moves)
def test_whatever_happens_the_invariants_hold(
    policy: Policy, members: int, story: list[tuple[int, Event] | RolloutEvent | timedelta]
) -> None:
    fleet = Fleet(planned(policy, members))
    fleet.order(RolloutEvent.START)
    watermark = 0
    for happening in story:
        match happening:
            case RolloutEvent():
                try:
                    fleet.order(happening)
                except InvalidStateError:
                    continue
            case timedelta():
                fleet.now += happening
            case (rank, Event.OFFER | Event.ASK_CONSENT):
                fleet.offer(rank % members)
            case (rank, event):
                if fleet.states[rank % members] in OPEN:
                    fleet.tell(rank % members, event)
        fleet.work()
        assert fleet.rollout.watermark >= watermark, "a watermark never falls"
        watermark = fleet.rollout.watermark
        above = [s for s in fleet.states[watermark:] if s in OPEN]
        assert not above, "nobody above the watermark is in flight"
        if fleet.rollout.state in {RolloutState.FINISHED, RolloutState.STOPPED}:
            assert set(fleet.states) <= FINAL


_ACTS = st.tuples(
    st.integers(0, 29),
    st.sampled_from([Event.OFFER, Event.TRY, Event.SUCCEED, Event.FAIL, Event.CANCEL_DONE]),
)


@given(
    st.sampled_from(OnError),
    st.booleans(),
    st.lists(_ACTS, max_size=60),
    st.sampled_from([timedelta(0), timedelta(minutes=5)]),
)
def test_each_rung_of_the_ladder_does_what_it_says_and_no_more(
    rung: OnError, is_rollback: bool, acts: list[tuple[int, Event]], observe: timedelta
) -> None:
    """Whatever devices do: who advises never moves the rollout; devices are brought back only by the rung that says so."""
    rollout = planned(replace(STAGED, on_error=rung, observe=observe))
    fleet = Fleet(replace(rollout, rolls_back=RolloutId(9)) if is_rollback else rollout)
    fleet.order(RolloutEvent.START)
    for rank, event in acts:
        if event is Event.OFFER:
            fleet.offer(rank)
        elif fleet.states[rank] in OPEN:
            fleet.tell(rank, event)
        fleet.now += timedelta(minutes=1)
        fleet.work()
    if rung is OnError.ADVISE:
        assert fleet.rollout.state in {RolloutState.RUNNING, RolloutState.FINISHED}
    if rung is not OnError.PAUSE:
        assert not fleet.at(RolloutState.PAUSED)
    if rung is not OnError.ROLLBACK or is_rollback:
        assert fleet.brought == []
    elif fleet.rollout.state in {RolloutState.STOPPING, RolloutState.STOPPED}:
        assert fleet.brought, "nobody but the judge stopped it"
