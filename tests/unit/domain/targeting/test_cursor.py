"""What may stand at a cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.targeting import Slot, parse, place
from otaru.errors import QuerySyntaxError
from tests.support.fleet import NOW
from tests.support.queries import queries, written


@pytest.mark.parametrize(
    ("text", "slot", "start", "prefix"),
    [
        ("|", Slot.SELECTOR, 0, ""),
        ("ta|", Slot.SELECTOR, 0, "ta"),
        ("ta|g==lab", Slot.SELECTOR, 0, "ta"),
        ("tag==lab; attr.re|", Slot.SELECTOR, 10, "attr.re"),
        ("not (ta|", Slot.SELECTOR, 5, "ta"),
        ("((|", Slot.SELECTOR, 2, ""),
        ("tag |", Slot.OPERATOR, 4, ""),
        ("tag=|", Slot.OPERATOR, 3, "="),
        ("tag=i|", Slot.OPERATOR, 3, "=i"),
        ("tag!|", Slot.OPERATOR, 3, "!"),
        ("tag=in=|", Slot.OPERATOR, 7, ""),
        ("tag==|", Slot.VALUE, 5, ""),
        ("tag== la|", Slot.VALUE, 6, "la"),
        ("tag=='la b|", Slot.VALUE, 5, "la b"),
        ("tag=='it\\'s|", Slot.VALUE, 5, "it's"),
        ("tag=in=(lab, be|", Slot.VALUE, 13, "be"),
        ("created<|", Slot.VALUE, 8, ""),
        ("tag=='lab'|", Slot.JOINT, 10, ""),
        ("tag==lab |", Slot.JOINT, 9, ""),
        ("(tag=in=(a,b)|", Slot.JOINT, 13, ""),
        ("tag==lab a|", Slot.JOINT, 9, "a"),
        ("tag==lab and |", Slot.SELECTOR, 13, ""),
        ("tag==lab)|", Slot.NOTHING, 8, ""),
        ("==|", Slot.NOTHING, 0, ""),
        ("tag~|", Slot.NOTHING, 3, ""),
        ("tag==a b|", Slot.NOTHING, 7, "b"),
    ],
)
def test_what_may_stand_there(text: str, slot: Slot, start: int, prefix: str) -> None:
    before, _, behind = text.partition("|")
    found = place(before + behind, len(before))
    assert (found.slot, found.start, found.prefix) == (slot, start, prefix)


def test_what_stands_before_it_is_told() -> None:
    found = place("tag==a;attr.region=in=(eu,u", 27)
    assert (found.selector, found.operator, found.prefix) == ("attr.region", "=in=", "u")


@given(queries(meant=False), st.data())
def test_a_query_that_makes_sense_goes_on_everywhere(query: object, data: st.DataObject) -> None:
    text = written(query)  # type: ignore[arg-type]
    at = data.draw(st.integers(0, len(text)))
    found = place(text, at)
    assert found.slot is not Slot.NOTHING
    assert 0 <= found.start <= at


@given(st.text(alphabet="id==tagr.x()';,*\\\" <>!not-P1", max_size=40), st.integers(0, 50))
def test_anything_has_an_answer(text: str, at: int) -> None:
    found = place(text, at)
    assert found.start <= min(at, len(text))


@given(st.text(alphabet="id==tagr.x()';,*\\\" <>!not-P1", max_size=30))
def test_what_is_read_is_read_to_its_end(text: str) -> None:
    try:
        parse(text, NOW)
    except QuerySyntaxError:
        return
    assert place(text, len(text)).slot in {Slot.JOINT, Slot.VALUE}
