"""Blobs in a local folder: `uploads/ID` while they grow, `blobs/ab/abcd…` when they are whole.

A blob gets its name only when its bytes are on the disk: write → fsync → hash → link to its name → fsync of the folder.
A torn file can thus only be an upload, which is resumed or swept. Hashes are taken in `finish`, over what the disk
holds, so an upload may be resumed by another process.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from otaru.domain.ids import Sha256
from otaru.domain.release import Blob
from otaru.errors import (
    ChecksumMismatchError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    StorageFullError,
    TooLargeError,
)

_STEP = 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class LocalBlobs:
    """Implements `ports.blobs.Blobs`."""

    def __init__(self, root: Path) -> None:
        """Use `root`, which exists; its folders are made."""
        self._uploads = root / "uploads"
        self._blobs = root / "blobs"
        for folder in (self._uploads, self._blobs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def begin(self, upload: str, limit: int) -> None:
        """See the port. The limit is kept in the file's name, so that any process finds it."""
        with contextlib.suppress(NotFoundError):
            self._find(upload)
            return
        await asyncio.to_thread(self._begin, upload, limit)

    def _begin(self, upload: str, limit: int) -> None:
        with _disk():
            os.close(os.open(self._uploads / f"{_id(upload)}.{limit}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _sync(self._uploads)

    async def offset(self, upload: str) -> int:
        """See the port."""
        return self._find(upload)[0].stat().st_size

    async def append(self, upload: str, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """See the port."""
        path, limit = self._find(upload)
        with _held(path) as descriptor:
            size = os.fstat(descriptor).st_size
            if offset != size:
                raise InvalidStateError(f"the upload is at {size}, not at {offset}", offset=size)
            try:
                async for piece in _steps(chunks):
                    if offset + len(piece) > limit:
                        raise TooLargeError(
                            f"the upload is larger than the {limit} bytes that are allowed", limit=limit
                        )
                    await asyncio.to_thread(_write, descriptor, piece, offset)
                    offset += len(piece)
            finally:
                await asyncio.to_thread(_settle, descriptor, offset)
        return offset

    async def finish(self, upload: str, expected: Sha256 | None = None) -> Blob:
        """See the port."""
        path, _ = self._find(upload)
        with _held(path) as descriptor:
            blob = await asyncio.to_thread(_hashed, descriptor)
            if expected is not None and blob.sha256 != expected:
                path.unlink()
                raise ChecksumMismatchError(f"the bytes have the SHA-256 {blob.sha256}, not {expected}")
            await asyncio.to_thread(self._name, path, descriptor, blob.sha256)
        return blob

    def _name(self, path: Path, descriptor: int, sha256: Sha256) -> None:
        final = self._path(sha256)
        with _disk():
            os.fsync(descriptor)
            if not final.parent.is_dir():
                final.parent.mkdir(mode=0o700, exist_ok=True)
                _sync(self._blobs)
            with contextlib.suppress(FileExistsError):
                os.link(path, final)
            _sync(final.parent)
            path.unlink()

    async def abort(self, upload: str) -> None:
        """See the port."""
        with contextlib.suppress(NotFoundError):
            self._find(upload)[0].unlink(missing_ok=True)

    @contextmanager
    def open(self, sha256: Sha256) -> Iterator["LocalBlob"]:
        """See the port."""
        try:
            descriptor = os.open(self._path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"there is no blob {sha256}") from None
        try:
            yield LocalBlob(descriptor)
        finally:
            os.close(descriptor)

    def path(self, sha256: Sha256) -> str | None:
        """See the port."""
        final = self._path(sha256)
        return str(final.relative_to(self._blobs.parent)) if final.exists() else None

    def stored(self) -> Iterator[tuple[Sha256, int, datetime]]:
        """See the port."""
        for path in self._blobs.glob("??/*"):
            facts = path.stat()
            yield Sha256(path.name), facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)

    async def remove(self, sha256: Sha256) -> None:
        """See the port."""
        self._path(sha256).unlink(missing_ok=True)

    async def sweep(self, older_than: datetime) -> tuple[int, int]:
        """See the port."""
        return await asyncio.to_thread(self._sweep, older_than.timestamp())

    def _sweep(self, older_than: float) -> tuple[int, int]:
        count = size = 0
        for path in self._uploads.iterdir():
            with contextlib.suppress(FileNotFoundError, InvalidStateError), _held(path) as descriptor:
                facts = os.fstat(descriptor)
                if facts.st_mtime < older_than:
                    path.unlink()
                    count, size = count + 1, size + facts.st_size
        return count, size

    def _find(self, upload: str) -> tuple[Path, int]:
        for path in self._uploads.glob(f"{_id(upload)}.*"):
            return path, int(path.suffix[1:])
        raise NotFoundError(f"there is no upload {upload}")

    def _path(self, sha256: Sha256) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise InvalidInputError("that is no SHA-256")
        return self._blobs / sha256[:2] / sha256


class LocalBlob:
    """Implements `ports.blobs.OpenBlob`."""

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`, which the opener closes."""
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def fileno(self) -> int | None:
        """See the port."""
        return self._descriptor

    async def read_at(self, offset: int, length: int) -> bytes:
        """See the port."""
        return await asyncio.to_thread(os.pread, self._descriptor, length, offset)


def _id(upload: str) -> str:
    if not _ID.fullmatch(upload):
        raise NotFoundError("there is no such upload")
    return upload


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """The file, for this caller alone, also among processes."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError("there is no such upload") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidStateError("somebody else is writing this upload") from None
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError("the disk is full") from None
        raise


async def _steps(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Small chunks gathered into steps worth a thread's time."""
    gathered = bytearray()
    try:
        async for chunk in chunks:
            gathered += chunk
            if len(gathered) >= _STEP:
                yield bytes(gathered)
                gathered.clear()
    except BaseException:
        if gathered:
            yield bytes(gathered)
        raise
    if gathered:
        yield bytes(gathered)


def _write(descriptor: int, piece: bytes, offset: int) -> None:
    with _disk():
        rest = memoryview(piece)
        while rest:
            written = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[written:], offset + written


def _settle(descriptor: int, offset: int) -> None:
    """Drop a step that was written in part, and make the rest durable."""
    with _disk():
        os.ftruncate(descriptor, offset)
        os.fsync(descriptor)


def _hashed(descriptor: int) -> Blob:
    digests = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    size = 0
    while piece := os.pread(descriptor, _STEP, size):
        size += len(piece)
        for digest in digests:
            digest.update(piece)
    sha256, sha1, md5 = (digest.hexdigest() for digest in digests)
    return Blob(Sha256(sha256), sha1, md5, size)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
