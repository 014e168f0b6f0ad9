"""The exclusive-or of many bytes, without a step of Python for each: they are one large number."""


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
