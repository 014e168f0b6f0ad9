"""How readers ask for bytes, and the bounds on what they may ask for.

A reader parses only what it told `Reader.head` or `Reader.parsed` of, and both count; what it digests goes through
`Reader.blocks`, in pieces of at most BLOCK bytes and never more than a few times the file. So memory is bounded by the
limits and time by the size of the file, whatever the file says.
"""

import hashlib
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK = 1 << 20
"""The most bytes that are asked for at once when payloads are digested."""

_PASSES = 4  # how often the whole file may be gone through: digests of parts, of all, of what a second signature covers
_LZMA_MEMORY = 80 << 20  # the dictionary of xz -9 is 64 MiB

_UNSAFE = re.compile(r"(^/)|(^|/)\.\.(/|$)|[\\\x00-\x1f\x7f]")


_LONGEST_ERROR = 500


class BrokenImageError(ValueError):
    """The image is not what its format asks for: cut short, contradicting itself, or beyond the bounds.

    What it says quotes the image, so it is made short and printable.
    """

    def __init__(self, words: str) -> None:
        shown = words if len(words) <= _LONGEST_ERROR else f"{words[:_LONGEST_ERROR]}…"
        super().__init__("".join(letter if letter.isprintable() else "�" for letter in shown))


class EndlessImageError(BrokenImageError):
    """Reading it took too long, or ended the reader: another day, with more room, it may be read."""


class Source(Protocol):
    """The bytes of one image. Reading has no side effects; the bytes do not change while they are read."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def read_at(self, offset: int, n: int) -> bytes:
        """The `n` bytes from `offset` on; fewer only where the file ends."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may ask of us."""

    members: int = 10_000
    """Members of archives, blocks' families, segments, ranges, together."""
    depth: int = 24
    """How deep values nest in headers."""
    name: int = 512
    """Characters of a name or version."""
    head: int = 16 << 20
    """Bytes that are parsed, together."""
    expanded: int = 8 << 30
    """Bytes that compressed parts grow to, together."""


