"""A release: one version of a product, the bytes it is made of, and what they fit.

`admit` says why a release may not be published; a release that does not fit a device is never offered to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Sha256, Version, product_name
from otaru.domain.ids import version as parse_version
from otaru.domain.machine import Machine
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

    def artifact_for(self, hardware: Hardware) -> Artifact | None:
        """The artifact that fits `hardware`; one made for the exact revision before one for the whole model."""
        fitting = [a for a in self.artifacts if a.hardware.fits(hardware)]
        return max(fitting, key=lambda a: a.hardware.revision != "", default=None)


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


def admit(artifacts: Sequence[Artifact]) -> None:
    """Check what a release is made of.

    Raises:
        InvalidInputError: no artifact, too many, or two for the same component and hardware.
    """
    if not artifacts:
        raise InvalidInputError("a release has at least one artifact")
    if len(artifacts) > MAX_ARTIFACTS:
        raise InvalidInputError(f"a release has at most {MAX_ARTIFACTS} artifacts")
    if len({a.component for a in artifacts}) > 1:
        raise InvalidInputError(
            "the artifacts are for different components",
            hint="A device takes one component at a time (docs/glossary.md, component): make a release for each.",
        )
    seen: set[Hardware] = set()
    for artifact in artifacts:
        if artifact.hardware in seen:
            raise InvalidInputError(f"two artifacts are for hardware {artifact.hardware}")
        seen.add(artifact.hardware)
