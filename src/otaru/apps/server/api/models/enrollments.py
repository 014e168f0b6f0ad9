"""Enrollments, as the API shows and takes them."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.devices import Tags
from otaru.apps.server.api.models.fields import LINE, MAX_SECONDS, Body, DeviceName, HardwareName, Out
from otaru.domain.device import hardware
from otaru.domain.enrollment import MAX_QUOTA, MAX_SERIALS, Approval, Enrollment
from otaru.domain.ids import DeviceId
from otaru.services.control.enrollments import MAX_BATCH, MAX_LABEL, Made, NewEnrollment

MAX_CHAIN = 65_536

Serials = Annotated[
    list[DeviceName], Field(max_length=MAX_BATCH, description=f"Serials; {MAX_SERIALS} may be listed in all.")
]


class EnrollmentIn(Body):
    """A claim as somebody wants it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"label": "line 3", "quota": 1000, "expires_in_s": 2_592_000}]}
    )

    label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL, pattern=LINE, description="Whose it is.")]
    quota: Annotated[int, Field(ge=1, le=MAX_QUOTA, description="How many devices may come by it.")]
    expires_in_s: Annotated[float, Field(ge=1, le=MAX_SECONDS, description="How long it is good.")] = 2_592_000
    approval: Annotated[Approval, Field(description="`manual`: devices wait until somebody accepts them.")] = (
        Approval.AUTO
    )
    hardware: Annotated[
        HardwareName | None, Field(description="What comes by it. Devices that say something else are refused.")
    ] = None
    tags: Tags = Field(default=[])
    listed: Annotated[
        bool, Field(description="Only listed serials may come by it (`POST …/serials`); none until they are listed.")
    ] = False
    certificate: Annotated[
        str | None,
        Field(
            max_length=MAX_CHAIN,
            description="The claim is this client certificate (PEM), its authority's after it; else a token is made.",
        ),
    ] = None

    def parsed(self) -> NewEnrollment:
        """As the service takes it."""
        return NewEnrollment(
            label=self.label,
            quota=self.quota,
            life=timedelta(seconds=self.expires_in_s),
            approval=self.approval,
            hardware=None if self.hardware is None else hardware(self.hardware),
            tags=frozenset(self.tags),
            listed=self.listed,
            certificate=self.certificate,
        )


class EnrollmentOut(Out):
    """A claim without its secret."""

    id: str
    label: str
    quota: int
    used: Annotated[int, Field(description="How many devices have come by it.")]
    approval: Approval
    hardware: str | None
    tags: list[str]
    by_certificate: bool
    listed: bool
    serials: Annotated[int, Field(description="How many serials are listed.")]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, enrollment: Enrollment) -> "EnrollmentOut":
        """As it is stored."""
        return cls(
            id=enrollment.id,
            label=enrollment.label,
            quota=enrollment.quota,
            used=enrollment.used,
            approval=enrollment.approval,
            hardware=None if enrollment.hardware is None else str(enrollment.hardware),
            tags=sorted(enrollment.tags),
            by_certificate=enrollment.by_certificate,
            listed=enrollment.listed,
            serials=enrollment.serials,
            created_at=enrollment.created_at,
            expires_at=enrollment.expires_at,
            revoked_at=enrollment.revoked_at,
        )


class MadeEnrollment(EnrollmentOut):
    """A new claim with its token, which is shown once."""

    claim: Annotated[str | None, Field(description="The claim token: stored as SHA-256, never shown again.")]

    @classmethod
    def made(cls, made: Made) -> "MadeEnrollment":
        """As it was made."""
        return cls(**EnrollmentOut.of(made.enrollment).model_dump(), claim=made.token)


class SerialsIn(Body):
    """Serials to list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"serials": ["SN-0001", "SN-0002"]}]})

    serials: Serials

    def parsed(self) -> list[DeviceId]:
        """As the service takes them."""
        return [DeviceId(serial) for serial in self.serials]


class SerialsOut(Out):
    """What became of serials to list."""

    added: Annotated[int, Field(description="How many of them were not listed yet.")]
    serials: Annotated[int, Field(description="How many are listed now.")]
