"""Facts that a judge sees: how many members of a wave are in which state."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from otaru.domain.deployment import FAILURES, FINAL, IN_FLIGHT, State


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


class Call(StrEnum):
    """What a judge says of a wave."""

    EXPAND = "expand"
    HOLD = "hold"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's call with its reason in counts that a person can check."""

    call: Call
    reason: str
