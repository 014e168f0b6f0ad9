"""Products, releases, artifacts and uploads, as the API shows and takes them."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import (
    LINES,
    Body,
    ChannelText,
    Digest,
    FileName,
    HardwareName,
    Name,
    Out,
    ProductText,
    RequirementText,
    VersionText,
)
from otaru.apps.server.api.models.images import ImageDetail, ImageOut
from otaru.apps.server.api.models.keys import MissingOut
from otaru.domain.device import hardware
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import (
    MAX_ARTIFACTS,
    MAX_NOTES,
    Artifact,
    Document,
    DocumentKind,
    Release,
    ReleaseState,
)
from otaru.domain.terms import DEFAULT_CHANNEL, MAX_COUNTER, MAX_REQUIREMENTS, Terms, UpdateType, requirement
from otaru.domain.versions import VersionOrder
from otaru.images.admission import Aspect
from otaru.ports.store import Inspection
from otaru.services.control.artifacts import Stored, Upload
from otaru.services.control.products import Product
from otaru.services.control.release_record import Record
from otaru.services.control.releases import NewRelease, Part, allowed
from otaru.trust.tuf.files import installer_by
from otaru.trust.tuf.repository import Missing

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_EXAMPLE: dict[str, Any] = {
    "product": "app",
    "version": "1.1.0",
    "artifacts": [{"sha256": _SHA256, "filename": "app-1.1.0.swu", "hardware": ["rpi4"]}],
    "notes": "Fixes the clock.",
    "type": "security",
    "requires": ["bootloader>=2.1"],
    "floor": "1.0.0",
    "support_until": "2031-12-31",
}


Images = Mapping[Sha256, Inspection]


class PartIn(Body):
    """Stored bytes, and what they are for."""

    sha256: Digest
    filename: FileName
    hardware: Annotated[list[HardwareName], Field(min_length=1, max_length=MAX_ARTIFACTS)]
    component: Annotated[Name | None, Field(description="What they update on a device; the product, unless given.")] = (
        None
    )


class ReleaseIn(Body):
    """A release to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    product: ProductText
    version: VersionText
    artifacts: Annotated[list[PartIn], Field(min_length=1, max_length=MAX_ARTIFACTS)]
    notes: Annotated[str, Field(max_length=MAX_NOTES, pattern=LINES)] = ""
    publish: Annotated[bool, Field(description="Whether it is published at once; otherwise it is a draft.")] = True
    type: UpdateType = UpdateType.SOFTWARE
    channel: Annotated[
        ChannelText, Field(description="The stream that it belongs to; it names the role that signs it.")
    ] = DEFAULT_CHANNEL
    support_until: Annotated[date | None, Field(description="The last day of its support.")] = None
    requires: Annotated[
        list[RequirementText],
        Field(
            max_length=MAX_REQUIREMENTS, description="What has to run in components of a device before it is offered."
        ),
    ] = Field(default=[])
    floor: Annotated[
        VersionText | None, Field(description="The oldest version from which a device may come to this one.")
    ] = None
    security_floor: Annotated[
        int | None,
        Field(ge=1, le=MAX_COUNTER, description="The counter that it burns: nothing lower is offered afterwards."),
    ] = None
    no_way_back: Annotated[
        bool, Field(description="Whether devices cannot go back from it, a one-way migration say: no rollback does.")
    ] = False
    accept_mismatch: Annotated[
        list[Aspect],
        Field(max_length=len(Aspect), description="In what its images may say something else than is said here."),
    ] = Field(default=[])
    sbom: Annotated[Digest | None, Field(description="An artifact: its bill of materials, CycloneDX or SPDX JSON.")] = (
        None
    )
    provenance: Annotated[
        Digest | None, Field(description="An artifact: how it was built, an in-toto statement, bare or in DSSE.")
    ] = None

    def parsed(self) -> NewRelease:
        """As the service takes it."""
        parts = [
            Part(Sha256(p.sha256), p.filename, p.component or self.product, [hardware(h) for h in p.hardware])
            for p in self.artifacts
        ]
        terms = Terms(
            self.type,
            self.channel,
            self.support_until,
            tuple(map(requirement, self.requires)),
            None if self.floor is None else Version(self.floor),
            self.security_floor,
            self.no_way_back,
        )
        name, accept = (ProductName(self.product), Version(self.version)), frozenset(self.accept_mismatch)
        named = {DocumentKind.SBOM: self.sbom, DocumentKind.PROVENANCE: self.provenance}
        documents = {kind: Sha256(sha256) for kind, sha256 in named.items() if sha256 is not None}
        return NewRelease(*name, parts, self.notes, self.publish, terms, accept, documents)


class PartOut(Out):
    """An artifact of a release."""

    component: str
    hardware: str
    filename: str
    sha256: str
    sha1: str
    md5: str
    size: int
    installer: Annotated[str, Field(description="What installs it on a device; signed metadata says the same.")]
    image: Annotated[ImageOut | None, Field(description="What its bytes say. None: nobody has read them yet.")]

    @classmethod
    def of(cls, artifact: Artifact, image: Inspection | None) -> "PartOut":
        """As it is stored."""
        blob = artifact.blob
        return cls(
            component=artifact.component,
            hardware=str(artifact.hardware),
            filename=artifact.filename,
            sha256=blob.sha256,
            sha1=blob.sha1,
            md5=blob.md5,
            size=blob.size,
            installer=artifact.installer or installer_by(artifact.filename),
            image=None if image is None else ImageOut.of(image),
        )


