"""Time zones by their IANA names."""

import re
from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from otaru.errors import InvalidInputError

DEVICE = "device"
"""Stands for the zone that each device says it is in."""
ATTRIBUTE = "timezone"
"""The attribute by which it says so."""

_NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
"""What names a zone; `localtime`, `posix/…` and the database's other files are none."""
_MAX_NAME = 64


@lru_cache(maxsize=1024)
def found(name: str) -> tzinfo | None:
    """The zone of this name, or None where this computer knows none."""
    if name == "UTC":
        return UTC  # needs no database
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no key, or a folder of the database
        return None


def zone(name: str) -> str:
    """Parse the name of a zone.

    Raises:
        InvalidInputError: this computer knows no such zone.
    """
    if found(name) is None:
        hint = "Write an IANA zone: UTC, Europe/Paris. The system has them in its package tzdata."
        raise InvalidInputError(f"{name[:_MAX_NAME]!r} is not a time zone that this computer knows", hint=hint)
    return name


def told(text: str | None) -> str:
    """The zone that a device says it is in; empty where it says none that is known here."""
    return text if text is not None and found(text) is not None else ""
