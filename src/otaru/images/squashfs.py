"""As much of squashfs 4.0 as finds one small file in the root folder.

Inodes and directories lie in tables of metadata blocks: 16 bits of length (the top bit: not compressed), then what grows
to at most 8 KiB. Files lie in blocks of their own, their ends in fragments shared with others. Only gzip and xz are read.
"""

import lzma
import struct
import zlib
from dataclasses import dataclass

from otaru.images.reading import BrokenImageError, Reader

MAGIC = b"hsqs"
_SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_METADATA = 8192
_GZIP, _XZ = 1, 4
_NO_FRAGMENT = 0xFFFFFFFF
_FRAGMENTS_PER_BLOCK = 512
_LARGEST_FOLDER = 1 << 20
_XZ_MEMORY = 64 << 20
_FOLDERS, _FILES = (1, 8), (2, 9)


class UnknownCompressionError(BrokenImageError):
    """It is compressed in a way that is not read here."""


@dataclass(frozen=True, slots=True)
class _Super:
    block: int
    compression: int
    root: int
    used: int
    inodes: int
    directories: int
    fragments: int


def used(reader: Reader) -> int:
    """How many bytes the file system takes up.

    Raises:
        BrokenImageError: there is none.
    """
    return _superblock(reader).used


def file(reader: Reader, name: str, largest: int) -> bytes:
    """The content of a file of the root folder.

    Raises:
        BrokenImageError: there is no such file, it is larger than `largest`, or the file system is broken.
        UnknownCompressionError: it may be there, but cannot be read.
    """
    info = _superblock(reader)
    if info.compression not in {_GZIP, _XZ}:
        raise UnknownCompressionError("its squashfs is compressed in a way that is not read here")
    try:
        tables = _Tables(reader, info)
        return tables.content(tables.find(name.encode()), largest, name)
    except (struct.error, IndexError):
        raise BrokenImageError("its squashfs is broken") from None


def _superblock(reader: Reader) -> _Super:
    raw = reader.head(0, _SUPERBLOCK.size, "the squashfs superblock")
    magic, _, _, block, _, compression, _, _, _, major, _, root, size, _, _, inodes, directories, fragments, _ = (
        _SUPERBLOCK.unpack(raw)
    )
    if magic != MAGIC or major != 4 or not 4096 <= block <= 1 << 20 or size > reader.size:
        raise BrokenImageError("its squashfs is broken")
    return _Super(block, compression, root, size, inodes, directories, fragments)


class _Tables:
    """The tables of one file system."""

    def __init__(self, reader: Reader, info: _Super) -> None:
        self._reader = reader
        self._info = info

    def find(self, name: bytes) -> tuple[int, int]:
        """Where the inode of a file of the root folder is: its block in the inode table, its place in that."""
        raw = self._table(self._info.inodes, self._info.root >> 16, self._info.root & 0xFFFF, 64)
        kind = raw[0] | raw[1] << 8
        if kind == _FOLDERS[0]:
            block, _, size, offset = struct.unpack_from("<IIHH", raw, 16)
        elif kind == _FOLDERS[1]:
            _, size, block, _, _, offset = struct.unpack_from("<IIIIHH", raw, 16)
        else:
            raise BrokenImageError("its squashfs has no root folder")
        if size > _LARGEST_FOLDER:
            raise BrokenImageError("its squashfs has too large a root folder")
        listing = self._table(self._info.directories, block, offset, max(0, size - 3))
        at = 0
        while at + 12 <= len(listing):
            count, inodes, _ = struct.unpack_from("<III", listing, at)
            at += 12
            for _ in range(min(count + 1, 256)):
                place, _, _, length = struct.unpack_from("<HhHH", listing, at)
                at += 8
                if listing[at : at + length + 1] == name:
                    return inodes, place
                at += length + 1
        raise BrokenImageError(f"its squashfs holds no {name.decode()}")

    def content(self, inode: tuple[int, int], largest: int, what: str) -> bytes:
        raw = self._table(self._info.inodes, *inode, 64)
        kind = raw[0] | raw[1] << 8
        if kind == _FILES[0]:
            start, fragment, offset, size = struct.unpack_from("<IIII", raw, 16)
            lists = 32
        elif kind == _FILES[1]:
            start, size, _, _, fragment, offset = struct.unpack_from("<QQQIII", raw, 16)
            lists = 56
        else:
            raise BrokenImageError(f"{what} is not a plain file")
        if size > largest:
            raise BrokenImageError(f"{what} is larger than {largest} bytes")
        block = self._info.block
        whole = size // block if fragment != _NO_FRAGMENT else -(-size // block)
        raw = self._table(self._info.inodes, *inode, lists + 4 * whole)
        out = b""
        for (length,) in struct.iter_unpack("<I", raw[lists:]):
            out += self._data(start, length, what) if length else bytes(min(block, size - len(out)))
            start += length & 0xFFFFFF
        if fragment != _NO_FRAGMENT:
            out += self._fragment(fragment, what)[offset : offset + size % block]
        if len(out) != size:
            raise BrokenImageError(f"{what} is not as long as its squashfs says")
        return out

    def _fragment(self, index: int, what: str) -> bytes:
        pointer = self._info.fragments + 8 * (index // _FRAGMENTS_PER_BLOCK)
        at = int.from_bytes(self._reader.head(pointer, 8, "the fragments"), "little")
        entry = self._table(at, 0, 16 * (index % _FRAGMENTS_PER_BLOCK), 16)
        start, length = struct.unpack_from("<QI", entry)
        return self._data(start, length, what)

    def _data(self, start: int, length: int, what: str) -> bytes:
        size = length & 0xFFFFFF
        if size > self._info.block:
            raise BrokenImageError(f"{what} has too large a block")
        raw = self._reader.head(start, size, what)
        return raw if length & 1 << 24 else self._grown(raw, self._info.block)

    def _table(self, table: int, block: int, offset: int, most: int) -> bytes:
        """Up to `most` bytes from a place in a table on; fewer only where it ends."""
        out = b""
        at = table + block
        while len(out) < offset + most and at + 2 <= self._info.used:
            header = int.from_bytes(self._reader.head(at, 2, "a table"), "little")
            size = header & 0x7FFF
            if not 0 < size <= _METADATA or at + 2 + size > self._info.used:
                break
            raw = self._reader.head(at + 2, size, "a table")
            grown = raw if header & 0x8000 else self._maybe(raw)
            if not grown:
                break
            out += grown
            at += 2 + size
            if len(grown) < _METADATA:  # only the last block of a table is
                break
        return out[offset : offset + most]

    def _maybe(self, raw: bytes) -> bytes:
        """A metadata block; nothing where what follows the table is none."""
        try:
            return self._grown(raw, _METADATA)
        except BrokenImageError:
            return b""

    def _grown(self, raw: bytes, most: int) -> bytes:
        try:
            if self._info.compression == _GZIP:
                out = zlib.decompressobj().decompress(raw, most)
            else:
                out = lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(raw, most)
        except (zlib.error, lzma.LZMAError, MemoryError):
            raise BrokenImageError("its squashfs is compressed wrongly") from None
        self._reader.grown(len(out), "its squashfs")
        return out
