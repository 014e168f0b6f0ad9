"""Windows of the result, each one frame of zstd with its stretch of the source before it (`zstd --patch-from`).

Where the source is larger than a window the stretch is the window's own place in it, with half a window before and after:
file systems keep things about where they were. Applying holds one stretch and one window in memory, whatever the size.
"""

import sys
from collections.abc import Iterable, Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from otaru.images.delta.container import BrokenPatchError, Window
from otaru.images.reading import BLOCK, Source

LARGEST_WINDOW = 32 << 20
_THOROUGH = 64 << 20
"""Results up to here are searched thoroughly: at about 2 MB/s."""
_STATE = 1 << 20
"""Memory of zstd beside its window: tables and a block."""
_LEAST_STRETCH = 8
"""zstd takes nothing shorter before a frame."""
_LEAST_LOG, _MOST_LOG = 10, 27


def stretch(source_size: int, window: int, at: int) -> tuple[int, int]:
    """Where the stretch for the window of the result at `at` begins in the source, and how long it is."""
    if source_size <= 2 * window:
        return 0, source_size
    start = min(max(at - window // 2, 0), source_size - 2 * window)
    return start, 2 * window


def encode(old: bytes, new: bytes, whole: int) -> bytes:
    """One window of a result of `whole` bytes."""
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: 19 if whole <= _THOROUGH else 12,
        # What is far back in the stretch has to be in reach of the last byte.
        parameter.window_log: _log(len(old) + len(new)),
        parameter.enable_long_distance_matching: 1,
        parameter.content_size_flag: 1,  # so that a decoder takes no more memory than the window has bytes
        parameter.checksum_flag: 0,  # the whole result has a digest
    }
    return zstd.compress(new, options=options, zstd_dict=_before(old))


def decode(window: Window, source: Source, payload: Iterable[bytes]) -> Iterator[bytes]:
    """What the window makes."""
    old = source.read_at(window.source_at, window.source_size)
    if len(old) != window.source_size:
        raise BrokenPatchError("its source ends too early")
    before = _before(old)
    del old  # it has been copied
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _log(window.result_size)}
    stream = zstd.ZstdDecompressor(zstd_dict=before, options=options)
    made = 0
    try:
        for block in payload:
            if stream.eof:
                raise BrokenPatchError("its payload has bytes after its end")
            data = block
            while True:
                out = stream.decompress(data, min(BLOCK, window.result_size - made + 1))
                made += len(out)
                if made > window.result_size:
                    raise BrokenPatchError("it makes more than its result")
                yield out
                data = b""
                if hungry(stream):
                    break
    except zstd.ZstdError:
        raise BrokenPatchError("its payload is packed wrongly") from None
    if not ended(stream) or made != window.result_size:
        raise BrokenPatchError("its payload does not end where its window does")


def memory(window: Window, _start: bytes) -> int:
    """How much memory applying a window takes: its stretch, twice while it is read, else with zstd's own window."""
    return window.source_size + max(window.source_size, 1 << _log(window.result_size)) + _STATE


def hungry(stream: zstd.ZstdDecompressor) -> bool:
    """Whether it takes more before it gives more."""
    return stream.eof or stream.needs_input


def ended(stream: zstd.ZstdDecompressor) -> bool:
    """Whether it ended where its bytes did."""
    return stream.eof and not stream.unused_data


def _log(n: int) -> int:
    """The smallest power of two that zstd has a window for and that is larger than `n`."""
    return min(max(n.bit_length(), _LEAST_LOG), _MOST_LOG)


def _before(old: bytes) -> tuple[zstd.ZstdDict, int] | None:
    return zstd.ZstdDict(old, is_raw=True).as_prefix if len(old) >= _LEAST_STRETCH else None
