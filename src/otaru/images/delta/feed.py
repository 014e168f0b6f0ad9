"""Bytes that come in pieces, taken in other pieces."""

from collections.abc import Iterable, Iterator

from otaru.images.delta.container import BrokenPatchError
from otaru.images.reading import BLOCK


class Feed:
    """What is taken is gone; nothing is held beside the piece that came last."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._here = b""
        self._at = 0

    def some(self, most: int) -> bytes:
        """At least one byte and at most `most`; none where it ended."""
        while self._at == len(self._here):
            if (piece := next(self._pieces, None)) is None:
                return b""
            self._here, self._at = piece, 0
        found = self._here[self._at : self._at + most]
        self._at += len(found)
        return found

    def exactly(self, n: int) -> bytes:
        """The next `n` bytes.

        Raises:
            BrokenPatchError: there are fewer.
        """
        found = self.some(n)
        while len(found) < n:
            if not (more := self.some(n - len(found))):
                raise BrokenPatchError("its payload ends too early")
            found += more
        return found

    def pieces(self, n: int, most: int) -> Iterator[bytes]:
        """The next `n` bytes in pieces of at most `most`.

        Raises:
            BrokenPatchError: there are fewer.
        """
        while n:
            if not (found := self.some(min(n, most))):
                raise BrokenPatchError("its payload ends too early")
            n -= len(found)
            yield found

    def rest(self) -> Iterator[bytes]:
        """What is left."""
        while found := self.some(BLOCK):
            yield found
