"""Making patches, and applying them.

What is applied comes out piece by piece and is not yet to be believed: only who has read it to the end knows that it has the
digest that the patch announces, and only who compares that with a signed one knows that it is an update.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.util import find_spec

from otaru.images.delta import sequential
from otaru.images.delta.container import (
    HEAD_SIZE,
    MAX_WINDOW,
    BrokenPatchError,
    End,
    Head,
    PatchMemoryError,
    Window,
    WrongSourceError,
    payload,
    read_head,
    read_windows,
    write_head,
    write_window,
)
from otaru.images.delta.sequential import Packing
from otaru.images.reading import BLOCK, Source

_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_START = 32
"""Bytes of a payload that say how much memory it needs."""


class Codec(StrEnum):
    """The ways of writing a patch."""

    ZSTD = "zstd-patch"
    """For file systems and large files: repeats of the source, window by window."""
    LZMA = "sequential-lzma"
    """For programs: what moved is found again though its addresses changed. Small, slow to make, cheap to apply."""
    HEATSHRINK = "sequential-heatshrink"
    """The same for microcontrollers: applied in some hundred bytes of memory."""
    RDIFF = "rdiff-zstd"
    """For large files on small devices: what librsync's `rdiff` applies, packed by zstd; in two MiB of memory."""


@dataclass(frozen=True, slots=True)
class _Ways:
    encode: Callable[[bytes, bytes, int], bytes]
    """Of a stretch of the source, a window of the result, and the size of the whole result."""
    decode: Callable[[Window, Source, Iterable[bytes]], Iterator[bytes]]
    memory: Callable[[Window, bytes], int]
    window: int
    """Bytes of the result that a window has at most, and without being asked."""
    stretch: Callable[[int, int, int], tuple[int, int]] | None = None
    """Where in the source a window reads, by the source's size, a window's, and where it is; None: one window, of all."""
    most: int = MAX_WINDOW
    """Bytes that a window may have, of the source, the result, or written."""


@lru_cache
def is_here(codec: Codec) -> bool:
    """Whether patches of this kind can be applied here: whether the library is installed that does it. It is not loaded yet."""
    try:
        return codec in _PACKINGS or find_spec(_ZSTD) is not None
    except ModuleNotFoundError:  # nor what it is a part of
        return False


def make(codec: Codec, source: Source, result: Source, window: int | None = None) -> Iterator[bytes]:
    """A patch from `source` to `result`, piece by piece.

    Args:
        codec: how it is written
        source: what it leads from
        result: what it makes
        window: bytes of a window, which bound the memory of whoever makes it, and applies it; ZSTD and RDIFF have several

    Raises:
        ValueError: the files are larger than the codec compares, or the window is.
        ModuleNotFoundError: a library of the extra `delta` is not installed.
    """
    ways = _ways(codec)
    size = _window(codec, ways, max(source.size, result.size), window)
    starts = range(0, result.size, max(size, 1))
    leads_from, makes = (End(each.size, _digest(each)) for each in (source, result))
    yield write_head(Head(codec.value, leads_from, makes, len(starts)))
    for at in starts:
        n = min(size, result.size - at)
        begin, length = (0, source.size) if ways.stretch is None else ways.stretch(source.size, size, at)
        made = ways.encode(source.read_at(begin, length), result.read_at(at, n), result.size)
        yield write_window(Window(begin, length, n, len(made)))
        yield made


def memory(patch: Source) -> int:
    """How many bytes of memory a patch takes to be applied: for stretches, windows and dictionaries.

    Beside them are the program and its buffers: a few MiB here, a few KiB in C.

    Raises:
        BrokenPatchError: it is none.
        ModuleNotFoundError: a library of the extra `delta` is not installed.
    """
    head = read_head(patch)
    ways = _ways(_codec(head))
    return max((ways.memory(w, _first(patch, w)) for w in read_windows(patch, head, ways.most)), default=0)


