import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.targeting import Field, Term, match, parse
from tests.support.fleet import a_device
from tests.support.queries import texts

DEVICE = a_device("dev-1", tags=("lab", "beta"), attributes={"region": "eu-1", "empty": ""})


@pytest.mark.parametrize(
    "text",
    [
        "id==dev-1",
        "id==*",
        "id==dev-*",
        "id==*-1",
        "id==d*v*1",
        "hardware==rpi4",
        "tag==lab",
        "tag==b*",
        "attr.region==eu-*",
        "attr.empty==''",
        "attr.empty==*",
        "tag==lab;attr.region==eu-1",
        "tag==none,tag==beta",
        "(tag==none,tag==beta);id==dev-1",
    ],
)
def test_the_device_is_meant(text: str) -> None:
    assert match(parse(text), DEVICE)


@pytest.mark.parametrize(
    "text",
    [
        "id==dev",
        "id==DEV-1",
        "id==dev-1*1",
        "tag==l",
        "tag==lab;tag==none",
        "attr.missing==*",
        "attr.missing==''",
        "attr.region==eu",
        "attr.region==*2*",
        "tag==none,id==none",
    ],
)
def test_the_device_is_not_meant(text: str) -> None:
    assert not match(parse(text), DEVICE)


@given(st.lists(texts, min_size=1, max_size=4), texts)
def test_wildcards_stand_for_any_run_of_characters(pieces: list[str], value: str) -> None:
    meant = re.fullmatch(".*".join(map(re.escape, pieces)), value, re.DOTALL) is not None
    assert match(Term(Field.ATTRIBUTE, tuple(pieces), "x"), a_device("d", attributes={"x": value})) == meant
