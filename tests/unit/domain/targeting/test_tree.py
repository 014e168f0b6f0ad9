import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain import standing
from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Lifecycle
from otaru.domain.targeting import Facts, Field, Term, matches, parse
from tests.support.fleet import NOW, a_device, later
from tests.support.queries import texts

DEVICE = a_device("dev-1", tags=("lab", "beta"), attributes={"region": "eu-1", "empty": ""})
FACTS = Facts(replace(DEVICE, hardware=Hardware("rpi4", "C"), last_contact=later(-3600)), State.REVERTED)


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
        "id==dev-1 and tag==none or tag==beta",
        "id!=dev-2",
        "tag!=none",
        "tag=in=(none,be*)",
        "tag=out=(none,other)",
        "attr.region=out=(us-*,asia)",
        "attr.region=null=false",
        "attr.missing=null=true",
        "not(attr.missing==*)",
        "not (tag==none,id==none)",
        "revision==C",
        "state==reverted",
        "state==failed",
        "state!=silent",
        "last_contact=lt=-PT30M",
        "last_contact<=-PT1H",
        "last_contact>-P1D",
        "created=ge=2026-11-21T11:00:00.123456+01:00",
        "created<2026-11-22",
    ],
)
def test_the_device_is_meant(text: str) -> None:
    assert matches(parse(text, NOW), FACTS)


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
        "id!=dev-1",
        "tag!=lab",
        "tag=out=(none,lab)",
        "attr.missing!=eu",
        "attr.missing=out=(eu)",
        "attr.missing=null=false",
        "tag=null=true",
        "not(tag==lab)",
        "revision==D",
        "state==idle",
        "state!=failed",
        "state=in=(waiting,under_way)",
        "last_contact=gt=-PT30M",
        "last_contact=null=true",
        "created<2026-11-21",
    ],
)
def test_the_device_is_not_meant(text: str) -> None:
    assert not matches(parse(text, NOW), FACTS)


@given(st.lists(texts, min_size=1, max_size=4), texts)
def test_wildcards_stand_for_any_run_of_characters(pieces: list[str], value: str) -> None:
    meant = re.fullmatch(".*".join(map(re.escape, pieces)), value, re.DOTALL) is not None
    assert matches(Term(Field.ATTRIBUTE, tuple(pieces), "x"), Facts(a_device("d", attributes={"x": value}))) == meant


def test_what_is_missing_is_neither_early_nor_late() -> None:
    for text in ("last_contact<-P1D", "last_contact>=-P1D", "revision!=C", "attr.x!=1"):
        assert not matches(parse(text, NOW), Facts(DEVICE))
    assert matches(parse("last_contact=null=true;revision=null=true;state==idle", NOW), Facts(DEVICE))


def test_who_is_decommissioned_stands_nowhere() -> None:
    gone = Facts(replace(DEVICE, lifecycle=Lifecycle.DECOMMISSIONED), State.FAILED)
    assert not matches(parse("state==*", NOW), gone)
    assert not matches(parse("state!=succeeded", NOW), gone)
    assert matches(parse("state=null=true", NOW), gone)


@pytest.mark.parametrize("state", standing.STANDINGS)
def test_a_standing_has_its_own_word_and_at_most_one_for_several(state: State | None) -> None:
    own, *more = sorted(standing.words(state), key=lambda word: word != (state or standing.IDLE))
    assert own == (state or standing.IDLE)
    assert len(more) <= 1
    asked = parse(f"state=in=({','.join([own, *more])})", NOW)
    assert matches(asked, Facts(DEVICE, state))
