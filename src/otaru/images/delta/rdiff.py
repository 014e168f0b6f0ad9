"""Patches in librsync's form, packed by zstd with a small window: for devices that have little memory and a large file.

Unpacked, it is what `rdiff patch` applies: a magic number, then commands, numbers big-endian. 0 ends it; 1 to 64 are so many
literal bytes, 65 to 68 literals whose length has 1, 2, 4 or 8 bytes; 69 to 84 copy from the source, its place and its length
each in 1, 2, 4 or 8 bytes. Applying holds a command and a piece of what it copies, and zstd's window, whatever the size.

Strong sums are for those who do not have the source; whoever makes these has it. So what is copied is found byte by byte,
not block by block: where the bytes still lie on the last copy's diagonal, and by a table of eight bytes at every few of the source.
"""

import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import compress

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from otaru.images.delta.container import BrokenPatchError, Window
from otaru.images.delta.feed import Feed
from otaru.images.delta.zstd_patch import ended, hungry
from otaru.images.reading import BLOCK, Source

MAGIC = (0x72730236).to_bytes(4)
LARGEST_WINDOW = 256 << 20
"""Of the result; it reads two of these of the source, in which whoever makes one looks for all of it."""
MEMORY = (1 << 20) + (512 << 10)
"""What applying takes: zstd's window and tables, and a piece."""
_WINDOW_LOG = 19
_LEVEL = 19
_PIECE = 1 << 16
_COMMANDS = 64
"""So many commands may make next to nothing; all others four bytes each, on average: time is bounded by the result's length."""

_END, _LITERAL, _COPY, _BEHIND = 0, 65, 69, 85
_WIDTHS = (1, 2, 4, 8)
_FORMS = (">B", ">H", ">I", ">Q")

_WORD = 8
_MOST_WORDS = 1 << 20
"""Of the source in the table: about 150 bytes of memory each."""
_LEAST = 24
"""A copy found by the table has at least so many bytes: a command costs about as much as so many packed ones."""
_RUN = bytes(12)
"""So many equal bytes on the diagonal go on with it."""
_STRETCH, _LONGEST_STRETCH = 128, 1 << 14
"""Bytes that are looked at at once: few behind a copy, where the next one is near; twice as many where there was none."""
_LOOKS = 64
"""So many words of the table are tried in a stretch: where they mislead, it is data that has no long copies."""


def encode(old: bytes, new: bytes, _whole: int) -> bytes:
    """One window's payload."""
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: _LEVEL,
        parameter.window_log: _WINDOW_LOG,
        parameter.checksum_flag: 0,  # the whole result has a digest
    }
    packer, out = zstd.ZstdCompressor(options=options), bytearray()
    for piece in commands(old, new):
        out += packer.compress(piece)
    return bytes(out + packer.flush())


def commands(old: bytes, new: bytes) -> Iterator[bytes]:
    """A delta as `rdiff delta` would write one, piece by piece."""
    yield MAGIC
    done = 0
    for place, start, length in _copies(old, new):
        if start > done:
            yield from _literal(new, done, start)
        yield _copy(place, length)
        done = start + length
    if done < len(new):
        yield from _literal(new, done, len(new))
    yield bytes([_END])


