import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.events import Position, position

PARTS = st.integers(0, 2**63 - 1)


@given(PARTS, PARTS)
def test_a_position_is_read_as_it_is_written(transaction: int, sequence: int) -> None:
    place = Position(transaction, sequence)
    assert position(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775808-0",
        "0-9223372036854775808",
        "1",
        "-",
        "1-",
        "-1",
        "1-2-3",
        "+1-2",
        "1_0-2",
        "\u0661-\u0662",
        "0" * 40 + "-1",
    ],
)
def test_what_no_store_can_hold_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="event stream"):
        position(text)
