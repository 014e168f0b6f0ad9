"""A device: one updatable unit with an identity, what it is made of, and what runs on it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from otaru.domain.ids import DeviceId, TenantId, Version, hardware_model
from otaru.domain.ids import name as parse_name
from otaru.domain.machine import Machine
from otaru.errors import InvalidInputError


class Lifecycle(StrEnum):
    """Whether a device may be served."""

    PENDING = "pending"
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    DECOMMISSIONED = "decommissioned"


class LifecycleEvent(StrEnum):
    """What moves a device's lifecycle."""

    ACCEPT = "accept"
    REJECT = "reject"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    DECOMMISSION = "decommission"


LIFECYCLE: Machine[Lifecycle, LifecycleEvent] = Machine(
    "device",
    Lifecycle.PENDING,
    frozenset({Lifecycle.DECOMMISSIONED}),
    {
        (Lifecycle.PENDING, LifecycleEvent.ACCEPT): Lifecycle.ACTIVE,
        (Lifecycle.PENDING, LifecycleEvent.REJECT): Lifecycle.DECOMMISSIONED,
        (Lifecycle.PENDING, LifecycleEvent.DECOMMISSION): Lifecycle.DECOMMISSIONED,
        (Lifecycle.ACTIVE, LifecycleEvent.QUARANTINE): Lifecycle.QUARANTINED,
        (Lifecycle.ACTIVE, LifecycleEvent.DECOMMISSION): Lifecycle.DECOMMISSIONED,
        (Lifecycle.QUARANTINED, LifecycleEvent.RELEASE): Lifecycle.ACTIVE,
        (Lifecycle.QUARANTINED, LifecycleEvent.DECOMMISSION): Lifecycle.DECOMMISSIONED,
    },
)


class Assurance(StrEnum):
    """How far a device is said to verify what it installs. Declared by people: nobody can see from here that it does."""

    L1 = "L1"
    """Its installer's signature only."""
    L2 = "L2"
    """Both repositories, in full: director and image."""
    L3 = "L3"
    """That, and that the release log has it."""


class Source(StrEnum):
    """Who says that a component has this version."""

    OTARU = "otaru"
    FACTORY = "factory"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class Merge(StrEnum):
    """How reported attributes meet the known ones (hawkBit DDI `mode`)."""

    MERGE = "merge"
    REPLACE = "replace"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Hardware:
    """A model and, where it matters, its revision. Written `model` or `model:revision`."""

    model: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.model}:{self.revision}" if self.revision else self.model

    def fits(self, device: "Hardware") -> bool:
        """Whether what is made for this hardware runs on `device`: same model, and same revision if one is named."""
        return self.model == device.model and self.revision in {"", device.revision}


def hardware(text: str) -> Hardware:
    """Parse `model` or `model:revision`.

    Raises:
        InvalidInputError: it is neither.
    """
    model, colon, revision = text.partition(":")
    return Hardware(hardware_model(model), hardware_model(revision) if colon else "")


@dataclass(frozen=True, slots=True)
class Installed:
    """What runs in one component of a device."""

    component: str
    version: Version
    source: Source
    at: datetime
    confirmed: bool = True
    counter: int = 0
    """The security counter that a release has burnt here: nothing with a lower one is offered. It never falls."""


@dataclass(frozen=True, slots=True)
class AutoConfirm:
    """A standing yes to every update, given by the device or its owner (hawkBit auto-confirm)."""

    initiator: str | None
    remark: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the inventory knows it."""

    id: DeviceId
    lifecycle: Lifecycle
    hardware: Hardware
    created_at: datetime
    updated_at: datetime
    edition: int = 1
    """Grows with every change a person makes: the ETag."""
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    installed: tuple[Installed, ...] = ()
    auto_confirm: AutoConfirm | None = None
    attributes_requested: bool = True
    """The next poll asks the device for its attributes."""
    last_contact: datetime | None = None
    address: str | None = None
    assurance: Assurance = Assurance.L1
    pins: frozenset[str] = frozenset()
    """Components that stay at what they run; `EVERYTHING` is all of them."""
    directed_at: datetime | None = None
    """When it last fetched what the director tells it, to the hour. None: it never did, whatever it is said to verify."""

    def version_of(self, component: str) -> Version | None:
        """The installed version of `component`, or None where nothing is known."""
        return next((i.version for i in self.installed if i.component == component), None)


UNKNOWN_HARDWARE = "unknown"
"""The model of a device that came by itself and did not say: no release fits it until somebody says what it is."""
MAX_ATTRIBUTES = 200
MAX_TAGS = 50
MAX_ATTRIBUTE_VALUE = 2048
MAX_COMPONENTS = 50
EVERYTHING = "*"
"""Of pins: every component."""


def pins(components: Iterable[str]) -> frozenset[str]:
    """Parse what of a device is pinned.

    Raises:
        InvalidInputError: something is no component.
    """
    found = frozenset(components)
    if EVERYTHING in found:
        return frozenset({EVERYTHING})
    if len(found) > MAX_COMPONENTS:
        raise InvalidInputError(f"at most {MAX_COMPONENTS} components of a device are pinned")
    return frozenset(map(parse_name, found))


def merged(known: Mapping[str, str], reported: Mapping[str, str], mode: Merge) -> dict[str, str]:
    """The attributes after a report, by the modes of hawkBit's configData."""
    match mode:
        case Merge.MERGE:
            return {**known, **reported}
        case Merge.REPLACE:
            return dict(reported)
        case Merge.REMOVE:
            return {name: value for name, value in known.items() if name not in reported}


LOT_PRIME = 2**31 - 1


def lot(tenant: TenantId, device: DeviceId) -> int:
    """A device's fixed lot, below 2^31 - 1, from its name: what rankings are drawn from (`rollout.Draw`)."""
    digest = hashlib.sha256(f"{tenant}/{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % LOT_PRIME
