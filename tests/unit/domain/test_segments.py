"""Segments: how their members are ranked together, and how they are held and released."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import FINAL, Event, State
from otaru.domain.evidence import Call, Verdict
from otaru.domain.rollout import (
    MAX_SEGMENTS,
    OnError,
    Policy,
    RolloutEvent,
    RolloutState,
    Share,
    Stratum,
    WaveState,
    check,
    cut,
    hold,
    release,
    segments,
)
from otaru.domain.rollout.segment import MAX_CANARIES, canaries, place
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, NothingToDoError
from tests.unit.domain.test_rollout import STAGED, Fleet, finish_wave, planned

STOP = Verdict(Call.STOP, "3 of 4 failed")


def ranked(sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(turn, segment) of members in their order, for segments of so many members, so many of them critical."""
    order = []
    for segment, (size, critical) in enumerate(sizes):
        for index in range(size):
            turn = 2 if index >= size - critical else 0 if index < canaries(size) else 1
            order.append((turn, place(index, size), segment))
    return [(turn, segment) for turn, _, segment in sorted(order)]


sized = st.lists(
    st.integers(1, 900).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size))), min_size=1, max_size=8
)


@given(sized)
def test_canaries_come_first_and_critical_ones_last(sizes: list[tuple[int, int]]) -> None:
    turns = [turn for turn, _ in ranked(sizes)]
    assert turns == sorted(turns)
    strata = [Stratum((str(n),), size, critical) for n, (size, critical) in enumerate(sizes)]
    assert turns.count(0) == sum(s.canaries for s in strata)
    assert turns.count(2) == sum(critical for _, critical in sizes)
    assert all(1 <= canaries(size) <= MAX_CANARIES and canaries(size) <= max(1, size * 0.03 + 1) for size, _ in sizes)


@given(sized)
def test_every_prefix_has_its_share_of_every_segment(sizes: list[tuple[int, int]]) -> None:
    """Within one device: below a height, all segments are equally far, but for canaries and critical ones."""
    counts = [0] * len(sizes)
    for turn, segment in ranked(sizes):
        counts[segment] += 1
        if turn != 1:
            continue
        along = (counts[segment] - 0.5) / sizes[segment][0]
        for (size, critical), count in zip(sizes, counts, strict=True):
            few = min(canaries(size), size - critical)
            due = min(max(along * size, few), max(size - critical, few))
            assert abs(count - due) <= 1 + 1e-6


@given(st.integers(1, 10**7), st.integers(0, 10**7), st.integers(1, 10**7))
def test_places_rise(size: int, index: int, other: int) -> None:
    index %= size
    assert 0 <= place(index, size) < 10**9
    assert index == 0 or place(index - 1, size) < place(index, size)
    assert (place(0, size) <= place(0, other)) == (size >= other) or place(0, size) == place(0, other)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=100).map(lambda s: sorted(s, reverse=True)), st.integers(0, 9))
def test_too_many_strata_are_cut(sizes: list[int], critical: int) -> None:
    strata = [Stratum((str(n),), size) for n, size in enumerate(sizes)]
    found = cut(strata, sum(sizes), critical)
    assert sum(s.size for s in found) == sum(sizes)
    assert len(found) == min(len(sizes), MAX_SEGMENTS)
    assert all(s.key is not None for s in found[:-1])
    assert (found[-1].key is None) == (len(sizes) > MAX_SEGMENTS)


def test_segments_are_named_by_what_their_members_share() -> None:
    strata = [Stratum(("rpi4:1.2", "1.0", "eu"), 3), Stratum(("x", "", "a\nb" + "c" * 99), 2), Stratum(None, 1)]
    named = [s.name for s in segments(("hardware", "version", "attr.region"), strata)]
    assert named[0] == "rpi4:1.2, version 1.0, region eu"
    assert named[1].startswith("x, version unknown, region a�bccc")
    assert len(named[1]) < 100
    assert named[2] == "others"
    assert [s.name for s in segments((), [Stratum((), 6)])] == ["all"]


@pytest.mark.parametrize(
    "split", [("tag",), ("attr.",), ("attr.a b",), ("version", "version"), ("a", "b", "c", "d", "e")]
)
def test_what_splits_nothing_is_refused(split: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError):
        check(Policy(split=split))


def started(policy: Policy = STAGED, members: int = 30, segments: int = 3) -> Fleet:
    fleet = Fleet(planned(policy, members, segments))
    fleet.order(RolloutEvent.START)
    return fleet


