"""The classic rule, in counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.classic import verdict
from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Tally
from otaru.domain.rollout import ClassicRule

RULE = ClassicRule(success=0.9, error=0.1)


@pytest.mark.parametrize(
    ("succeeded", "failed", "under_way", "call"),
    [
        (0, 0, 10, Call.HOLD),
        (8, 1, 1, Call.HOLD),
        (9, 0, 1, Call.EXPAND),
        (9, 1, 0, Call.EXPAND),
        (0, 1, 9, Call.HOLD),
        (0, 2, 8, Call.STOP),
        (8, 2, 0, Call.STOP),
        (0, 1, 1, Call.STOP),
    ],
)
def test_calls_a_wave(succeeded: int, failed: int, under_way: int, call: Call) -> None:
    counts = {State.SUCCEEDED: succeeded, State.FAILED: failed, State.INSTALLING: under_way}
    assert verdict(RULE, Tally(counts)).call is call


def test_no_witness_means_hold_and_no_rule_means_expand() -> None:
    nobody = Tally({State.SKIPPED: 5, State.REJECTED: 1})
    assert verdict(RULE, nobody).call is Call.HOLD
    assert verdict(RULE, Tally({})).call is Call.HOLD
    assert verdict(None, nobody).call is Call.EXPAND


def test_silent_and_reverted_members_speak_against_the_release() -> None:
    assert verdict(RULE, Tally({State.SILENT: 1, State.SUCCEEDED: 3})).call is Call.STOP
    assert verdict(RULE, Tally({State.REVERTED: 1, State.SUCCEEDED: 3})).call is Call.STOP


@given(
    st.dictionaries(st.sampled_from(list(State)), st.integers(0, 1000)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_one_more_failure_never_helps(counts: dict[State, int], success: float, error: float) -> None:
    order = [Call.STOP, Call.HOLD, Call.EXPAND]
    rule = ClassicRule(success, error)
    tally = Tally(counts)
    turned = min(1, counts.get(State.SUCCEEDED, 0))
    worse = {**counts, State.SUCCEEDED: counts.get(State.SUCCEEDED, 0) - turned}
    worse[State.FAILED] = worse.get(State.FAILED, 0) + turned
    before, after = verdict(rule, tally), verdict(rule, Tally(worse))
    assert order.index(after.call) <= order.index(before.call)


def test_a_wave_without_a_single_success_never_passes() -> None:
    lenient = ClassicRule(success=0.0, error=1.0)
    assert verdict(lenient, Tally({State.SCHEDULED: 3})).call is Call.HOLD
    assert verdict(lenient, Tally({State.FAILED: 3})).call is Call.HOLD
    assert verdict(lenient, Tally({State.SUCCEEDED: 1, State.FAILED: 2})).call is Call.EXPAND
