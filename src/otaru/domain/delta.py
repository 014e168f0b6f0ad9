"""Deltas of releases: from which versions they are worth making, and when one is worth keeping.

A delta turns the bytes of one artifact into those of another. Nothing is trusted because of it: its result is the full
artifact, or it is thrown away.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Artifact
from otaru.domain.versions import VersionOrder, compare, reads

MOST_SOURCES = 5
COVERED = Fraction(9, 10)
"""Of the devices that run an older version: from the most common versions on, until so many are served."""
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


def sources(order: VersionOrder, target: Version, running: Mapping[Version, int]) -> list[Version]:
    """From which versions deltas to `target` are made: the fewest that serve enough of the devices behind it.

    Args:
        order: the order of the product's versions
        target: what devices are to come to
        running: on how many devices each version runs
    """
    behind = {version: n for version, n in running.items() if n > 0 and _leads(order, version, target)}
    enough = COVERED * sum(behind.values())
    found: list[Version] = []
    served = 0
    for version in sorted(behind, key=lambda version: (-behind[version], version)):
        if served >= enough or len(found) == MOST_SOURCES:
            break
        found.append(version)
        served += behind[version]
    return found


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
