from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain import targeting
from otaru.domain.targeting import (
    FIELDS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_TERMS,
    And,
    Field,
    Kind,
    Known,
    Not,
    Or,
    Query,
    Relation,
    Term,
    Timed,
)
from otaru.domain.targeting.parse import MAX_WILDCARDS
from otaru.errors import QuerySyntaxError
from tests.support.fleet import NOW, later
from tests.support.queries import queries, written

DAY_S = 86_400


def parse(text: str) -> Query:
    return targeting.parse(text, NOW)


def term(field: Field, *pieces: str, name: str = "") -> Term:
    return Term(field, pieces, name)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
X = Term(Field.ATTRIBUTE, ("a",), "x")
A, B, C = (term(Field.ID, sign) for sign in "abc")


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("id==dev-1", term(Field.ID, "dev-1")),
        ("hardware==rpi4", term(Field.HARDWARE, "rpi4")),
        ("lifecycle==pending", term(Field.LIFECYCLE, "pending")),
        ("installed.app==1.*", Term(Field.INSTALLED, ("1.", ""), "app")),
        ("tag==lab", term(Field.TAG, "lab")),
        ("attr.region==eu", term(Field.ATTRIBUTE, "eu", name="region")),
        ("attr.a.b-c_d==1", term(Field.ATTRIBUTE, "1", name="a.b-c_d")),
        ("id==*", term(Field.ID, "", "")),
        ("id==a*b*", term(Field.ID, "a", "b", "")),
        ("id=='a*b'", term(Field.ID, "a", "b")),
        (r"attr.x=='\*\'\\\"'", term(Field.ATTRIBUTE, "*'\\\"", name="x")),
        (r'attr.x=="it\"s, (a) ;b=c"', term(Field.ATTRIBUTE, 'it"s, (a) ;b=c', name="x")),
        ("attr.x==''", term(Field.ATTRIBUTE, "", name="x")),
        ("attr.x=='\\\n'", term(Field.ATTRIBUTE, "\n", name="x")),
        ("attr.x==ünïcödé%_?[]", term(Field.ATTRIBUTE, "ünïcödé%_?[]", name="x")),
        ("attr.x==id", term(Field.ATTRIBUTE, "id", name="x")),
        (" id == a ;\n\tid==b ", And((A, B))),
        ("id==a,id==b", Or((A, B))),
        ("id==a;id==b,id==c", Or((And((A, B)), C))),
        ("id==a;(id==b,id==c)", And((A, Or((B, C))))),
        ("((id==a))", A),
        ("id==a and id==b or id==c", Or((And((A, B)), C))),
        ("(id==a)and(id==b)", And((A, B))),
        ("tag==and;tag==or", And((term(Field.TAG, "and"), term(Field.TAG, "or")))),
        ("not(id==a)", Not(A)),
        ("not (id==a);id==b", And((Not(A), B))),
        ("id!=a", And((Known(Field.ID), Not(A)))),
        ("tag!=a", Not(term(Field.TAG, "a"))),
        ("id=in=(a,'b', c)", Or((A, B, C))),
        ("id=in=( a )", A),
        ("attr.x=out=(a,b*)", And((Known(Field.ATTRIBUTE, "x"), Not(X), Not(Term(Field.ATTRIBUTE, ("b", ""), "x"))))),
        ("tag=out=(a,b)", And((Not(term(Field.TAG, "a")), Not(term(Field.TAG, "b"))))),
        ("attr.x=null=true", Not(Known(Field.ATTRIBUTE, "x"))),
        ("last_contact=null=false", Known(Field.LAST_CONTACT)),
        ("state==failed", term(Field.STATE, "failed")),
        ("created=lt=-P7D", Timed(Field.CREATED, Relation.BEFORE, later(-7 * DAY_S))),
        ("created<-P1W", Timed(Field.CREATED, Relation.BEFORE, later(-7 * DAY_S))),
        ("created>=-p1dt2h3m4s", Timed(Field.CREATED, Relation.SINCE, later(-DAY_S - 7384))),
        ("created<=2026-11-21T12:00:00.123456+02:00", Timed(Field.CREATED, Relation.UNTIL, NOW)),
        ("created>2026-11-20", Timed(Field.CREATED, Relation.AFTER, later(-DAY_S - 36_000.123456))),
        ("created>-P999999W", Timed(Field.CREATED, Relation.AFTER, EPOCH)),
    ],
)
def test_a_query_is_read(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "empty"),
        (" \n", 1, "empty"),
        ("id", 3, "wants an operator"),
        ("id=3", 3, "wants an operator"),
        ("id=like=3", 3, "wants an operator"),
        ("id!=", 5, "wants a value"),
        ("id=in=3", 7, "wants `(`"),
        ("id=in=()", 8, "wants a value"),
        ("id=in=(a", 9, "wants `)` or `,`"),
        ("id==(a)", 5, "wants a value"),
        ("not id==a", 5, "wants an operator"),
        ("id==a not(id==b)", 7, "wants"),
        ("id==a andid==b", 7, "wants"),
        ("id==a and", 10, "wants `(` or a selector"),
        ("id<3", 3, "no order"),
        ("tag=ge=3", 4, "no order"),
        ("created==2026-05-01", 8, "created is a time"),
        ("created=in=(-P1D)", 8, "created is a time"),
        ("created<soon", 9, "'soon' is not a time"),
        ("created<2026-02-30", 9, "is not a time"),
        ("created<-P", 9, "is not a time"),
        ("created<-P1M", 9, "is not a time"),
        ("created<P7D", 9, "'P7D' lies ahead"),
        ("tag==a;created<0001-01-01T00:00+12:00", 16, "is not a time"),
        ("id=null=maybe", 9, "true or false"),
        ("lifecycle==actve", 12, "no lifecycle is 'actve'"),
        ("state=in=(failed,faild)", 18, "no state is 'faild'"),
        ("state==x*", 8, "no state is 'x*'"),
        ("id==", 5, "wants a value"),
        ("id== ", 6, "wants a value"),
        ("id==a b", 7, "wants `,` or `;` or the end"),
        ("id==a~b", 6, "wants `,` or `;`"),
        ("(id==a", 7, "wants `)`"),
        ("id==a)", 6, "column 6"),
        (";id==a", 1, "wants `(` or a selector"),
        ("id==a;", 7, "wants `(` or a selector"),
        ("id==a,,id==b", 7, "wants `(` or a selector"),
        ("id==a\n;id=b", 10, "wants an operator"),
        ("tag=='abc", 6, "wants a value"),
        ("tag=='a''b'", 9, "column 9"),
        ("()", 2, "wants `(` or a selector"),
        ("id==((a))", 5, "wants a value"),
        ("idx==3", 1, "'idx' is not a selector"),
        ("tag==lab; idx==3", 11, "'idx' is not a selector"),
        ("tag.x==3", 1, "'tag.x' is not a selector"),
        ("ID==3", 1, "'ID' is not a selector"),
        ("x" * 100 + "==3", 1, "…' is not a selector"),
        ("attr==3", 1, "'attr' does not name an attribute"),
        ("id==a,attr.==3", 7, "'attr.' does not name an attribute"),
        ("attr.-x==3", 1, "does not name an attribute"),
        (f"attr.{'n' * 129}==3", 1, "does not name an attribute"),
        ("id==a\0", 6, "no text"),
        ("tag=='\ud800'", 7, "no text"),
    ],
)
def test_an_error_says_what_and_where(text: str, column: int, words: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text)
    assert caught.value.facts["column"] == column
    assert words in caught.value.message
    assert caught.value.hint


