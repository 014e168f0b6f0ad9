"""The orders of versions: known examples, and what an order has to be."""

import re
from collections.abc import Sequence
from functools import cmp_to_key
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain import ids
from otaru.domain.ids import Version
from otaru.domain.versions import FORMS, VersionOrder, compare, key, reads
from otaru.errors import InvalidInputError

RISING: dict[VersionOrder, Sequence[str]] = {
    # Paragraph 11 of semver.org, and numbers that text would sort wrongly.
    VersionOrder.SEMANTIC: [
        *("0.0.4", "0.9.0", "0.10.0", "1.0.0-0", "1.0.0-9", "1.0.0-10", "1.0.0--", "1.0.0-alpha", "1.0.0-alpha.1"),
        *("1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0"),
        *("2.1.1", "99999999999999999999999.999999999999999999.99999999999999999"),
    ],
    VersionOrder.CALENDAR: [
        *("1999.12", "26.04", "26.04.1", "2026.04.2", "2026.5-rc1", "2026.5", "2026-11-21", "20261122", "2026.12.1"),
        "2026.100",
    ],
    VersionOrder.GIT_DESCRIBE: [
        *("v1.2-rc1", "v1.2-rc1-3-gabcd", "v1.2", "v1.2-dirty", "v1.2-2-g0123456", "v1.2-14-gabc123"),
        *("v1.2-14-gabc123-dirty", "1.2.1", "v1.10"),
    ],
    VersionOrder.DOTTED: ["0", "1", "1.0.1", "1.0.1.5", "v1.0.2", "1.0.10", "1.9", "1.10", "2025.01.30", "2025.2"],
    VersionOrder.AUTO: [
        *("alpha", "build9", "build10", "r", "0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.1", "1", "v1.0.1"),
        *("1.0.1.1", "1.2", "1.10.0-1", "1.10", "2026.04", "2026.11"),
    ],
}
EQUAL = [
    (VersionOrder.SEMANTIC, "1.0.0+a", "1.0.0+b.7"),
    (VersionOrder.CALENDAR, "26.4", "2026.04"),
    (VersionOrder.CALENDAR, "20260401", "2026-04-01"),
    (VersionOrder.DOTTED, "1", "v1.0.0"),
    (VersionOrder.GIT_DESCRIBE, "v1.2", "1.2-0-gabcd"),
    (VersionOrder.AUTO, "1.0", "v1.00.0+7"),
]
REFUSED: dict[VersionOrder, Sequence[str]] = {
    # From semver.org's list of what is no version.
    VersionOrder.SEMANTIC: [
        *("1", "1.2", "1.2.3-0123", "1.2.3-0123.0123", "1.1.2+.123", "alpha", "1.0.0-alpha..", "01.1.1", "1.01.1"),
        *(
            "1.1.01",
            "1.2.3.DEV",
            "1.2-SNAPSHOT",
            "1.2.31.2.3----RC",
            "-1.0.3",
            "+invalid",
            "1.1.2+a+b",
            "v1.2.3",
            "1.0.0-",
        ),
    ],
    VersionOrder.CALENDAR: ["1.2", "202", "20261301", "20260230", "123456", "v2026", "2026..1", "2026.x.", "build"],
    VersionOrder.GIT_DESCRIBE: ["abc1234", "main-3-gabcd", "v1.2-3-gxyz1~", "-dirty"],
    VersionOrder.DOTTED: ["1.0-rc1", "1..2", "1.", "a", "1.0+b"],
    VersionOrder.AUTO: [],
}


@pytest.mark.parametrize("order", VersionOrder)
def test_known_versions_stand_in_their_order(order: VersionOrder) -> None:
    for older, newer in combinations(map(Version, RISING[order]), 2):
        assert compare(order, older, newer) == -1, f"{older} before {newer}"
        assert compare(order, newer, older) == 1


@pytest.mark.parametrize(("order", "one", "other"), EQUAL)
def test_some_versions_are_equally_new(order: VersionOrder, one: str, other: str) -> None:
    assert compare(order, Version(one), Version(other)) == 0


