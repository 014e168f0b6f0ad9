"""What people say of monitoring: each thing for itself, the most specific first."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.errand import Monitoring, What
from otaru.domain.group import GroupName
from otaru.domain.monitoring import MAX_OFF, GroupPolicy, Policy, checked, ranked, settled
from otaru.errors import InvalidInputError

HOUR = timedelta(hours=1)


def of(group: str, priority: int = 0, **says: object) -> GroupPolicy:
    return GroupPolicy(GroupName(group), Policy(**says), priority)  # type: ignore[arg-type]


def test_priority_then_lists_then_names() -> None:
    policies = [of("c"), of("b"), of("a"), of("d", 1), of("e", -1)]
    assert [one.group for one in ranked(policies, {GroupName("c"), GroupName("e")})] == ["d", "c", "a", "b", "e"]


def test_each_thing_is_settled_for_itself() -> None:
    tenant = Policy(HOUR, ("load",), True, False)
    found = settled(tenant, [of("lab", off=(), commands=True), of("all", off=("*",), diagnostics=False)])
    assert found.monitoring == Monitoring(HOUR, ())
    assert (found.diagnostics, found.commands) == (False, True)
    assert found.said_by == {"off": "lab", "commands": "lab", "diagnostics": "all"}
    assert found.allows(What.RESTORE)
    assert not found.allows(What.DIAGNOSE)
    alone = settled(tenant, [])
    assert (alone.monitoring, alone.commands, alone.said_by) == (Monitoring(HOUR, ("load",)), False, {})


saying = st.builds(
    Policy,
    st.none() | st.just(HOUR),
    st.none() | st.sampled_from([(), ("load",), ("*",)]),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)
policies = st.lists(
    st.builds(GroupPolicy, st.sampled_from(list(map(GroupName, "abcdef"))), saying, st.integers(-2, 2)),
    unique_by=lambda one: one.group,
)


@given(policies, st.sets(st.sampled_from(list(map(GroupName, "abcdef")))), st.randoms(use_true_random=False))
def test_the_order_in_which_they_come_says_nothing(
    found: list[GroupPolicy], lists: set[GroupName], random: object
) -> None:
    shuffled = sorted(found, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert ranked(shuffled, lists) == ranked(found, lists)
    one = settled(Policy(), ranked(found, lists))
    for name, group in one.said_by.items():
        assert getattr(next(p for p in found if p.group == group).says, name) is not None


@pytest.mark.parametrize(
    "policy",
    [
        Policy(timedelta(seconds=59)),
        Policy(timedelta(days=2)),
        Policy(off=("no name",)),
        Policy(off=tuple(f"n{number}" for number in range(MAX_OFF + 1))),
    ],
)
def test_what_makes_no_sense_is_refused(policy: Policy) -> None:
    with pytest.raises(InvalidInputError):
        checked(policy)


@pytest.mark.parametrize("word", ["all", "none"])
def test_what_stands_alone_is_no_name(word: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{word} stands alone"):
        checked(Policy(off=("load", word)))


def test_names_are_named_once() -> None:
    assert checked(Policy(off=("a", "*", "a"))).off == ("a", "*")
