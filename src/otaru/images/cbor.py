"""CBOR (RFC 8949) in its deterministic form, as much as SUIT and COSE need: no floats, nothing of indefinite length."""

from dataclasses import dataclass
from typing import Final

from otaru.images.reading import BrokenImageError

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_CONSTANTS: Final = {20: False, 21: True, 22: None}
_MOST = 20_000  # values in all


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged value."""

    number: int
    value: "Value"


Value = int | bytes | str | bool | None | Tag | tuple["Value", ...] | dict["Value", "Value"]
"""Arrays are tuples, so that they can be keys."""


def decode(raw: bytes, what: str, depth: int = 16) -> Value:
    """Read the one value that `raw` is.

    Raises:
        BrokenImageError: it is none, more than one, nested deeper than `depth`, or not in deterministic form.
    """
    reading = _Reading(raw, what)
    found = reading.value(depth)
    if reading.at != len(raw):
        raise BrokenImageError(f"{what} goes on behind its end")
    return found


def text(value: str) -> bytes:
    """Encode a text."""
    raw = value.encode()
    return _head(_TEXT, len(raw)) + raw


def octets(value: bytes) -> bytes:
    """Encode a byte string."""
    return _head(_BYTES, len(value)) + value


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([major << 5 | 23 + size.bit_length()]) + number.to_bytes(size)


class _Reading:
    def __init__(self, raw: bytes, what: str) -> None:
        self.at = 0
        self._raw = raw
        self._what = what
        self._values = 0

    def value(self, depth: int) -> Value:
        self._values += 1
        if depth < 0 or self._values > _MOST:
            raise BrokenImageError(f"{self._what} nests too deep or holds too many values")
        major, number = self._number()
        match major:
            case 0:
                return number
            case 1:
                return -1 - number
            case 2:
                return self._take(number)
            case 3:
                return self._text(number)
            case 4:
                self._enough(number)
                return tuple(self.value(depth - 1) for _ in range(number))
            case 5:
                return self._map(number, depth)
            case 6:
                return Tag(number, self.value(depth - 1))
            case _:
                return self._constant(number)

    def _text(self, number: int) -> str:
        try:
            return self._take(number).decode()
        except UnicodeDecodeError:
            raise BrokenImageError(f"{self._what} holds text that is not UTF-8") from None

    def _constant(self, number: int) -> Value:
        if number not in _CONSTANTS:
            raise BrokenImageError(f"{self._what} holds a value that is not read here")
        return _CONSTANTS[number]

    def _map(self, number: int, depth: int) -> Value:
        self._enough(2 * number)
        found: dict[Value, Value] = {}
        for _ in range(number):
            key = self.value(depth - 1)
            if isinstance(key, dict | Tag | bool) or (
                isinstance(key, tuple) and not all(isinstance(one, bytes) for one in key)
            ):
                raise BrokenImageError(f"{self._what} has a key of an unknown kind")
            if key in found:
                raise BrokenImageError(f"{self._what} has a key twice")
            found[key] = self.value(depth - 1)
        return found

    def _number(self) -> tuple[int, int]:
        first = self._take(1)[0]
        major, short = first >> 5, first & 31
        if short < 24:
            return major, short
        if short > 27 or major == _SIMPLE:
            raise BrokenImageError(f"{self._what} holds a value that is not read here")
        size = 1 << short - 24
        number = int.from_bytes(self._take(size))
        if number < 24 or (size > 1 and number < 1 << 4 * size):
            raise BrokenImageError(f"{self._what} holds a number that is not in its shortest form")
        return major, number

    def _enough(self, number: int) -> None:
        """A value takes a byte at least: more values than bytes cannot follow."""
        if number > len(self._raw) - self.at:
            raise BrokenImageError(f"{self._what} ends too early")

    def _take(self, n: int) -> bytes:
        if n > len(self._raw) - self.at:
            raise BrokenImageError(f"{self._what} ends too early")
        self.at += n
        return self._raw[self.at - n : self.at]
