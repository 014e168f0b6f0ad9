"""One upload on the disk: bytes that are not a blob yet. Everything here blocks: for worker threads.

Two files: `ID` holds the bytes, `ID.state` says how many there may be and how many are durable. The second number is
written only after the bytes it counts are synced, so after a crash or a power cut what lies beyond it is cut off and
what lies below it is right, whatever the file system makes of a file that grew.

Who changes an upload holds a `flock` on `ID`, which also keeps other processes out and dies with its holder. Because
finishing moves `ID` away, the lock is worth something only while the name still means the locked file: `Upload` looks
again after it has the lock, so nobody writes into what has become a blob.
"""

import fcntl
import hashlib
import os
import re
from pathlib import Path

from otaru.adapters.blobs.durable import sync_folder
from otaru.domain.ids import Sha256
from otaru.domain.release import Blob
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError

STEP = 1024 * 1024
"""Bytes that one call reads, or writes and hashes."""
SYNC_EVERY = 64 * 1024 * 1024
"""A crash costs an upload at most so many bytes."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STATE = re.compile(rb"([0-9]{20}) ([0-9]{20})\n")

Signature = tuple[int, int, int, int, int]
"""Tells whether a file is still as it was: device, inode, size, times of the last write and change."""


class Digests:
    """SHA-256, SHA-1 and MD5 of the same bytes, in one pass."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        # What DDI clients compare; nothing is trusted because of these two.
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes | memoryview) -> None:
        """Add the bytes that follow."""
        self._sha256.update(data)
        self._sha1.update(data)
        self._md5.update(data)
        self.size += len(data)

    def blob(self) -> Blob:
        """What the bytes so far are."""
        return Blob(Sha256(self._sha256.hexdigest()), self._sha1.hexdigest(), self._md5.hexdigest(), self.size)


