"""How what devices tell of their health is counted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import FINAL, OPEN, State
from otaru.domain.health import AGES, ARMS, Arm, Risk, age_bucket, rounded
from otaru.domain.ids import RolloutId


@given(st.integers(0, 10_000))
def test_an_age_lies_in_the_bucket_that_begins_before_it(hours: int) -> None:
    bucket = age_bucket(hours)
    assert AGES[bucket] <= hours
    assert bucket == len(AGES) - 1 or hours < AGES[bucket + 1]


@pytest.mark.parametrize(
    ("value", "kept"),
    [(81.24, 81.2), (-70.06, -70.1), (0, 0), (123456, 123000), (1e-9, 1e-9), (math.inf, 0), (math.nan, 0)],
)
def test_samples_are_kept_to_three_digits(value: float, kept: float) -> None:
    assert rounded(value) == kept


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_rounded_stays_as_it_is(value: float) -> None:
    assert rounded(rounded(value)) == rounded(value)


def test_only_who_runs_the_one_or_the_other_is_in_an_arm() -> None:
    assert {state for state, arm in ARMS.items() if arm is Arm.UPDATED} == {State.ON_TRIAL, State.SUCCEEDED}
    assert not {state for state, arm in ARMS.items() if arm is Arm.CONTROL} & FINAL
    assert {State.INSTALLING, State.REBOOTING, State.CANCELLING} == OPEN - set(ARMS)


def test_who_is_at_risk_is_who_came_and_did_not_leave() -> None:
    moves = {(0, Arm.UPDATED, 10): 5, (0, Arm.UPDATED, 12): 2, (0, Arm.CONTROL, 9): 20, (0, Arm.CONTROL, 10): -5}
    risk = Risk(RolloutId(1), {}, moves | {(1, Arm.CONTROL, 9): 3})
    assert [risk.at_risk(0, Arm.UPDATED, hour) for hour in (9, 10, 11, 12)] == [0, 5, 5, 7]
    assert [risk.at_risk(0, Arm.CONTROL, hour) for hour in (8, 9, 10)] == [0, 20, 15]
    assert [risk.aged(0, 12, age) for age in range(3)] == [2, 5, 0]