def check_source(patch: Source, source: Source) -> None:
    """Check that a patch leads from these bytes, all of which are read.

    Raises:
        WrongSourceError: it does not.
        BrokenPatchError: it is none.
    """
    head = read_head(patch)
    if head.source != End(source.size, _digest(source)):
        raise WrongSourceError("the patch leads from another file")


def apply(patch: Source, source: Source, most_memory: int, most_bytes: int) -> Iterator[bytes]:
    """What a patch makes of a source, in pieces of at most BLOCK. Believe nothing before the end.

    Args:
        patch: the patch
        source: what it leads from; only its size is checked here (`check_source`)
        most_memory: bytes of memory that may be taken
        most_bytes: how long the result may be

    Raises:
        WrongSourceError: the source is of another size.
        PatchMemoryError: more memory would be needed.
        BrokenPatchError: it is none, or makes something else than it announces.
        ModuleNotFoundError: a library of the extra `delta` is not installed.
    """
    head = read_head(patch)
    if head.source.size != source.size:
        raise WrongSourceError("the patch leads from a file of another size")
    if head.result.size > most_bytes:
        raise BrokenPatchError(f"its result is longer than {most_bytes} bytes")
    if (needed := memory(patch)) > most_memory:
        raise PatchMemoryError(f"it takes {needed} bytes of memory to apply, and there are {most_memory}")
    ways = _ways(_codec(head))
    digest, made = hashlib.sha256(), 0
    for window in read_windows(patch, head, ways.most):
        for piece in ways.decode(window, source, payload(patch, window)):
            digest.update(piece)
            made += len(piece)
            if made > head.result.size:
                raise BrokenPatchError("it makes more than its result")
            if piece:
                yield piece
    if made != head.result.size or digest.digest() != head.result.sha256:
        raise BrokenPatchError("what it makes is not what it announces")


def _codec(head: Head) -> Codec:
    try:
        return Codec(head.codec)
    except ValueError:
        raise BrokenPatchError(f"its codec {head.codec} is not known here") from None


@lru_cache
def _ways(codec: Codec) -> _Ways:
    if codec in _PACKINGS:
        packing = _PACKINGS[codec]
        encode = sequential.encode(packing)
        decode, memory = sequential.decode(packing), sequential.memory(packing)
        return _Ways(lambda old, new, _: encode(old, new), decode, memory, sequential.LARGEST)
    from otaru.images.delta import rdiff, zstd_patch  # noqa: PLC0415 -- their library is of the extra `delta`

    if codec is Codec.RDIFF:
        window = rdiff.LARGEST_WINDOW
        return _Ways(rdiff.encode, rdiff.decode, rdiff.memory, window, zstd_patch.stretch, 2 * window)
    return _Ways(zstd_patch.encode, zstd_patch.decode, zstd_patch.memory, zstd_patch.LARGEST_WINDOW, zstd_patch.stretch)


_PACKINGS: Mapping[Codec, Packing] = {Codec.LZMA: Packing.LZMA, Codec.HEATSHRINK: Packing.HEATSHRINK}


def _window(codec: Codec, ways: _Ways, largest: int, asked: int | None) -> int:
    if ways.stretch is None:
        if largest > ways.window:
            raise ValueError(f"{codec} compares files of at most {ways.window} bytes")
        return largest
    if not BLOCK <= (size := asked or ways.window) <= ways.window:
        raise ValueError(f"a window has {BLOCK} to {ways.window} bytes")
    return size


def _first(patch: Source, window: Window) -> bytes:
    return patch.read_at(window.payload_at, min(_START, window.payload_size))


def _digest(source: Source) -> bytes:
    digest = hashlib.sha256()
    for at in range(0, source.size, BLOCK):
        digest.update(source.read_at(at, min(BLOCK, source.size - at)))
    return digest.digest()


__all__ = [
    "HEAD_SIZE",
    "BrokenPatchError",
    "Codec",
    "PatchMemoryError",
    "WrongSourceError",
    "apply",
    "check_source",
    "is_here",
    "make",
    "memory",
    "read_head",
]
