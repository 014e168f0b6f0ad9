"""Blackouts, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field

from otaru.apps.server.api.models.fields import LINE, Body, Out, WindowText, utc
from otaru.domain.schedule import FOREVER, Blackout, window
from otaru.domain.schedule.blackout import MAX_REASON


class BlackoutIn(Body):
    """A time in which nothing new is offered: from a start to an end, or again and again, as a window opens."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reason": "year's end", "start": "2026-12-18T00:00:00Z", "end": "2027-01-04T06:00:00Z"},
                {"reason": "market hours", "window": "08:00/10h device FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"},
            ]
        }
    )

    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON, pattern=LINE)]
    start: AwareDatetime | None = None
    end: Annotated[AwareDatetime | None, Field(description="null, where it has a start: until it is removed.")] = None
    window: WindowText | None = None

    def parsed(self) -> Blackout:
        """As the service takes it."""
        start, end = (None if moment is None else utc(moment) for moment in (self.start, self.end))
        return Blackout(0, self.reason, start, end, None if self.window is None else window(self.window))


class BlackoutOut(Out):
    """A time in which nothing new is offered."""

    id: int
    reason: str
    start: datetime | None
    end: datetime | None
    window: Annotated[str | None, Field(examples=["08:00/10h device FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"])]
    until: Annotated[
        datetime | None,
        Field(
            description="Where it lasts now (for a device in the tenant's zone): until when, as far as that is known."
        ),
    ]
    lasts: Annotated[bool, Field(description="Whether it lasts now, for a device in the tenant's zone.")]

    @classmethod
    def of(cls, blackout: Blackout, zone: str, now: datetime) -> "BlackoutOut":
        """As it is stored."""
        until = blackout.until(now, "", zone)
        return cls(
            id=blackout.id,
            reason=blackout.reason,
            start=blackout.start,
            end=blackout.end,
            window=None if blackout.window is None else str(blackout.window),
            until=None if until is None or until == FOREVER else until,
            lasts=until is not None,
        )
