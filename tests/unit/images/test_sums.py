"""Sums, against Python's own step for each byte."""

import functools
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.images import sums


@given(st.binary(max_size=2000))
def test_they_are_what_one_byte_after_the_other_gives(data: bytes) -> None:
    assert sums.total(data) == sum(data)
    assert sums.xor(data) == functools.reduce(operator.xor, data, 0)


@pytest.mark.parametrize("size", [255, 256, 257, 1 << 16])
def test_the_largest_bytes_do_not_overflow(size: int) -> None:
    assert sums.total(b"\xff" * size) == 255 * size