def path_of(folder: Path, name: str) -> Path:
    """Where an upload's bytes lie. No name leads out of `folder`, or to a state file.

    Raises:
        InvalidInputError: the name is none.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError("that is not an upload's id", hint="1 to 64 characters of A-Z a-z 0-9 _ -")
    return folder / name


def begin(folder: Path, name: str, limit: int) -> None:
    """Make an upload, durably; leave one that is there as it is."""
    path = path_of(folder, name)
    data = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(data):
            return  # somebody is at work with it, so it is there
        if _read_state(_state_path(path)) is None:
            try:
                _make_state(_state_path(path), limit)
                sync_folder(folder)
            except OSError:
                remove(folder, name)
                raise
    finally:
        os.close(data)


def offset(folder: Path, name: str) -> int:
    """How many bytes of an upload are durable.

    Raises:
        NotFoundError: there is no such upload.
    """
    path = path_of(folder, name)
    state = _read_state(_state_path(path))
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        state = None
    if state is None:
        raise NotFoundError(f"there is no upload {name}")
    return min(state[1], size)


def remove(folder: Path, name: str) -> None:
    """Forget an upload; a missing one is no error. Whoever is appending to it writes into nothing."""
    path = path_of(folder, name)
    path.unlink(missing_ok=True)
    _state_path(path).unlink(missing_ok=True)


def sweep(folder: Path, older_than: float) -> tuple[int, int]:
    """Remove uploads that nobody has written to since `older_than` (Unix time); how many, and how many bytes."""
    count = size = 0
    for path in list(folder.iterdir()):
        if path.suffix == ".state":
            _sweep_state(path, older_than)
        elif _NAME.fullmatch(path.name) and (freed := _sweep_data(path, older_than)) is not None:
            count, size = count + 1, size + freed
    return count, size


class Upload:
    """An upload: `open` it, then it is locked for us alone and cut to what is durable; `close` it in any case."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = path_of(folder, name)
        self._data = self._state = -1
        self._synced = 0
        self._digests: Digests | None = None
        self.offset = self.limit = 0

    def open(self) -> None:
        """Open and lock it.

        Raises:
            NotFoundError: there is no such upload.
            InvalidStateError: somebody else has it open.
        """
        name = self._path.name
        try:
            self._data = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"there is no upload {name}") from None
        if not _locked(self._data):
            raise InvalidStateError(
                f"upload {name} is in use by another request",
                hint="Wait for that one to end, then ask for the offset.",
            )
        state = _read_state(_state_path(self._path)) if _same(self._path, self._data) else None
        if state is None:
            raise NotFoundError(f"there is no upload {name}")
        self._state = os.open(_state_path(self._path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.limit, durable = state
        size = os.fstat(self._data).st_size
        self.offset = self._synced = min(durable, size)
        if size > self.offset:
            os.ftruncate(self._data, self.offset)
        if self.offset == 0:
            self._digests = Digests()

    def close(self) -> None:
        """Let go of it; also the lock."""
        for descriptor in (self._data, self._state):
            if descriptor >= 0:
                os.close(descriptor)
        self._data = self._state = -1

    def recall(self, signature: Signature, digests: Digests) -> None:
        """Go on hashing from where an earlier append ended, if the file is still as that one left it."""
        if signature == self.signature() and digests.size == self.offset:
            self._digests = digests

    def memory(self) -> tuple[Signature, Digests] | None:
        """What `recall` needs later; None where the bytes before ours were not hashed by us."""
        return None if self._digests is None else (self.signature(), self._digests)

    def signature(self) -> Signature:
        """How the file is now."""
        now = os.fstat(self._data)
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)

    def write(self, data: bytes | bytearray) -> None:
        """Add bytes. After an error `offset` tells how many of them were written."""
        view = memoryview(data).toreadonly()
        while view:
            written = os.pwrite(self._data, view, self.offset)
            if self._digests is not None:
                self._digests.update(view[:written])
            self.offset += written
            view = view[written:]
        if self.offset - self._synced >= SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Make what was written durable, then say so in the state file."""
        if self.offset == self._synced:
            return
        os.fdatasync(self._data)
        # In place and within one sector: a full disk cannot refuse it, and it is either the old line or the new one.
        os.pwrite(self._state, _state_line(self.limit, self.offset), 0)
        os.fdatasync(self._state)
        self._synced = self.offset

    def blob(self) -> Blob:
        """What the bytes are; read again only where they were not hashed while they came."""
        if self._digests is None:
            digests = Digests()
            while data := os.pread(self._data, STEP, digests.size):
                digests.update(data)
            self._digests = digests
        return self._digests.blob()

    def move(self, to: Path, mode: int) -> None:
        """Give the bytes their final name, durable before they have it. The name itself is the caller's to sync.

        A file that has this name already has these bytes, or is a damaged copy: either may be replaced.
        """
        os.fchmod(self._data, mode)
        os.utime(self._data)  # stored now, however long the upload took
        os.fsync(self._data)
        self._path.replace(to)
        _state_path(self._path).unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(path: Path, descriptor: int) -> bool:
    """Whether the name still means the open file."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _state_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.state")


def _state_line(limit: int, durable: int) -> bytes:
    return b"%020d %020d\n" % (limit, durable)


def _make_state(path: Path, limit: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _state_line(limit, 0), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_state(path: Path) -> tuple[int, int] | None:
    """Limit and durable bytes; None where there is no state, or one that a crash left torn."""
    try:
        found = _STATE.fullmatch(path.read_bytes())
    except FileNotFoundError:
        return None
    return None if found is None else (int(found[1]), int(found[2]))


def _sweep_data(path: Path, older_than: float) -> int | None:
    try:
        data = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        now = os.fstat(data)
        if now.st_mtime >= older_than or not _locked(data) or not _same(path, data):
            return None
        remove(path.parent, path.name)
        return now.st_size
    finally:
        os.close(data)


def _sweep_state(path: Path, older_than: float) -> None:
    """Remove a state whose upload is gone: a crash came between the two."""
    try:
        if not path.with_suffix("").exists() and path.stat().st_mtime < older_than:
            path.unlink()
    except FileNotFoundError:
        return
