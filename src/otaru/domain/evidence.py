"""Facts that a judge sees, members of segments and waves by state, and what it makes of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import log

from otaru.domain.deployment import FAILURES, FINAL, IN_FLIGHT, State
from otaru.domain.health import Risk


@dataclass(frozen=True, slots=True)
class Tally:
    """Members by state, of a wave or a whole rollout."""

    counts: Mapping[State, int]

    def of(self, *states: State) -> int:
        """How many members are in any of `states`."""
        return sum(self.counts.get(state, 0) for state in states)

    @property
    def members(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    @property
    def final(self) -> int:
        """Members that have ended, one way or the other."""
        return self.of(*FINAL)

    @property
    def failures(self) -> int:
        """Members whose end speaks against the release."""
        return self.of(*FAILURES)

    @property
    def in_flight(self) -> int:
        """Members that have been told and have not ended."""
        return self.of(*IN_FLIGHT)

    @property
    def judged(self) -> int:
        """Members that can bear witness: all but those who were skipped, cancelled or said no."""
        return self.members - self.of(State.SKIPPED, State.CANCELLED, State.REJECTED)


def summed(tallies: Iterable[Tally]) -> Tally:
    """The members of several tallies together."""
    counts: dict[State, int] = {}
    for tally in tallies:
        for state, members in tally.counts.items():
            counts[state] = counts.get(state, 0) + members
    return Tally(counts)


@dataclass(frozen=True, slots=True)
class Span:
    """Hours, since 1970, from `begin` on and before `end`."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """Members of a segment that were told in one hour (since 1970), by where they stand."""

    segment: int
    hour: int
    under_way: bool
    """Whether they had not ended when the fleet went dark, and were told before that was over."""
    state: State


@dataclass(frozen=True, slots=True)
class Evidence:
    """The members of a rollout, counted by (segment, wave)."""

    cells: Mapping[tuple[int, int], Tally]
    risk: Risk | None = None
    """What devices told of their health, where a judge asks for it."""
    dark: tuple[Span, ...] = ()
    """When the fleet hardly spoke, where a judge asks for it."""
    told: Mapping[Cohort, int] = field(default_factory=dict)
    """Where it did: the members that were told before the end of that."""

    def wave(self, index: int) -> Tally:
        """The members of a wave."""
        return summed(tally for (_, wave), tally in self.cells.items() if wave == index)

    def segment(self, index: int) -> Tally:
        """The members of a segment."""
        return summed(tally for (segment, _), tally in self.cells.items() if segment == index)

    @property
    def whole(self) -> Tally:
        """All members."""
        return summed(self.cells.values())

    @property
    def waves(self) -> dict[int, Tally]:
        """The members of every wave that has some."""
        found: dict[int, list[Tally]] = {}
        for (_, wave), tally in sorted(self.cells.items()):
            found.setdefault(wave, []).append(tally)
        return {wave: summed(tallies) for wave, tallies in found.items()}

    @property
    def segments(self) -> dict[int, dict[int, Tally]]:
        """The members of every segment that has some, by wave."""
        found: dict[int, dict[int, Tally]] = {}
        for (segment, wave), tally in self.cells.items():
            found.setdefault(segment, {})[wave] = tally
        return found

    def without(self, segments: Collection[int]) -> "Evidence":
        """The members of all other segments."""
        if not segments:
            return self
        cells = {cell: tally for cell, tally in self.cells.items() if cell[0] not in segments}
        return replace(self, cells=cells, told={c: n for c, n in self.told.items() if c.segment not in segments})


class Call(StrEnum):
    """What a judge says of a wave or a segment."""

    EXPAND = "expand"
    HOLD = "hold"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's call with its reason in counts that a person can check."""

    call: Call
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What an e-value says of a segment, or of all members, with the counts behind it."""

    segment: int | None
    """None: all members that are not in held segments."""
    call: Call
    log_e: float
    """The natural logarithm of the e-value."""
    log_threshold: float
    failed: int
    tried: int
    words: tuple[str, ...] = ()

    @property
    def doublings(self) -> int:
        """How often the e-value has doubled: 3 from 8 on."""
        return max(0, int(self.log_e / log(2)))

    def news(self, before: "Finding | None") -> bool:
        """Whether it is worth keeping after `before`: another call, or another power of two reached."""
        return before is None or (self.call, self.doublings) != (before.call, before.doublings)


@dataclass(frozen=True, slots=True)
class Said:
    """A finding, and when it was made."""

    at: datetime
    finding: Finding


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a judge says of a rollout."""

    waves: Mapping[int, Verdict]
    """Of every wave, by its members in segments that are not held."""
    segments: Mapping[int, Verdict] = field(default_factory=dict)
    """Of segments it has an opinion of. Where it says stop, that segment is held and the others go on."""
    ahead: int | None = None
    """The height up to which waves may open before the ones below have passed; None: one wave after the other."""
    findings: Sequence[Finding] = ()
    """Of a judge that has e-values: of all members, and of each segment."""
