"""How long a device may be silent: by its own habit, and by the fleet's."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.silence import LEAST_H, MOST_H, patience, patience_h, usual

HOUR = timedelta(hours=1)
FIVE_MINUTES = timedelta(minutes=5)


def test_patience_grows_with_the_gaps_of_a_device() -> None:
    assert patience([], HOUR) == 3 * HOUR
    assert patience([24 * HOUR] * 8, HOUR) > 24 * HOUR
    assert patience([40 * HOUR], HOUR) == 40 * HOUR


@pytest.mark.parametrize(
    ("heard", "hours"),
    [({}, 2), ({0: 10}, 3), ({0: 90, 3: 4, 9: 6}, 3), (dict.fromkeys(range(24), 1), 69), ({100: 5}, 72), ({0: 0}, 2)],
)
def test_the_fleets_patience_is_three_of_its_usual_gaps(heard: dict[int, int], hours: int) -> None:
    assert patience_h(heard, FIVE_MINUTES) == hours


@given(st.dictionaries(st.integers(0, 200), st.integers(0, 1000), max_size=20))
def test_it_is_bounded_and_the_rarer_they_come_the_longer(heard: dict[int, int]) -> None:
    assert LEAST_H <= patience_h(heard, FIVE_MINUTES) <= MOST_H
    later = {age + 5: devices for age, devices in heard.items()}
    assert usual(later, FIVE_MINUTES) >= usual(heard, FIVE_MINUTES)
