"""When nobody may be disturbed: the blackouts of a tenant's calendar. While one lasts nothing new is offered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from otaru.domain.schedule.window import Window
from otaru.errors import InvalidInputError

MAX_BLACKOUTS = 100
MAX_REASON = 200
FOREVER = datetime.max.replace(tzinfo=UTC)
"""The end of what lasts until somebody removes it."""


@dataclass(frozen=True, slots=True)
class Blackout:
    """From a moment to another, or again and again, as a window opens."""

    id: int
    reason: str
    start: datetime | None = None
    end: datetime | None = None
    """None, where it has a start: until somebody removes it."""
    window: Window | None = None

    def until(self, now: datetime, own: str, default: str) -> datetime | None:
        """Until when it lasts, for a device in the zone `own` (empty: not known); None where it does not last now."""
        if self.window is not None:
            return self.window.within(own, default).closes_at(now)
        if self.start is None or now < self.start:
            return None
        end = self.end or FOREVER
        return end if now < end else None

    def over(self, now: datetime) -> bool:
        """Whether it neither lasts nor ever will again."""
        if self.window is not None:
            here = self.window.within("", "UTC")
            return not here.open_at(now) and here.next_opening(now) is None
        return self.end is not None and now >= self.end

    def __str__(self) -> str:
        if self.window is not None:
            return str(self.window)
        start = "" if self.start is None else f"{self.start:%Y-%m-%d %H:%M}"
        return f"{start} to {self.end:%Y-%m-%d %H:%M} UTC" if self.end else f"{start} UTC until it is removed"


def check(blackout: Blackout, others: Sequence[Blackout]) -> None:
    """Check a blackout as a person wrote it.

    Raises:
        InvalidInputError: it says nothing or two things, ends before it begins, or there are too many.
    """
    if (blackout.window is None) == (blackout.start is None):
        raise InvalidInputError(
            "a blackout lasts from a time to another, or recurs as a window does",
            hint="Give its start (and its end), or a window.",
        )
    if blackout.end is not None and (blackout.start is None or blackout.end <= blackout.start):
        raise InvalidInputError("a blackout ends after it begins")
    if not blackout.reason.strip() or len(blackout.reason) > MAX_REASON:
        raise InvalidInputError(f"a blackout has a reason, of at most {MAX_REASON} characters")
    if len(others) >= MAX_BLACKOUTS:
        raise InvalidInputError(f"there are {MAX_BLACKOUTS} blackouts", hint="Remove those that are over.")
