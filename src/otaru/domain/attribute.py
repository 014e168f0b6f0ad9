"""Attributes whose type is declared: how their values are read and compared.

A value is written as a *key*, text whose bytewise order is the order of values: what a database sorts and what memory
compares cannot differ. What cannot be read has no key: it stays the text that it is, and compares with nothing.
"""

import re
import struct
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from otaru.domain import ids
from otaru.domain.moments import moment
from otaru.domain.versions import VersionOrder, key
from otaru.errors import InvalidInputError

MAX_DECLARED = 32
"""In a tenant."""
MAX_SORTED = 500
"""Characters of a text that is compared."""
MAX_CHANGES = 500
"""Changes of its attributes that are kept of a device."""

_NUMBER = re.compile(r"[-+]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_WORDS = {"true": "1", "yes": "1", "on": "1", "1": "1", "false": "0", "no": "0", "off": "0", "0": "0"}


class AttributeKind(StrEnum):
    """What an attribute's values are."""

    STRING = "string"
    NUMBER = "number"
    VERSION = "version"
    TIME = "time"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Declared:
    """An attribute whose type is declared. While it is not `ready`, what devices have is still being read."""

    name: str
    kind: AttributeKind
    created_at: datetime
    ready: bool = False


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """An attribute had one value before and has another one since; None is none."""

    at: datetime
    name: str
    before: str | None
    after: str | None


@lru_cache(maxsize=4096)
def sort_key(kind: AttributeKind, text: str) -> str | None:
    """The key of a value; None where it is no value of this kind."""
    match kind:
        case AttributeKind.STRING:
            return text if len(text) <= MAX_SORTED else None
        case AttributeKind.NUMBER:
            return _number(text)
        case AttributeKind.VERSION:
            try:
                return key(VersionOrder.AUTO, ids.version(text))
            except InvalidInputError:
                return None
        case AttributeKind.TIME:
            return _time(text)
        case AttributeKind.BOOLEAN:
            return _WORDS.get(text.lower())


def number(text: str) -> float | None:
    """A number as people and devices write it; None where it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return None if value in {float("inf"), float("-inf")} else value + 0.0  # of two zeros the one


def _number(text: str) -> str | None:
    value = number(text)
    if value is None:
        return None
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    # Of negative numbers a larger magnitude is less: their bits are turned round.
    return f"{bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63):016x}"


def _time(text: str) -> str | None:
    try:
        at = moment(text, None)
    except InvalidInputError:
        return None
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}"
