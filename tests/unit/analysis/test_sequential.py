"""The judge that may look at every report: its errors are bounded, and it says what follows from counts."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, log, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.analysis import health, outcome, sequential, telemetry
from otaru.analysis.health import USUAL, Block, Health, Ratio, Ratios, Risk
from otaru.analysis.sequential import Segment, combined, judge
from otaru.analysis.telemetry import TOLERATED, Bets, Changes, beyond, placed
from otaru.analysis.tolerance import Count, Tolerance, expit, learn
from otaru.analysis.words import explained, sentences
from otaru.domain.evidence import Call

FLEET = Tolerance(centre=-4.6, spread=0.3, degrees=15)
PATHS = 300


def _crossings(path: Callable[[Random], float], seed: int, alpha: float) -> int:
    """How many of `PATHS` reach 1/alpha, ever. `path` gives the highest log e-value that one saw."""
    random = Random(seed)
    return sum(path(random) >= -log(alpha) for _ in range(PATHS))


def _bound(alpha: float) -> float:
    """What Ville allows, and four standard deviations of chance."""
    return PATHS * alpha + 4 * sqrt(PATHS * alpha * (1 - alpha))


def _release(random: Random) -> float:
    """The shift of a good release: a Student t, cut where tolerance ends."""
    while True:
        chi = random.gammavariate(FLEET.degrees / 2, 2)
        shift = FLEET.spread * random.gauss(0, 1) / sqrt(chi / FLEET.degrees)
        if shift <= FLEET.reach:
            return shift


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [0.01, 0.1])
@pytest.mark.parametrize("varies", [False, True])
def test_ville_holds_for_outcomes(seed: int, alpha: float, varies: bool) -> None:
    def path(random: Random) -> float:
        rate = expit(FLEET.centre + (_release(random) if varies else 0))
        k, best = 0, 0.0
        for n in range(1, 601):
            failed = random.random() < rate
            k += failed
            if failed:  # only a failure raises it
                best = max(best, outcome.log_e(FLEET, [(FLEET, Count(k, n))]))
        return best

    assert _crossings(path, seed, alpha) <= _bound(alpha)


def _poisson(random: Random, mean: float) -> int:
    k, product = 0, random.random()
    while product > exp(-mean):
        k += 1
        product *= random.random()
    return k


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [0.01, 0.1])
@pytest.mark.parametrize("outage", [1.0, 50.0])
def test_ville_holds_for_events_whatever_hits_both_sides(seed: int, alpha: float, outage: float) -> None:
    def path(random: Random) -> float:
        state, best = Health(Ratios(settled=replace(USUAL.settled, tail=alpha / 2))), 0.0
        for hour in range(40):
            updated = 5 + 20 * hour
            rate = 0.001 * (outage if 10 <= hour < 16 else 1)
            control = 1000 - updated
            block = Block(
                Risk(_poisson(random, 30 * rate), 20),  # just restarted: half as much again is usual
                Risk(_poisson(random, updated * rate), updated),
                Risk(_poisson(random, control * rate), control),
            )
            state = state.after([block])
            best = max(best, health.log_e([state]))
        return best

    assert _crossings(path, seed, alpha) <= _bound(alpha)


@pytest.mark.parametrize("seed", range(3))
def test_ville_holds_for_telemetry(seed: int) -> None:
    def path(random: Random) -> float:
        bets, best = Bets(), 0.0
        for _ in range(200):
            change, *control = (random.gauss(0, 1) ** 3 for _ in range(4))  # heavy tails
            bets = bets.after([placed(change, control)])
            best = max(best, telemetry.log_e([Changes(1, {("battery", 1): bets})]))
        return best

    assert _crossings(path, seed, 0.05) <= _bound(0.05)


@pytest.mark.parametrize("seed", range(2))
def test_ville_holds_for_telemetry_that_is_as_much_worse_as_is_tolerated(seed: int) -> None:
    """Several measurements that all say the same, in two segments, each at its limit."""

    def path(random: Random) -> float:
        best = 0.0
        segments: list[dict[tuple[str, int], Bets]] = [
            dict.fromkeys((("battery", 1), ("signal", 1)), Bets()) for _ in range(2)
        ]
        for _ in range(100):
            score = 1.0 if random.random() < (1 + TOLERATED) / 2 else -1.0
            segments = [{k: b.after([beyond(score)]) for k, b in s.items()} for s in segments]
            segments[1] = {k: b.after([beyond(random.choice([-0.3, 0.7]))]) for k, b in segments[1].items()}
            best = max(best, *(telemetry.log_e([Changes(6, s)]) for s in segments))
        return best

    assert _crossings(path, seed, 0.05) <= 2 * _bound(0.05)


def test_telemetry_that_is_worse_in_every_comparison_is_heard_soon_and_a_silent_measurement_says_nothing() -> None:
    bad = Bets().often(beyond(1.0), 35)
    assert telemetry.log_e([Changes(9, {("battery", 1): bad})]) > log(10 * 200)
    assert telemetry.log_e([Changes(9, {("battery", 1): Bets().often(beyond(TOLERATED), 500)})]) == pytest.approx(0)
    assert telemetry.log_e([Changes(9)]) == telemetry.log_e([]) == 0
    halves = [Changes(9, {("battery", 1): Bets().often(beyond(1.0), n)}) for n in (15, 20)]
    assert telemetry.log_e(halves) == pytest.approx(telemetry.log_e([Changes(9, {("battery", 1): bad})]))


@pytest.mark.parametrize("seed", range(2))
def test_a_good_release_is_hardly_ever_stopped_or_held(seed: int) -> None:
    """All of it at once: learned tolerance, four segments, every channel, a look after every hour."""
    random = Random(seed)
    wrong = 0
    for _ in range(60):
        past = [
            {s: Count(sum(random.random() < 0.01 for _ in range(200)), 200) for s in range(4)}
            for _ in range(random.randrange(5))
        ]
        fleet, own = learn(past, range(4))
        segments = [Segment(own[s]) for s in range(4)]
        for hour in range(20):
            segments = [_an_hour(random, s, 10 * (hour + 1)) for s in segments]
            found = judge(fleet, segments, alpha=0.1)
            if found.whole.call is Call.STOP or any(f.log_e >= f.log_threshold for f in found.segments):
                wrong += 1
                break
    assert wrong <= 60 * 0.1


def _an_hour(random: Random, segment: Segment, updated: int) -> Segment:
    failed = sum(random.random() < 0.01 for _ in range(10))
    control = 200 - updated + 20
    block = Block(
        Risk(_poisson(random, 60 * 0.003), 60),
        Risk(_poisson(random, updated * 0.002), updated),
        Risk(_poisson(random, control * 0.002), control),
    )
    before = segment.outcomes
    return replace(
        segment,
        outcomes=Count(before.failed + failed, before.tried + 10),
        health=segment.health.after([block]),
        changes=Changes(
            1, {("battery", 1): segment.changes.bets.get(("battery", 1), Bets()).after([random.uniform(-1, 1)])}
        ),
        told=updated,
    )


@given(st.integers(1, 5000), st.data())
def test_one_more_failure_never_helps_a_release(tried: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, tried - 1))
    better = outcome.log_e(FLEET, [(FLEET, Count(failed, tried))])
    assert outcome.log_e(FLEET, [(FLEET, Count(failed + 1, tried))]) > better
    assert outcome.log_e(FLEET, [(FLEET, Count(failed, tried + 1))]) < better


_RISKS = st.builds(Risk, st.integers(0, 20), st.floats(0, 1e4))
_BLOCKS = st.lists(st.builds(Block, _RISKS, _RISKS, _RISKS), max_size=8)


@given(_BLOCKS, st.randoms())
def test_the_order_of_blocks_and_scores_does_not_matter(blocks: list[Block], random: Random) -> None:
    turned = random.sample(blocks, len(blocks))
    one, other = health.log_e([Health().after(blocks)]), health.log_e([Health().after(turned)])
    assert one == pytest.approx(other, abs=1e-6)
    scores = [random.uniform(-1, 1) for _ in range(10)]
    assert Bets().after(scores).logs == pytest.approx(Bets().after(sorted(scores)).logs)
    assert Bets().after(scores * 3).logs == pytest.approx(Bets().often(scores[0], 3).after(scores[1:] * 3).logs)


@given(_BLOCKS)
def test_blocks_at_once_or_one_by_one_are_the_same(blocks: list[Block]) -> None:
    state = Health()
    for block in blocks:
        state = state.after([block])
    assert health.log_e([state]) == pytest.approx(health.log_e([Health().after(blocks)]), abs=1e-6)


@given(_RISKS, _RISKS, _RISKS)
def test_an_event_of_control_speaks_for_the_release(fresh: Risk, settled: Risk, control: Risk) -> None:
    before = Health().after([Block(fresh, settled, control)])
    calmer = Health().after([Block(fresh, settled, replace(control, events=control.events + 1))])
    assert health.log_e([calmer]) <= health.log_e([before]) + 1e-9


@given(st.integers(0, 20), st.floats(1, 1e3), st.integers(0, 20))
def test_an_event_after_the_update_speaks_against_it(events: int, hours: float, control: int) -> None:
    def said(fresh: int, settled: int) -> float:
        other = Risk(control, 100 * hours)  # much control, as there is while a rollout is young
        return health.log_e([Health().after([Block(Risk(fresh, hours), Risk(settled, hours), other)])])

    assert said(events + 1, events + 1) >= said(events, events)


@given(_RISKS, _RISKS, st.integers(0, 20))
def test_without_control_events_say_nothing(fresh: Risk, settled: Risk, control: int) -> None:
    assert health.log_e([Health().after([Block(fresh, settled, Risk(control, 0.0))])]) == pytest.approx(0)


def test_no_data_holds() -> None:
    found = judge(FLEET, [Segment(FLEET)] * 3)
    assert found.whole.call is Call.HOLD
    assert {f.call for f in found.segments} == {Call.HOLD}
    assert found.whole.log_e == pytest.approx(0)
    assert judge(FLEET, []).whole.call is Call.HOLD
    only_events = Segment(FLEET, health=Health().after([Block(Risk(), Risk(0, 100), Risk(5, 100))]))
    assert judge(FLEET, [only_events]).whole.call is Call.HOLD


def test_lost_telemetry_holds_and_failures_alone_hold() -> None:
    assert judge(FLEET, [Segment(FLEET, Count(0, 50), told=100, overdue=50)]).whole.call is Call.HOLD
    assert judge(FLEET, [Segment(FLEET, Count(0, 50), told=100, overdue=5)]).whole.call is Call.EXPAND
    assert judge(FLEET, [Segment(FLEET, Count(1, 1))]).whole.call is Call.HOLD


def test_a_bad_revision_holds_its_segment_and_the_others_go_on() -> None:
    good, bad = Segment(FLEET, Count(3, 300)), Segment(FLEET, Count(8, 20))
    found = judge(FLEET, [good, bad, good, good])
    assert [f.call for f in found.segments] == [Call.EXPAND, Call.HOLD, Call.EXPAND, Call.EXPAND]
    assert found.segments[1].log_e >= found.segments[1].log_threshold == pytest.approx(log(4 * 200))
    assert found.whole.log_threshold == pytest.approx(log(200))


def test_a_release_that_is_bad_everywhere_is_stopped_before_any_segment_could_tell() -> None:
    each = Segment(FLEET, Count(2, 30))
    found = judge(FLEET, [each] * 8)
    assert found.whole.call is Call.STOP
    assert {f.call for f in found.segments} == {Call.EXPAND}


def test_events_hours_after_a_good_installation_stop_too() -> None:
    late = Segment(FLEET, Count(5, 500), health=Health().after([Block(Risk(6, 500), Risk(6, 1500), Risk(6, 20_000))]))
    assert judge(FLEET, [late]).whole.call is Call.STOP


@given(st.fixed_dictionaries({name: st.floats(-50, 50) for name in sequential.WEIGHTS}))
def test_combining_is_a_mean_never_the_greatest(channels: dict[str, float]) -> None:
    value = combined(channels)
    assert value <= max(channels.values()) + 1e-9
    assert value == pytest.approx(log(sum(w * exp(channels[n]) for n, w in sequential.WEIGHTS.items())), abs=1e-6)
    assert sum(sequential.WEIGHTS.values()) == pytest.approx(1)


def test_a_score_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="lies in"):
        Bets().after([1.5])
    assert placed(3.0, []) == 0
    assert placed(3.0, [1.0, 2.0, 4.0, 3.0]) == pytest.approx(0.25)


def test_a_worse_ratio_is_tolerated_of_the_freshly_restarted() -> None:
    assert 1.5 < USUAL.settled.limit < 2.5 < USUAL.fresh.limit < 6
    assert Ratio(centre=0, spread=0.4).limit > USUAL.settled.limit


def test_what_restarts_always_do_is_learned_from_past_releases() -> None:
    weak = [(Risk(60, 6000), Risk(24, 24_000))] * 8  # ten times control's rate, release after release
    learned = health.learned(weak, USUAL.fresh)
    assert log(10) * 0.8 < learned.centre < log(10)
    assert learned.limit > 10 > USUAL.fresh.limit
    assert health.learned([], USUAL.settled).spread == pytest.approx(sqrt(0.08))
    assert health.learned([(Risk(), Risk())], USUAL.fresh).centre == pytest.approx(USUAL.fresh.centre)
    now = [Block(Risk(6, 600), Risk(), Risk(3, 2400))]
    assert health.log_e([Health(Ratios(fresh=learned)).after(now)]) < health.log_e([Health().after(now)])


def test_excess_is_what_neither_control_nor_chance_explains() -> None:
    assert Health().after([Block(Risk(), Risk(10, 1000), Risk(100, 10_000))]).excess == 0
    assert Health().after([Block(Risk(), Risk(60, 1000), Risk(100, 10_000))]).excess == pytest.approx(42, abs=3)


@settings(max_examples=50)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9))
def test_words_name_the_counts(failed: int, succeeded: int, events: int, control: int) -> None:
    tried = failed + succeeded
    segment = Segment(
        FLEET,
        Count(failed, tried),
        health=Health().after([Block(Risk(), Risk(events, 100), Risk(control, 1000))]),
        told=tried,
    )
    finding = judge(FLEET, [segment]).whole
    told = explained(finding, [segment], FLEET.expected, FLEET.limit)
    text = "\n".join(sentences(finding, told))
    assert text.startswith(str(finding.call))
    assert (f"{failed} of {tried} updated devices failed" in text) is (tried > 0)
    assert f"{events} in 100 device-hours, control {control} in 1,000" in text
    assert told.fixed_stops is (failed > 0.05 * tried)
    assert ("threshold 200: reached" in text) is (finding.call is Call.STOP)
