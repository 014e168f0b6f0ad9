import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.server.api.paging import Paging, decode, encode, number, text
from otaru.errors import InvalidInputError

KEYS = st.lists(st.text(max_size=50) | st.integers(0, 2**63 - 1), min_size=1, max_size=4)


@given(KEYS)
def test_a_cursor_holds_its_key(key: list[str | int]) -> None:
    parsers = [number if isinstance(part, int) else text(str) for part in key]
    assert decode(encode(*key), *parsers) == tuple(key)


@given(
    st.text(max_size=100) | KEYS.map(lambda key: encode(*key)),
    st.lists(st.sampled_from([number, text(str)]), max_size=3),
)
def test_anything_else_is_refused_in_our_words(cursor: str, parsers: list[object]) -> None:
    try:
        key = decode(cursor, *parsers)  # type: ignore[arg-type]
    except InvalidInputError:
        return
    assert len(key) == len(parsers)


@pytest.mark.parametrize("bad", [-1, 2**63, "1", 1.5, None])
def test_numbers_are_numbers(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        number(bad)


def paged(limit: int, found: list[int]) -> tuple[list[str], str | None]:
    return Paging(limit).page(found, str, lambda item: (item,))


def test_a_page_with_one_more_has_a_next() -> None:
    items, following = paged(2, [1, 2, 3])
    assert items == ["1", "2"]
    assert following is not None
    assert decode(following, number) == (2,)
    assert paged(2, [1, 2]) == (["1", "2"], None)
    assert paged(2, []) == ([], None)
