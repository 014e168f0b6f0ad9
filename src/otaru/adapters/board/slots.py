"""One component in two slots: what is written where, what is started, and the way back.

What is in a slot stands in a note beside the journal: written after the image is on the disk, removed before it is touched.
So a slot without a note holds anything, and is condemned: no bootloader starts it.
"""

from abc import ABC, abstractmethod

import msgspec

from otaru.adapters.board.bootloaders import other
from otaru.adapters.board.disk import Disk
from otaru.adapters.board.sealed import Sealed
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, JournalBrokenError
from otaru.ports.board import Bootloader, Slot, Staged

TRIALS = 3
"""Starts that a new image has to come up in and be confirmed."""

_notes = msgspec.json.Decoder(dict[str, str])


class SlotInstaller(ABC):
    """`ports.board.Installer` for one component in two slots; who writes a slot is a matter of its kind."""

    def __init__(self, component: str, disk: Disk, bootloader: Bootloader, notes: str, trials: int = TRIALS) -> None:
        self.components = frozenset({component})
        self._disk = disk
        self._boot = bootloader
        self._kept = Sealed(disk, notes)
        self._trials = trials

    @property
    @abstractmethod
    def kinds(self) -> frozenset[str]: ...

    @abstractmethod
    def check(self, piece: Piece) -> None: ...

    @abstractmethod
    def _write(self, slot: Slot, piece: Piece, staged: Staged) -> None:
        """Write it into a slot that nothing starts; durable when this returns."""

    def install(self, piece: Piece, staged: Staged) -> None:
        self.check(piece)
        slot = other(self._boot.current())
        self._boot.condemn(slot)
        self._note(slot, "")
        self._write(slot, piece, staged)
        self._note(slot, _key(piece))

    def activate(self, piece: Piece) -> None:
        notes, slot = self._notes(), self._boot.current()
        if notes.get(slot) == _key(piece):
            return
        if notes.get(other(slot)) != _key(piece):
            raise InstallError(f"{piece.component} {piece.version} is in neither slot")
        self._boot.arm(other(slot), self._trials)

    def standing(self, piece: Piece) -> Standing:
        notes, slot = self._notes(), self._boot.current()
        if notes.get(slot) == _key(piece):
            return Standing.RUNS
        armed = notes.get(other(slot)) == _key(piece) and self._boot.primary() == other(slot)
        return Standing.ARMED if armed else Standing.ABSENT

    def commit(self, piece: Piece) -> None:
        slot = self._boot.current()
        if self._notes().get(slot) != _key(piece):
            raise InstallError(f"{piece.component} {piece.version} does not run")
        self._boot.confirm(slot)

    def revert(self, piece: Piece) -> None:
        slot = self._boot.current()
        match self.standing(piece):
            case Standing.RUNS:
                self._boot.confirm(other(slot))
            case Standing.ARMED:
                self._boot.confirm(slot)
            case Standing.ABSENT:
                pass

    def _notes(self) -> dict[str, str]:
        try:
            data = self._kept.load()
            return {} if data is None else _notes.decode(data)
        except (JournalBrokenError, msgspec.DecodeError):
            return {}  # what is in the slots is not known: what runs goes on running

    def _note(self, slot: Slot, key: str) -> None:
        notes = self._notes()
        if notes.get(slot, "") != key:
            self._kept.put(msgspec.json.encode({**notes, slot: key}))


def _key(piece: Piece) -> str:
    return f"{piece.version} {piece.sha256}"
