"""An image for each of two slots: files or block devices, and a bootloader that starts one of them."""

from collections.abc import Mapping

from otaru.adapters.board.bootloaders import other
from otaru.adapters.board.disk import Disk, Part, full_named, parent, part_of
from otaru.adapters.board.slots import TRIALS, SlotInstaller
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.ports.board import Bootloader, Slot, Staged

_SYNC_EVERY = 8 * 1024 * 1024
"""So much waits to be written at most: a small device has no memory for more."""


class RawInstaller(SlotInstaller):
    """`ports.board.Installer` that writes an image itself, and `Origin` of what runs."""

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
        super().__init__(component, disk, bootloader, notes, trials)
        self._slots = slots

    def check(self, piece: Piece) -> None:
        path = self._slots[other(self._boot.current())]
        size = self._disk.size(path)
        if size is None and self._disk.is_folder(parent(path)):
            return  # a slot that is a file, and was never written
        if size is None:
            raise InstallError(f"there is no slot {path}")
        if self._is_device(path) and piece.size > size:
            raise UnsuitableError(f"{piece.component} has {piece.size} bytes, its slot {size}", limit=size)

    def _write(self, slot: Slot, piece: Piece, staged: Staged) -> None:  # noqa: ARG002 - any image
        path = self._slots[slot]
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

    def digest(self) -> str | None:
        # What nobody here has written is the factory's: nothing is known of it but its version.
        return self._notes().get(self._boot.current(), "").rpartition(" ")[2]

    def source(self, size: int) -> Part | None:
        return part_of(self._disk, self._slots[self._boot.current()], size)

    def _is_device(self, path: str) -> bool:
        return path.startswith("/dev/")
