"""Which hours are dark, and which outcomes are excused for them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.dark import FEW, MAX_DARK_H, MAX_SPANS, excused, spans
from otaru.analysis.tolerance import Count
from otaru.domain.deployment import FAILURES, State
from otaru.domain.evidence import Cohort, Span
from otaru.domain.health import Arm, Heard, Hush, Sign


def hushed(came: Mapping[int, int], devices: int = 1000) -> dict[Hush, Heard]:
    return {Hush(hour, 0, Sign.CAME, Arm.CONTROL): Heard(n, devices) for hour, n in came.items()}


def steady(hours: int, dark: Mapping[int, int] | None = None) -> dict[int, int]:
    return dict.fromkeys(range(100, 100 + hours), 900) | (dict(dark) if dark else {})


def test_hours_in_which_hardly_anybody_came_are_one_span() -> None:
    assert spans(hushed(steady(20)), 120) == ()
    assert spans(hushed(steady(20, {108: 0, 109: 40, 110: 89})), 120) == (Span(108, 111),)
    assert spans(hushed(steady(20, {108: 95, 112: 0})), 120) == (Span(112, 113),), "a tenth of what is usual is some"
    assert spans(hushed(steady(9, {108: 0})), 109) == (Span(108, 109),), "as soon as it is over"


def test_what_is_usual_has_to_be_known() -> None:
    assert spans({}, 120) == ()
    assert spans(hushed(steady(4, {102: 0})), 104) == (), "after two hours"
    few = hushed({hour: 9 * (hour != 108) for hour in range(100, 120)}, devices=10)
    assert spans(few, 120) == (), "of nine who come none may have come by chance"
    assert spans(hushed(dict.fromkeys(range(100, 120), 0), 0), 120) == (), "without a witness nothing is known"


def test_an_hour_that_nobody_looked_at_is_dark() -> None:
    came = steady(8) | dict.fromkeys(range(114, 118), 900)
    assert spans(hushed(came), 118) == (Span(108, 114),)
    assert spans(hushed(steady(8)), 109) == (), "the last one is still to be looked at"
    assert spans(hushed(steady(8)), 114) == (Span(108, 113),), "the server is just back"
    other = {Hush(hour, 0, Sign.SILENT, Arm.CONTROL): Heard(0, 9) for hour in range(100, 108)}
    assert spans(other, 118) == ()


def test_what_lasts_is_no_outage_and_outages_are_bounded() -> None:
    came = steady(10) | dict.fromkeys(range(110, 300), 5)
    assert spans(hushed(came), 300) == (Span(110, 110 + MAX_DARK_H),)
    often = steady(100, dict.fromkeys(range(110, 200, 3), 0))
    assert len(spans(hushed(often), 200)) == MAX_SPANS


def test_who_was_under_way_is_excused_with_those_told_in_the_same_hour() -> None:
    told = {
        Cohort(0, 50, under_way=False, state=State.SUCCEEDED): 900,
        Cohort(0, 50, under_way=False, state=State.FAILED): 10,
        Cohort(0, 50, under_way=True, state=State.SILENT): 3,
        Cohort(1, 55, under_way=False, state=State.FAILED): 4,
        Cohort(1, 55, under_way=True, state=State.SUCCEEDED): 70,
        Cohort(1, 55, under_way=True, state=State.REVERTED): 30,
        Cohort(0, 55, under_way=True, state=State.INSTALLING): 5,
        Cohort(0, 55, under_way=True, state=State.REJECTED): 6,
    }
    assert excused(told) == {0: Count(3, 3), 1: Count(34, 104)}
    assert excused({}) == {}


STATES = st.sampled_from([State.SUCCEEDED, State.FAILED, State.REVERTED, State.SILENT])
COHORTS = st.builds(Cohort, st.integers(0, 2), st.integers(0, 4), st.booleans(), STATES)


@given(told=st.dictionaries(COHORTS, st.integers(1, 50)))
def test_how_it_ended_has_no_say_in_who_is_excused(told: dict[Cohort, int]) -> None:
    swapped: dict[Cohort, int] = {}
    for c, n in told.items():
        other = Cohort(c.segment, c.hour, c.under_way, State.SUCCEEDED if c.state in FAILURES else State.FAILED)
        swapped[other] = swapped.get(other, 0) + n
    found, turned = excused(told), excused(swapped)
    assert {s: n.tried for s, n in found.items()} == {s: n.tried for s, n in turned.items()}
    assert {s: n.tried - n.failed for s, n in found.items()} == {s: n.failed for s, n in turned.items()}
    assert all(0 <= n.failed <= n.tried for n in found.values())


@pytest.mark.parametrize(("fast", "slow"), [(State.FAILED, State.SUCCEEDED), (State.SUCCEEDED, State.FAILED)])
@given(rate=st.integers(1, 99), under_way=st.integers(1, 100))
def test_what_ends_sooner_hardly_moves_the_rate(fast: State, slow: State, rate: int, under_way: int) -> None:
    """Of 100 told in an hour `rate` end in one way, all of them before the others."""
    ended = 100 - under_way
    cells = {
        Cohort(0, 1, way, state): n
        for way, state, n in (
            (False, fast, min(rate, ended)),
            (True, fast, max(0, rate - ended)),
            (False, slow, max(0, ended - rate)),
            (True, slow, min(100 - rate, under_way)),
        )
        if n
    }
    gone = excused(cells)[0]
    if gone.tried < 100:
        failed = rate if fast is State.FAILED else 100 - rate
        assert (failed - gone.failed) / (100 - gone.tried) <= failed / 100 / (1 - FEW) + 1e-9
