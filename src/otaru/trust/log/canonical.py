"""JSON of which there is only one spelling (RFC 8785), so that a hash of it means the value."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

MAX_INTEGER = 2**53 - 1
"""The largest integer that every reader of JSON keeps (RFC 7493, section 2.2)."""


def canonical(value: Any) -> bytes:
    """A JSON value in its one spelling.

    Raises:
        ValueError: it holds what JSON does not have, or a number that not every reader keeps.
    """
    return "".join(_pieces(value)).encode()


def harmless(value: Any) -> Any:
    """The value with integers that not every reader keeps as text: what `canonical` takes of any JSON that was decoded."""
    match value:
        case bool():
            return value
        case int() if abs(value) > MAX_INTEGER:
            return str(value)
        case Mapping():
            return {str(name): harmless(one) for name, one in value.items()}
        case str():
            return value
        case Sequence():
            return [harmless(one) for one in value]
        case _:
            return value


def _pieces(value: Any) -> list[str]:
    match value:
        case None | bool():
            return [{None: "null", True: "true", False: "false"}[value]]
        case str():
            # The escapes of section 3.2.2.2 are those that Python writes.
            return [json.dumps(value, ensure_ascii=False)]
        case int() if abs(value) <= MAX_INTEGER:
            return [str(int(value))]
        case float() if isfinite(value):
            return [_number(value)]
        case Mapping():
            if not all(isinstance(name, str) for name in value):
                raise ValueError("names of JSON are text")
            members = [
                [*_pieces(name), ":", *_pieces(value[name])]
                for name in sorted(value, key=lambda n: n.encode("utf-16-be"))
            ]
            return ["{", *_joined(members), "}"]
        case list() | tuple():
            return ["[", *_joined([_pieces(one) for one in value]), "]"]
        case _:
            raise ValueError(f"{value!r} has no place in canonical JSON")


def _joined(parts: Sequence[list[str]]) -> list[str]:
    return [piece for at, part in enumerate(parts) for piece in ([",", *part] if at else part)]


def _number(value: float) -> str:
    """As ECMAScript writes it (ECMA-262, Number::toString): the fewest digits that mean this number."""
    if value == 0:
        return "0"
    sign, digits_, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, digits_)).rstrip("0")
    point = len(digits_) + int(exponent)
    minus = "-" if sign else ""
    if len(digits) <= point <= 21:
        return minus + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{fraction}e{point - 1:+d}"