@pytest.mark.parametrize(("order", "text"), [(order, text) for order, texts in REFUSED.items() for text in texts])
def test_what_is_of_another_form_is_refused_in_words(order: VersionOrder, text: str) -> None:
    assert not reads(order, Version(text))
    with pytest.raises(InvalidInputError, match=re.escape(f"of the {order} order")) as refusal:
        key(order, Version(text))
    assert FORMS[order] in (refusal.value.hint or "")


@pytest.mark.parametrize("order", VersionOrder)
def test_every_semantic_version_has_one_place_where_it_is_read(order: VersionOrder) -> None:
    """AUTO sorts semantic versions as SEMANTIC does, and dotted ones as DOTTED."""
    if order in {VersionOrder.SEMANTIC, VersionOrder.DOTTED}:
        assert all(key(order, Version(v)) == key(VersionOrder.AUTO, Version(v)) for v in RISING[order])


NUMBERS = st.lists(st.integers(0, 200).map(str) | st.sampled_from(["007", "4294967296"]), min_size=1, max_size=4)
WORDS = st.lists(st.text("01239abcZ-", min_size=1, max_size=4), max_size=3)
SHAPED = st.builds(
    lambda v, numbers, pre, tail: v + ".".join(numbers) + ("-" + ".".join(pre) if pre else "") + tail,
    st.sampled_from(["", "v"]),
    NUMBERS,
    WORDS,
    st.sampled_from(["", "+b1", "-3-gabcd", "-14-gabcd", "-dirty"]),
)
ANY = (
    SHAPED
    | st.sampled_from([v for rising in RISING.values() for v in rising])
    | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,12}", fullmatch=True)
)
ORDERS = st.sampled_from(VersionOrder)


def readable(order: VersionOrder, texts: Sequence[str]) -> list[Version]:
    return [ids.version(text) for text in texts if reads(order, Version(text))]


@given(ORDERS, st.lists(ANY, min_size=3, max_size=8))
def test_each_is_a_total_order_and_keys_agree_with_it(order: VersionOrder, texts: list[str]) -> None:
    versions = readable(order, texts)

    def by_order(a: Version, b: Version) -> int:
        return compare(order, a, b)

    ranked = sorted(versions, key=cmp_to_key(by_order))
    assert [key(order, v) for v in ranked] == sorted(key(order, v) for v in versions)
    for a, b in combinations(ranked, 2):
        assert compare(order, a, b) <= 0 <= compare(order, b, a)
        assert (compare(order, a, b) == 0) == (key(order, a) == key(order, b))
    for a, b in pairwise(ranked):
        encoded = key(order, a).encode(), key(order, b).encode()
        assert (encoded[0] < encoded[1]) == (compare(order, a, b) < 0)


def precedence(version: str) -> tuple[list[int], bool, list[tuple[bool, int, str]]]:
    """SemVer 2.0, paragraph 11, told another way than keys are made."""
    core, _, pre = version.partition("+")[0].partition("-")
    identifiers = pre.split(".") if pre else []
    return (
        [int(n) for n in core.split(".")],
        not pre,
        [(not i.isdigit(), int(i) if i.isdigit() else 0, i if not i.isdigit() else "") for i in identifiers],
    )


IDENTIFIER = st.integers(0, 99).map(str) | st.from_regex(r"[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,3}", fullmatch=True)
SEMANTIC = st.builds(
    lambda core, pre, build: ".".join(map(str, core)) + ("-" + ".".join(pre) if pre else "") + build,
    st.tuples(*[st.integers(0, 1000)] * 3),
    st.lists(IDENTIFIER, max_size=3),
    st.sampled_from(["", "+0", "+a.b"]),
)


@given(SEMANTIC, SEMANTIC)
def test_semantic_versions_follow_the_paragraph(a: str, b: str) -> None:
    wanted = (precedence(a) > precedence(b)) - (precedence(a) < precedence(b))
    for order in (VersionOrder.SEMANTIC, VersionOrder.AUTO):
        assert compare(order, Version(a), Version(b)) == wanted


@given(st.text("0123456789", min_size=1, max_size=128))
def test_long_numbers_have_keys(digits: str) -> None:
    later = Version(str(int(digits) + 1)[:128])
    if len(str(int(digits) + 1)) <= 128:
        assert compare(VersionOrder.DOTTED, Version(digits), later) == -1
