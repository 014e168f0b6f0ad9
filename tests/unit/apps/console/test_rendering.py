"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.console.rendering import measured, share, shares


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("disk", 59_700_000_000.0, "59.7 GB"),
        ("disk", 80.0, "80"),  # percent, of somebody else's agent
        ("memory", 1e300, "1e+300"),
        ("uptime", 64_800.0, "18 h"),
        ("uptime", 12.0, "12"),
        ("uptime", 1e300, "1e+300"),
        ("temperature", -3.25, "-3.25"),
        ("steps", 1_234_567.0, "1,234,567"),
    ],
)
def test_telemetry_is_said_in_its_unit(name: str, value: float, said: str) -> None:
    assert measured(value, name) == said
