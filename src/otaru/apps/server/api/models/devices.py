"""Devices, as the API shows and takes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import (
    Body,
    DeviceName,
    DeviceToken,
    HardwareName,
    Line,
    Name,
    Out,
    Value,
    VersionText,
)
from otaru.domain.attribute import AttributeKind
from otaru.domain.deployment import Deployment, Event, Report, State
from otaru.domain.device import (
    MAX_ATTRIBUTES,
    MAX_COMPONENTS,
    MAX_TAGS,
    Assurance,
    Installed,
    Lifecycle,
    LifecycleEvent,
    Source,
    hardware,
    pins,
)
from otaru.domain.ids import DeviceId, Version
from otaru.domain.offer import Rule
from otaru.domain.rollout import Rollout
from otaru.domain.targeting import Kind, Slot
from otaru.services.control.completion import Completion, Known
from otaru.services.control.devices import MAX_BATCH, Added, Batch, Change, NewDevice
from otaru.services.control.survey import Because, Shown

_component = attrgetter("component")

Tags = Annotated[list[Name], Field(max_length=MAX_TAGS)]
InstalledVersions = Annotated[
    dict[Name, VersionText], Field(max_length=MAX_COMPONENTS, description="Versions by component.")
]

_ASSURANCE = (
    "How far it is said to verify what it installs: L1 its installer's signature, L2 both repositories, L3 the log too."
)
_PINS = "Components that stay at what they run: rollouts leave the device out. `*` is all of them."
PinText = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127}|\*)$")]
_EXAMPLE: dict[str, Any] = {
    "id": "dev-1",
    "hardware": "rpi4:b",
    "tags": ["lab"],
    "attributes": {"region": "eu-1"},
    "installed": {"app": "1.0.0"},
}


def _versions(installed: Mapping[str, str]) -> dict[str, Version]:
    return {component: Version(version) for component, version in installed.items()}


class FieldOut(Out):
    """A field of the target language, and what this fleet has in it."""

    field: Annotated[str, Field(description="As it is written: `id`, `attr.region`.", examples=["attr.region"])]
    kind: Kind
    operators: Annotated[list[str], Field(examples=[["==", "!=", "=in=", "=out=", "=null="]])]
    values: Annotated[list[str], Field(description="The first ones, sorted.")]
    complete: Annotated[bool, Field(description="Whether these are all values that there are.")]
    help: str
    declared: Annotated[AttributeKind | None, Field(description="An attribute's type, where one is declared.")]

    @classmethod
    def of(cls, known: Known) -> "FieldOut":
        """As it is known."""
        return cls(
            field=known.selector,
            kind=known.about.kind,
            operators=list(known.about.operators),
            values=list(known.values),
            complete=known.complete,
            help=known.about.help,
            declared=known.declared,
        )


class FieldsOut(Out):
    """What a target can ask for."""

    items: list[FieldOut]


class FollowingOut(Out):
    """What may follow at a cursor."""

    text: Annotated[str, Field(description="It takes the place of what is written from `start` to the cursor.")]
    help: str


class CompletionOut(Out):
    """What may follow at a cursor."""

    start: int
    slot: Slot
    items: list[FollowingOut]

    @classmethod
    def of(cls, found: Completion) -> "CompletionOut":
        """As it was found."""
        items = [FollowingOut(text=one.text, help=one.help) for one in found.items]
        return cls(start=found.start, slot=found.slot, items=items)


class DeviceIn(Body):
    """A device to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: DeviceName
    hardware: HardwareName
    tags: Tags = Field(default=[])
    attributes: Annotated[dict[Name, Value], Field(max_length=MAX_ATTRIBUTES)] = Field(default={})
    installed: InstalledVersions = Field(default={})
    token: DeviceToken | None = None

    def parsed(self) -> NewDevice:
        """As the service takes it."""
        return NewDevice(
            id=DeviceId(self.id),
            hardware=hardware(self.hardware),
            tags=frozenset(self.tags),
            attributes=self.attributes,
            installed=_versions(self.installed),
            token=self.token,
        )


class BatchIn(Body):
    """Devices to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"devices": [_EXAMPLE]}]})

    devices: Annotated[list[DeviceIn], Field(max_length=MAX_BATCH)]


class DeviceChange(Body):
    """What to change of a device; what is left out or null stays. An attribute that is null is removed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": ["lab", "beta"], "attributes": {"rack": None}}]})

    hardware: HardwareName | None = None
    tags: Tags | None = None
    attributes: Annotated[dict[Name, Value | None] | None, Field(max_length=MAX_ATTRIBUTES)] = None
    installed: InstalledVersions | None = None
    assurance: Annotated[Assurance | None, Field(description=_ASSURANCE)] = None
    pins: Annotated[list[PinText] | None, Field(max_length=MAX_COMPONENTS, description=_PINS)] = None
    reason: Annotated[Line, Field(description="Why; the record keeps it.")] = ""

    def parsed(self) -> Change:
        """As the service takes it."""
        return Change(
            hardware=None if self.hardware is None else hardware(self.hardware),
            tags=None if self.tags is None else frozenset(self.tags),
            attributes=self.attributes,
            installed=None if self.installed is None else _versions(self.installed),
            assurance=self.assurance,
            pins=None if self.pins is None else pins(self.pins),
            reason=self.reason,
        )


class LifecycleIn(Body):
    """Where to move a device's lifecycle."""

    event: LifecycleEvent