def test_a_failing_segment_is_held_and_the_others_go_on() -> None:
    fleet = started()
    fleet.bad[1] = STOP
    fleet.work()
    assert [s.held for s in fleet.rollout.segments] == [False, True, False]
    assert fleet.rollout.segments[1].reason == "3 of 4 failed"
    heights = []
    while fleet.at(RolloutState.RUNNING):
        heights.append(fleet.rollout.watermark)
        finish_wave(fleet)
    assert heights == [2, 10, 30]
    assert fleet.at(RolloutState.FINISHED)
    assert "segment 1" in fleet.rollout.reason
    assert set(fleet.states[1::3]) == {State.SKIPPED}
    assert set(fleet.states[0::3]) == {State.SUCCEEDED}


def test_who_has_begun_in_a_held_segment_is_waited_for() -> None:
    fleet = started(Policy(), 4, 2)
    fleet.offer(1)
    fleet.bad[1] = STOP
    for rank in (0, 2):
        fleet.offer(rank)
        fleet.tell(rank, Event.SUCCEED)
    fleet.work()
    assert fleet.at(RolloutState.RUNNING)
    fleet.tell(1, Event.FAIL)
    fleet.work()
    assert fleet.at(RolloutState.FINISHED)
    assert fleet.states == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED, State.SKIPPED]


def test_failures_of_a_held_segment_fail_no_wave() -> None:
    fleet = started()
    for rank in (0, 1):
        fleet.offer(rank)
    fleet.tell(0, Event.SUCCEED)
    fleet.bad[1] = STOP
    fleet.work()
    fleet.tell(1, Event.FAIL)
    fleet.work()
    assert fleet.at(RolloutState.RUNNING)
    assert fleet.rollout.watermark == 10


@pytest.mark.parametrize(("on_error", "state"), [(OnError.PAUSE, "paused"), (OnError.STOP, "stopping")])
def test_a_rollout_whose_every_segment_fails_is_broken(on_error: OnError, state: str) -> None:
    fleet = started(replace(STAGED, on_error=on_error))
    fleet.offer(0)
    fleet.bad = dict.fromkeys(range(3), STOP)
    fleet.work()
    assert (fleet.rollout.state, fleet.rollout.reason) == (state, "every segment is held")


def test_a_person_overrules_the_judge_of_a_segment() -> None:
    fleet = started()
    fleet.bad[1] = STOP
    fleet.work()
    fleet.take(release(fleet.rollout, 1, "the cable", fleet.ruling()))
    fleet.work()
    assert fleet.rollout.segments[1].overruled
    assert fleet.rollout.segments[1].reason == "overruled by hand (3 of 4 failed): the cable"
    assert fleet.rollout.held == frozenset()
    fleet.take(hold(fleet.rollout, 1, ""))
    assert fleet.rollout.held == {1}
    assert fleet.rollout.segments[1].reason == "held by hand: no reason was given"


def test_what_a_person_held_the_judge_may_hold_again_once_it_is_released() -> None:
    fleet = started()
    fleet.take(hold(fleet.rollout, 2, "look"))
    fleet.work()
    assert fleet.rollout.held == {2}
    fleet.take(release(fleet.rollout, 2, "", fleet.ruling()))
    assert fleet.rollout.held == frozenset()
    fleet.bad[2] = STOP
    fleet.work()
    assert fleet.rollout.held == {2}


def test_holding_all_by_hand_pauses_and_nobody_is_given_up() -> None:
    fleet = started(replace(STAGED, on_error=OnError.STOP))
    for index in range(3):
        fleet.take(hold(fleet.rollout, index, "look"))
    fleet.work()
    assert fleet.at(RolloutState.PAUSED)
    assert set(fleet.states) == {State.SCHEDULED}
    fleet.take(release(fleet.rollout, 0, "", fleet.ruling()))
    fleet.order(RolloutEvent.RESUME)
    fleet.work()
    assert fleet.at(RolloutState.RUNNING)