class DocumentOut(Out):
    """A document of a release: stored bytes that say something of it."""

    kind: DocumentKind
    form: Annotated[str, Field(description="What it was recognised as.", examples=["CycloneDX 1.6"])]
    sha256: str
    size: int

    @classmethod
    def of(cls, document: Document) -> "DocumentOut":
        """As it is stored."""
        return cls(kind=document.kind, form=document.form, sha256=document.blob.sha256, size=document.blob.size)


class ReleaseOut(Out):
    """A release."""

    product: str
    version: str
    state: ReleaseState
    notes: str
    created_at: datetime
    published_at: datetime | None
    edition: int
    allowed: Annotated[list[str], Field(description="The orders that may be given now.")]
    type: UpdateType
    channel: str
    support_until: date | None
    requires: list[str]
    floor: str | None
    security_floor: Annotated[int | None, Field(description="The counter that it burns.")]
    no_way_back: Annotated[bool, Field(description="Whether devices cannot go back from it.")]
    security_counter: Annotated[int, Field(description="What it burns, else what it inherits from those before it.")]
    artifacts: list[PartOut]
    documents: Annotated[list[DocumentOut], Field(description="What there is to read of it, as artifacts.")]

    @classmethod
    def of(cls, release: Release, images: Images) -> "ReleaseOut":
        """As it is stored."""
        return cls(
            product=release.product,
            version=release.version,
            state=release.state,
            notes=release.notes,
            created_at=release.created_at,
            published_at=release.published_at,
            edition=release.edition,
            allowed=allowed(release),
            type=release.terms.type,
            channel=release.terms.channel,
            support_until=release.terms.support_until,
            requires=[str(wanted) for wanted in release.terms.requires],
            floor=release.terms.floor,
            security_floor=release.terms.security_floor,
            no_way_back=release.terms.no_way_back,
            security_counter=release.counter,
            artifacts=[PartOut.of(artifact, images.get(artifact.blob.sha256)) for artifact in release.artifacts],
            documents=[DocumentOut.of(document) for document in release.documents],
        )


class ReleaseDetail(ReleaseOut):
    """A release, what its publication waits for, and who made it what it is."""

    missing: Annotated[
        list[MissingOut], Field(description="Signatures that publishing it needs and the server cannot give.")
    ]

    role: Annotated[str, Field(description="The role that signs it.", examples=["product.app.stable"])]
    created_by: Annotated[str | None, Field(description="Null where the record of events does not go back so far.")]
    published_by: Annotated[str | None, Field(description="Who published it, or brought its signatures.")]
    signed_version: Annotated[int | None, Field(description="The newest version of the role's metadata; it lists it.")]
    signed_by: Annotated[list[str], Field(description="The ids of the keys that have signed that version.")]
    log_index: Annotated[int | None, Field(description="The place of its publication in the release log.")]

    @classmethod
    def detailed(cls, release: Release, images: Images, missing: Missing | None, record: Record) -> "ReleaseDetail":
        """As it is stored."""
        found = [] if missing is None else [MissingOut.of(missing)]
        return cls(
            **ReleaseOut.of(release, images).model_dump(),
            missing=found,
            role=record.role,
            created_by=record.created_by,
            published_by=record.published_by,
            signed_version=record.signed_version,
            signed_by=list(record.signed_by),
            log_index=record.log_index,
        )


class ProductOut(Out):
    """A named line of releases."""

    name: str
    order: Annotated[VersionOrder, Field(description="How its versions follow each other.")]
    created_at: datetime
    releases: int

    @classmethod
    def of(cls, product: Product) -> "ProductOut":
        """As it is."""
        return cls.model_validate(product, from_attributes=True)


class ProductChange(Body):
    """What to change of a product."""

    order: VersionOrder


class ProductOrdered(Out):
    """A product and its order."""

    name: str
    order: VersionOrder


class ArtifactOut(Out):
    """Stored bytes."""

    sha256: str
    sha1: str
    md5: str
    size: int
    created_at: datetime

    @classmethod
    def of(cls, stored: Stored) -> "ArtifactOut":
        """As it is stored."""
        return cls(
            sha256=stored.blob.sha256,
            sha1=stored.blob.sha1,
            md5=stored.blob.md5,
            size=stored.blob.size,
            created_at=stored.created_at,
        )


class ListedArtifact(ArtifactOut):
    """Stored bytes, in how many releases they stand, and what they say of themselves."""

    releases: int
    image: Annotated[ImageOut | None, Field(description="None: nobody has read them yet.")]


class ArtifactDetail(ArtifactOut):
    """Stored bytes, and what they say of themselves."""

    image: Annotated[ImageDetail | None, Field(description="None: nobody has read them yet; a release does.")]

    @classmethod
    def detailed(cls, stored: Stored, image: Inspection | None) -> "ArtifactDetail":
        """As it is stored."""
        return cls(**ArtifactOut.of(stored).model_dump(), image=None if image is None else ImageDetail.detailed(image))


class UploadIn(Body):
    """An upload in parts to begin."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filename": "app-1.1.0.swu", "size": 1048576}]})

    filename: FileName
    size: Annotated[int | None, Field(ge=0, le=2**53 - 1, description="How many bytes it will have.")] = None


class UploadOut(Out):
    """An upload in parts, and the offset to go on from."""

    id: str
    filename: str
    offset: int
    limit: Annotated[int, Field(description="How many bytes it may have.")]

    @classmethod
    def of(cls, upload: Upload) -> "UploadOut":
        """As it is."""
        return cls.model_validate(upload, from_attributes=True)


class FinishIn(Body):
    """The end of an upload."""

    sha256: Annotated[Digest | None, Field(description="What the bytes have to be.")] = None
