"""tar archives (POSIX ustar and pax, GNU long names), read once from the front, whether compressed or not.

Only plain files and folders are taken: an archive with links, devices or sparse files is refused, as is one with anything
but zeros behind its end, which one reader would see and another would not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from otaru.images.reading import BrokenImageError, Reader

_BLOCK = 512
_MOST_PAX = 1 << 20
_FILES, _FOLDER, _PAX, _GLOBAL, _LONG = b"0\0", b"5", b"x", b"g", b"L"
_OCTAL = frozenset(b"01234567")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, and where its data begin in the (uncompressed) archive."""

    name: str
    offset: int
    size: int


class Archive:
    """One pass over an archive. An entry's data are read before the next entry is asked for, or not at all."""

    def __init__(self, reader: Reader, blocks: Iterator[bytes], what: str) -> None:
        self._reader = reader
        self._blocks = blocks
        self._what = what
        self._block = b""
        self._read = 0  # of the block
        self._at = 0  # in the archive
        self._left = 0  # of the entry's data

    def __iter__(self) -> Iterator[Entry]:
        """The files, in their order.

        Raises:
            BrokenImageError: it is no tar, or holds what is not taken.
        """
        long: str | None = None
        pax: dict[str, str] = {}
        while (header := self._take(_BLOCK)) != bytes(_BLOCK):
            kind, name, size = self._header(header)
            self._reader.count("members")
            if kind in {_PAX, _GLOBAL, _LONG}:
                raw = self._take(-(-self._small(size) // _BLOCK) * _BLOCK)[:size]
                if kind == _LONG:
                    long = self._reader.name(raw.rstrip(b"\0"), self._what)
                elif kind == _PAX:
                    pax = self._records(raw)
                continue
            if long or "path" in pax:
                name = self._reader.name(long or pax["path"], self._what)
            if "size" in pax:
                size = self._number(pax["size"])
            if kind not in _FILES and kind != _FOLDER:
                raise BrokenImageError(f"{name[:80]} in {self._what} is neither a file nor a folder")
            long, pax = None, {}
            if kind == _FOLDER:
                continue
            self._left = size
            yield Entry(name, self._at, size)
            for _ in self.data():
                pass
            self._take(-size % _BLOCK)
        self._end()

    def data(self) -> Iterator[bytes]:
        """The data of the entry at hand."""
        while self._left:
            if self._read == len(self._block):
                self._more()
            piece = self._block[self._read : self._read + self._left]
            self._read += len(piece)
            self._left -= len(piece)
            self._at += len(piece)
            yield piece

    def content(self, largest: int) -> bytes:
        """The data of the entry at hand, to be parsed.

        Raises:
            BrokenImageError: they are more than `largest` bytes.
        """
        if self._left > largest:
            raise BrokenImageError(f"a file in {self._what} is larger than {largest} bytes")
        self._reader.parsed(self._left, self._what)
        return b"".join(self.data())

    def _header(self, header: bytes) -> tuple[bytes, str, int]:
        told = self._octal(header[148:156])
        if told != sum(header[:148]) + 8 * 0x20 + sum(header[156:]):
            raise BrokenImageError(f"{self._what} is no tar")
        name = header[:100].split(b"\0", 1)[0]
        if header[257:263] == b"ustar\0" and header[345]:
            name = header[345:500].split(b"\0", 1)[0] + b"/" + name
        shown = self._reader.name(name.rstrip(b"/"), self._what)
        kind = header[156:157]
        return kind, shown, 0 if kind == _FOLDER else self._octal(header[124:136])

    def _octal(self, field: bytes) -> int:
        if field[0] == 0x80:  # GNU's way to write more than 8 GiB
            return int.from_bytes(field[1:])
        digits = field.strip(b" \0")
        if not _OCTAL.issuperset(digits):
            raise BrokenImageError(f"{self._what} has a number that is none")
        return int(digits or b"0", 8)

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise BrokenImageError(f"{self._what} has a size that is none")
        return int(text)

    def _small(self, size: int) -> int:
        if size > _MOST_PAX:
            raise BrokenImageError(f"{self._what} has too long a header")
        return size

    def _records(self, raw: bytes) -> dict[str, str]:
        """Pax records: `LENGTH KEY=VALUE` and a line feed, the length that of the whole record, in decimal."""
        found: dict[str, str] = {}
        at = 0
        while at < len(raw):
            length, _, _ = raw[at : at + 20].partition(b" ")
            size = self._number(length.decode("latin-1"))
            key, equals, value = raw[at + len(length) + 1 : at + size - 1].partition(b"=")
            if size <= len(length) + 2 or raw[at + size - 1 : at + size] != b"\n" or not equals:
                raise BrokenImageError(f"{self._what} has a broken pax header")
            if key.startswith(b"GNU.sparse"):
                raise BrokenImageError(f"{self._what} holds a sparse file")
            if key in {b"path", b"size"}:
                found[key.decode()] = self._reader.text(value, self._what)
            at += size
        return found

    def _take(self, n: int) -> bytes:
        while len(self._block) - self._read < n:
            self._more()
        self._read += n
        self._at += n
        return self._block[self._read - n : self._read]

    def _more(self) -> None:
        block = next(self._blocks, None)
        if block is None:
            raise BrokenImageError(f"{self._what} ends too early")
        self._block, self._read = self._block[self._read :] + block, 0

    def _end(self) -> None:
        if self._block[self._read :].strip(b"\0") or any(block.strip(b"\0") for block in self._blocks):
            raise BrokenImageError(f"{self._what} goes on behind its end")
