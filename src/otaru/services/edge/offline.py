"""An update from a medium: the same as any, but that nobody hears how it goes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otaru.domain.deployment import Event
from otaru.domain.link import Note
from otaru.domain.schedule import Hours
from otaru.domain.update import Outcome
from otaru.domain.update_record import Past
from otaru.ports.board import Outbox
from otaru.ports.link import Link
from otaru.services.edge.parts import Parts

if TYPE_CHECKING:
    # It brings what verifies into memory, which an idle agent does without.
    from otaru.trust.verify.offline import OfflineBundle


@dataclass(frozen=True, slots=True)
class Waiting:
    """`ports.board.Outbox` of a device that nobody hears: what is put stays until a server has it."""

    kept: Outbox

    def put(self, note: Note) -> None:
        """See the port. Who succeeds by another stick has not failed, as long as nobody was told that it had."""
        self.kept.put(note)
        if note.event is Event.SUCCEED:
            failed = [one.id for one in self.kept.waiting() if one.action == note.action and one.event is Event.FAIL]
            self.kept.told(failed)

    def waiting(self) -> tuple[Note, ...]:
        """Nothing that would have to be told now."""
        return ()

    def told(self, ids: Collection[str]) -> None:
        """See the port: nobody was told."""


def begins_anew(parts: Parts, past: Past) -> bool:
    """Whether an update that is over is tried again: a bad stick is no reason to go back for another order."""
    return parts.bundle is not None and past.outcome is Outcome.FAILED


def by_medium(parts: Parts, link: Link, bundle: "OfflineBundle") -> Parts:
    """The same device, with a medium in the place of its server. Who brings it stands there: it waits for no hours."""
    return replace(parts, link=link, bundle=bundle, outbox=Waiting(parts.outbox), attributes={}, hours=Hours())