class TokenIn(Body):
    """A device's new token."""

    token: DeviceToken | None = None


class TokenOfDevice(Out):
    """A device's new token, which is shown once."""

    id: str
    token: str


class InstalledOut(Out):
    """What runs in a component."""

    component: str
    version: str
    source: Source
    confirmed: bool
    at: datetime
    security_counter: Annotated[int, Field(description="Releases with a lower one are not offered to it any more.")]


class AutoConfirmOut(Out):
    """A standing yes to every update."""

    initiator: str | None
    remark: str | None
    at: datetime


class HistoryItem(Out):
    """One deployment of a device."""

    rollout: int
    product: str
    version: str
    attempt: int
    action: Annotated[int | None, Field(description="The device's running number of it; null before it is offered.")]
    state: State
    reason: str
    offered_at: datetime | None
    ended_at: datetime | None
    changed_at: datetime

    @classmethod
    def of(cls, deployment: Deployment, rollout: Rollout) -> "HistoryItem":
        """As it is stored."""
        return cls(
            rollout=deployment.rollout,
            product=rollout.product,
            version=rollout.version,
            attempt=deployment.attempt,
            action=deployment.action or None,
            state=deployment.state,
            reason=deployment.reason,
            offered_at=deployment.offered_at,
            ended_at=deployment.ended_at,
            changed_at=deployment.changed_at,
        )


class DeviceOut(Out):
    """A device."""

    id: str
    hardware: str
    lifecycle: Lifecycle
    state: Annotated[
        str,
        Field(description="Of the open deployment, else of the one that ended last, else `idle`.", examples=["idle"]),
    ]
    tags: list[str]
    attributes: dict[str, str]
    installed: list[InstalledOut]
    last_contact: datetime | None
    address: str | None
    assurance: Annotated[Assurance, Field(description=_ASSURANCE)]
    pins: Annotated[list[str], Field(description=_PINS)]
    directed_at: Annotated[
        datetime | None,
        Field(description="When it last fetched what the director tells it, to the hour. Null: it never did."),
    ]
    auto_confirm: AutoConfirmOut | None
    created_at: datetime
    updated_at: datetime
    edition: int

    @classmethod
    def of(cls, shown: Shown) -> "DeviceOut":
        """As it is stored."""
        return cls.model_validate(_device(shown), from_attributes=True)


class DeviceShown(DeviceOut):
    """A device with its deployments, newest first (the last 100)."""

    history: list[HistoryItem]

    @classmethod
    def of(cls, shown: Shown) -> "DeviceShown":
        """As it is stored."""
        history = [HistoryItem.of(d, r) for d, r in shown.history]
        return cls.model_validate({**_device(shown), "history": history}, from_attributes=True)


class AddedDevice(DeviceOut):
    """A new device with its token, which is shown once."""

    token: str

    @classmethod
    def added(cls, added: Added) -> "AddedDevice":
        """As it was made."""
        return cls.model_validate({**_device(Shown(added.device, None)), "token": added.token}, from_attributes=True)


def _device(shown: Shown) -> dict[str, Any]:
    device = shown.device
    return {
        "id": device.id,
        "hardware": str(device.hardware),
        "lifecycle": device.lifecycle,
        "state": str(shown.state or "idle"),
        "tags": sorted(device.tags),
        "attributes": device.attributes,
        "installed": [_runs(one) for one in sorted(device.installed, key=_component)],
        "last_contact": device.last_contact,
        "address": device.address,
        "assurance": device.assurance,
        "pins": sorted(device.pins),
        "directed_at": device.directed_at,
        "auto_confirm": device.auto_confirm,
        "created_at": device.created_at,
        "updated_at": device.updated_at,
        "edition": device.edition,
    }


def _runs(installed: Installed) -> dict[str, Any]:
    return {
        "component": installed.component,
        "version": installed.version,
        "source": installed.source,
        "confirmed": installed.confirmed,
        "at": installed.at,
        "security_counter": installed.counter,
    }


class DevicePage(Out):
    """A page of devices."""

    items: list[DeviceOut]
    next: str | None
    total: Annotated[int | None, Field(description="How many there are in all, where `count` was asked for.")] = None


def page_of_devices(items: Sequence[Shown], following: str | None, total: int | None) -> bytes:
    """A `DevicePage` as JSON. Without a model of each device: they cost more than finding them in a million."""
    return msgspec.json.encode({"items": [_device(shown) for shown in items], "next": following, "total": total})


class BatchOut(Out):
    """What became of many new devices."""

    added: list[TokenOfDevice]
    taken: list[str]

    @classmethod
    def of(cls, batch: Batch) -> "BatchOut":
        """As it was made."""
        return cls(
            added=[TokenOfDevice(id=a.device.id, token=a.token) for a in batch.added],
            taken=[str(device) for device in batch.taken],
        )


class BecauseOut(Out):
    """What one rule says."""

    rollout: int | None
    rule: Rule
    because: str

    @classmethod
    def of(cls, because: Because) -> "BecauseOut":
        """As it was decided."""
        return cls.model_validate(because, from_attributes=True)


class Why(Out):
    """Why a device is not updated, or that it is."""

    answers: list[BecauseOut]


class ReportOut(Out):
    """What a device said of an action."""

    received_at: datetime
    execution: str
    result: str
    event: Event | None
    messages: list[str]

    @classmethod
    def of(cls, report: Report) -> "ReportOut":
        """As it arrived."""
        return cls.model_validate(report, from_attributes=True)
