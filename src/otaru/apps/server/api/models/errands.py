"""Errands and alerts, as the API takes and shows them."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import LINE, Body, Name, Out, Target
from otaru.domain.alert import MAX_MAIL, Alert
from otaru.domain.errand import LONGEST, SHORTEST, Errand, State, Wanted, What, wanted
from otaru.services.control.alerts import New

_SHORTEST_S, _LONGEST_S = int(SHORTEST.total_seconds()), int(LONGEST.total_seconds())


class ErrandIn(Body):
    """What is asked of a device."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"what": "diagnose"}]})

    what: What
    name: Annotated[
        Name | None,
        Field(
            description="Of run: which command of those that the device allows. Of restore: which backup; else the newest."
        ),
    ] = None
    expires_in_s: Annotated[
        int | None, Field(ge=_SHORTEST_S, le=_LONGEST_S, description="How long it waits for the device (a day).")
    ] = None

    def parsed(self) -> Wanted:
        """As the service takes it."""
        life = None if self.expires_in_s is None else timedelta(seconds=self.expires_in_s)
        return wanted(self.what, self.name or "", life)


class ErrandOut(Out):
    """What was asked of a device, and how it went."""

    number: int
    device: str
    what: What
    name: str | None
    state: State
    by: str
    created_at: datetime
    expires_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    code: Annotated[str | None, Field(description="Why it failed or was refused, in a word.")]
    output: Annotated[str, Field(description="What the command printed, or why it failed: the device's words.")]
    size: Annotated[int | None, Field(description="Bytes of its diagnostics, where they are here.")]
    sha256: str | None

    @classmethod
    def of(cls, errand: Errand) -> "ErrandOut":
        """As it is kept."""
        return cls(
            number=errand.number,
            device=errand.device,
            what=errand.what,
            name=errand.name or None,
            state=errand.state,
            by=errand.by,
            created_at=errand.created_at,
            expires_at=errand.expires_at,
            changed_at=errand.changed_at,
            ended_at=errand.ended_at,
            code=errand.code or None,
            output=errand.text,
            size=errand.size,
            sha256=errand.sha256 or None,
        )


class AlertIn(Body):
    """When people are to be told."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "batteries", "when": "telemetry.battery<20", "share": 0.1}]}
    )

    name: Name
    when: Annotated[Target, Field(description="The devices that are counted.")]
    of: Annotated[
        Target | None, Field(description="The devices that they are a share of; all where it is left out.")
    ] = None
    count: Annotated[int, Field(ge=1, le=10**9, description="Raised where at least so many match …")] = 1
    share: Annotated[float, Field(ge=0, le=1, description="… and such a share.")] = 0.0
    mail: Annotated[
        tuple[Annotated[str, Field(min_length=3, max_length=254, pattern=LINE)], ...],
        Field(max_length=MAX_MAIL, description="Who is written to."),
    ] = ()

    def parsed(self) -> New:
        """As the service takes it."""
        return New(self.name, self.when, self.of or "", self.count, self.share, self.mail)


class AlertOut(Out):
    """An alert, and how it stands."""

    name: str
    when: str
    of: str | None
    count: int
    share: float
    mail: list[str]
    created_at: datetime
    raised_at: Annotated[datetime | None, Field(description="Since when it is raised.")]
    changed_at: Annotated[datetime | None, Field(description="When it was raised or closed last.")]
    looked_at: Annotated[
        datetime | None, Field(description="When it was last looked; to the hour, where nothing is new.")
    ]
    devices: Annotated[int, Field(description="How many matched when it was last looked.")]
    among: Annotated[int, Field(description="Of how many.")]
    untold: Annotated[bool, Field(description="Whether people are still to be written to of that.")]
    trouble: Annotated[str | None, Field(description="Why it could not be looked, or nobody be written to.")]

    @classmethod
    def of_alert(cls, alert: Alert) -> "AlertOut":
        """As it is kept."""
        return cls(
            name=alert.name,
            when=alert.when,
            of=alert.of or None,
            count=alert.count,
            share=alert.share,
            mail=list(alert.mail),
            created_at=alert.created_at,
            raised_at=alert.raised_at,
            changed_at=alert.changed_at,
            looked_at=alert.looked_at,
            devices=alert.found.devices,
            among=alert.found.of,
            untold=alert.untold,
            trouble=alert.trouble or None,
        )
