"""Where bytes are kept: by their SHA-256, for ever the same."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from otaru.domain.ids import Sha256
from otaru.domain.release import Blob


class OpenBlob(Protocol):
    """A stored file, open for reading."""

    size: int

    def fileno(self) -> int | None:
        """A descriptor that the kernel can copy from, or None where the bytes are not in a local file."""
        ...

    async def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; empty at the end."""
        ...


class Blobs(Protocol):
    """A content-addressed store of large bytes.

    A blob is either whole and durable under its SHA-256 or not there: bytes are hashed while they are written, synced
    to the disk and only then given their name, and the name is synced too, before `finish` returns. What a crash leaves
    behind is garbage that `sweep` removes. Many processes may use one store.

    An upload is resumable: it has an id of the caller's choosing (a `Clock.unique`), and its offset survives a restart.

    Errors: `StorageFullError` when the disk is full (what was written before stays resumable, nothing else is lost),
    `TooLargeError` when an upload would pass its limit, `NotFoundError` for an unknown upload.
    """

    async def begin(self, upload: str, limit: int) -> None:
        """Start an upload that may hold `limit` bytes at most. Beginning the same one twice is no error."""
        ...

    async def offset(self, upload: str) -> int:
        """How many bytes of it are durable enough to go on from."""
        ...

    async def append(self, upload: str, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """Write `chunks` from `offset` on, which must be the upload's own, and return the new offset.

        Memory stays constant whatever the size. When `chunks` raises (the sender is gone) what came before is kept.
        One append at a time for each upload; a second one raises `InvalidStateError`, as does a wrong offset.
        """
        ...

    async def finish(self, upload: str, expected: Sha256 | None = None) -> Blob:
        """Make the upload a blob: durable when this returns. The same bytes twice are stored once.

        Raises `ChecksumMismatchError` where `expected` is another digest, and then removes the upload.
        """
        ...

    async def abort(self, upload: str) -> None:
        """Forget an upload and its bytes; unknown ones are no error."""
        ...

    def open(self, sha256: Sha256) -> AbstractContextManager[OpenBlob]:
        """Open a blob to read; `NotFoundError` where there is none."""
        ...

    def path(self, sha256: Sha256) -> str | None:
        """Its path below the store's root, for a reverse proxy to serve (X-Accel-Redirect); None where there is none."""
        ...

    def stored(self) -> Iterator[tuple[Sha256, int, datetime]]:
        """Every blob with its size and when it was stored."""
        ...

    async def remove(self, sha256: Sha256, before: datetime | None = None) -> bool:
        """Remove a blob, with `before` only where it was stored (last) before then. False where nothing was removed.

        Bytes that are stored again count as stored then: whoever found a blob old and unneeded does not remove what
        somebody has just uploaded anew.
        """
        ...

    async def sweep(self, older_than: datetime) -> tuple[int, int]:
        """Remove uploads untouched since `older_than`; how many, and how many bytes."""
        ...
