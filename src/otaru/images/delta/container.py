"""How a patch of ours is written: a head, then windows one after the other.

Head, 124 bytes, numbers little-endian: magic, codec (ASCII, filled with NUL to 24), size (64 bits) and SHA-256 of the source,
size and SHA-256 of the result, how many windows (32 bits), 8 bytes for later (0). A window, 20 bytes and its payload: where
in the source it may read from (64 bits), how much of the source (32), how many bytes it makes (32), bytes of payload (32).
Windows stand in the order of what they make, and together they make the result.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from otaru.images.reading import BLOCK, BrokenImageError, Source

MAGIC = b"OTDELTA1"
_HEAD = struct.Struct("<8s24sQ32sQ32sIQ")
_WINDOW = struct.Struct("<QIII")
HEAD_SIZE = _HEAD.size
WINDOW_SIZE = _WINDOW.size
MAX_WINDOWS = 4096
MAX_WINDOW = 64 << 20
"""Bytes that one window reads, makes or is written in, unless its codec reads its source here and there."""


class BrokenPatchError(BrokenImageError):
    """A patch is none, contradicts itself, or asks for what it may not have."""


class PatchMemoryError(BrokenPatchError):
    """Applying it takes more memory than there is for it."""


class WrongSourceError(BrokenPatchError):
    """It leads from other bytes than these."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a patch: what it leads from, or what it makes."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What a patch says of itself."""

    codec: str
    source: End
    result: End
    windows: int


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the result, and from what it is made."""

    source_at: int
    source_size: int
    result_size: int
    payload_size: int
    payload_at: int = 0
    """Where its payload begins in the patch."""


def write_head(head: Head) -> bytes:
    """The head as it stands in a patch."""
    codec = head.codec.encode("ascii")
    return _HEAD.pack(
        MAGIC, codec, head.source.size, head.source.sha256, head.result.size, head.result.sha256, head.windows, 0
    )


def write_window(window: Window) -> bytes:
    """What stands before a payload."""
    return _WINDOW.pack(window.source_at, window.source_size, window.result_size, window.payload_size)


def read_head(patch: Source) -> Head:
    """What a patch says of itself.

    Raises:
        BrokenPatchError: it is no patch of ours.
    """
    magic, codec, source_size, source, result_size, result, windows, later = _HEAD.unpack(_exactly(patch, 0, HEAD_SIZE))
    if magic != MAGIC or later:
        raise BrokenPatchError("it does not begin as a patch does")
    name = codec.rstrip(b"\0")
    if not name.isalnum() and not name.replace(b"-", b"").isalnum():
        raise BrokenPatchError("its codec has no name")
    if windows > MAX_WINDOWS or (windows == 0) != (result_size == 0):
        raise BrokenPatchError(f"it says that it has {windows} windows for {result_size} bytes")
    return Head(name.decode("ascii"), End(source_size, source), End(result_size, result), windows)


def read_windows(patch: Source, head: Head, most: int = MAX_WINDOW) -> Iterator[Window]:
    """Its windows, each held against the source, the result and the most bytes that one has; payloads are not read.

    Raises:
        BrokenPatchError: one leads out of the source, they make more or less than the result, or bytes follow them.
    """
    at, made = HEAD_SIZE, 0
    for _ in range(head.windows):
        begin, source_size, result_size, size = _WINDOW.unpack(_exactly(patch, at, WINDOW_SIZE))
        window = Window(begin, source_size, result_size, size, at + WINDOW_SIZE)
        if max(window.source_size, window.result_size, window.payload_size) > most:
            raise BrokenPatchError(f"a window is larger than {most} bytes")
        if window.source_at + window.source_size > head.source.size:
            raise BrokenPatchError("a window reads outside of the source")
        at = window.payload_at + window.payload_size
        made += window.result_size
        if at > patch.size or made > head.result.size or not window.result_size:
            raise BrokenPatchError("its windows are not what its head says")
        yield window
    if made != head.result.size or at != patch.size:
        raise BrokenPatchError("its windows are not what its head says")


def payload(patch: Source, window: Window) -> Iterator[bytes]:
    """A window's payload, in pieces of at most BLOCK."""
    end = window.payload_at + window.payload_size
    for at in range(window.payload_at, end, BLOCK):
        yield _exactly(patch, at, min(BLOCK, end - at))


def _exactly(patch: Source, offset: int, n: int) -> bytes:
    if offset + n > patch.size or len(found := patch.read_at(offset, n)) != n:
        raise BrokenPatchError("it is cut short")
    return found
