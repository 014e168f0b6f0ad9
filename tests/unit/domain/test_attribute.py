"""Values of declared attributes as they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.attribute import MAX_SORTED, AttributeKind, number, sort_key

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20).map(float)


@given(numbers, numbers)
def test_numbers_stand_in_their_order(a: float, b: float) -> None:
    left, right = (sort_key(AttributeKind.NUMBER, f"{value:.17e}") for value in (a, b))
    assert left is not None
    assert right is not None
    assert (left < right, left == right) == (a < b, a == b)


def sorts(kind: AttributeKind, *texts: str) -> bool:
    """Whether the values are in this order, each behind the one before it."""
    keys = [sort_key(kind, text) for text in texts]
    return None not in keys and keys == sorted(set(filter(None, keys)))


def test_values_stand_in_their_order() -> None:
    assert sorts(AttributeKind.NUMBER, "-1e300", "-2", "-1.5", "0", "1e-300", "0.5", "2", "10", "1e300")
    assert sorts(AttributeKind.VERSION, "1.9-rc.1", "1.9", "1.10", "2.4")
    assert sorts(AttributeKind.TIME, "2026-05-01T01:00+02:00", "2026-05-01", "2026-05-01T00:00:00.000001Z")
    assert sorts(AttributeKind.BOOLEAN, "no", "Yes")
    assert sorts(AttributeKind.STRING, "A", "a", "é")


def test_what_is_equal_has_one_key() -> None:
    for kind, *same in (
        (AttributeKind.NUMBER, "0", "-0", "0.0", "+0e7"),
        (AttributeKind.NUMBER, "2", "2.0", "0.2e1"),
        (AttributeKind.VERSION, "1.0", "1.0.0", "v1"),
        (AttributeKind.BOOLEAN, "true", "ON", "1"),
    ):
        assert len({sort_key(kind, text) for text in same}) == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (AttributeKind.NUMBER, ""),
        (AttributeKind.NUMBER, "nan"),
        (AttributeKind.NUMBER, "1e999"),
        (AttributeKind.NUMBER, "\u0661"),
        (AttributeKind.NUMBER, "1_000"),
        (AttributeKind.NUMBER, "1" * 40),
        (AttributeKind.VERSION, ""),
        (AttributeKind.VERSION, "no version"),
        (AttributeKind.TIME, "-P7D"),
        (AttributeKind.TIME, "yesterday"),
        (AttributeKind.TIME, "2026-13-01"),
        (AttributeKind.BOOLEAN, "perhaps"),
        (AttributeKind.STRING, "x" * (MAX_SORTED + 1)),
    ],
)
def test_what_is_no_value_has_none(kind: AttributeKind, text: str) -> None:
    assert sort_key(kind, text) is None


@given(st.sampled_from(AttributeKind), st.text())
def test_whatever_a_device_says_is_read_or_not(kind: AttributeKind, text: str) -> None:
    sort_key(kind, text)
    number(text)