class Reader:
    """One image, read within limits. Parts of it share what has been used up."""

    def __init__(self, source: Source, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.size = source.size
        self._source = source
        self._members = 0
        self._head = 0
        self._expanded = 0
        self._passed = 0

    def head(self, offset: int, n: int, what: str) -> bytes:
        """Exactly the `n` bytes from `offset` on, to be parsed.

        Raises:
            BrokenImageError: the file ends before, or too much has been parsed already.
        """
        self._inside(offset, n, what)
        self.parsed(n, what)
        return self._exactly(offset, n, what)

    def parsed(self, n: int, what: str) -> None:
        """`n` bytes are about to be parsed.

        Raises:
            BrokenImageError: that is too much.
        """
        self._head += n
        if self._head > self.limits.head:
            raise BrokenImageError(f"its headers are larger than {self.limits.head} bytes ({what})")

    def peek(self, offset: int, n: int) -> bytes:
        """Up to `n` bytes from `offset` on; fewer where the file ends."""
        if not 0 <= offset < self.size:
            return b""
        return self.head(offset, min(n, self.size - offset), "its beginning")

    def blocks(self, offset: int, n: int, what: str) -> Iterator[bytes]:
        """Exactly the `n` bytes from `offset` on, in pieces of at most BLOCK.

        Raises:
            BrokenImageError: the file ends before, or it has been gone through too often.
        """
        self._inside(offset, n, what)
        self._passed += n
        if self._passed > _PASSES * self.size:
            raise BrokenImageError(f"its parts overlap ({what})")
        for at in range(offset, offset + n, BLOCK):
            yield self._exactly(at, min(BLOCK, offset + n - at), what)

    def digest(self, offset: int, n: int, what: str, algorithm: str = "sha256") -> bytes:
        """The digest of a range."""
        return digest(self.blocks(offset, n, what), algorithm)

    def count(self, what: str) -> None:
        """One member more.

        Raises:
            BrokenImageError: that is one too many.
        """
        self._members += 1
        if self._members > self.limits.members:
            raise BrokenImageError(f"it holds more than {self.limits.members} {what}")

    def grown(self, n: int, what: str) -> None:
        """`n` bytes came out of a compressed part.

        Raises:
            BrokenImageError: that is too much.
        """
        self._expanded += n
        if self._expanded > self.limits.expanded:
            raise BrokenImageError(f"{what} grows beyond {self.limits.expanded} bytes")

    def name(self, raw: bytes | str, what: str) -> str:
        """A member's name: relative, staying inside, printable.

        Raises:
            BrokenImageError: it would lead elsewhere.
        """
        found = self.text(raw, what).removeprefix("./")
        if not found or _UNSAFE.search(found):
            raise BrokenImageError(f"{what} has the name {found[:80]!r}, which leads out of the image")
        return found

    def text(self, raw: bytes | str, what: str) -> str:
        """A value to be shown: UTF-8, printable, not too long.

        Raises:
            BrokenImageError: it is none of these.
        """
        try:
            found = raw if isinstance(raw, str) else raw.decode()
        except UnicodeDecodeError:
            raise BrokenImageError(f"{what} is not UTF-8") from None
        if len(found) > self.limits.name:
            raise BrokenImageError(f"{what} is longer than {self.limits.name} characters")
        if not found.isprintable():
            raise BrokenImageError(f"{what} holds control characters")
        return found

    def _inside(self, offset: int, n: int, what: str) -> None:
        if offset < 0 or n < 0 or offset + n > self.size:
            raise BrokenImageError(f"the file ends within {what}")

    def _exactly(self, offset: int, n: int, what: str) -> bytes:
        found = self._source.read_at(offset, n) if n else b""
        if len(found) != n:
            raise BrokenImageError(f"the file ends within {what}")
        return found


def digest(blocks: Iterable[bytes], algorithm: str = "sha256") -> bytes:
    """The digest of bytes that come in pieces."""
    running = hashlib.new(algorithm)
    for block in blocks:
        running.update(block)
    return running.digest()


def gunzip(reader: Reader, blocks: Iterable[bytes], what: str) -> Iterator[bytes]:
    """What a gzip stream holds, in pieces of at most BLOCK.

    Raises:
        BrokenImageError: it is no gzip, is cut short, has bytes after its end, or grows too much.
    """
    stream = zlib.decompressobj(wbits=31)

    def feed(data: bytes) -> Iterator[bytes]:
        while True:
            out = stream.decompress(data, BLOCK)
            data = stream.unconsumed_tail
            yield out
            if stream.eof or (not data and len(out) < BLOCK):
                return

    yield from _expand(reader, blocks, what, feed, stream)


def unxz(reader: Reader, blocks: Iterable[bytes], what: str) -> Iterator[bytes]:
    """What an xz stream holds, in pieces of at most BLOCK.

    Raises:
        BrokenImageError: it is no xz, is cut short, has bytes after its end, grows too much or needs too much memory.
    """
    stream = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)

    def feed(data: bytes) -> Iterator[bytes]:
        yield stream.decompress(data, BLOCK)
        while not (stream.eof or stream.needs_input):
            yield stream.decompress(b"", BLOCK)

    yield from _expand(reader, blocks, what, feed, stream)


class _Stream(Protocol):
    """What zlib's and lzma's decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def _expand(
    reader: Reader, blocks: Iterable[bytes], what: str, feed: Callable[[bytes], Iterator[bytes]], stream: _Stream
) -> Iterator[bytes]:
    try:
        for block in blocks:
            if stream.eof:
                raise BrokenImageError(f"{what} has bytes after its end")
            for out in feed(block):
                reader.grown(len(out), what)
                yield out
    except (zlib.error, lzma.LZMAError, MemoryError):
        raise BrokenImageError(f"{what} is compressed wrongly") from None
    if not stream.eof or stream.unused_data:
        raise BrokenImageError(f"{what} does not end where its compressed stream does")
