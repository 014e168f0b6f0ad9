"""Patches in the sequential form of detools 0.53, whose decoder in C runs on microcontrollers.

What moved is found again though all its addresses changed, by bsdiff's suffix sorting; the differences are nearly all zeros and
pack well.

Written: the way of packing (4 bits of form, 4 of packing), the size of the result, then packed: 0 (no data format), and until
the result is whole: a size and so many bytes to add to those of the source, a size and so many bytes that are new, how far to
go on in the source. A size is 6 bits, then groups of 7, the lowest first; the highest bit says that more follow, the next
highest of the first byte that it is negative.
"""

import lzma
import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum

from otaru.images.delta import heatshrink
from otaru.images.delta.container import BrokenPatchError, Window
from otaru.images.delta.feed import Feed
from otaru.images.reading import Source

LARGEST = 32 << 20
"""Bytes of source and of result that are compared; sorting takes about 17 times as much memory."""
_PIECE = 1 << 16
_EMPTY = 64
"""Records that may make nothing: whoever compares makes one, to begin elsewhere."""
_STATE = 64 << 10
"""Memory of LZMA beside its dictionary."""
_LIMIT = 2 << 20
_LEAST_DICTIONARY, _MOST_DICTIONARY = 1 << 16, 8 << 20


class Packing(IntEnum):
    """How the records are packed, by detools' numbers."""

    LZMA = 1
    HEATSHRINK = 4


def encode(packing: Packing) -> Callable[[bytes, bytes], bytes]:
    """What makes a patch with this packing."""

    def encoded(source: bytes, result: bytes) -> bytes:
        head = bytes([packing]) + write_size(len(result))
        if not result:
            return head
        records = b"".join(_records(source, result))
        return head + (heatshrink.pack(records) if packing is Packing.HEATSHRINK else _lzma(records))

    return encoded


def decode(packing: Packing) -> Callable[[Window, Source, Iterable[bytes]], Iterator[bytes]]:
    """What applies a patch with this packing; it reads the source only where the window says."""

    def decoded(window: Window, source: Source, payload: Iterable[bytes]) -> Iterator[bytes]:
        raw = Feed(payload)
        if raw.exactly(1)[0] != packing or read_size(raw) != window.result_size:
            raise BrokenPatchError("its payload is of another form or size than it says")
        unpack = heatshrink.unpack if packing is Packing.HEATSHRINK else _unlzma
        yield from _replayed(Feed(unpack(raw.rest())), window, source)

    return decoded


def memory(packing: Packing) -> Callable[[Window, bytes], int]:
    """How much memory applying a window takes, by the first bytes of its payload."""

    def needed(_window: Window, start: bytes) -> int:
        feed = Feed([start])
        feed.exactly(1)
        if not read_size(feed):
            return 0
        if packing is Packing.HEATSHRINK:
            return 1 << (feed.exactly(1)[0] >> 4) + 4
        return _STATE + int.from_bytes(feed.exactly(5)[1:], "little")  # LZMA's byte of properties, then its dictionary

    return needed


def write_size(value: int) -> bytes:
    """A size as it stands in a patch."""
    rest, low = divmod(abs(value), 64)
    out = bytearray([(0x40 if value < 0 else 0) | low])
    while rest:
        out[-1] |= 0x80
        rest, low = divmod(rest, 128)
        out.append(low)
    return bytes(out)


def read_size(feed: Feed) -> int:
    """The next size.

    Raises:
        BrokenPatchError: it is larger than any file.
    """
    octet = feed.exactly(1)[0]
    negative, value, bits = octet & 0x40, octet & 0x3F, 6
    while octet & 0x80:
        if bits > 62:
            raise BrokenPatchError("it holds a size that is larger than any file")
        octet = feed.exactly(1)[0]
        value |= (octet & 0x7F) << bits
        bits += 7
    return -value if negative else value


def _replayed(feed: Feed, window: Window, source: Source) -> Iterator[bytes]:
    if read_size(feed):
        raise BrokenPatchError("its payload has a data format, which we do not read")
    left, position, empty = window.result_size, 0, 0
    while left:
        added = _part(feed, left)
        if added and not 0 <= position <= window.source_size - added:
            raise BrokenPatchError("it reads outside of its source")
        for at in range(position, position + added, _PIECE):
            n = min(_PIECE, position + added - at)
            old = source.read_at(window.source_at + at, n)
            if len(old) != n:
                raise BrokenPatchError("its source ends too early")
            yield _sum(old, feed.exactly(n))
        new = _part(feed, left - added)
        yield from feed.pieces(new, _PIECE)
        left -= added + new
        position += added + read_size(feed)
        empty += not added + new
        if empty > _EMPTY:
            raise BrokenPatchError("its payload makes nothing")
    if feed.some(1):
        raise BrokenPatchError("its payload does not end where its result does")


def _part(feed: Feed, most: int) -> int:
    found = read_size(feed)
    if not 0 <= found <= most:
        raise BrokenPatchError("it makes more than its result")
    return found


def _sum(old: bytes, difference: bytes) -> bytes:
    """Byte by byte, each modulo 256: seven bits of all at once, the eighth without its carry."""
    if difference.count(0) == len(difference):
        return old
    n = len(old)
    a, b = int.from_bytes(old), int.from_bytes(difference)
    high = int.from_bytes(b"\x80" * n)
    low = high ^ ((1 << 8 * n) - 1)
    return ((a & low) + (b & low) ^ (a ^ b) & high).to_bytes(n)


def _records(source: bytes, result: bytes) -> Iterator[bytes]:
    import bsdiff4.core  # noqa: PLC0415 -- only who makes patches needs it

    yield write_size(0)
    control, differences, extra = bsdiff4.core.diff(source, result)
    added_at = new_at = 0
    for added, new, further in _triples(control):
        yield write_size(added)
        yield differences[added_at : added_at + added]
        yield write_size(new)
        yield extra[new_at : new_at + new]
        yield write_size(further)
        added_at, new_at = added_at + added, new_at + new


def _triples(control: bytes) -> Iterator[tuple[int, int, int]]:
    """Numbers as bsdiff writes them: sign and magnitude."""
    for triple in struct.iter_unpack("<QQQ", control):
        added, new, further = ((-1 if n >> 63 else 1) * (n & (1 << 63) - 1) for n in triple)
        yield added, new, further


def _lzma(data: bytes) -> bytes:
    dictionary = _LEAST_DICTIONARY
    while dictionary < min(len(data), _MOST_DICTIONARY):
        dictionary *= 2
    how = {"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}
    return lzma.compress(data, lzma.FORMAT_ALONE, filters=[how])


def _unlzma(blocks: Iterable[bytes]) -> Iterator[bytes]:
    stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MOST_DICTIONARY + _LIMIT)
    try:
        for block in blocks:
            if stream.eof:
                raise BrokenPatchError("its payload has bytes after its end")
            yield stream.decompress(block, _PIECE)
            while not _hungry(stream):
                yield stream.decompress(b"", _PIECE)
    except (lzma.LZMAError, MemoryError):
        raise BrokenPatchError("its payload is packed wrongly") from None
    if not _ended(stream):
        raise BrokenPatchError("its payload does not end where its packing does")


def _hungry(stream: lzma.LZMADecompressor) -> bool:
    return stream.eof or stream.needs_input


def _ended(stream: lzma.LZMADecompressor) -> bool:
    return stream.eof and not stream.unused_data
