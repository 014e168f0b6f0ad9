"""From which versions deltas are made, between which artifacts, and which are kept."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.delta import (
    COVERED,
    MOST_KNOWN,
    MOST_MAJORS,
    MOST_SOURCES,
    Delta,
    DeltaState,
    Pair,
    Taker,
    near,
    pairs,
    routes,
    sources,
    suited,
    worth,
)
from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.domain.versions import VersionOrder, compare

AUTO = VersionOrder.AUTO
TARGET = Version("4.2.0")
VERSIONS = st.builds(lambda a, b, c: Version(f"{a}.{b}.{c}"), *[st.integers(0, 6)] * 3)
FLEETS = st.dictionaries(VERSIONS, st.integers(0, 1_000_000), max_size=30)


BOARD, REVISED, OTHER = Hardware("board"), Hardware("board", "2"), Hardware("other")


def artifact(name: str, fits: Hardware = BOARD, component: str = "app") -> Artifact:
    return Artifact(component, fits, "app.bin", Blob(digest(name), "", "", 1))


def digest(name: str) -> Sha256:
    return Sha256(hashlib.sha256(name.encode()).hexdigest())


def release(version: Version, *artifacts: Artifact) -> Release:
    made = artifacts or (artifact(version),)
    return Release(ProductName("app"), version, ReleaseState.PUBLISHED, made, datetime(2026, 1, 1, tzinfo=UTC))


def behind(fleet: Mapping[Version, int]) -> dict[Version, int]:
    return {
        version: n
        for version, n in fleet.items()
        if n and compare(AUTO, version, TARGET) < 0 and int(TARGET[0]) - int(version[0]) <= MOST_MAJORS
    }


def chosen(fleet: Mapping[Version, int]) -> list[Version]:
    running = {(BOARD, version): n for version, n in fleet.items()}
    earlier = {version: release(version) for version in sources(AUTO, TARGET, running)}
    return [source.version for source, _, _ in routes(release(TARGET), earlier, running)]


@given(FLEETS)
def test_sources_are_older_near_and_few(fleet: dict[Version, int]) -> None:
    found = chosen(fleet)
    assert len(found) == len(set(found)) <= MOST_SOURCES
    assert set(found) <= set(behind(fleet))


@given(FLEETS)
def test_sources_serve_nine_of_ten_or_are_the_five_most_common(fleet: dict[Version, int]) -> None:
    found, there = chosen(fleet), behind(fleet)
    served = sum(there[version] for version in found)
    assert served >= COVERED * sum(there.values()) or len(found) == MOST_SOURCES
    assert all(there[left] <= min(there[v] for v in found) for left in set(there) - set(found) if found)


@given(FLEETS)
def test_no_source_is_more_than_is_needed(fleet: dict[Version, int]) -> None:
    found, there = chosen(fleet), behind(fleet)
    assert sum(there[version] for version in found[:-1]) < COVERED * sum(there.values()) or not found


@given(FLEETS, st.randoms())
def test_the_order_in_which_the_fleet_is_told_does_not_matter(fleet: dict[Version, int], chance: object) -> None:
    told = list(fleet.items())
    chance.shuffle(told)  # type: ignore[attr-defined]
    assert chosen(dict(told)) == chosen(fleet)


def test_versions_that_no_order_reads_are_served_too() -> None:
    runs = {(BOARD, Version("factory")): 3, (OTHER, Version("factory")): 1, (OTHER, Version("0.9.0")): 5}
    assert sources(VersionOrder.SEMANTIC, Version("1.0.0"), runs) == ["0.9.0", "factory"]


def test_only_the_most_common_versions_are_looked_at() -> None:
    runs = {(BOARD, Version(f"3.0.{n}")): n for n in range(1, MOST_KNOWN + 10)}
    found = sources(AUTO, TARGET, runs)
    assert (len(found), found[0]) == (MOST_KNOWN, f"3.0.{MOST_KNOWN + 9}")


A, B, C = (Version(f"4.{n}.0") for n in range(3))
EARLIER = {version: release(version, artifact(f"{version}"), artifact(f"{version} 2", REVISED)) for version in (A, B)}


def ends(running: Mapping[tuple[Hardware, Version], int], target: Release) -> set[tuple[str, str]]:
    names = {digest(f"{v}{of}"): f"{v}{of}" for v in (A, B, C, TARGET) for of in ("", " 2", " os")}
    return {(names[old.blob.sha256], names[new.blob.sha256]) for _, old, new in routes(target, EARLIER, running)}


def test_a_delta_leads_from_what_each_hardware_runs() -> None:
    target = release(TARGET, artifact("4.2.0"), artifact("4.2.0 2", REVISED))
    running = {(BOARD, A): 1000, (REVISED, B): 3, (OTHER, A): 10**6}
    assert ends(running, target) == {("4.0.0", "4.2.0"), ("4.1.0 2", "4.2.0 2")}


def test_each_artifact_has_its_nine_of_ten() -> None:
    target = release(TARGET, artifact("4.2.0"), artifact("4.2.0 2", REVISED))
    running = {(BOARD, A): 99_000, (BOARD, B): 1000, (REVISED, A): 5, (REVISED, B): 4}
    assert ends(running, target) == {("4.0.0", "4.2.0"), ("4.0.0 2", "4.2.0 2"), ("4.1.0 2", "4.2.0 2")}


def test_revisions_that_come_together_each_lead_there() -> None:
    running = {(BOARD, A): 5, (Hardware("board", "3"), A): 5, (REVISED, A): 5}
    assert ends(running, release(TARGET, artifact("4.2.0"))) == {("4.0.0", "4.2.0"), ("4.0.0 2", "4.2.0")}


def test_what_a_release_keeps_or_brings_anew_has_no_delta() -> None:
    assert (
        ends({(BOARD, A): 5, (REVISED, A): 5}, release(TARGET, artifact("4.0.0"), artifact("4.0.0 2", REVISED)))
        == set()
    )
    fresh = release(TARGET, artifact("4.2.0"), artifact("4.2.0 os", component="os"))
    assert ends({(BOARD, A): 5}, fresh) == {("4.0.0", "4.2.0")}


@pytest.mark.parametrize(
    ("source", "target", "is_near"),
    [
        ("1.9", "3.0", True),
        ("1.9", "4.0", False),
        ("2026.1", "2028.1", True),
        ("2025.12", "2028.1", False),
        ("a", "9", True),
        ("5.0", "1.0", True),
    ],
)
def test_near_is_by_the_first_number(source: str, target: str, is_near: bool) -> None:
    assert near(Version(source), Version(target)) is is_near


def delta(size: int | None, memory: int, codec: str = "zstd-patch", source: str = "1") -> Delta:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    pair = Pair(Sha256(source * 64), Sha256("f" * 64), codec)
    state = DeltaState.WAITING if size is None else DeltaState.MADE
    ends = ProductName("app"), Version("1"), Version("2")
    return Delta(pair, *ends, state, now, now, size=size, memory=None if size is None else memory)


def test_each_device_takes_the_smallest_delta_that_its_memory_holds() -> None:
    roomy, tight, mcu = delta(10, 128 << 20), delta(20, 2 << 20, "rdiff-zstd"), delta(30, 256, "heatshrink")
    known = [mcu, delta(None, 0), tight, roomy, delta(1, 1, "other"), delta(1, 1, source="2"), delta(100, 1)]
    codecs = frozenset({"zstd-patch", "rdiff-zstd", "heatshrink"})
    has = {Sha256("1" * 64)}
    found = {memory: suited(known, 100, has, Taker(codecs, memory)) for memory in (128 << 20, 40_000_000, 4096, 255)}
    assert list(found.values()) == [[roomy, tight, mcu], [tight, mcu], [mcu], []]


def test_artifacts_are_paired_by_hardware_and_component() -> None:
    c = Hardware("c")
    old = [artifact("1", Hardware("a")), artifact("2", Hardware("b")), artifact("3", c, "boot")]
    new = [
        artifact("4", Hardware("a")),
        artifact("5", Hardware("b", "2")),
        artifact("6", c),
        artifact("1", Hardware("d")),
    ]
    found = [(o.blob.sha256, n.blob.sha256) for o, n in pairs(old, new)]
    assert found == [(digest("1"), digest("4")), (digest("2"), digest("5"))]


def test_the_same_bytes_make_no_pair_and_each_pair_is_made_once() -> None:
    assert pairs([artifact("1")], [artifact("1")]) == []
    both = pairs([artifact("1"), artifact("1", OTHER)], [artifact("2"), artifact("2", OTHER)])
    assert len(both) == 1


def test_a_delta_is_worth_less_than_six_tenths() -> None:
    assert worth(599, 1000)
    assert not worth(600, 1000)
    assert not worth(0, 0)
