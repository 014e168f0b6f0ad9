"""Files and archives: each version in a folder of its own, and a link that leads to the one that runs.

    ROOT/current -> versions/1.4.2-3fa9c1…       what runs
    ROOT/before  -> versions/1.4.1-77ab02…       what ran before it
    ROOT/untold                                  while the application was not yet told that the link leads elsewhere
    ROOT/versions/
    ROOT/archives/1.4.2-3fa9c1…                  the archive that it was unpacked from, where that is kept

Switching is one rename of a link. A version's folder gets its name when all in it is on the disk. Two versions are kept, and
a third while it is written.
"""

import io
import re
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from otaru.adapters.board.disk import (
    CHUNK,
    Disk,
    Part,
    full_named,
    make_folders,
    parent,
    part_of,
    remove_tree,
    replace_link,
)
from otaru.adapters.board.program import LOCAL, Programs, run
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.ports.board import Staged

MAX_MEMBERS = 100_000
MAX_UNPACKED = 8 * 1024**3
_VERSIONS = "versions"
_UNTOLD = "untold"
_ARCHIVES = "archives"
_ODD = re.compile(r"[^A-Za-z0-9._+-]")
_DIGEST = re.compile(r"-([0-9a-f]{64})\Z")


class FilesInstaller:
    """`ports.board.Installer` for a component that is a file, or an archive (tar, also compressed) where `unpack`.

    And `Origin` where it is a file: of an archive only what was in it is kept, and it as well where `keep_archive`.

    `after` is run once the link leads elsewhere, there and back (`systemctl restart app`): what it starts is on trial. It
    has to be harmless to run twice. What is started at a start of the device by itself follows the link.
    """

    kinds = frozenset({"file", "archive"})

    def __init__(
        self,
        component: str,
        disk: Disk,
        root: str,
        *,
        unpack: bool = False,
        keep_archive: bool = False,
        after: Sequence[str] = (),
        after_timeout_s: float = 60,
        max_unpacked: int = MAX_UNPACKED,
        programs: Programs = LOCAL,
    ) -> None:
        self.components = frozenset({component})
        self._disk = disk
        self._root = root
        self._unpack = unpack
        self._keep_archive = keep_archive
        self._after = tuple(after)
        self._after_timeout_s = after_timeout_s
        self._max_unpacked = max_unpacked
        self._programs = programs

    def check(self, piece: Piece) -> None:
        if not self._unpack and piece.size > self._max_unpacked:
            raise UnsuitableError(f"{piece.component} has {piece.size} bytes, {self._max_unpacked} are allowed")

    def install(self, piece: Piece, staged: Staged) -> None:
        self.check(piece)
        place = self._place(piece)
        with full_named(place):
            make_folders(self._disk, f"{self._root}/{_VERSIONS}")
            self._keep_the_way_back()
            if self._disk.is_folder(place) and place != f"{self._root}/{self._leads('current')}":
                remove_tree(self._disk, place)  # of an update that went back: what is there is not looked at
            if not self._disk.is_folder(place):
                if self._unpack and self._keep_archive:
                    self._archived(piece, staged)
                self._write(piece, staged, f"{place}.part", place)

    def check_there(self, piece: Piece) -> None:
        """Raise InstallError where it was not installed."""
        if not self._disk.is_folder(self._place(piece)):
            raise InstallError(f"{piece.component} {piece.version} is not there")

    def activate(self, piece: Piece) -> None:
        self.check_there(piece)
        if self._leads("current") != _folder(piece):
            self._owe()
            replace_link(self._disk, f"{self._root}/current", _folder(piece))
        self._tell()

    def standing(self, piece: Piece) -> Standing:
        return Standing.RUNS if self._leads("current") == _folder(piece) else Standing.ABSENT

    def commit(self, piece: Piece) -> None:
        if self.standing(piece) is not Standing.RUNS:
            raise InstallError(f"{piece.component} {piece.version} does not run")

    def revert(self, piece: Piece) -> None:
        if self.standing(piece) is not Standing.RUNS:
            if self._owes():
                self._tell()
            return
        self._owe()
        before = self._leads("before")
        if before is None:
            self._disk.remove(f"{self._root}/current")
            self._disk.sync_folder(self._root)
        else:
            replace_link(self._disk, f"{self._root}/current", before)
        self._tell()

    def digest(self) -> str | None:
        current = self._leads("current")
        if current is None or (self._unpack and self._archive_size(current) is None):
            return None
        found = _DIGEST.search(current)
        return "" if found is None else found[1]

    def source(self, size: int) -> Part | None:
        if self._unpack:
            current = self._leads("current")
            return None if current is None else part_of(self._disk, self._archive(current), size)
        names = self._disk.names(f"{self._root}/current/")
        return part_of(self._disk, f"{self._root}/current/{names[0]}", size) if len(names) == 1 else None

    def _archive(self, folder: str) -> str:
        return f"{self._root}/{_ARCHIVES}/{folder.removeprefix(f'{_VERSIONS}/')}"

    def _archive_size(self, folder: str) -> int | None:
        return self._disk.size(self._archive(folder))

    def _archived(self, piece: Piece, staged: Staged) -> None:
        """Keep the archive, before its version is there."""
        path = self._archive(_folder(piece))
        make_folders(self._disk, parent(path))
        self._copied(staged.chunks(), f"{path}.part")
        self._disk.rename(f"{path}.part", path)
        self._disk.sync_folder(parent(path))

    def _leads(self, link: str) -> str | None:
        return self._disk.target(f"{self._root}/{link}")

    def _place(self, piece: Piece) -> str:
        return f"{self._root}/{_folder(piece)}"

    def _owe(self) -> None:
        """Say that the application is to be told. Where the power goes it starts anew, and needs no word: nothing is synced."""
        if self._after:
            self._disk.write_at(f"{self._root}/{_UNTOLD}", 0, b"")

    def _owes(self) -> bool:
        return bool(self._after) and self._disk.size(f"{self._root}/{_UNTOLD}") is not None

    def _tell(self) -> None:
        if self._after:
            run(self._after, self._after_timeout_s, programs=self._programs)
            self._disk.remove(f"{self._root}/{_UNTOLD}")

    def _keep_the_way_back(self) -> None:
        """What runs now is what is gone back to; all other versions make room."""
        current = self._leads("current")
        if current is None:
            self._disk.remove(f"{self._root}/before")
            self._disk.sync_folder(self._root)
        elif self._leads("before") != current:
            replace_link(self._disk, f"{self._root}/before", current)
        for name in self._disk.names(f"{self._root}/{_VERSIONS}"):
            if f"{_VERSIONS}/{name}" != current:
                remove_tree(self._disk, f"{self._root}/{_VERSIONS}/{name}")
        for name in self._disk.names(f"{self._root}/{_ARCHIVES}"):
            if f"{_VERSIONS}/{name}" != current:
                self._disk.remove(f"{self._root}/{_ARCHIVES}/{name}")

    def _write(self, piece: Piece, staged: Staged, part: str, place: str) -> None:
        self._disk.make_folder(part)
        self._fill(piece, staged, part)
        self._disk.sync_folder(part)
        self._disk.rename(part, place)
        self._disk.sync_folder(parent(place))

    def _fill(self, piece: Piece, staged: Staged, part: str) -> None:
        """Write what the version consists of into its folder."""
        if self._unpack:
            self._unpacked(staged.chunks(), part)
        else:
            self._copied(staged.chunks(), f"{part}/{PurePosixPath(piece.path).name}")

    def _copied(self, chunks: Iterator[bytes], path: str) -> None:
        offset = 0
        for chunk in chunks:
            self._disk.write_at(path, offset, chunk)
            offset += len(chunk)
        if offset == 0:
            self._disk.write_at(path, 0, b"")
        self._disk.mode(path, 0o644)
        self._disk.sync(path)

    def _unpacked(self, chunks: Iterator[bytes], part: str) -> None:
        """Unpack an archive into a folder; nothing in it leads elsewhere."""
        source = Flow(chunks)
        room, folders = self._max_unpacked, {part}
        try:
            with tarfile.open(fileobj=source, mode="r|*", bufsize=CHUNK) as archive:
                for number, member in enumerate(archive):
                    room -= max(member.size, 0)
                    if number >= MAX_MEMBERS or room < 0:
                        raise UnsuitableError("the archive unpacks to more than is allowed", limit=self._max_unpacked)
                    self._member(archive, member, part, folders)
        except (tarfile.TarError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InstallError(f"it is no archive that can be unpacked: {error}") from None
        for _ in source.rest():
            pass  # its end says whether all of it was what was verified
        for folder in sorted(folders, reverse=True):
            self._disk.sync_folder(folder)

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, part: str, folders: set[str]) -> None:
        name = PurePosixPath(member.name)
        if name == PurePosixPath("."):
            return
        if name.is_absolute() or ".." in name.parts or "\0" in member.name:
            raise UnsuitableError(f"the archive holds {member.name[:100]!r}, which leads out of it")
        path = f"{part}/{name}"
        for above in list(name.parents)[-2::-1]:
            self._folder(f"{part}/{above}", folders)
        if member.isdir():
            self._folder(path, folders)
        elif member.issym():
            _check_link(name, member.linkname)
            self._disk.remove(path)
            self._disk.link(path, member.linkname)
        elif member.isreg():
            self._disk.remove(path)
            self._file(archive, member, path)
        else:
            raise UnsuitableError(f"the archive holds {member.name[:100]!r}, which is no file, folder or link")

    def _folder(self, path: str, folders: set[str]) -> None:
        folders.add(path)
        if self._disk.is_folder(path):  # looked at each time: a link may have come into its place
            return
        try:
            self._disk.make_folder(path)
        except FileExistsError:
            raise UnsuitableError(
                f"the archive holds {path.rpartition('/')[2][:100]!r} twice, not as folders"
            ) from None

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        content = archive.extractfile(member)
        if content is None:
            raise InstallError(f"{member.name[:100]!r} cannot be read")
        offset = 0
        self._disk.write_at(path, 0, b"")
        while chunk := content.read(CHUNK):
            self._disk.write_at(path, offset, chunk)
            offset += len(chunk)
        self._disk.mode(path, stat.S_IMODE(member.mode) & 0o755 | 0o600)
        self._disk.sync(path)


class Flow(io.RawIOBase):
    """Chunks as a file that is read once, from its beginning to its end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._left) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._left += chunk
        size = len(self._left) if size < 0 else size
        found, self._left = self._left[:size], self._left[size:]
        return found

    def rest(self) -> Iterator[bytes]:
        """What has not been read."""
        yield self._left
        yield from self._chunks


def _folder(piece: Piece) -> str:
    return f"{_VERSIONS}/{_ODD.sub('_', piece.version)}-{piece.sha256}"


def _check_link(name: PurePosixPath, target: str) -> None:
    """Check that a link stays inside of the archive."""
    depth = len(name.parts) - 1
    parts = PurePosixPath(target).parts
    if PurePosixPath(target).is_absolute() or "\0" in target:
        raise UnsuitableError(f"the archive's link {str(name)[:100]!r} leads out of it")
    for part in parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise UnsuitableError(f"the archive's link {str(name)[:100]!r} leads out of it")
