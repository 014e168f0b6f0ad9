"""Moments as they are written in queries: a time (RFC 3339, or its date alone), or how long ago (ISO 8601: `-P7D`)."""

import re
from datetime import UTC, datetime, timedelta

from otaru.errors import InvalidInputError

_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})?)?", re.ASCII | re.IGNORECASE
)
_AGO = re.compile(
    r"(-?)P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?", re.ASCII | re.IGNORECASE
)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_HINT = "Write a time (2026-05-01T04:00Z, or 2026-05-01), or how long ago: -P7D, -PT12H, -P1DT12H."


def moment(text: str, now: datetime | None) -> datetime:
    """Read a moment. A time without a zone is UTC; what lies before 1970 is 1970. Without `now` it is a time, not how long ago.

    Raises:
        InvalidInputError: it is none.
    """
    if now is not None and (ago := _AGO.fullmatch(text)) and any(ago.groups()[1:]):
        if not ago[1]:
            raise InvalidInputError(f"{text!r} lies ahead", hint=f"How long ago is written with a minus: -{text}.")
        weeks, days, hours, minutes, seconds = (int(number or 0) for number in ago.groups()[1:])
        span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return now - span if now - _EARLIEST > span else _EARLIEST
    if _TIME.fullmatch(text):
        try:
            at = datetime.fromisoformat(text.upper())
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            return max(at, _EARLIEST)
    raise InvalidInputError(f"{text[:40]!r} is not a time", hint=_HINT)
