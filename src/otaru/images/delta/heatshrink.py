"""LZSS as heatshrink writes it, for microcontrollers.

Bits, the highest first: a literal is 1 and eight bits, a reference 0, how far back less one and how many bytes less one. What
lies before the beginning is zeros. detools puts one byte before it: the bits of how far back, less 4, and of how many, less 3.
"""

from collections.abc import Iterable, Iterator

from otaru.images.delta.container import BrokenPatchError

WINDOW_BITS, LENGTH_BITS = 8, 7
"""What detools' decoder in C is built for where nobody says otherwise: 256 bytes of memory."""
_MOST_WINDOW_BITS = 15
_PIECE = 1 << 16
_FLUSH = 512


def pack(data: bytes) -> bytes:
    """The bytes, packed greedily; with detools' byte before them."""
    reach, most = 1 << WINDOW_BITS, 1 << LENGTH_BITS
    padded = bytes(reach) + data
    out = bytearray([(WINDOW_BITS - 4) << 4 | (LENGTH_BITS - 3)])
    bits = count = 0
    at = reach
    while at < len(padded):
        length, found = _longest(padded, at, reach, min(most, len(padded) - at))
        if length >= 2:  # 16 bits against 9 for each literal
            token, width = (at - found - 1) << LENGTH_BITS | length - 1, 1 + WINDOW_BITS + LENGTH_BITS
        else:
            token, width, length = 1 << 8 | padded[at], 9, 1
        bits, count, at = bits << width | token, count + width, at + length
        if count >= _FLUSH:
            whole, count = divmod(count, 8)
            out += (bits >> count).to_bytes(whole)
            bits &= (1 << count) - 1
    return bytes(out + (bits << -count % 8).to_bytes((count + 7) // 8))


def _longest(data: bytes, at: int, reach: int, most: int) -> tuple[int, int]:
    """The longest earlier stretch that goes on as the bytes at `at` do: its length and where it begins."""
    length = found = 0
    while length < most:
        again = data.rfind(data[at : at + length + 1], at - reach, at + length)
        if again < 0:
            break
        found, length = again, length + 1
        while length < most and data[found + length] == data[at + length]:
            length += 1
    return length, found


def unpack(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """What was packed, in pieces of about 64 KiB.

    Raises:
        BrokenPatchError: its byte of parameters is out of range.
    """
    feed = (octet for block in blocks for octet in block)
    told = next(feed, 0)
    window, length = (told >> 4) + 4, (told & 15) + 3
    if window > _MOST_WINDOW_BITS or length >= window:
        raise BrokenPatchError(f"heatshrink with {window} and {length} bits is not what we read")
    reach = 1 << window
    out = bytearray(reach)
    bits = count = 0
    for octet in feed:
        bits, count = bits << 8 | octet, count + 8
        while True:
            width = 9 if bits >> (count - 1) & 1 else 1 + window + length
            if count < width:
                break
            count -= width
            token = bits >> count
            bits &= (1 << count) - 1
            if width == 9 and token >> 8:
                out.append(token & 0xFF)
            else:
                _copy(out, (token >> length & reach - 1) + 1, (token & (1 << length) - 1) + 1)
            if not count:
                break
        if len(out) >= reach + _PIECE:
            yield bytes(out[reach:])
            del out[:-reach]
    yield bytes(out[reach:])


def _copy(out: bytearray, back: int, length: int) -> None:
    start = len(out) - back
    if back >= length:
        out += out[start : start + length]
        return
    stretch = bytes(out[start:])
    out += (stretch * (length // back + 1))[:length]
