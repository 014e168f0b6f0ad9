"""Downloads on the disk: the bytes in one file, and in another how many of them are synced."""

import re
from collections.abc import Iterable, Iterator

from otaru.adapters.board.disk import CHUNK, Disk, full_named, make_folders, parent, replace
from otaru.domain.update_record import Piece
from otaru.trust.verify.payload import payload_of

_NUMBER = re.compile(rb"[0-9]{1,18}")


class FolderStaging:
    """`ports.board.Staging` in a folder of its own."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder

    def partial(self, piece: Piece) -> "PartialFile":
        return PartialFile(self._disk, self._path(piece), piece.size)

    def keep_only(self, pieces: Iterable[Piece]) -> None:
        kept = {path for piece in pieces for path in (self._path(piece), _mark(self._path(piece)))}
        found = [f"{self._folder}/{name}" for name in self._disk.names(self._folder)]
        _remove(self._disk, [path for path in found if path not in kept])

    def staged(self, piece: Piece) -> "StagedFile":
        return StagedFile(self._disk, self._path(piece), piece)

    def _path(self, piece: Piece) -> str:
        return f"{self._folder}/{piece.sha256}"


class PartialFile:
    """`ports.partial.Partial`."""

    def __init__(self, disk: Disk, path: str, size: int) -> None:
        self._disk = disk
        self._path = path
        self._size = size
        self._end: int | None = None
        """Where the bytes end that are not synced yet; None: there are none."""
        self._cut = False
        """What a cut left behind what is held is gone."""

    def held(self) -> int:
        mark, size = self._disk.size(_mark(self._path)), self._disk.size(self._path)
        if mark is None or size is None:
            return 0
        raw = self._disk.read_at(_mark(self._path), 0, 20)
        return min(int(raw), size, self._size) if _NUMBER.fullmatch(raw) else 0

    def read(self, offset: int, length: int) -> bytes:
        return self._disk.read_at(self._path, offset, length)

    def append(self, offset: int, data: bytes) -> None:
        with full_named(self._path):
            if not self._cut:
                make_folders(self._disk, parent(self._path))
                if (size := self._disk.size(self._path)) is not None and size > offset:
                    self._disk.truncate(self._path, offset)
                self._cut = True
            self._disk.write_at(self._path, offset, data)
        self._end = offset + len(data)

    def sync(self) -> None:
        if self._end is None:
            return
        with full_named(self._path):
            self._disk.sync(self._path)
            replace(self._disk, _mark(self._path), b"%d" % self._end)
        self._end = None

    def discard(self) -> None:
        self._end, self._cut = None, False
        _remove(self._disk, [_mark(self._path), self._path])


class StagedFile:
    """`ports.board.Staged`."""

    def __init__(self, disk: Disk, path: str, piece: Piece) -> None:
        self._disk = disk
        self._piece = piece
        self.path = path
        self.size = piece.size

    def chunks(self) -> Iterator[bytes]:
        payload = payload_of(self._piece)
        while chunk := self._disk.read_at(self.path, payload.size, CHUNK):
            payload.feed(chunk)
            if payload.size == self._piece.size:
                payload.end()  # before the last bytes are handed on
            yield chunk
        payload.end()


def _mark(path: str) -> str:
    """Says how many bytes are synced."""
    return f"{path}.synced"


def _remove(disk: Disk, paths: list[str]) -> None:
    for path in paths:
        disk.remove(path)
    if paths and disk.is_folder(parent(paths[0])):
        disk.sync_folder(parent(paths[0]))
