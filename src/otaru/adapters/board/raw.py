"""An image for each of two slots: files or block devices, and a bootloader that starts one of them.

What is in a slot stands in a note beside the journal: written after the image is on the disk, removed before it is touched.
So a slot without a note holds anything, and is condemned: no bootloader starts it.
"""

from collections.abc import Mapping

import msgspec

from otaru.adapters.board.bootloaders import other
from otaru.adapters.board.disk import Disk, Part, full_named, parent, part_of
from otaru.adapters.board.sealed import Sealed
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, JournalBrokenError, UnsuitableError
from otaru.ports.board import Bootloader, Slot, Staged

TRIALS = 3
"""Starts that a new image has to come up in and be confirmed."""
_SYNC_EVERY = 8 * 1024 * 1024
"""So much waits to be written at most: a small device has no memory for more."""

_notes = msgspec.json.Decoder(dict[str, str])


class RawInstaller:
    """`ports.board.Installer` and `Origin` for one component in two slots."""

    kinds = frozenset({"raw", "file"})

    def __init__(
        self,
        component: str,
        disk: Disk,
        slots: Mapping[Slot, str],
        bootloader: Bootloader,
        notes: str,
        trials: int = TRIALS,
    ) -> None:
        self.components = frozenset({component})
        self._disk = disk
        self._slots = slots
        self._boot = bootloader
        self._kept = Sealed(disk, notes)
        self._trials = trials

    def check(self, piece: Piece) -> None:
        path = self._slots[other(self._boot.current())]
        size = self._disk.size(path)
        if size is None and self._disk.is_folder(parent(path)):
            return  # a slot that is a file, and was never written
        if size is None:
            raise InstallError(f"there is no slot {path}")
        if self._is_device(path) and piece.size > size:
            raise UnsuitableError(f"{piece.component} has {piece.size} bytes, its slot {size}", limit=size)

    def install(self, piece: Piece, staged: Staged) -> None:
        self.check(piece)
        slot = other(self._boot.current())
        path = self._slots[slot]
        self._boot.condemn(slot)
        self._note(slot, "")
        offset = waiting = 0
        with full_named(path):
            for chunk in staged.chunks():
                self._disk.write_at(path, offset, chunk)
                offset, waiting = offset + len(chunk), waiting + len(chunk)
                if waiting >= _SYNC_EVERY:
                    self._disk.sync(path)
                    waiting = 0
            if not self._is_device(path):
                self._disk.truncate(path, offset)
            self._disk.sync(path)
            self._disk.sync_folder(parent(path))
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

    def digest(self) -> str | None:
        # What nobody here has written is the factory's: nothing is known of it but its version.
        return self._notes().get(self._boot.current(), "").rpartition(" ")[2]

    def source(self, size: int) -> Part | None:
        return part_of(self._disk, self._slots[self._boot.current()], size)

    def _is_device(self, path: str) -> bool:
        return path.startswith("/dev/")

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
