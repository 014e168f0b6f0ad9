"""From which versions deltas are made, between which artifacts, and which are kept."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.delta import (
    COVERED,
    MOST_MAJORS,
    MOST_SOURCES,
    Delta,
    DeltaState,
    Pair,
    Taker,
    near,
    pairs,
    sources,
    suited,
    worth,
)
from otaru.domain.device import hardware
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Artifact, Blob
from otaru.domain.versions import VersionOrder, compare

AUTO = VersionOrder.AUTO
TARGET = Version("4.2.0")
VERSIONS = st.builds(lambda a, b, c: Version(f"{a}.{b}.{c}"), *[st.integers(0, 6)] * 3)
FLEETS = st.dictionaries(VERSIONS, st.integers(0, 1_000_000), max_size=30)


def behind(fleet: Mapping[Version, int]) -> dict[Version, int]:
    return {
        version: n
        for version, n in fleet.items()
        if n and compare(AUTO, version, TARGET) < 0 and int(TARGET[0]) - int(version[0]) <= MOST_MAJORS
    }


@given(FLEETS)
def test_sources_are_older_near_and_few(fleet: dict[Version, int]) -> None:
    found = sources(AUTO, TARGET, fleet)
    assert len(found) == len(set(found)) <= MOST_SOURCES
    assert set(found) <= set(behind(fleet))


@given(FLEETS)
def test_sources_serve_nine_of_ten_or_are_the_five_most_common(fleet: dict[Version, int]) -> None:
    found, there = sources(AUTO, TARGET, fleet), behind(fleet)
    served = sum(there[version] for version in found)
    assert served >= COVERED * sum(there.values()) or len(found) == MOST_SOURCES
    assert all(there[left] <= min(there[v] for v in found) for left in set(there) - set(found) if found)


@given(FLEETS)
def test_no_source_is_more_than_is_needed(fleet: dict[Version, int]) -> None:
    found, there = sources(AUTO, TARGET, fleet), behind(fleet)
    assert sum(there[version] for version in found[:-1]) < COVERED * sum(there.values()) or not found


@given(FLEETS, st.randoms())
def test_the_order_in_which_the_fleet_is_told_does_not_matter(fleet: dict[Version, int], chance: object) -> None:
    told = list(fleet.items())
    chance.shuffle(told)  # type: ignore[attr-defined]
    assert sources(AUTO, TARGET, dict(told)) == sources(AUTO, TARGET, fleet)


def test_versions_that_no_order_reads_are_served_too() -> None:
    assert sources(VersionOrder.SEMANTIC, Version("1.0.0"), {Version("factory"): 3}) == ["factory"]


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


def artifact(digit: str, fits: str, component: str = "app") -> Artifact:
    return Artifact(component, hardware(fits), "app.bin", Blob(Sha256(digit * 64), "", "", 1))


def test_artifacts_are_paired_by_hardware_and_component() -> None:
    old = [artifact("1", "a"), artifact("2", "b"), artifact("3", "c", "boot")]
    new = [artifact("4", "a"), artifact("5", "b:2"), artifact("6", "c"), artifact("1", "d")]
    assert [(o.blob.sha256[0], n.blob.sha256[0]) for o, n in pairs(old, new)] == [("1", "4"), ("2", "5")]


def test_the_same_bytes_make_no_pair_and_each_pair_is_made_once() -> None:
    assert pairs([artifact("1", "a")], [artifact("1", "a")]) == []
    both = pairs([artifact("1", "a"), artifact("1", "b")], [artifact("2", "a"), artifact("2", "b")])
    assert len(both) == 1


def test_a_delta_is_worth_less_than_six_tenths() -> None:
    assert worth(599, 1000)
    assert not worth(600, 1000)
    assert not worth(0, 0)
