"""Segments are held and released: what is held is offered to nobody, and keeps nobody else from going on."""

from dataclasses import dataclass, replace
from enum import StrEnum

from otaru.domain.deployment import OPEN
from otaru.domain.evidence import Call, Evidence, Ruling
from otaru.domain.rollout.machine import ROLLOUT, RolloutState
from otaru.domain.rollout.plan import Rollout
from otaru.domain.rollout.segment import Segment
from otaru.errors import InvalidStateError, NotFoundError, NothingToDoError

BY_HAND = "held by hand: "
"""How the reason begins of a segment that a person held."""
GOES_BACK = "; who took it is brought back"
"""How the reason ends of one whose devices have all ended, and were brought back where that is safe."""


class Order(StrEnum):
    """What a step wants done with the members, beside the rollout's own new state."""

    CANCEL_OPEN = "cancel_open"
    """Move every open deployment along `cancel`."""
    CANCEL_SCHEDULED = "cancel_scheduled"
    """Move every scheduled deployment along `cancel`."""
    SKIP_SCHEDULED = "skip_scheduled"
    """Move every scheduled deployment along `skip`."""
    SILENCE_OPEN = "silence_open"
    """Move every open deployment along `silence`."""
    SKIP_HELD = "skip_held"
    """Move every deployment along `skip` whose device has downloaded it and waits to be told to install it."""
    SKIP_WAITING = "skip_waiting"
    """Move every deployment that waits for consent along `skip`."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a rollout becomes, and what becomes of its members."""

    rollout: Rollout
    orders: tuple[Order, ...] = ()
    notes: tuple[str, ...] = ()
    """In words, one for each thing that changed: they go into the record."""
    back: str = ""
    """Why devices that took the release are to be brought back now; empty where they are not."""
    segments: tuple[int, ...] = ()
    """Of which segments they are; none: of all."""


def hold(rollout: Rollout, index: int, reason: str) -> Step:
    """Carry out a person's order to hold a segment: who has begun goes on, nobody else begins.

    Raises:
        NotFoundError, NothingToDoError: there is no such segment, or it is held.
        InvalidStateError: the rollout has ended, or is about to.
    """
    segment = _of_unended(rollout, index)
    if segment.held:
        raise NothingToDoError(f"segment {segment.name!r} of rollout {rollout.id} is held already")
    why = reason or "no reason was given"
    return Step(_with(rollout, replace(segment, held=True, overruled=False, reason=f"{BY_HAND}{why}")))


def release(rollout: Rollout, index: int, reason: str, ruling: Ruling) -> Step:
    """Carry out a person's order to have a segment go on. Where the judge would stop it, that is overruled for good.

    Raises:
        NotFoundError, NothingToDoError: there is no such segment, or it is not held.
        InvalidStateError: the rollout has ended, or is about to.
    """
    segment = _of_unended(rollout, index)
    if not segment.held:
        raise NothingToDoError(f"segment {segment.name!r} of rollout {rollout.id} is not held")
    verdict = ruling.segments.get(index)
    overruled = verdict is not None and verdict.call is Call.STOP
    told = f"overruled by hand ({verdict.reason})" if verdict is not None and overruled else "released by hand"
    why = told + (f": {reason}" if reason else "")
    return Step(_with(rollout, replace(segment, held=False, overruled=overruled, reason=why)))


def hold_failing(rollout: Rollout, ruling: Ruling) -> Rollout | None:
    """With those segments held that the judge stops and nobody overruled; None where there is none."""
    failing = [s for s in rollout.segments if not (s.held or s.overruled) and _stops(ruling, s)]
    for segment in failing:
        rollout = _with(rollout, replace(segment, held=True, reason=ruling.segments[segment.index].reason))
    return rollout if failing else None


def held_by_judge(rollout: Rollout) -> tuple[int, ...]:
    """The segments that no person held."""
    return tuple(s.index for s in rollout.segments if s.held and not s.reason.startswith(BY_HAND))


def brought_back(rollout: Rollout, evidence: Evidence) -> Rollout | None:
    """With those segments that the judge held marked whose devices have all ended by now; None where there is none."""
    judged = held_by_judge(rollout)
    ended = [
        s
        for s in rollout.segments
        if s.index in judged and not s.reason.endswith(GOES_BACK) and not evidence.segment(s.index).of(*OPEN)
    ]
    for segment in ended:
        rollout = _with(rollout, replace(segment, reason=segment.reason + GOES_BACK))
    return rollout if ended else None


def _stops(ruling: Ruling, segment: Segment) -> bool:
    verdict = ruling.segments.get(segment.index)
    return verdict is not None and verdict.call is Call.STOP


def _of_unended(rollout: Rollout, index: int) -> Segment:
    segment = next((s for s in rollout.segments if s.index == index), None)
    if segment is None:
        # People count them from 1, the API from 0: a number would be wrong for one of them.
        raise NotFoundError(f"rollout {rollout.id} has no such segment: it has {len(rollout.segments)}")
    if rollout.state in ROLLOUT.final or rollout.state is RolloutState.STOPPING:
        raise InvalidStateError(f"rollout {rollout.id} is {rollout.state}: its segments stay as they are")
    return segment


def _with(rollout: Rollout, segment: Segment) -> Rollout:
    segments = tuple(segment if s.index == segment.index else s for s in rollout.segments)
    return replace(rollout, segments=segments, edition=rollout.edition + 1)
