"""What a query means, its groups looked up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.attribute import AttributeKind, Declared
from otaru.domain.group import Group, GroupName
from otaru.domain.targeting import (
    MAX_GROUP_DEPTH,
    MAX_MEANT,
    MAX_VERSIONS,
    And,
    Catalogue,
    Compared,
    Facts,
    Field,
    Known,
    Not,
    OneOf,
    Or,
    Query,
    Relation,
    Term,
    groups_in,
    matches,
    meaning,
    parse,
)
from otaru.domain.versions import VersionOrder
from otaru.errors import InvalidInputError, QuerySyntaxError
from tests.support.fleet import NOW, a_device

DECLARED = {
    "n": Declared("n", AttributeKind.NUMBER, NOW, ready=True),
    "fw": Declared("fw", AttributeKind.VERSION, NOW, ready=True),
    "new": Declared("new", AttributeKind.NUMBER, NOW),
}
RUN = {
    "app": (VersionOrder.AUTO, ["1.9", "1.10", "2.0-rc.1", "2.0", "odd"]),
    "cal": (VersionOrder.CALENDAR, ["2026.1", "no"]),
    "many": (VersionOrder.AUTO, [f"1.{n}" for n in range(MAX_VERSIONS + 1)]),
}


def read(text: str, **saved: str | None) -> Query:
    groups = {name: Group(GroupName(name), query, "", NOW, NOW) for name, query in saved.items()}
    catalogue = Catalogue(groups.get, DECLARED.get, lambda name: RUN.get(name, (VersionOrder.AUTO, [])))
    return meaning(parse(text, NOW), catalogue, NOW)


def test_attributes_compare_by_the_type_that_is_declared() -> None:
    assert read("attr.n=lt=20") == Compared(Field.ATTRIBUTE, "n", Relation.BEFORE, "20", AttributeKind.NUMBER)
    found = read("group==old", old="attr.fw>=2.4;attr.n=null=false")
    assert found == And(
        (
            Compared(Field.ATTRIBUTE, "fw", Relation.SINCE, "2.4", AttributeKind.VERSION),
            Known(Field.ATTRIBUTE, "n"),
        )
    )
    device = a_device("a", attributes={"fw": "2.10", "n": "7"})
    assert matches(found, Facts(device))
    assert not matches(found, Facts(replace(device, attributes={"fw": "2.3.9", "n": "7"})))
    assert not matches(found, Facts(replace(device, attributes={"fw": "a lie", "n": "7"})))


def test_versions_compare_by_their_products_order() -> None:
    assert read("installed.app=lt=2.0") == OneOf(Field.INSTALLED, "app", ("1.9", "1.10", "2.0-rc.1", "odd"))
    assert read("installed.app>1.9") == OneOf(Field.INSTALLED, "app", ("1.10", "2.0-rc.1", "2.0"))
    assert read("installed.cal<=2026.1") == OneOf(Field.INSTALLED, "cal", ("2026.1",))
    assert read("installed.none<1") == OneOf(Field.INSTALLED, "none", ())


def test_telemetry_compares_by_number() -> None:
    facts = Facts(a_device("a"), telemetry={"battery": 20})
    for text, held in (("<20", False), ("<=20.0", True), ("=gt=-5", True), (">=2e1", True), ("=null=true", False)):
        assert matches(read(f"telemetry.battery{text}"), facts) is held
    assert not matches(read("telemetry.signal<0"), facts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("attr.x=lt=1", "'x' has no order"),
        ("attr.new=lt=1", "still being read"),
        ("attr.n=lt=few", "'few' is no number"),
        ("installed.cal=lt=x", "no version of the calendar order"),
        ("installed.many=lt=1", "too many"),
        ("attr.n=lt=1*", "wildcard"),
        ("telemetry.battery=lt=few", "not a number"),
        ("telemetry.battery==20", "is a number"),
    ],
)
def test_what_has_no_order_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read(text)


def tag(name: str) -> Term:
    return Term(Field.TAG, (name,))


def test_a_saved_query_stands_for_its_devices_and_a_list_for_itself() -> None:
    a_list = Term(Field.GROUP, ("hand",))
    assert read("group==lab", lab="tag==a,tag==b") == Or((tag("a"), tag("b")))
    assert read("group==hand", hand=None) == a_list
    assert read("group!=lab;tag==c", lab="tag==a") == And((Not(tag("a")), tag("c")))
    assert read("group=out=(lab,hand)", lab="tag==a", hand=None) == And((Not(tag("a")), Not(a_list)))
    assert read("not(group==both)", both="group==lab;group!=hand", lab="tag==a", hand=None) == Not(
        And((tag("a"), Not(a_list)))
    )


def test_groups_are_named() -> None:
    assert groups_in(parse("group=in=(a,b);not(group==c),tag==d", NOW)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "saved", "words"),
    [
        ("group==x", {}, "no group 'x'"),
        ("group==a", {"a": "group==x"}, "no group 'x', which the group 'a' names"),
        ("group==a", {"a": "group==a"}, "a → a"),
        ("tag==x,group==a", {"a": "not(group==b)", "b": "group==c", "c": "group==a"}, "a → b → c → a"),
        ("group==a", {"a": "tag=="}, "makes no sense"),
    ],
)
def test_what_means_nothing_is_refused(text: str, saved: dict[str, str | None], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read(text, **saved)


def test_groups_stand_so_deep_in_groups() -> None:
    chain: dict[str, str | None] = {f"g{n}": f"group==g{n + 1}" for n in range(MAX_GROUP_DEPTH)}
    last = f"g{MAX_GROUP_DEPTH}"
    assert read("group==g1", **chain | {last: "tag==a"}) == tag("a")
    for text in ("group==g0", "group==g1,group==g0", f"group=in=({last},g2,g1,g0)"):
        with pytest.raises(InvalidInputError, match="deep"):
            read(text, **chain | {last: "tag==a"})


def test_what_it_comes_to_is_bounded() -> None:
    tags = ",".join(f"tag==t{n}" for n in range(64))
    groups = {"a": tags, "b": ",".join(["group==a"] * 64), "c": ",".join(["group==b"] * 64)}
    assert len(read(",".join(["group==a"] * (MAX_MEANT // 64)), **groups).parts) == MAX_MEANT // 64  # type: ignore[union-attr]
    for text in ("group==b", "group==c", ",".join(["group==a"] * (MAX_MEANT // 64 + 1))):
        with pytest.raises(InvalidInputError, match="compares"):
            read(text, **groups)


@pytest.mark.parametrize("text", ["group==a*", "group==''", "group=null=true", "group=lt=a", "group.a==b"])
def test_a_group_is_named_in_full(text: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text, NOW)
    assert caught.value.facts["column"] >= 1


@given(
    st.lists(st.sampled_from("abcd"), max_size=3),
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from("abcd"))),
)
def test_whatever_names_whatever_it_ends(asked: list[str], named: dict[str, list[str]]) -> None:
    saved: dict[str, str | None] = {
        name: ",".join(f"group=={other}" for other in others) or None for name, others in named.items()
    }
    try:
        found = read(",".join(["tag==x", *(f"group=={name}" for name in asked)]), **saved)
    except InvalidInputError:
        return
    assert all(saved.get(name, "") is None for name in groups_in(found))
