"""What devices tell of their health, as the API takes and shows it."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from otaru.apps.server.api.models.fields import LINE, LINES, Body, DeviceName, Name, Out
from otaru.domain.health import (
    MAX_EVENTS,
    MAX_ID,
    MAX_TEXT,
    MAX_TIME,
    MAX_VALUE,
    HealthEvent,
    Kind,
    Measured,
    Spread,
    Told,
)
from otaru.domain.ids import DeviceId
from otaru.errors import InvalidInputError
from otaru.protocols.health import checked
from otaru.services.control.health import Taken

_EXAMPLE: dict[str, Any] = {
    "events": [
        {"device": "dev-1", "id": "b17-1", "kind": "watchdog", "text": "task ui"},
        {"device": "dev-1", "id": "b17-2", "kind": "sample", "name": "battery", "value": 81.5},
    ]
}


class TellingIn(Body):
    """One thing that a device tells. A sample has a name and a number, an event has neither."""

    device: DeviceName
    id: Annotated[
        str,
        Field(
            min_length=1, max_length=MAX_ID, pattern=r"^[!-~]+$", description="The device's own: again, it is known."
        ),
    ]
    kind: Kind
    at: Annotated[str, Field(max_length=MAX_TIME, pattern=LINE, description="By the device's clock: recorded.")] = ""
    text: Annotated[str, Field(max_length=MAX_TEXT, pattern=LINES)] = ""
    name: Name | None = None
    value: Annotated[float | None, Field(ge=-MAX_VALUE, le=MAX_VALUE)] = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        try:
            checked(self.id, self.kind, self.name or "", self.value)
        except InvalidInputError as error:
            raise ValueError(error.message) from None
        return self

    def parsed(self) -> tuple[DeviceId, Told]:
        """As the service takes it."""
        return DeviceId(self.device), Told(self.id, self.kind, self.text, self.name or "", self.value or 0.0, self.at)


class TellIn(Body):
    """What devices tell, brought by somebody who speaks for them."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    events: Annotated[list[TellingIn], Field(max_length=MAX_EVENTS)]

    def parsed(self) -> list[tuple[DeviceId, Told]]:
        """As the service takes it."""
        return [event.parsed() for event in self.events]


class TakenOut(Out):
    """What became of it."""

    kept: int
    known: Annotated[int, Field(description="Told before: they changed nothing.")]
    refused: Annotated[list[str], Field(description="Devices that tell too much: nothing new of theirs was kept.")]
    unknown: Annotated[list[str], Field(description="There are none of these, or they are decommissioned.")]

    @classmethod
    def of(cls, taken: Taken) -> "TakenOut":
        """As the service says it."""
        return cls(kept=taken.kept, known=taken.known, refused=list(taken.refused), unknown=list(taken.unknown))


class HealthEventOut(Out):
    """One thing that a device told."""

    id: str
    kind: Kind
    received_at: Annotated[datetime, Field(description="When it came, by our clock.")]
    at: Annotated[str, Field(description="When it was, by the device's: never trusted.")]
    text: str
    name: Annotated[str | None, Field(description="Of a sample: what was measured.")]
    value: float | None

    @classmethod
    def of(cls, event: HealthEvent) -> "HealthEventOut":
        """As it is kept."""
        sample = event.kind is Kind.SAMPLE
        return cls(
            id=event.id,
            kind=event.kind,
            received_at=event.received_at,
            at=event.device_time,
            text=event.text,
            name=event.name if sample else None,
            value=event.value if sample else None,
        )


class MeasuredOut(Out):
    """The last known value of something that a device measures."""

    name: str
    value: Annotated[float, Field(description="To three digits: less is no news.")]
    since: datetime

    @classmethod
    def of(cls, measured: Measured) -> "MeasuredOut":
        """As it is kept."""
        return cls(name=measured.name, value=measured.value, since=measured.since)


class SpreadOut(Out):
    """The last values of something that devices measure, over all that have told it."""

    name: str
    devices: int
    least: float
    p10: float
    p50: float
    p90: float
    most: float

    @classmethod
    def of(cls, spread: Spread) -> "SpreadOut":
        """As it was counted."""
        least, p10, p50, p90, most = spread.values
        return cls(name=spread.name, devices=spread.devices, least=least, p10=p10, p50=p50, p90=p90, most=most)
