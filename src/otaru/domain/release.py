"""A release: one version of a product, the bytes it is made of, and what they fit.

`admit` says why a release may not be published; a release that does not fit a device is never offered to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Sha256, Version, product_name
from otaru.domain.ids import version as parse_version
from otaru.domain.machine import Machine
from otaru.domain.terms import DEFAULT_CHANNEL, NO_TERMS, Terms, check_terms
from otaru.domain.versions import VersionOrder, compare, reads
from otaru.errors import InvalidInputError


class ReleaseState(StrEnum):
    """Where a release is in its life."""

    DRAFT = "draft"
    SIGNED = "signed"
    PUBLISHED = "published"
    DEPRECATED = "deprecated"
    WITHDRAWN = "withdrawn"


class ReleaseEvent(StrEnum):
    """What moves a release."""

    SIGN = "sign"
    PUBLISH = "publish"
    DEPRECATE = "deprecate"
    WITHDRAW = "withdraw"


RELEASE: Machine[ReleaseState, ReleaseEvent] = Machine(
    "release",
    ReleaseState.DRAFT,
    frozenset({ReleaseState.WITHDRAWN}),
    {
        (ReleaseState.DRAFT, ReleaseEvent.SIGN): ReleaseState.SIGNED,
        (ReleaseState.DRAFT, ReleaseEvent.WITHDRAW): ReleaseState.WITHDRAWN,
        (ReleaseState.SIGNED, ReleaseEvent.PUBLISH): ReleaseState.PUBLISHED,
        (ReleaseState.SIGNED, ReleaseEvent.WITHDRAW): ReleaseState.WITHDRAWN,
        (ReleaseState.PUBLISHED, ReleaseEvent.DEPRECATE): ReleaseState.DEPRECATED,
        (ReleaseState.PUBLISHED, ReleaseEvent.WITHDRAW): ReleaseState.WITHDRAWN,
        (ReleaseState.DEPRECATED, ReleaseEvent.WITHDRAW): ReleaseState.WITHDRAWN,
        # Where the server holds the keys of the product's role, publishing signs in the same transaction (docs/adr/0012);
        # otherwise the draft waits for its signatures and is published by their import.
        (ReleaseState.DRAFT, ReleaseEvent.PUBLISH): ReleaseState.PUBLISHED,
    },
)


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes and their digests; sha1 and md5 only because DDI clients ask for them."""

    sha256: Sha256
    sha1: str
    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes for one component on some hardware."""

    component: str
    hardware: Hardware
    filename: str
    blob: Blob
    installer: str = ""
    """What installs it on a device, as signed metadata says; empty where nobody looked when it was made."""
    installer_digest: str = ""
    """SHA-256 of what that finds in the file (RAUC's manifest, sw-description), in hex; empty: nothing of the kind is known."""


class DocumentKind(StrEnum):
    """What a document says of a release."""

    SBOM = "sbom"
    """What it is made of: a software bill of materials."""
    PROVENANCE = "provenance"
    """How it was built: an in-toto statement."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that says something of a release; devices know it by its digest in the signed metadata."""

    kind: DocumentKind
    form: str
    """What it was recognised as: `CycloneDX 1.6`."""
    blob: Blob


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a product."""

    product: ProductName
    version: Version
    state: ReleaseState
    artifacts: tuple[Artifact, ...]
    created_at: datetime
    published_at: datetime | None = None
    notes: str = ""
    edition: int = 1
    terms: Terms = NO_TERMS
    counter: int = 0
    """Its security counter: what it burns itself, else what the newest release before it that burns one does."""
    order: VersionOrder = VersionOrder.AUTO
    """That of its product."""
    documents: tuple[Document, ...] = ()
    """By kind, one of each at most."""
    listed_plainly: bool = False
    """It was published when every release was listed in `stable` with the counter 0: what is signed stays as it is."""

    @property
    def signing_channel(self) -> str:
        """The channel whose role signs it."""
        return DEFAULT_CHANNEL if self.listed_plainly else self.terms.channel

    @property
    def listed_counter(self) -> int:
        """The security counter that its signed metadata says."""
        return 0 if self.listed_plainly else self.counter

    def above_floor(self, installed: Version | None) -> bool:
        """Whether a device that runs this version may come to this release; without a floor, every one."""
        floor = self.terms.floor
        if floor is None:
            return True
        return installed is not None and reads(self.order, installed) and compare(self.order, installed, floor) >= 0

    def older_than(self, installed: Version) -> bool:
        """Whether it would bring a device that runs this version back; False where versions cannot be compared."""
        return reads(self.order, installed) and compare(self.order, installed, self.version) > 0

    def warnings(self, now: datetime) -> list[str]:
        """Why nobody should begin to use it, though nothing forbids it."""
        found: list[str] = []
        if self.state is ReleaseState.DEPRECATED:
            found.append(f"{self.product} {self.version} is deprecated.")
        until = self.terms.support_until
        if until is not None and until < now.astimezone(UTC).date():
            found.append(f"The support of {self.product} {self.version} ended on {until}.")
        return found

    @property
    def components(self) -> tuple[str, ...]:
        """What it updates, in the order in which it was declared."""
        return tuple(dict.fromkeys(a.component for a in self.artifacts))

    @property
    def component(self) -> str:
        """The first of its components: what floors, deltas and ways back go by. The others move with it."""
        return self.artifacts[0].component

    def artifacts_for(self, hardware: Hardware) -> tuple[Artifact, ...]:
        """What fits `hardware`, one a component: made for the exact revision before one for the whole model."""
        found: dict[str, Artifact] = {}
        for artifact in self.artifacts:
            if artifact.hardware.fits(hardware) and (artifact.component not in found or artifact.hardware.revision):
                found[artifact.component] = artifact
        return tuple(found.values())


MAX_ARTIFACTS = 64
MAX_NOTES = 64 * 1024
MAX_FILENAME = 255


def release_name(text: str) -> tuple[ProductName, Version]:
    """Parse `product:version`.

    Raises:
        InvalidInputError: it is not.
    """
    product, colon, version = text.partition(":")
    if not colon:
        raise InvalidInputError(f"{text!r} names no release", hint="Write PRODUCT:VERSION, for example app:1.1.0.")
    return product_name(product), parse_version(version)


def filename(text: str) -> str:
    """Parse an artifact's file name: one path segment, printable, at most 255 bytes."""
    if not text or text in {".", ".."} or len(text.encode()) > MAX_FILENAME:
        raise InvalidInputError("a file name has 1 to 255 bytes and is not a folder")
    if "/" in text or "\\" in text or not text.isprintable():
        raise InvalidInputError(f"{text!r} is not a file name", hint="No slashes and no control characters.")
    return text


def admit(release: Release, inherited: int = 0) -> None:
    """Check what a release is made of, and what it says of itself; `inherited` is the counter of the burns before it.

    Raises:
        InvalidInputError: no artifact, too many, two for the same component and hardware, or of two components under one
            file name; or what `check_terms` says.
    """
    _check_artifacts(release.artifacts)
    check_terms(release.terms, release.version, release.order, inherited)


def _check_artifacts(artifacts: Sequence[Artifact]) -> None:
    if not artifacts:
        raise InvalidInputError("a release has at least one artifact")
    if len(artifacts) > MAX_ARTIFACTS:
        raise InvalidInputError(f"a release has at most {MAX_ARTIFACTS} artifacts")
    seen: set[tuple[str, Hardware]] = set()
    named: dict[str, str] = {}
    for artifact in artifacts:
        component, hardware = artifact.component, artifact.hardware
        if (component, hardware) in seen:
            raise InvalidInputError(
                f"two artifacts are for hardware {hardware} and the component {component}",
                hint="A device takes one file for each component: name the component that the other one is for.",
            )
        seen.add((component, hardware))
        if named.setdefault(artifact.filename, component) != component:
            raise InvalidInputError(
                f"{artifact.filename} is the file of two components, {named[artifact.filename]} and {component}",
                hint="Devices ask for files by their names: give one of them another.",
            )
