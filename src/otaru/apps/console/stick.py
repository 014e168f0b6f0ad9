"""A stick as one archive: what `otaru bundle export` writes to a folder, as a tar that is sent while it is read.

What is small comes from `Written`, which the server above gives (`apps.server.stick`): the console knows no device's protocol. As
on a medium the documents come last, so that what was cut off is no bundle.
"""

import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from otaru.domain.ids import Sha256
from otaru.ports.blobs import Blobs, OpenBlob
from otaru.services.control.bundles import Made

_CHUNK = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Stick:
    """What lies where on it, of one bundle."""

    files: Sequence[tuple[str, Sha256, int]]
    """Name, digest and size of what the blob store has."""
    small: Sequence[tuple[str, bytes]]
    documents: Sequence[tuple[str, bytes]]
    """What makes it a bundle, or the request for what is missing."""


Written = Callable[[Made], Stick]


class Archive:
    """The tar of bundles. What it needs of the blob store is open: what is missing is said before a byte is sent. Close it."""

    def __init__(self, blobs: Blobs, sticks: Sequence[Stick], at: datetime) -> None:
        self._at = int(at.timestamp())
        wanted = {name: (digest, size) for one in sticks for name, digest, size in one.files}
        with ExitStack() as opened:
            self._files = [(name, opened.enter_context(blobs.open(sha))) for name, (sha, _) in sorted(wanted.items())]
            self._opened = opened.pop_all()
        self._rest = [entry for one in sticks for entry in (*one.small, *one.documents)]
        sizes = [*(size for _, size in wanted.values()), *(len(data) for _, data in self._rest)]
        names = [*wanted, *(name for name, _ in self._rest)]
        heads = sum(len(self._head(name, size)) for name, size in zip(names, sizes, strict=True))
        self.size = heads + sum(size + -size % _BLOCK for size in sizes) + 2 * _BLOCK

    def close(self) -> None:
        """Close what was opened."""
        self._opened.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it."""
        for name, blob in self._files:
            yield self._head(name, blob.size)
            async for chunk in _read(blob):
                yield chunk
            yield bytes(-blob.size % _BLOCK)
        for name, data in self._rest:
            yield self._head(name, len(data)) + data + bytes(-len(data) % _BLOCK)
        yield bytes(2 * _BLOCK)

    def _head(self, name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, self._at, 0o644
        return info.tobuf(tarfile.PAX_FORMAT)


async def _read(blob: OpenBlob) -> AsyncIterator[bytes]:
    at = 0
    while at < blob.size and (chunk := await blob.read_at(at, min(_CHUNK, blob.size - at))):
        yield chunk
        at += len(chunk)
