"""Blobs in a local folder: `uploads/ID` while they come, `blobs/ab/abcdef…` (their SHA-256) when they are whole.

Theory of operation. Bytes are written and hashed in one pass, synced, renamed to their digest, and then the folder is
synced: whatever a crash interrupts, a file under `blobs/` is whole. Nothing ever writes to a file there. The disk is
worked in threads of our own, step by step, so that neither a slow disk nor a hash holds up the event loop, and memory
stays at one step for each upload. A step that has begun is waited for even when its caller is cancelled: its files
stay open until it has ended.

Files are private to their owner. Where the root folder lets its group read (for nginx and X-Accel-Redirect), so do the
blobs, but never the uploads.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from otaru.adapters.blobs import uploads
from otaru.adapters.blobs.durable import full_disk_named, make_folder, sync_folder
from otaru.adapters.blobs.uploads import STEP, Digests, Signature, Upload
from otaru.domain import ids
from otaru.domain.ids import Sha256
from otaru.domain.release import Blob
from otaru.errors import ChecksumMismatchError, InvalidInputError, InvalidStateError, NotFoundError, TooLargeError

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 8
_REMEMBERED = 256
"""Uploads whose hashes are kept between two appends; one that is forgotten is read again when it is finished."""

_Memory = tuple[Signature, Digests]


class LocalBlobs:
    """`ports.blobs.Blobs` in the folder `root`, which is made where it is missing."""

    def __init__(self, root: Path) -> None:
        root = root.absolute()
        self._uploads, self._blobs = root / "uploads", root / "blobs"
        self._root = f"{root}/"
        self._threads = _Threads()
        self._memories: dict[str, _Memory] = {}
        for folder in reversed([folder for folder in (root, *root.parents) if not folder.exists()]):
            make_folder(folder)
        with suppress(PermissionError):  # a parent that we may pass but not read was there before us
            sync_folder(root.parent)
        self._group = root.stat().st_mode & 0o050
        make_folder(self._uploads)
        make_folder(self._blobs, self._group)

    async def begin(self, upload: str, limit: int) -> None:
        """Start an upload that may hold `limit` bytes at most."""
        await self._threads.run(uploads.begin, self._uploads, upload, limit)

    async def offset(self, upload: str) -> int:
        """How many bytes of it are durable."""
        return await self._threads.run(uploads.offset, self._uploads, upload)

    async def append(self, upload: str, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """Write `chunks` from `offset` on."""
        opened = Upload(self._uploads, upload)
        try:
            await self._threads.run(_open, opened, self._memories.get(upload))
            if opened.offset != offset:
                raise InvalidStateError(f"the upload goes on at {opened.offset}, not at {offset}", offset=opened.offset)
            try:
                await self._pour(opened, chunks)
            finally:
                await self._threads.run(opened.sync)
                self._remember(upload, opened.memory())
            return opened.offset
        finally:
            opened.close()

    async def _pour(self, opened: Upload, chunks: AsyncIterator[bytes]) -> None:
        buffer = bytearray()
        try:
            async for chunk in chunks:
                if opened.offset + len(buffer) + len(chunk) > opened.limit:
                    raise TooLargeError(f"the file is larger than {opened.limit} bytes", limit=opened.limit)
                buffer += chunk
                if len(buffer) >= STEP:
                    full, buffer = buffer, bytearray()
                    await self._threads.run(opened.write, full)
        finally:
            if buffer:
                await self._threads.run(opened.write, buffer)

    async def finish(self, upload: str, expected: Sha256 | None = None) -> Blob:
        """Make the upload a blob."""
        blob = await self._threads.run(self._finish, upload, self._memories.get(upload), expected)
        self._memories.pop(upload, None)
        return blob

    def _finish(self, upload: str, memory: _Memory | None, expected: Sha256 | None) -> Blob:
        with closing(Upload(self._uploads, upload)) as opened:
            _open(opened, memory)
            blob = opened.blob()
            if expected is not None and blob.sha256 != expected:
                uploads.remove(self._uploads, upload)
                raise ChecksumMismatchError(
                    f"the bytes that arrived have the SHA-256 {blob.sha256}, not {expected}",
                    hint="Upload the file again.",
                    expected=expected,
                    found=blob.sha256,
                )
            path = self._path(blob.sha256)
            make_folder(path.parent, self._group)
            opened.move(path, 0o600 | self._group & 0o040)
            sync_folder(path.parent)
            return blob

    async def abort(self, upload: str) -> None:
        """Forget an upload."""
        self._memories.pop(upload, None)
        await self._threads.run(uploads.remove, self._uploads, upload)

    @contextmanager
    def open(self, sha256: Sha256) -> Iterator["LocalFile"]:
        """Open a blob to read."""
        try:
            descriptor = os.open(self._root + self._place(sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"there is no artifact {sha256}") from None
        try:
            yield LocalFile(descriptor, self._threads)
        finally:
            os.close(descriptor)

    def path(self, sha256: Sha256) -> str | None:
        """Its path below the root; None where there is no such blob."""
        place = self._place(sha256)
        try:
            os.stat(self._root + place)  # noqa: PTH116 - a path object would cost more than the call
        except FileNotFoundError:
            return None
        return place

    def stored(self) -> Iterator[tuple[Sha256, int, datetime]]:
        """Every blob with its size and when it was stored."""
        for path in self._blobs.glob("??/*"):
            try:
                sha256, now = ids.sha256(path.name), path.stat()
            except (InvalidInputError, FileNotFoundError):
                continue  # not ours, or removed meanwhile
            yield sha256, now.st_size, datetime.fromtimestamp(now.st_mtime, UTC)

    async def remove(self, sha256: Sha256, before: datetime | None = None) -> bool:
        """Remove a blob. One that a power cut brings back has no row, so it is removed again."""
        return await self._threads.run(_remove, self._path(sha256), before)

    async def sweep(self, older_than: datetime) -> tuple[int, int]:
        """Remove uploads untouched since `older_than`."""
        return await self._threads.run(uploads.sweep, self._uploads, older_than.timestamp())

    def _place(self, sha256: Sha256) -> str:
        """Where a blob is below the root. No digest leads out of it: parsed again, whatever the caller did."""
        name = ids.sha256(sha256)
        return f"blobs/{name[:2]}/{name}"

    def _path(self, sha256: Sha256) -> Path:
        return Path(self._root + self._place(sha256))

    def _remember(self, upload: str, memory: _Memory | None) -> None:
        if memory is None:
            return
        self._memories[upload] = memory
        if len(self._memories) > _REMEMBERED:
            del self._memories[next(iter(self._memories))]


def _remove(path: Path, before: datetime | None) -> bool:
    try:
        if before is not None and path.stat().st_mtime >= before.timestamp():
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _open(upload: Upload, memory: _Memory | None) -> None:
    upload.open()
    if memory is not None:
        upload.recall(*memory)


class LocalFile:
    """`ports.blobs.OpenBlob`: a descriptor that the kernel can copy from."""

    def __init__(self, descriptor: int, threads: "_Threads") -> None:
        self._descriptor = descriptor
        self._threads = threads
        self.size = os.fstat(descriptor).st_size

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    async def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; empty at the end."""
        return await self._threads.run(os.pread, self._descriptor, length, offset)


class _Threads:
    """Runs one blocking step in a worker thread, with a full disk called by its name."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work() -> T:
            with full_disk_named():
                return step(*args, **kwargs)

        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # The step still uses descriptors that our caller is about to close.
            while not running.done():
                try:
                    await asyncio.wait([running])
                except asyncio.CancelledError:
                    continue
            raise
