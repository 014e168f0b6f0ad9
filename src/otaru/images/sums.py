"""Sums of many bytes, without a step of Python for each."""

import zlib

_EXACT = 256
"""So many bytes add up to less than 65521, which Adler-32 counts modulo."""


def total(data: bytes) -> int:
    """All bytes, added up."""
    view = memoryview(data)
    return sum((zlib.adler32(view[at : at + _EXACT]) & 0xFFFF) - 1 for at in range(0, len(data), _EXACT))


def xor(data: bytes) -> int:
    """All bytes, one exclusive-or the next: they are one large number."""
    number = int.from_bytes(data)
    bits = 8 * len(data)
    while bits > 8:
        # Fold the upper half onto the lower one; a whole number of bytes stays below.
        half = (bits // 8 + 1) // 2 * 8
        number = number >> half ^ number & ((1 << half) - 1)
        bits = half
    return number