def test_an_unknown_selector_is_told_which_there_are() -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse("version==3")
    assert caught.value.hint == (
        "Selectors are id, hardware, revision, tag, group, lifecycle, assurance, state, last_contact, created, "
        "attr.NAME, installed.COMPONENT and telemetry.NAME."
    )


def refused(text: str) -> int:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text)
    return int(caught.value.facts["column"])


def test_the_length_is_bounded() -> None:
    assert parse(f"id=={'a' * (MAX_LENGTH - 4)}") == term(Field.ID, "a" * (MAX_LENGTH - 4))
    assert refused(f"id=={'a' * (MAX_LENGTH - 3)}") == MAX_LENGTH + 1


def test_the_number_of_comparisons_is_bounded() -> None:
    assert parse(",".join(["id==a"] * MAX_TERMS)) == Or((A,) * MAX_TERMS)
    assert refused(",".join(["id==a"] * (MAX_TERMS + 1))) == 6 * MAX_TERMS + 5
    assert refused(f"id=in=({','.join(['a'] * (MAX_TERMS + 1))})") == 2 * MAX_TERMS + 8


def test_the_nesting_is_bounded() -> None:
    assert parse("(" * MAX_DEPTH + "id==a" + ")" * MAX_DEPTH) == A
    assert refused("(" * (MAX_DEPTH + 1) + "id==a" + ")" * (MAX_DEPTH + 1)) == MAX_DEPTH + 1
    assert refused("not(" * (MAX_DEPTH + 1) + "id==a") == 4 * (MAX_DEPTH + 1)
    assert refused("id==')))';" + "(" * (MAX_DEPTH + 1) + "id==a") == 10 + MAX_DEPTH + 1
    assert refused(")" * 100 + "(" * 100) == 1


def test_parentheses_in_quotes_nest_nothing() -> None:
    assert parse(f"id=='{'(' * 100}'") == term(Field.ID, "(" * 100)


def test_the_wildcards_of_a_value_are_bounded() -> None:
    assert parse(f"id==a{'*b' * MAX_WILDCARDS}") == term(Field.ID, "a", *("b" * MAX_WILDCARDS))
    assert refused(f"id==x;id==a{'*b' * (MAX_WILDCARDS + 1)}") == 11
    assert refused(f"id=='{'*' * (MAX_WILDCARDS + 1)}'") == 5


@given(queries(meant=False))
def test_what_is_written_is_read_again(query: Query) -> None:
    assert parse(written(query)) == query


@given(st.text(max_size=60) | st.text(alphabet="id==tagr.x()';,*\\\" <>!not-P1", max_size=40))
def test_any_text_is_read_or_refused_at_a_column(text: str) -> None:
    try:
        parse(text)
    except QuerySyntaxError as error:
        column = error.facts["column"]
    else:
        return
    assert 1 <= column <= len(text) + 1


@pytest.mark.parametrize("about", FIELDS, ids=lambda about: about.field)
def test_every_operator_of_a_field_is_read(about: targeting.About) -> None:
    value = {Kind.TIME: "-P1D", Kind.WORD: (about.words or ("",))[0], Kind.TEXT: "x", Kind.NUMBER: "1.5"}[about.kind]
    for sign in about.operators:
        asked = "true" if sign == "=null=" else f"({value})" if sign in {"=in=", "=out="} else value
        parse(f"{about.selector}{sign}{asked}")