def decode(window: Window, source: Source, payload: Iterable[bytes]) -> Iterator[bytes]:
    """What the window makes; it reads the source only where the window says."""
    feed = Feed(_unpacked(payload))
    if feed.exactly(len(MAGIC)) != MAGIC:
        raise BrokenPatchError("its payload is not librsync's")
    left, room = window.result_size, _COMMANDS + window.result_size // 4
    while (command := feed.exactly(1)[0]) != _END:
        if (room := room - 1) < 0:
            raise BrokenPatchError("its payload makes next to nothing with many commands")
        if command >= _BEHIND:
            raise BrokenPatchError(f"its payload has a command {command}, which is none")
        place = _number(feed, (command - _COPY) // 4) if command >= _COPY else 0
        length = command if command < _LITERAL else _number(feed, (command - _LITERAL) % 4)
        if not 0 < length <= left:
            raise BrokenPatchError("it makes more than its result" if length else "its payload makes nothing")
        left -= length
        yield from _copied(window, source, place, length) if command >= _COPY else feed.pieces(length, _PIECE)
    if left or feed.some(1):
        raise BrokenPatchError("its payload does not end where its result does")


def memory(_window: Window, _start: bytes) -> int:
    """How much memory applying a window takes."""
    return MEMORY


def _copied(window: Window, source: Source, place: int, length: int) -> Iterator[bytes]:
    if place + length > window.source_size:
        raise BrokenPatchError("it reads outside of its source")
    for at in range(place, place + length, _PIECE):
        n = min(_PIECE, place + length - at)
        if len(piece := source.read_at(window.source_at + at, n)) != n:
            raise BrokenPatchError("its source ends too early")
        yield piece


def _unpacked(payload: Iterable[bytes]) -> Iterator[bytes]:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    stream = zstd.ZstdDecompressor(options=options)
    try:
        for block in payload:
            for at in range(0, len(block), _PIECE):
                if stream.eof:
                    raise BrokenPatchError("its payload has bytes after its end")
                yield stream.decompress(block[at : at + _PIECE], _PIECE)
                while not hungry(stream):
                    yield stream.decompress(b"", _PIECE)
    except zstd.ZstdError:
        raise BrokenPatchError("its payload is packed wrongly") from None
    if not ended(stream):
        raise BrokenPatchError("its payload does not end where its packing does")


def _number(feed: Feed, width: int) -> int:
    return int.from_bytes(feed.exactly(_WIDTHS[width]))


def _literal(new: bytes, start: int, end: int) -> Iterator[bytes]:
    length = end - start
    if length < _LITERAL:
        yield bytes([length])
    else:
        width = _width(length)
        yield bytes([_LITERAL + width]) + struct.pack(_FORMS[width], length)
    for at in range(start, end, BLOCK):
        yield new[at : min(at + BLOCK, end)]


def _copy(place: int, length: int) -> bytes:
    of, long = _width(place), _width(length)
    return bytes([_COPY + 4 * of + long]) + struct.pack(_FORMS[of], place) + struct.pack(_FORMS[long], length)


def _width(number: int) -> int:
    return sum(number >> 8 * width > 0 for width in _WIDTHS[:-1])


# --- what is copied ----------------------------------------------------------------------------------------------------


def _copies(old: bytes, new: bytes) -> Iterator[tuple[int, int, int]]:
    """What of `new` is in `old`: where there, where here, and how many bytes; in their order, none upon another."""
    table, at, done, diagonal, ahead = _Table(old), 0, 0, 0, _STRETCH
    while at < len(new):
        end = min(at + ahead, len(new))
        start = _on_diagonal(old, new, at, end, diagonal)
        found = table.first(new, at, end if start is None else start)
        if found is not None:
            place, start = found
        elif start is not None:
            place = start + diagonal
        else:
            # A run that begins before the end may reach behind it.
            at, ahead = max(end - len(_RUN) + 1, at + 1), min(ahead * 2, _LONGEST_STRETCH)
            continue
        back = _alike_before(old, new, place, start, start - done)
        place, start = place - back, start - back
        length = _alike(old, new, place, start)
        yield place, start, length
        at = done = start + length
        diagonal, ahead = place - start, _STRETCH


class _Table:
    """Where in the source a word is: of those at every few bytes, the last one."""

    def __init__(self, old: bytes) -> None:
        self._old = old
        step = 1
        while len(old) // (_WORD * step) > _MOST_WORDS:
            step *= 2
        words = memoryview(old)[: len(old) // _WORD * _WORD].cast("Q")[::step]
        self._places = dict(zip(words, range(0, len(old), _WORD * step), strict=False))

    def first(self, new: bytes, at: int, end: int) -> tuple[int, int] | None:
        """The first copy that begins here: its place in the source, and where it begins."""
        looks = _LOOKS
        for start in self._known(new, at, end):
            place = self._places[int.from_bytes(new[start : start + _WORD], sys.byteorder)]
            if _alike(self._old, new, place, start, _LEAST) >= _LEAST:
                return place, start
            if not (looks := looks - 1):
                break
        return None

    def _known(self, new: bytes, at: int, end: int) -> Iterator[int]:
        """Where a word begins that is in the table."""
        stop = min(end, len(new) - _WORD + 1)
        hits: list[int] = []
        for first in range(at, min(at + _WORD, stop)):
            n = (stop - first + _WORD - 1) // _WORD
            words = memoryview(new)[first : first + n * _WORD].cast("Q")
            hits += compress(range(first, stop, _WORD), map(self._places.__contains__, words))
        return iter(sorted(hits))


def _on_diagonal(old: bytes, new: bytes, at: int, end: int, diagonal: int) -> int | None:
    """Where the bytes are again as on the last copy's diagonal; None: not before `end`."""
    first, last = max(at, -diagonal), min(end, len(old) - diagonal)
    if last - first < len(_RUN):
        return None
    here, there = int.from_bytes(new[first:last]), int.from_bytes(old[first + diagonal : last + diagonal])
    found = (here ^ there).to_bytes(last - first).find(_RUN)
    return None if found < 0 else first + found


def _alike(old: bytes, new: bytes, place: int, start: int, most: int | None = None) -> int:
    """How many bytes are alike from there on."""
    limit = min(len(old) - place, len(new) - start)
    limit = limit if most is None else min(limit, most)
    done, step = 0, 32
    while done < limit:
        n = min(step, limit - done)
        a, b = old[place + done : place + done + n], new[start + done : start + done + n]
        if a != b:
            return done + _common(a, b)
        done, step = done + n, min(step * 2, BLOCK)
    return done


def _alike_before(old: bytes, new: bytes, place: int, start: int, most: int) -> int:
    """How many bytes are alike before there."""
    limit = min(place, most)
    done, step = 0, 32
    while done < limit:
        n = min(step, limit - done)
        a, b = old[place - done - n : place - done], new[start - done - n : start - done]
        if a != b:
            return done + _common(a[::-1], b[::-1])
        done, step = done + n, min(step * 2, BLOCK)
    return done


def _common(a: bytes, b: bytes) -> int:
    """How many bytes two that differ have in common at their beginning."""
    n = len(a)
    return n - ((int.from_bytes(a) ^ int.from_bytes(b)).bit_length() + 7) // 8
