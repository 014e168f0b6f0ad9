"""What images say of themselves, and whom the tenant trusts to sign them, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import LINES, Body, Out
from otaru.images.facts import Facts, Format, Payload, Signature, Verdict
from otaru.ports.store import Anchor, Inspection
from otaru.services.control.anchors import MAX_PEM

_PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

AnchorId = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="A trust anchor's id.")]


class ImageOut(Out):
    """What an image says of itself. All of it comes from the image, but for `verdict`, `broken` and `pending`."""

    format: Annotated[Format | None, Field(description="`plain`: no format that is known. None where it is broken.")]
    format_version: str | None
    product: str | None
    version: str | None
    hardware: list[str]
    verdict: Annotated[Verdict | None, Field(description="What its signatures are worth, by your trust anchors.")]
    broken: Annotated[str | None, Field(description="Why it cannot be read.")]
    pending: Annotated[bool, Field(description="Trust anchors have changed: the verdict is about to be renewed.")]

    @classmethod
    def of(cls, found: Inspection) -> "ImageOut":
        """As it was found."""
        facts = found.facts or Facts(Format.PLAIN)
        whole = found.facts is not None
        return cls(
            format=facts.format if whole else None,
            format_version=facts.format_version,
            product=facts.product,
            version=facts.version,
            hardware=list(facts.hardware),
            verdict=facts.verdict if whole else None,
            broken=found.broken,
            pending=found.stale,
        )


class SignatureOut(Out):
    """A signature of an image. Only where the verdict is `valid` is `signer` more than a claim."""

    kind: str
    verdict: Verdict
    covers: str
    digest: str | None
    signer: str | None
    key: str | None
    reason: str | None

    @classmethod
    def of(cls, found: Signature) -> "SignatureOut":
        """As it was found."""
        return cls.model_validate(found, from_attributes=True)


class PayloadOut(Out):
    """A part of an image: a file, a slot, a segment, a layer."""

    name: str
    size: int | None
    sha256: str | None
    kind: str
    version: str | None
    verified: Annotated[bool, Field(description="Whether its bytes are what the image's own head says.")]

    @classmethod
    def of(cls, found: Payload) -> "PayloadOut":
        """As it was found."""
        return cls.model_validate(found, from_attributes=True)


class ImageDetail(ImageOut):
    """All that an image says of itself; long lists are cut, which a warning says."""

    digest: Annotated[str | None, Field(description="What its installer knows it by: `algorithm:hex`.")]
    security_counter: int | None
    signatures: list[SignatureOut]
    payloads: list[PayloadOut]
    provides: list[str]
    requires: list[str]
    warnings: list[str]
    read_at: datetime

    @classmethod
    def detailed(cls, found: Inspection) -> "ImageDetail":
        """As it was found."""
        facts = found.facts or Facts(Format.PLAIN)
        return cls(
            **ImageOut.of(found).model_dump(),
            digest=facts.digest,
            security_counter=facts.security_counter,
            signatures=[SignatureOut.of(signature) for signature in facts.signatures],
            payloads=[PayloadOut.of(payload) for payload in facts.payloads],
            provides=list(facts.provides),
            requires=list(facts.requires),
            warnings=list(facts.warnings),
            read_at=found.at,
        )


class AnchorIn(Body):
    """Somebody to trust."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"format": "swu", "pem": _PEM}]})

    format: Annotated[Format, Field(description="The format whose images it signs.")]
    pem: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_PEM,
            pattern=LINES,
            description="Certificates (of signers or of authorities) or one public key, in PEM.",
        ),
    ]


class AnchorOut(Out):
    """Somebody whom the tenant trusts to sign images of a format."""

    format: Format
    id: str
    name: Annotated[str, Field(description="Whom its certificates name, or the kind of the key.")]
    ends_at: Annotated[datetime | None, Field(description="When the first of its certificates ends.")]
    created_at: datetime
    pem: str

    @classmethod
    def of(cls, anchor: Anchor) -> "AnchorOut":
        """As it is."""
        return cls.model_validate(anchor, from_attributes=True)
