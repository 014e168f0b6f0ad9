"""What may be released, and how a device comes to it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.device import Hardware
from otaru.domain.ids import Version
from otaru.domain.release import MAX_ARTIFACTS, Artifact, Release, ReleaseState, admit
from otaru.domain.terms import MAX_COUNTER, MAX_REQUIREMENTS, Relation, Requirement, Terms, requirement
from otaru.domain.upgrade import path
from otaru.domain.versions import VersionOrder, compare, reads
from otaru.errors import InvalidInputError
from tests.support.fleet import a_blob, a_release

VERSIONS = st.builds(lambda a, b: Version(f"{a}.{b}"), st.integers(0, 4), st.integers(0, 3))
REQUIREMENTS = st.builds(
    Requirement,
    st.sampled_from(["app", "os", "bootloader"]),
    st.sampled_from(Relation),
    VERSIONS,
    st.sampled_from(VersionOrder),
)
TERMS = st.builds(
    Terms,
    requires=st.lists(REQUIREMENTS, max_size=3).map(tuple),
    floor=st.none() | VERSIONS,
    security_floor=st.none() | st.integers(-1, 5),
)
ARTIFACTS = st.lists(
    st.builds(
        lambda component, model, name: Artifact(component, Hardware(model), name or component, a_blob("a")),
        st.sampled_from(["app", "app", "app", "os"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["", "", "a"]),
    ),
    max_size=3,
).map(tuple)


@given(ARTIFACTS, TERMS, VERSIONS, st.sampled_from(VersionOrder), st.integers(0, 4))
def test_what_is_admitted_holds_together(
    artifacts: tuple[Artifact, ...], terms: Terms, version: Version, order: VersionOrder, inherited: int
) -> None:
    release = replace(a_release(version), artifacts=artifacts, terms=terms, order=order)
    sound = (
        bool(artifacts)
        and len({(a.component, a.hardware) for a in artifacts}) == len(artifacts)
        and len({(a.component, a.filename) for a in artifacts}) == len({a.filename for a in artifacts})
        and reads(order, version)
        and (terms.floor is None or (reads(order, terms.floor) and compare(order, terms.floor, version) < 0))
        and all(reads(wanted.order, wanted.version) for wanted in terms.requires)
        and len(set(terms.requires)) == len(terms.requires)
        and (terms.security_floor is None or terms.security_floor >= max(1, inherited))
    )
    try:
        admit(release, inherited)
    except InvalidInputError:
        assert not sound
    else:
        assert sound


def test_there_is_an_end_to_everything() -> None:
    many = tuple(Artifact("app", Hardware(f"m{n}"), "a", a_blob("a")) for n in range(MAX_ARTIFACTS + 1))
    demands = tuple(requirement(f"os>={n}") for n in range(MAX_REQUIREMENTS + 1))
    for wrong in (
        replace(a_release(), artifacts=many),
        replace(a_release(), terms=Terms(requires=demands)),
        replace(a_release(), terms=Terms(security_floor=MAX_COUNTER + 1)),
        replace(a_release(), terms=Terms(channel="a b")),
    ):
        with pytest.raises(InvalidInputError):
            admit(wrong)
    admit(replace(a_release(), artifacts=many[1:], terms=Terms(requires=demands[1:], security_floor=MAX_COUNTER)))


@pytest.mark.parametrize(
    "text", ["", "app", "app>=", ">=1", "app=>1", "app=1", "app>==1", "a b>=1", "app>=1,2", "x" * 300 + ">1"]
)
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(InvalidInputError):
        requirement(text)


@given(REQUIREMENTS)
def test_a_requirement_is_read_as_it_is_written(wanted: Requirement) -> None:
    assert requirement(str(wanted)) == wanted
    assert requirement(f" {wanted.component} {wanted.relation} {wanted.version} ") == wanted


@given(REQUIREMENTS, VERSIONS)
def test_relations_are_what_they_say(wanted: Requirement, runs: Version) -> None:
    wanted = replace(wanted, order=VersionOrder.DOTTED)
    a, b = (tuple(int(n) for n in v.split(".")) for v in (runs, wanted.version))
    met = {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, ">": a > b, "<": a < b}
    assert wanted.met_by(runs) == met[wanted.relation]
    assert not wanted.met_by(None)


def test_deprecation_and_the_end_of_support_warn() -> None:
    now = datetime(2031, 12, 31, 23, 59, tzinfo=UTC)
    release = replace(a_release(), terms=Terms(support_until=date(2031, 12, 31)))
    assert release.warnings(now) == [], "the last day counts"
    later = now + timedelta(minutes=1)
    assert release.warnings(later) == ["The support of app 1.1.0 ended on 2031-12-31."]
    assert len(replace(release, state=ReleaseState.DEPRECATED).warnings(later)) == 2


def released(version: str, floor: str | None = None, state: ReleaseState = ReleaseState.PUBLISHED) -> Release:
    return replace(a_release(version), terms=Terms(floor=None if floor is None else Version(floor)), state=state)


def way(start: str, goal: Release, releases: Sequence[Release]) -> list[str] | None:
    found = path(Version(start), goal, releases)
    return None if found is None else [r.version for r in found]


def test_the_way_leads_through_the_floors() -> None:
    goal = released("3.1", "3.0")
    shelf = [released("2.0"), released("2.4"), released("2.5"), released("3.0", "2.4"), goal]
    assert way("3.0", goal, shelf) == ["3.1"]
    assert way("2.4", goal, shelf) == ["3.0", "3.1"]
    assert way("1.0", goal, shelf) == ["2.5", "3.0", "3.1"], "the newest of two that will do"
    assert way("1.0", goal, [r for r in shelf if r.version != "3.0"]) is None
    assert way("1.0", goal, [replace(r, state=ReleaseState.WITHDRAWN) for r in shelf]) is None
    assert way("2.0", replace(goal, order=VersionOrder.SEMANTIC), []) is None
    assert way("9.0", goal, shelf) == ["3.1"], "a rollback goes at once"


def test_an_upper_bound_is_on_the_way_too() -> None:
    goal = replace(
        released("4.0"), terms=Terms(requires=(requirement("app>=3"), requirement("app<3.5"), requirement("os>9")))
    )
    assert way("1.0", goal, [released("3.9"), released("3.2"), released("3.1")]) == ["3.2", "4.0"]


@given(st.lists(st.tuples(VERSIONS, st.none() | VERSIONS, st.booleans()), max_size=5), VERSIONS, VERSIONS, VERSIONS)
def test_no_way_is_shorter_and_every_step_is_allowed(
    made: list[tuple[Version, Version | None, bool]], start: Version, goal_version: Version, goal_floor: Version
) -> None:
    states = {True: ReleaseState.PUBLISHED, False: ReleaseState.DRAFT}
    shelf = [released(version, floor, states[published]) for version, floor, published in made]
    goal = released(goal_version, goal_floor)
    order = goal.order

    def allowed(steps: Sequence[Release]) -> bool:
        at = start
        for step in steps:
            rising = len(steps) == 1 or compare(order, at, step.version) < 0
            if not rising or not step.above_floor(at) or step.state is ReleaseState.DRAFT:
                return False
            at = step.version
        return True

    ways = [(*steps, goal) for n in range(len(shelf) + 1) for steps in permutations(shelf, n)]
    shortest = min((len(one) for one in ways if allowed(one)), default=None)
    found = path(start, goal, shelf)
    assert (None if found is None else len(found)) == shortest
    assert found is None or (allowed(found) and found[-1] is goal)


def test_hardware_gets_one_file_for_each_component() -> None:
    made = [("os", "gw", ""), ("app", "gw", "b"), ("app", "gw", ""), ("fpga", "gw", "b")]
    artifacts = tuple(Artifact(c, Hardware(m, r), f"{c}{r}", a_blob("a")) for c, m, r in made)
    release = replace(a_release(), artifacts=artifacts)
    assert (release.component, release.components) == ("os", ("os", "app", "fpga"))

    def files(hardware: Hardware) -> list[str]:
        return [artifact.filename for artifact in release.artifacts_for(hardware)]

    assert files(Hardware("gw", "b")) == ["os", "appb", "fpgab"]
    assert files(Hardware("gw")) == ["os", "app"]
    assert files(Hardware("other")) == []
