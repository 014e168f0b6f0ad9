"""The one interpreter of transition tables.

A state machine here is data: a table from (state, event) to the next state, in one file, with nothing decided outside
it. `next` is total: an event that the table does not name in a state changes nothing and returns None, and the caller
says what that means (a late report is kept in history; a person's order is refused with the allowed ones).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, E]):
    """A named transition table with its initial and final states."""

    name: str
    initial: S
    final: frozenset[S]
    table: Mapping[tuple[S, E], S]
    _allowed: Mapping[S, tuple[E, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        allowed: dict[S, tuple[E, ...]] = {}
        for state, event in self.table:
            allowed[state] = (*allowed.get(state, ()), event)
        object.__setattr__(self, "_allowed", allowed)

    def next(self, state: S, event: E) -> S | None:
        """The state after `event` in `state`, or None where the table names no edge."""
        return self.table.get((state, event))

    def allowed(self, state: S) -> tuple[E, ...]:
        """The events that `state` has an edge for, in the table's order."""
        return self._allowed.get(state, ())

    def reachable(self) -> frozenset[S]:
        """Every state that some run from the initial state visits."""
        seen = {self.initial}
        frontier = [self.initial]
        while frontier:
            state = frontier.pop()
            for event in self.allowed(state):
                target = self.table[state, event]
                if target not in seen:
                    seen.add(target)
                    frontier.append(target)
        return frozenset(seen)
