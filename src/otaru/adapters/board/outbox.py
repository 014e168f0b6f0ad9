"""What the server is still to be told, as a small file: a device without a network for a year keeps what matters of it."""

from collections.abc import Collection

import msgspec

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.sealed import Sealed
from otaru.domain.link import MAX_NOTES, Note
from otaru.domain.update import SAID
from otaru.errors import JournalBrokenError

MAX_KEPT = 200
_OUTCOMES = frozenset(SAID.values())
_notes = msgspec.json.Decoder(tuple[Note, ...])


class FileOutbox:
    """`ports.board.Outbox` in two files of some kB."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._kept = Sealed(disk, path)

    def put(self, note: Note) -> None:
        notes = self._load()
        if any(one.id == note.id for one in notes):
            return
        self._put((*notes, note))

    def waiting(self) -> tuple[Note, ...]:
        return self._load()[:MAX_NOTES]

    def everything(self) -> tuple[Note, ...]:
        """All notes, also those that one batch has no room for."""
        return self._load()

    def told(self, ids: Collection[str]) -> None:
        notes = self._load()
        left = tuple(note for note in notes if note.id not in ids)
        if left != notes:
            self._put(left)

    def _load(self) -> tuple[Note, ...]:
        try:
            data = self._kept.load()
            return () if data is None else _notes.decode(data)
        except (JournalBrokenError, msgspec.DecodeError):
            return ()  # the journal still knows how the last updates ended, and says so again when it is asked

    def _put(self, notes: tuple[Note, ...]) -> None:
        while len(notes) > MAX_KEPT:
            # Words first, then steps, then the oldest outcome: the newest says what runs.
            spare = next((n for n in notes if n.event is None), None)
            spare = spare or next((n for n in notes if n.event not in _OUTCOMES), notes[0])
            notes = tuple(note for note in notes if note is not spare)
        self._kept.put(msgspec.json.encode(notes))
