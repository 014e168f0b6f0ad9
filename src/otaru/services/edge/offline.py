"""An update from a medium: the same as any, but that nobody hears how it goes."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from otaru.domain.link import Note
from otaru.ports.board import Outbox
from otaru.ports.link import Link
from otaru.services.edge.parts import Parts
from otaru.trust.verify.offline import OfflineBundle


@dataclass(frozen=True, slots=True)
class Waiting:
    """`ports.board.Outbox` of a device that nobody hears: what is put stays until a server has it."""

    kept: Outbox

    def put(self, note: Note) -> None:
        """See the port."""
        self.kept.put(note)

    def waiting(self) -> tuple[Note, ...]:
        """Nothing that would have to be told now."""
        return ()

    def told(self, ids: Collection[str]) -> None:
        """See the port: nobody was told."""


def by_medium(parts: Parts, link: Link, bundle: OfflineBundle) -> Parts:
    """The same device, with a medium in the place of its server."""
    return replace(parts, link=link, bundle=bundle, outbox=Waiting(parts.outbox), attributes={})
