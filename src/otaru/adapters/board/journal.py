"""The journal of updates and the device's trust, as files."""

import msgspec

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.sealed import Sealed
from otaru.domain.update_record import Record
from otaru.errors import JournalBrokenError
from otaru.trust.verify import state as trust
from otaru.trust.verify.refusals import StateError

_record = msgspec.json.Decoder(Record)


class FileJournal:
    """`ports.board.Journal` in two files of a few kB."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._kept = Sealed(disk, path)

    def load(self) -> Record:
        data = self._kept.load()
        if data is None:
            return Record()
        try:
            return _record.decode(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise JournalBrokenError(f"the journal is of another form: {error}") from None

    def put(self, record: Record) -> None:
        self._kept.put(msgspec.json.encode(record))


class FileVault:
    """`ports.board.Vault` in two files."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._kept = Sealed(disk, path)

    def load(self) -> trust.State:
        try:
            data = self._kept.load()
        except JournalBrokenError as error:
            raise StateError(error.message) from None
        if data is None:
            raise StateError("the device was never provisioned", hint="otaru agent enroll does it.")
        return trust.decode(data)

    def put(self, state: trust.State) -> None:
        self._kept.put(trust.encode(state))
