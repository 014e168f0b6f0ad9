"""Durations as people write them: `30s`, `10m`, `2h`, `7d`, `1w`, `1h30m`, or a bare number of seconds."""

import re
from datetime import timedelta

from otaru.errors import InvalidInputError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST = timedelta(days=3650)

_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)


def duration(text: str) -> timedelta:
    """Parse a duration.

    Raises:
        InvalidInputError: it is none, or longer than ten years.
    """
    compact = text.strip().lower()
    parts = _PART.findall(compact)
    if _SECONDS.fullmatch(compact):
        seconds = float(compact)
    elif parts and "".join(number + unit for number, unit in parts) == compact:
        seconds = sum(float(number) * UNITS_S[unit] for number, unit in parts)
    else:
        raise InvalidInputError(f"{text!r} is not a duration", hint="Write 30s, 10m, 2h, 7d or 1h30m.")
    if seconds > LONGEST.total_seconds():
        raise InvalidInputError(f"{text!r} is longer than ten years")
    return timedelta(seconds=seconds)


def written(seconds: float) -> str:
    """So many seconds as `duration` reads them, in their largest units: `1h30m`."""
    if seconds != int(seconds):
        return f"{seconds:g}s"
    rest, parts = int(seconds), []
    for unit in ("w", "d", "h", "m", "s"):
        count, rest = divmod(rest, UNITS_S[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
