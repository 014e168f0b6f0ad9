"""What the agent writes down for what is asked of it from afar: the book of errands, what waits to be told, the owner's word."""

import msgspec

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.sealed import Sealed
from otaru.domain.errand_book import Book
from otaru.errors import JournalBrokenError
from otaru.ports.remote import Kept, Sharing

_book = msgspec.json.Decoder(Book)
_kept = msgspec.json.Decoder(Kept)
_sharing = msgspec.json.Decoder(Sharing)


class FileLedger:
    """`ports.remote.Ledger` in two files."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._sealed = Sealed(disk, path)

    def load(self) -> Book:
        data = self._sealed.load()
        try:
            return Book() if data is None else _book.decode(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise JournalBrokenError(f"the book of errands is of another form: {error}") from None

    def put(self, book: Book) -> None:
        self._sealed.put(msgspec.json.encode(book))


class FileSpool:
    """`ports.remote.Spool` in two files of some 10 kB."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._sealed = Sealed(disk, path)

    def load(self) -> Kept:
        try:
            data = self._sealed.load()
            return Kept() if data is None else _kept.decode(data)
        except (JournalBrokenError, msgspec.DecodeError, ValueError):
            return Kept()

    def put(self, kept: Kept) -> None:
        self._sealed.put(msgspec.json.encode(kept))


class FileConsent:
    """`ports.remote.Consent` in two files: written by `otaru agent sharing`, read by the agent whenever it asks."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._sealed = Sealed(disk, path)

    def now(self) -> Sharing:
        try:
            data = self._sealed.load()
            return Sharing() if data is None else _sharing.decode(data)
        except (JournalBrokenError, msgspec.DecodeError, ValueError, OSError):
            return Sharing(telemetry=False, diagnostics=False, commands=False)

    def put(self, sharing: Sharing) -> None:
        """Keep it, durably."""
        self._sealed.put(msgspec.json.encode(sharing))
