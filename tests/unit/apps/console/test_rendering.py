"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.console.rendering import share, shares


@pytest.mark.parametrize(
    ("value", "words"), [(8 / 6000, "< 1%"), (0.0, "0%"), (0.999, "99%"), (1.0, "100%"), (0.614, "61%")]
)
def test_a_share_is_told_as_what_it_is(value: float, words: str) -> None:
    assert share(value) == words


@given(st.lists(st.integers(min_value=1, max_value=10**6), min_size=1, max_size=7))
def test_shares_never_add_to_more_than_all(numbers: list[int]) -> None:
    told = shares(numbers)
    percents = [int(words.removesuffix("%")) for words in told if words != "< 1%"]
    assert 99 <= sum(percents) <= 100 if "< 1%" in told else sum(percents) == 100
    assert all((words == "100%") == (n == sum(numbers)) for words, n in zip(told, numbers, strict=True))
