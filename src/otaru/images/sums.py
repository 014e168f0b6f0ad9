"""Sums over long byte strings, without a step of Python for each byte: the bytes are lanes of one large number."""

_STEP = 1 << 16


def add(data: bytes) -> int:
    """The sum of all bytes."""
    total = 0
    for at in range(0, len(data), _STEP):
        piece = data[at : at + _STEP]
        number, width, lanes = int.from_bytes(piece), 8, len(piece)
        # Each round adds the odd lanes to the even ones: half as many lanes, twice as wide, none can overflow.
        while lanes > 1:
            lanes = (lanes + 1) // 2
            mask = int.from_bytes((bytes(width // 8) + b"\xff" * (width // 8)) * lanes)
            number = (number & mask) + (number >> width & mask)
            width *= 2
        total += number
    return total


def xor(data: bytes) -> int:
    """All bytes, one exclusive-or the next."""
    number = int.from_bytes(data)
    bits = 8 * len(data)
    while bits > 8:
        # Fold the upper half onto the lower one; a whole number of bytes stays below.
        half = (bits // 8 + 1) // 2 * 8
        number = number >> half ^ number & ((1 << half) - 1)
        bits = half
    return number
