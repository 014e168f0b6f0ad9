"""The way from what a device runs to a release that it may not take at once: which releases it takes first."""

from collections import deque
from collections.abc import Iterable

from otaru.domain.ids import Version
from otaru.domain.release import Release, ReleaseState
from otaru.domain.versions import compare, key, reads

_ROLLED_OUT = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})


def path(start: Version, goal: Release, releases: Iterable[Release]) -> tuple[Release, ...] | None:
    """The fewest releases that lead from `start` to `goal`, in their order, `goal` last; None where none do.

    On the way are releases that may be rolled out, newer than what ran before and older than `goal`, each from its floor
    or above and with its requirements of its own component met. Of two ways of one length, the one whose steps are newer.
    `releases` are of the goal's product; those that do not fit the device are the caller's to leave out.
    """
    order = goal.order
    if not reads(order, start):
        return None
    if _leads(start, goal):
        return (goal,)
    between = [
        r
        for r in releases
        if r.state in _ROLLED_OUT and compare(order, start, r.version) < 0 < compare(order, goal.version, r.version)
    ]
    between.sort(key=lambda r: key(order, r.version), reverse=True)
    waiting: deque[tuple[Version, tuple[Release, ...]]] = deque([(start, ())])
    left = [*between]
    while waiting:
        version, way = waiting.popleft()
        if _leads(version, goal):
            return (*way, goal)
        passed: list[Release] = []
        for release in left:
            if compare(order, version, release.version) < 0 and _leads(version, release):
                waiting.append((release.version, (*way, release)))
            else:
                passed.append(release)
        left = passed
    return None


def _leads(version: Version, release: Release) -> bool:
    """Whether a device that runs this version may take the release, as far as the release's own component goes."""
    component = release.component
    own = (wanted for wanted in release.terms.requires if wanted.component == component)
    return release.above_floor(version) and all(wanted.met_by(version) for wanted in own)