def test_orders_for_segments_that_make_no_sense_are_refused() -> None:
    fleet = started()
    with pytest.raises(NotFoundError, match=r"no such segment: it has \d$"):
        hold(fleet.rollout, 3, "")
    with pytest.raises(NothingToDoError):
        release(fleet.rollout, 0, "", fleet.ruling())
    fleet.take(hold(fleet.rollout, 0, ""))
    with pytest.raises(NothingToDoError, match=f"segment '{fleet.rollout.segments[0].name}' of rollout"):
        hold(fleet.rollout, 0, "")
    fleet.order(RolloutEvent.STOP)
    with pytest.raises(InvalidStateError):
        release(fleet.rollout, 0, "", fleet.ruling())


LADDER = replace(STAGED, waves=tuple(Share(n, percent=False) for n in (2, 4, 8, 16)))


def test_the_pace_opens_waves_before_the_ones_below_have_passed() -> None:
    fleet = started(LADDER, segments=1)
    fleet.ahead = 0
    fleet.work()
    assert fleet.rollout.watermark == 2
    fleet.ahead = 10
    fleet.work()
    assert fleet.rollout.watermark == 8
    assert [w.state for w in fleet.rollout.waves[:4]] == [WaveState.OPEN] * 3 + [WaveState.PENDING]
    for rank in range(8):
        fleet.offer(rank)
        fleet.tell(rank, Event.SUCCEED)
    fleet.work()
    assert [w.state for w in fleet.rollout.waves[:4]] == [WaveState.PASSED] * 3 + [WaveState.PENDING]
    fleet.order(RolloutEvent.PAUSE)
    fleet.order(RolloutEvent.RESUME)
    fleet.work()
    assert fleet.rollout.watermark == 8
    fleet.ahead = 30
    fleet.work()
    assert fleet.rollout.watermark == 30


def test_a_wave_that_opened_early_can_fail_first() -> None:
    fleet = started(LADDER, segments=1)
    fleet.ahead = 8
    fleet.work()
    fleet.offer(5)
    fleet.tell(5, Event.FAIL)
    fleet.work()
    assert fleet.at(RolloutState.PAUSED)
    assert fleet.rollout.reason == "wave 3: 1 of 4 failed, more than 10%"


@dataclass(frozen=True)
class Twist:
    """Something that happens to a segment."""

    what: str
    segment: int


moves = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 14), st.sampled_from(list(Event))),
        st.sampled_from([RolloutEvent.PAUSE, RolloutEvent.RESUME]),
        st.builds(Twist, st.sampled_from(["hold", "release", "bad", "good"]), st.integers(0, 3)),
    ),
    max_size=60,
)


@given(st.integers(1, 15), st.integers(1, 4), st.sampled_from(list(OnError)), moves)
def test_a_held_segment_never_blocks_the_end(
    members: int, parts: int, on_error: OnError, story: list[tuple[int, Event] | RolloutEvent | Twist]
) -> None:
    fleet = started(replace(STAGED, on_error=on_error), members, min(parts, members))
    for happening in story:
        try:
            _happen(fleet, happening)
        except (InvalidStateError, NothingToDoError, NotFoundError):
            continue
        fleet.work()
        if fleet.rollout.state in {RolloutState.FINISHED, RolloutState.STOPPED}:
            assert set(fleet.states) <= FINAL
    # Whoever can still be told is told, and succeeds; a paused one is resumed: then it comes to its end, but where all is held.
    fleet.bad = {}
    for _ in range(40):
        if fleet.at(RolloutState.PAUSED) and not fleet.rollout.all_held:
            fleet.order(RolloutEvent.RESUME)
        for rank in range(members):
            fleet.offer(rank)
            fleet.tell(rank, Event.SUCCEED if not fleet.at(RolloutState.STOPPING) else Event.CANCEL_DONE)
        fleet.work()
    assert fleet.rollout.state in {RolloutState.FINISHED, RolloutState.STOPPED} or fleet.rollout.all_held


def _happen(fleet: Fleet, happening: tuple[int, Event] | RolloutEvent | Twist) -> None:
    members = len(fleet.states)
    match happening:
        case RolloutEvent():
            fleet.order(happening)
        case Twist("hold", index):
            fleet.take(hold(fleet.rollout, index, ""))
        case Twist("release", index):
            fleet.take(release(fleet.rollout, index, "", fleet.ruling()))
        case Twist("bad", index):
            fleet.bad[index] = STOP
        case Twist(_, index):
            fleet.bad.pop(index, None)
        case (rank, Event.OFFER | Event.ASK_CONSENT):
            fleet.offer(rank % members)
        case (rank, event):
            if fleet.states[rank % members] is not State.SCHEDULED:
                fleet.tell(rank % members, event)
