"""How devices come to us by themselves: a claim, given to a factory, lets so many of them enroll until a day.

A claim is a secret that many devices share, so it opens nothing but the door: what a device is given after it, it is
given for itself. A device is known by its serial, which is its id, and better by its key: who asks again with the same
key is the same device, whatever was lost on the way. A serial whose device showed another key is refused.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from otaru.domain.device import UNKNOWN_HARDWARE, Device, Hardware, Lifecycle
from otaru.domain.ids import DeviceId
from otaru.errors import (
    ClaimExpiredError,
    ClaimRevokedError,
    DeviceRejectedError,
    EnrollmentError,
    HardwareMismatchError,
    SerialTakenError,
)

EnrollmentId = NewType("EnrollmentId", str)

MAX_QUOTA = 10_000_000
MAX_SERIALS = 1_000_000


class Approval(StrEnum):
    """Who decides whether an enrolled device is served."""

    AUTO = "auto"
    """The claim is enough."""
    MANUAL = "manual"
    """It waits until somebody accepts it."""


class Wanted(StrEnum):
    """What an enrolling device asks for."""

    TOKEN = "token"  # noqa: S105 - a word of the protocol, not a secret
    """A target token of its own."""
    KEY = "key"
    """That its public key is its credential; it is given nothing."""
    CERTIFICATE = "certificate"
    """A certificate for the key of its CSR."""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A claim and what it is good for."""

    id: EnrollmentId
    label: str
    quota: int
    """How many devices may come by it."""
    created_at: datetime
    expires_at: datetime
    approval: Approval = Approval.AUTO
    hardware: Hardware | None = None
    """What comes by it: devices that say something else are refused."""
    tags: frozenset[str] = frozenset()
    """What devices that come by it are tagged with."""
    by_certificate: bool = False
    """Whether the claim is a client certificate, and not a token."""
    listed: bool = False
    """Whether only listed serials may come by it."""
    serials: int = 0
    """How many are listed."""
    used: int = 0
    """How many devices have come by it."""
    revoked_at: datetime | None = None

    def check(self, now: datetime) -> None:
        """Whether somebody may come by it now.

        Raises:
            ClaimRevokedError, ClaimExpiredError: no more.
        """
        if self.revoked_at is not None:
            raise ClaimRevokedError("the claim was revoked", hint="Ask who gave it to you for a new one.")
        if now >= self.expires_at:
            raise ClaimExpiredError("the claim has expired", hint="Ask who gave it to you for a new one.")

    def hardware_of(self, reported: Hardware | None) -> Hardware:
        """What a device that comes by it is: what it says, else what the claim says.

        Raises:
            HardwareMismatchError: they contradict.
        """
        if self.hardware is None:
            return reported or Hardware(UNKNOWN_HARDWARE)
        if reported is None:
            return self.hardware
        if not self.hardware.fits(reported):
            raise HardwareMismatchError(
                f"the claim is for {self.hardware}, the device says that it is {reported}",
                expected=str(self.hardware),
                reported=str(reported),
            )
        return reported


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How a device came to us."""

    device: DeviceId
    enrollment: EnrollmentId
    key: bytes
    """The SHA-256 of the public key that it showed; empty where it showed none."""
    at: datetime


def comes_back(
    known: Device, enrolled: Enrolled | None, enrollment: EnrollmentId, key: bytes
) -> EnrollmentError | None:
    """Whether who asks for a serial that is taken is the device that has it: None, or why not.

    With a key it is who shows it. Without one nobody can tell who asks, so it may be asked again only by the same claim,
    and only until the device has been heard of: what was given was lost on the way, or its power went.
    """
    same = enrolled is not None and enrolled.key == key
    lost = enrolled is not None and enrolled.enrollment == enrollment and known.last_contact is None
    if not same or not (key or lost):
        return SerialTakenError(
            f"there is a device {known.id} already, and this is not shown to be it",
            hint="It keeps its credential. If it lost it, give it a new one: otaru device token.",
        )
    if known.lifecycle is Lifecycle.DECOMMISSIONED:
        return DeviceRejectedError(f"device {known.id} was rejected or decommissioned: it does not come back")
    return None
