"""Files, folders and links to a tar and back, through a `Disk`: what is put back is what was there, byte for byte.

Kept: bytes, names, permission bits, whose it is, where links lead. Not kept: times, extended attributes, that two names are
one file. Sockets, pipes and devices are passed over: who listens there makes them anew.
"""

import io
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from otaru.adapters.board.disk import CHUNK, Disk, make_folders, parent
from otaru.errors import BackupError

MAX_MEMBERS = 100_000


@dataclass
class Packer:
    """Puts trees into a tar, of so many bytes at most."""

    disk: Disk
    archive: tarfile.TarFile
    room: int
    members: int = 0

    def text(self, name: str, data: bytes) -> None:
        """A file that is nowhere else."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._add(info, io.BytesIO(data))

    def tree(self, name: str, path: str) -> None:
        """Whatever is at a path, under a name. Raises BackupError where it is too much, or changes meanwhile."""
        waiting = [(name, path)]
        while waiting:
            inner, at = waiting.pop()
            found = self.disk.status(at)
            if found is None:
                raise BackupError(f"{at} is gone while it is saved", hint="backup.pause can stop who changes it.")
            info = tarfile.TarInfo(inner)
            info.mode, info.uid, info.gid = stat.S_IMODE(found.mode), found.user, found.group
            if stat.S_ISDIR(found.mode):
                info.type = tarfile.DIRTYPE
                self._add(info)
                waiting += [(f"{inner}/{one}", f"{at}/{one}") for one in reversed(self.disk.names(at))]
            elif stat.S_ISLNK(found.mode):
                info.type, info.linkname = tarfile.SYMTYPE, self.disk.target(at) or ""
                self._add(info)
            elif stat.S_ISREG(found.mode):
                info.size = self.disk.size(at) or 0
                self._add(info, _Exactly(self.disk, at, info.size))

    def _add(self, info: tarfile.TarInfo, content: "io.RawIOBase | io.BytesIO | None" = None) -> None:
        self.members += 1
        self.room -= info.size
        if self.members > MAX_MEMBERS or self.room < 0:
            raise BackupError(
                "there is more to save than is allowed",
                hint="backup.max_bytes says how much, in 100,000 files at most.",
            )
        self.archive.addfile(info, content)
        self.archive.members.clear()  # type: ignore[attr-defined]


class _Exactly(io.RawIOBase):
    """The first bytes of a file, so many and no fewer."""

    def __init__(self, disk: Disk, path: str, size: int) -> None:
        super().__init__()
        self._disk, self._path, self._size, self._at = disk, path, size, 0

    def read(self, size: int = -1) -> bytes:
        wanted = min(size if size >= 0 else self._size, self._size - self._at)
        found = self._disk.read_at(self._path, self._at, wanted)
        if len(found) < wanted:
            raise BackupError(
                f"{self._path} became shorter while it was saved", hint="backup.pause can stop who writes it."
            )
        self._at += len(found)
        return found


def unpacked(disk: Disk, archive: tarfile.TarFile, places: Mapping[str, str]) -> set[str]:
    """Write each tree of a tar to its place, where there is nothing; durable, but for the place's own name.

    `places` says where the tree of each name comes to lie. The names of those that there were.
    """
    begun: set[str] = set()
    folders: list[tuple[str, tarfile.TarInfo]] = []
    for info in members(archive):
        tree, _, inner = info.name.partition("/")
        if tree not in places or any(part in {"", ".", ".."} for part in inner.split("/") if inner):
            raise BackupError(f"the backup holds {info.name[:100]!r}, which belongs nowhere")
        path = f"{places[tree]}/{inner}" if inner else places[tree]
        if not inner:
            begun.add(tree)
            make_folders(disk, parent(path))
        if info.isdir():
            disk.make_folder(path)
            folders.append((path, info))
        elif info.issym():
            disk.link(path, info.linkname)
            _give(disk, path, info)
        else:
            _file(disk, archive, path, info)
    for path, info in reversed(folders):  # one that nobody may write to is filled first
        _give(disk, path, info)
        disk.mode(path, info.mode)
        disk.sync_folder(path)
    return begun


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """What is in a tar, one after the other; what is past is forgotten."""
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        yield info


def _file(disk: Disk, archive: tarfile.TarFile, path: str, info: tarfile.TarInfo) -> None:
    content = archive.extractfile(info)
    if content is None:
        raise BackupError(f"the backup holds {info.name[:100]!r}, which is no file, folder or link")
    offset = 0
    disk.write_at(path, 0, b"")
    while chunk := content.read(CHUNK):
        disk.write_at(path, offset, chunk)
        offset += len(chunk)
    _give(disk, path, info)
    disk.mode(path, info.mode)
    disk.sync(path)


def _give(disk: Disk, path: str, info: tarfile.TarInfo) -> None:
    status = disk.status(path)
    if status is not None and (status.user, status.group) != (info.uid, info.gid):
        disk.own(path, info.uid, info.gid)
