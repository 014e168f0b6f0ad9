"""A file that a process was handed open."""

import os


class File:
    """`images.reading.Source` over a descriptor."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._size

    def read_at(self, offset: int, n: int) -> bytes:
        """The `n` bytes from `offset` on; fewer where the file ends."""
        found = b""
        while len(found) < n and (piece := os.pread(self._descriptor, n - len(found), offset + len(found))):
            found += piece
        return found
