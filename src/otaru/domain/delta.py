"""Deltas of releases: from which versions they are worth making, and when one is worth keeping.

A delta turns the bytes of one artifact into those of another. Nothing is trusted because of it: its result is the full
artifact, or it is thrown away.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from otaru.domain.fleet import Runs
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Artifact, Release
from otaru.domain.versions import VersionOrder, compare, reads

MOST_SOURCES = 5
"""Of one artifact."""
COVERED = Fraction(9, 10)
"""Of the devices that an artifact is for and that run an older one: from the most common on, until so many are served."""
MOST_KNOWN = 50
"""Versions that are looked at, the most common ones."""
MOST_MAJORS = 2
"""A source may be so many major versions behind."""
WORTH = Fraction(6, 10)
"""Of the compressed artifact: a delta that is not smaller than this share is not kept."""

MOST_ATTEMPTS = 3
"""A delta that could not be made is tried again so often, in all."""
MOST_WAITING = 200
"""Deltas that wait to be made, of one tenant."""
PATIENCE = timedelta(minutes=1)
"""After the first attempt that failed; it doubles."""

_FIRST_NUMBER = re.compile(r"\d{1,18}")


class DeltaState(StrEnum):
    """What has become of a delta."""

    WAITING = "waiting"
    MAKING = "making"
    MADE = "made"
    USELESS = "useless"
    """It would not be smaller enough, or its artifacts are of a kind that deltas do not help."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pair:
    """Between which bytes, and how it is written: what a delta is known by."""

    source: Sha256
    target: Sha256
    codec: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A delta, or the order to make one."""

    pair: Pair
    product: ProductName
    source_version: Version
    """The release that its source was found in when it was ordered; there may be others of the same bytes."""
    target_version: Version
    state: DeltaState
    due_at: datetime
    """When it is made next; where it is being made, when that is given up."""
    created_at: datetime
    window: int | None = None
    attempts: int = 0
    patch: Sha256 | None = None
    size: int | None = None
    """Bytes of the patch."""
    full: int | None = None
    """Bytes of the compressed target."""
    memory: int | None = None
    """Bytes that applying it takes."""
    reason: str | None = None
    """Why there is none."""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taker:
    """What a device says of the deltas that it can take: its class."""

    codecs: frozenset[str]
    memory: int
    """Bytes that applying one may take."""
    has: frozenset[Sha256] = frozenset()
    """What is installed; where it says nothing, the artifact of the version that it reported."""


def suited(deltas: Iterable[Delta], full: int, has: Collection[Sha256], taker: Taker) -> list[Delta]:
    """Those that a device can take, the smallest first: from what it has, in a form it knows, within its memory.

    Args:
        deltas: the deltas to one artifact
        full: its bytes; a delta that is not smaller is none
        has: digests of what the device has to start from
        taker: the device
    """
    found = [
        (delta.size, delta.pair.codec, delta)
        for delta in deltas
        if delta.state is DeltaState.MADE and delta.size is not None and delta.memory is not None
        if delta.size < full and delta.memory <= taker.memory
        if delta.pair.codec in taker.codecs and delta.pair.source in has
    ]
    return [delta for *_, delta in sorted(found, key=lambda one: one[:2])]


def sources(order: VersionOrder, target: Version, running: Mapping[Runs, int]) -> list[Version]:
    """The versions that deltas to `target` may lead from, the most common first.

    Args:
        order: the order of the product's versions
        target: what devices are to come to
        running: on how many devices of which hardware each version runs
    """
    behind: Counter[Version] = Counter()
    for (_, version), devices in running.items():
        if devices > 0 and _leads(order, version, target):
            behind[version] += devices
    return sorted(behind, key=lambda version: (-behind[version], version))[:MOST_KNOWN]


def routes(
    target: Release, earlier: Mapping[Version, Release], running: Mapping[Runs, int]
) -> list[tuple[Release, Artifact, Artifact]]:
    """Which deltas are made to a release: for each of its artifacts the fewest that serve enough of the devices it is for.

    A device's own hardware says which artifact it has, and which one it is to get.

    Args:
        target: what devices are to come to
        earlier: releases that deltas may lead from
        running: on how many devices of which hardware each version runs

    Returns:
        The earlier release, its artifact, and the one that takes its place: what serves most devices first.
    """
    found: dict[tuple[Sha256, Sha256], tuple[Release, Artifact, Artifact]] = {}
    served: Counter[tuple[Sha256, Sha256]] = Counter()
    for (hardware, version), devices in sorted(running.items(), key=lambda runs: (runs[0][1], str(runs[0][0]))):
        if devices <= 0 or (source := earlier.get(version)) is None:
            continue
        had = {artifact.component: artifact for artifact in source.artifacts_for(hardware)}
        for new in target.artifacts_for(hardware):
            old = had.get(new.component, new)
            if (ends := (old.blob.sha256, new.blob.sha256))[0] != ends[1]:
                found.setdefault(ends, (source, old, new))
                served[ends] += devices
    chosen: list[tuple[Sha256, Sha256]] = []
    for blob in {new for _, new in served}:
        chosen += _fewest({ends: n for ends, n in served.items() if ends[1] == blob})
    return [found[ends] for ends in sorted(chosen, key=lambda ends: (-served[ends], ends))]


def _fewest(served: Mapping[tuple[Sha256, Sha256], int]) -> list[tuple[Sha256, Sha256]]:
    """The most common ones, until enough devices are served."""
    enough, done = COVERED * sum(served.values()), 0
    chosen: list[tuple[Sha256, Sha256]] = []
    for ends in sorted(served, key=lambda ends: (-served[ends], ends)):
        if done >= enough or len(chosen) == MOST_SOURCES:
            break
        chosen.append(ends)
        done += served[ends]
    return chosen


def near(source: Version, target: Version) -> bool:
    """Whether a version is at most MOST_MAJORS behind, as far as its first number tells."""
    old, new = (_FIRST_NUMBER.search(version) for version in (source, target))
    return old is None or new is None or int(new[0]) - int(old[0]) <= MOST_MAJORS


def pairs(source: Sequence[Artifact], target: Sequence[Artifact]) -> list[tuple[Artifact, Artifact]]:
    """Which artifacts of one release take the place of which of an earlier one, by what they are for; each bytes once."""
    found: dict[tuple[Sha256, Sha256], tuple[Artifact, Artifact]] = {}
    for new in target:
        for old in source:
            same = old.component == new.component and (old.hardware == new.hardware or old.hardware.fits(new.hardware))
            if same and old.blob.sha256 != new.blob.sha256:
                found.setdefault((old.blob.sha256, new.blob.sha256), (old, new))
    return list(found.values())


def worth(size: int, full: int) -> bool:
    """Whether a delta is kept, by the bytes of the compressed target."""
    return size < WORTH * full


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    return PATIENCE * (1 << max(attempts - 1, 0))


def _leads(order: VersionOrder, source: Version, target: Version) -> bool:
    if not near(source, target) or source == target:
        return False
    return not (reads(order, source) and reads(order, target)) or compare(order, source, target) < 0
