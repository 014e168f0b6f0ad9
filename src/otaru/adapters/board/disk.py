"""Every change that an agent makes on a disk goes through here: one small set of operations, each of which a test can cut.

What a power cut leaves is what was *synced*: `sync` makes a file's bytes durable, `sync_folder` the names in a folder.
Until then the disk may keep any part of what was written, in any order. `replace` and `remove_tree` keep to that.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from otaru.errors import StorageFullError

CHUNK = 64 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Disk(Protocol):
    """Files, folders and symbolic links by absolute path. What is missing raises FileNotFoundError, unless it says else.

    Nothing is durable before it is synced; `rename` replaces what is there and is atomic.
    """

    def size(self, path: str) -> int | None:
        """A file's or a block device's length in bytes; None where there is none."""
        ...

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer at the end."""
        ...

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """Write; the file is made where it is missing, private to the agent."""
        ...

    def truncate(self, path: str, size: int) -> None: ...

    def mode(self, path: str, mode: int) -> None:
        """Set a file's permission bits."""
        ...

    def sync(self, path: str) -> None: ...

    def sync_folder(self, path: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty folder; one that is missing is no error."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder; one that is there is no error."""
        ...

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link where there is nothing."""
        ...

    def target(self, path: str) -> str | None:
        """Where a symbolic link leads; None where there is no link."""
        ...

    def names(self, path: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is no folder."""
        ...

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder; a link to one is none."""
        ...

    def status(self, path: str) -> "Status | None":
        """What a name is, not what it leads to; None where there is nothing."""
        ...

    def own(self, path: str, user: int, group: int) -> None:
        """Give it to a user and a group; a link itself."""
        ...


@dataclass(frozen=True, slots=True)
class Status:
    """What a name is: its type and permission bits as `stat` has them, and whose it is."""

    mode: int
    user: int
    group: int


class LocalDisk:
    """The disk that the system gives us."""

    def size(self, path: str) -> int | None:
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISBLK(found.st_mode):
            with _open(path, os.O_RDONLY) as file:
                return os.lseek(file, 0, os.SEEK_END)
        return found.st_size

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        with _open(path, os.O_RDONLY) as file:
            parts = []
            while length and (part := os.pread(file, length, offset)):
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
            return b"".join(parts)

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        with _open(path, os.O_WRONLY | os.O_CREAT) as file:
            rest = memoryview(data)
            while rest:
                written = os.pwrite(file, rest, offset)
                rest, offset = rest[written:], offset + written

    def truncate(self, path: str, size: int) -> None:
        with _open(path, os.O_WRONLY) as file:
            os.ftruncate(file, size)

    def mode(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def sync(self, path: str) -> None:
        with _open(path, os.O_RDONLY) as file:
            os.fsync(file)

    def sync_folder(self, path: str) -> None:
        with _open(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            os.fsync(folder)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def remove(self, path: str) -> None:
        try:
            if self.is_folder(path):
                os.rmdir(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass

    def make_folder(self, path: str) -> None:
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            if not self.is_folder(path):
                raise

    def link(self, path: str, target: str) -> None:
        os.symlink(target, path)

    def target(self, path: str) -> str | None:
        try:
            return os.readlink(path)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EINVAL, errno.ENOTDIR}:
                return None
            raise

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_folder(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(os.lstat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def status(self, path: str) -> Status | None:
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Status(found.st_mode, found.st_uid, found.st_gid)

    def own(self, path: str, user: int, group: int) -> None:
        os.chown(path, user, group, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Part:
    """`images.reading.Source` of a file's or device's first bytes."""

    disk: Disk
    path: str
    size: int

    def read_at(self, offset: int, n: int) -> bytes:
        return self.disk.read_at(self.path, offset, min(n, max(self.size - offset, 0)))


def part_of(disk: Disk, path: str, size: int) -> Part | None:
    """The first bytes of a file or device; None where it has fewer."""
    held = disk.size(path)
    return None if held is None or held < size else Part(disk, path, size)


@contextmanager
def full_named(what: str) -> Iterator[None]:
    """Say `StorageFullError` for what the system calls by several names."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFullError(f"there is no room for {what}") from error


def parent(path: str) -> str:
    """The folder that a path is in."""
    return posixpath.dirname(path)


def make_folders(disk: Disk, path: str) -> None:
    """Make a folder and those above it, durably."""
    missing = []
    while not disk.is_folder(path) and path != parent(path):
        missing.append(path)
        path = parent(path)
    for one in reversed(missing):
        disk.make_folder(one)
        disk.sync_folder(parent(one))


def replace(disk: Disk, path: str, data: bytes) -> None:
    """Put bytes where a file is or is not: durable when this returns, and never a mixture of the old and the new."""
    new = f"{path}.new"
    disk.remove(new)  # of a cut: it may be longer
    try:
        disk.write_at(new, 0, data)
        disk.sync(new)
    except OSError:
        _forget(disk, new)
        raise
    disk.rename(new, path)
    disk.sync_folder(parent(path))


def replace_link(disk: Disk, path: str, target: str) -> None:
    """Let a symbolic link lead elsewhere, as `replace`."""
    new = f"{path}.new"
    disk.remove(new)
    disk.link(new, target)
    disk.rename(new, path)
    disk.sync_folder(parent(path))


def remove_tree(disk: Disk, path: str) -> None:
    """Remove whatever is at a path. What a cut leaves of it is removed by the next call."""
    waiting = [path]
    while waiting:
        last = waiting[-1]
        inner = [f"{last}/{name}" for name in disk.names(last)] if disk.is_folder(last) else []
        if inner:
            waiting += inner
        else:
            disk.remove(waiting.pop())


def _forget(disk: Disk, path: str) -> None:
    """Free the room of what could not be written; if that fails too, the next `replace` does it."""
    with suppress(OSError):
        disk.remove(path)


@contextmanager
def _open(path: str, flags: int) -> Iterator[int]:
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)
