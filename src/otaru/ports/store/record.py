"""What happened, in the order in which it became true."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otaru.domain.events import Happening, Kind, Position
from otaru.domain.ids import TenantId


@dataclass(frozen=True, slots=True)
class Recorded:
    """A happening with its place in the record."""

    at: Position
    what: Happening


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit of this process recorded."""

    happenings: Sequence[Happening]
    keys: Sequence[int]
    """The `Position.key`s of it, for `Events.every_since` to leave out."""
    follows: str | None = None
    mark: str | None = None
    """Who has heard of everything up to the mark `follows`, and now of this, has heard of everything up to `mark`. None
    where other workers commit in between."""


class Events(Protocol):
    """The record of what happened."""

    def add(self, happenings: Sequence[Happening]) -> None:
        """Record them, and have those that `trust.log.entries` says wait for their place in a log."""
        ...

    def page(
        self,
        tenant: TenantId,
        after: Position,
        limit: int,
        subject: str | None = None,
        newest_first: bool = False,
        kinds: Collection[Kind] = (),
    ) -> list[Recorded]:
        """Of one tenant, after a position (or, newest first, before it: `START` then means from the end).

        `kinds` empty means all. Of a subject with many events, those of other kinds are read over.
        """
        ...

    def every_after(self, after: Position, limit: int) -> list[Recorded]:
        """Of all tenants, for registries. Ends where an older transaction may still commit in between."""
        ...

    def mark(self) -> str:
        """This snapshot, for `every_since`."""
        ...

    def every_since(self, mark: str, limit: int, known: Collection[int] = ()) -> tuple[list[Recorded] | None, str]:
        """What was committed between `mark` and this snapshot, of all tenants, and this snapshot's mark.

        What has one of the keys `known` is left out. Nothing else is missed and nothing comes twice, and unlike
        `every_after` it does not wait for transactions that still run; in exchange, the order between transactions is
        not that of their positions. None instead of a list where it is more than `limit`, or something that this
        program does not know: then everything may have changed.
        """
        ...

    def last(self) -> Position:
        """Where the record ends now."""
        ...

    def prune(self, before: datetime, limit: int) -> int:
        """Forget, of the `limit` oldest, those of all tenants from before; how many."""
        ...
