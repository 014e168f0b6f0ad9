import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.targeting import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, And, Field, Or, Query, Term, parse
from otaru.domain.targeting.parse import MAX_WILDCARDS
from otaru.errors import QuerySyntaxError
from tests.support.queries import queries, written


def term(field: Field, *pieces: str, name: str = "") -> Term:
    return Term(field, pieces, name)


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
    ],
)
def test_a_query_is_read(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "empty"),
        (" \n", 1, "empty"),
        ("id", 3, "wants `==`"),
        ("id=3", 3, "wants `==`"),
        ("id!=3", 3, "wants `==`"),
        ("id==", 5, "wants a value"),
        ("id== ", 6, "wants a value"),
        ("id==a b", 7, "wants `,` or `;` or the end"),
        ("id==a~b", 6, "wants `,` or `;`"),
        ("(id==a", 7, "wants `)`"),
        ("id==a)", 6, "column 6"),
        (";id==a", 1, "wants `(` or a selector"),
        ("id==a;", 7, "wants `(` or a selector"),
        ("id==a,,id==b", 7, "wants `(` or a selector"),
        ("id==a\n;id=b", 10, "wants `==`"),
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
    assert caught.value.hint == "Selectors are id, hardware, lifecycle, tag, attr.NAME and installed.COMPONENT."


def refused(text: str) -> int:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text)
    return int(caught.value.facts["column"])


def test_the_length_is_bounded() -> None:
    assert parse(f"id=={'a' * (MAX_LENGTH - 4)}") == term(Field.ID, "a" * (MAX_LENGTH - 4))
    assert refused(f"id=={'a' * (MAX_LENGTH - 3)}") == MAX_LENGTH + 1


def test_the_number_of_comparisons_is_bounded() -> None:
    assert parse(",".join(["id==a"] * MAX_TERMS)) == Or((A,) * MAX_TERMS)
    assert refused(",".join(["id==a"] * (MAX_TERMS + 1))) == 6 * MAX_TERMS + 1


def test_the_nesting_is_bounded() -> None:
    assert parse("(" * MAX_DEPTH + "id==a" + ")" * MAX_DEPTH) == A
    assert refused("(" * (MAX_DEPTH + 1) + "id==a" + ")" * (MAX_DEPTH + 1)) == MAX_DEPTH + 1
    assert refused("id==')))';" + "(" * (MAX_DEPTH + 1) + "id==a") == 10 + MAX_DEPTH + 1
    assert refused(")" * 100 + "(" * 100) == 1


def test_parentheses_in_quotes_nest_nothing() -> None:
    assert parse(f"id=='{'(' * 100}'") == term(Field.ID, "(" * 100)


def test_the_wildcards_of_a_value_are_bounded() -> None:
    assert parse(f"id==a{'*b' * MAX_WILDCARDS}") == term(Field.ID, "a", *("b" * MAX_WILDCARDS))
    assert refused(f"id==x;id==a{'*b' * (MAX_WILDCARDS + 1)}") == 11
    assert refused(f"id=='{'*' * (MAX_WILDCARDS + 1)}'") == 5


@given(queries())
def test_what_is_written_is_read_again(query: Query) -> None:
    assert parse(written(query)) == query


@given(st.text(max_size=60) | st.text(alphabet="id==tagr.x()';,*\\\" ", max_size=40))
def test_any_text_is_read_or_refused_at_a_column(text: str) -> None:
    try:
        parse(text)
    except QuerySyntaxError as error:
        column = error.facts["column"]
    else:
        return
    assert 1 <= column <= len(text) + 1
