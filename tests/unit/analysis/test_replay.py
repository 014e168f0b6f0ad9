"""A dry run is the engine's own steps over the fleet's own history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.adapters.judges.classic import ClassicJudge
from otaru.analysis.replay import HORIZON_S, WORK, Course, paced, replay, share_heard
from otaru.domain.evidence import Call, Evidence, Ruling, Verdict
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout import (
    DEFAULT_RULE,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Share,
    Stratum,
    laid_out,
    obey,
)
from otaru.domain.rollout.outlook import SPANS_S, Outlook
from otaru.domain.schedule import window

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = SPANS_S.index(3600)
STAGED = Policy(waves=tuple(Share(n, percent=True) for n in (5, 25, 100)), rule=DEFAULT_RULE)


def outlook(heard: dict[int, int], unheard: int = 0, installs: tuple[float, ...] = ()) -> Outlook:
    """So many were heard of within so many seconds."""
    within = tuple(heard.get(int(span), 0) for span in SPANS_S)
    return Outlook(within, unheard, {}, (), installs, 0, 0)


def hourly(members: int, unheard: int = 0, installs: tuple[float, ...] = ()) -> Outlook:
    """Polls once an hour: the last contact is anything up to an hour ago."""
    spans = dict(zip(map(int, SPANS_S), (b - a for a, b in zip((0, *SPANS_S), SPANS_S, strict=False)), strict=False))
    heard = {span: round(members * width / 3600) for span, width in spans.items() if span <= 3600}
    return outlook(heard, unheard, installs)


def planned(policy: Policy, *sizes: int) -> tuple[Rollout, tuple[Stratum, ...]]:
    split = ("hardware",) if len(sizes) > 1 else ()
    strata = tuple(Stratum((str(n),) if split else (), size) for n, size in enumerate(sizes))
    policy = replace(policy, split=split)
    draft = Rollout(RolloutId(1), ProductName("app"), Version("1"), "id==*", RolloutState.DRAFT, policy, 7, NOW)
    return obey(laid_out(draft, strata), RolloutEvent.PLAN, "", NOW).rollout, strata


def play(policy: Policy, of: Outlook, *sizes: int, failure: float = 0.0) -> Course:
    rollout, strata = planned(policy, *sizes)
    return replay(rollout, strata, of, ClassicJudge().ruling, start=NOW, failure=failure)


def test_who_polls_hourly_is_done_within_the_hour() -> None:
    course = play(Policy(), hourly(1000), 1000)
    assert course.state is RolloutState.FINISHED
    assert course.reached_s[0.5] == pytest.approx(1800, rel=0.1)
    assert course.reached_s[0.9] == pytest.approx(3240, rel=0.1)
    assert course.ended_s == pytest.approx(3600, rel=0.1)
    assert (course.told, course.failed, sum(course.by_hour)) == (1000, 0, 1000)


def test_waves_and_installs_take_their_time() -> None:
    course = play(replace(STAGED, observe=timedelta(hours=2)), hourly(1000, installs=(60.0, 900.0, 9000.0)), 1000)
    assert course.state is RolloutState.FINISHED
    # Three waves: an hour of polls and a quarter of an hour to install each, and two hours of watching after each.
    assert course.ended_s == pytest.approx(3 * (3600 + 900 + 7200), rel=0.15)


def test_who_was_never_heard_of_keeps_it_from_its_end_unless_it_expires() -> None:
    assert play(Policy(), hourly(900, unheard=100), 1000).ended_s is None
    course = play(Policy(expires_after=timedelta(days=2)), hourly(900, unheard=100), 1000)
    assert (course.state, course.reason) == (RolloutState.FINISHED, "expired")
    assert course.told == pytest.approx(900, abs=1)
    assert course.ended_s == pytest.approx(2 * 86400, rel=0.03)
    nobody = play(Policy(), outlook({}, 10), 10)
    assert (nobody.told, nobody.ended_s, nobody.reached_s[0.5]) == (0, None, None)


def test_a_bad_release_is_stopped_by_the_rule_and_exposes_few() -> None:
    course = play(STAGED, hourly(1000), 1000, failure=0.3)
    assert course.state is RolloutState.PAUSED
    assert 1 <= course.told <= 50
    assert 1 <= course.failed <= course.told
    assert course.reason.startswith("wave 1: ")
    everybody = play(Policy(), hourly(1000), 1000, failure=0.3)
    assert everybody.told == 1000
    assert everybody.failed == pytest.approx(300, abs=2)


def test_a_window_is_waited_for() -> None:
    course = play(Policy(window=window("02:00/4h UTC")), hourly(100), 100)
    assert course.ended_s == pytest.approx(14 * 3600, rel=0.05)
    assert sum(course.by_hour[:13]) == 0


def test_a_segment_that_the_judge_holds_is_told_of() -> None:
    def strict(rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        failing = {1: Verdict(Call.STOP, "bad")} if evidence.segment(1).failures else {}
        return replace(ClassicJudge().ruling(rollout, evidence, now), segments=failing)

    rollout, strata = planned(Policy(waves=(Share(10, percent=True),)), 500, 500)
    course = replay(rollout, strata, hourly(1000), strict, start=NOW, failure=0.2)
    assert course.held == ("1",)
    assert course.state is RolloutState.FINISHED
    assert 500 < course.told < 620


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from([int(s) for s in SPANS_S]), st.integers(0, 50), max_size=5),
    st.integers(0, 20),
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.sampled_from([Policy(), STAGED, replace(STAGED, quorum=0.8, wave_timeout=timedelta(hours=3))]),
    st.floats(0, 1),
)
def test_whatever_the_history_numbers_add_up(
    heard: dict[int, int], unheard: int, sizes: list[int], policy: Policy, failure: float
) -> None:
    course = play(policy, outlook(heard, unheard), *sizes, failure=failure)
    assert course == play(policy, outlook(heard, unheard), *sizes, failure=failure), "without chance"
    assert 0 <= course.failed <= course.told <= sum(sizes)
    assert sum(course.by_hour) == course.told
    assert course.ended_s is None or course.ended_s <= HORIZON_S
    times = [t for t in course.reached_s.values() if t is not None]
    assert times == sorted(times)


@given(st.floats(0, 10**9), st.floats(0, 10**9))
def test_the_share_that_was_heard_of_rises(one: float, other: float) -> None:
    of = outlook({60: 3, 3600: 5, 86400: 2}, 4)
    low, high = sorted((one, other))
    assert 0 <= share_heard(of, low) <= share_heard(of, high) <= 10 / 14 + 1e-9


@pytest.mark.parametrize("segments", [1, 8, 32, 64])
def test_what_is_looked_at_is_bounded_however_many_segments_and_waves_there_are(segments: int) -> None:
    looked = 0

    def ruling(rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        nonlocal looked
        looked += len(evidence.cells) + 10 * segments
        return ClassicJudge().ruling(rollout, evidence, now)

    policy = replace(STAGED, waves=tuple(Share(n, percent=True) for n in range(5, 101, 5)), observe=timedelta(hours=5))
    rollout, strata = planned(policy, *[1000] * segments)
    course = replay(rollout, strata, hourly(1000 * segments), ruling, start=NOW)
    assert course.state is RolloutState.FINISHED
    a_step_of_each_wave = 2 * len(rollout.waves) * (30 * segments)
    assert looked <= WORK + a_step_of_each_wave
    assert course.step == pytest.approx(paced(len(rollout.waves) * segments, segments) - 1)


def test_few_segments_are_looked_at_as_finely_as_ever() -> None:
    assert paced(10, 1) == paced(160, 16) == 1.02
    assert 1.02 < paced(640, 64) < paced(6400, 64) < 1.25
