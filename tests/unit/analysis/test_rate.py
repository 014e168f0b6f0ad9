"""The rate rule against AWS's documented examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.rate import per_minute, verdict
from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Tally
from otaru.domain.rollout.rate import Abort, FailureType, RateRule, check_rate
from otaru.errors import InvalidInputError

DOCUMENTED = RateRule(
    base=50,
    factor=2.0,
    every=1000,
    aborts=(Abort(FailureType.FAILED, 20, 100), Abort(FailureType.TIMED_OUT, 50, 200)),
)


@pytest.mark.parametrize(
    ("done", "rate"),
    [(0, 50), (999, 50), (1000, 100), (1999, 100), (2000, 200), (3000, 400), (4000, 800), (5000, 1000), (10**6, 1000)],
)
def test_the_documented_rates(done: int, rate: int) -> None:
    assert per_minute(DOCUMENTED, notified=done, succeeded=0) == rate
    by_success = RateRule(base=50, factor=2.0, every=1000, succeeded=True)
    assert per_minute(by_success, notified=10**6, succeeded=done) == rate


@pytest.mark.parametrize(
    ("counts", "call"),
    [
        ({}, Call.EXPAND),
        ({State.FAILED: 99}, Call.EXPAND),  # fewer than 100 completed
        ({State.FAILED: 20, State.SUCCEEDED: 80}, Call.STOP),
        ({State.FAILED: 19, State.SUCCEEDED: 81}, Call.EXPAND),
        ({State.FAILED: 20, State.SUCCEEDED: 79, State.INSTALLING: 500}, Call.EXPAND),
        ({State.SILENT: 60, State.SUCCEEDED: 60}, Call.EXPAND),  # timed out: looked at from 200 on
        ({State.SILENT: 100, State.SUCCEEDED: 100}, Call.STOP),
        ({State.REJECTED: 100, State.SUCCEEDED: 10}, Call.EXPAND),  # a no is neither
        ({State.REVERTED: 20, State.SUCCEEDED: 80}, Call.STOP),
        ({State.CANCELLED: 500, State.SKIPPED: 500, State.FAILED: 50}, Call.EXPAND),
    ],
)
def test_the_documented_abort_criteria(counts: dict[State, int], call: Call) -> None:
    assert verdict(DOCUMENTED, Tally(counts)).call is call


def test_all_counts_every_failure() -> None:
    rule = RateRule(base=1, factor=1.1, every=1, aborts=(Abort(FailureType.ALL, 10.5, 1),))
    every = {State.FAILED: 1, State.REJECTED: 1, State.SILENT: 1}
    found = verdict(rule, Tally({**every, State.SUCCEEDED: 25}))
    assert found.call is Call.STOP
    assert found.reason == "3 of 28 failed in any way, at least 10.5 %"
    assert verdict(rule, Tally({**every, State.SUCCEEDED: 26})).call is Call.EXPAND


@given(st.integers(1, 1000), st.integers(11, 50), st.integers(1, 500), st.integers(0, 10**5))
def test_a_rate_never_falls_and_stays_in_its_bounds(base: int, tenths: int, every: int, done: int) -> None:
    rule = RateRule(base=base, factor=tenths / 10, every=every)
    check_rate(rule)
    now, later = per_minute(rule, done, 0), per_minute(rule, done + every, 0)
    assert base <= now <= later <= 1000


@pytest.mark.parametrize(
    "rule",
    [
        RateRule(base=0, factor=2, every=1),
        RateRule(base=1001, factor=2, every=1),
        RateRule(base=50, factor=2, every=1, maximum=10),
        RateRule(base=1, factor=1.0, every=1),
        RateRule(base=1, factor=5.1, every=1),
        RateRule(base=1, factor=1.55, every=1),
        RateRule(base=1, factor=2, every=0),
        RateRule(base=1, factor=2, every=1, aborts=(Abort(FailureType.ALL, 101, 1),)),
        RateRule(base=1, factor=2, every=1, aborts=(Abort(FailureType.ALL, 0, 1),)),
        RateRule(base=1, factor=2, every=1, aborts=(Abort(FailureType.ALL, 10.999, 1),)),
        RateRule(base=1, factor=2, every=1, aborts=(Abort(FailureType.ALL, 10, 0),)),
    ],
)
def test_what_aws_refuses_is_refused(rule: RateRule) -> None:
    with pytest.raises(InvalidInputError):
        check_rate(rule)
