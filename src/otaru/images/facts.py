"""What every reader returns."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Format(StrEnum):
    """The kinds of image that are read. Everything else is PLAIN."""

    SWU = "swu"
    RAUC = "rauc"
    MENDER = "mender"
    MCUBOOT = "mcuboot"
    ESP_IDF = "esp-idf"
    UF2 = "uf2"
    INTEL_HEX = "intel-hex"
    SUIT = "suit"
    ELF = "elf"
    OCI = "oci"
    CONFIGURATION = "configuration"
    PLAIN = "plain"


SIGNED = frozenset({Format.SWU, Format.RAUC, Format.MENDER, Format.MCUBOOT, Format.ESP_IDF, Format.SUIT})
"""The formats that know signatures."""


class Verdict(StrEnum):
    """What a signature is worth, by the tenant's trust anchors for the format."""

    NONE = "none"
    """There is no signature."""
    VALID = "valid"
    """It holds, and its key is an anchor's or is vouched for by one."""
    UNKNOWN = "unknown signer"
    """No anchor answers for its key; it may hold or not."""
    BROKEN = "broken"
    """It does not hold."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature that was found.

    Only where the verdict is VALID is `signer` more than a claim of the image. `key` is the SHA-256 of the key's
    SubjectPublicKeyInfo, or what the image names its key by, as lower-case hex. `digest` is `algorithm:hex`.
    """

    kind: str
    verdict: Verdict
    covers: str
    digest: str | None = None
    signer: str | None = None
    key: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """A part that goes somewhere: a file, a slot image, a segment, a layer.

    `sha256` is what we computed or what the image claims; `verified` says that the bytes were read and are what the
    image's own head claims. A part whose bytes contradict the head is never returned: the image is broken.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    kind: str = ""
    version: str | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image says of itself, and what we found to be so.

    `digest` is what the installer knows the image by (`algorithm:hex`): the SHA-256 of sw-description, RAUC's manifest
    hash, MCUboot's image hash, SUIT's manifest digest. All text comes from the image: it is printable and bounded, and
    as hostile as the one who made it.
    """

    format: Format
    format_version: str | None = None
    product: str | None = None
    version: str | None = None
    hardware: tuple[str, ...] = ()
    payloads: tuple[Payload, ...] = ()
    signatures: tuple[Signature, ...] = ()
    digest: str | None = None
    security_counter: int | None = None
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    production: bool = True
    """False where the format's own authors advise against this form of it: production refuses it."""

    @property
    def verdict(self) -> Verdict:
        """What the signatures come to for the format's installer.

        SWUpdate and RAUC leave CMS to OpenSSL, which wants every signer known; the others accept an image that one known
        key has signed, so the best counts.
        """
        order = (Verdict.VALID, Verdict.UNKNOWN, Verdict.BROKEN)
        if self.format in {Format.SWU, Format.RAUC}:
            order = order[::-1]
        found = {signature.verdict for signature in self.signatures}
        return next((one for one in order if one in found), Verdict.NONE)


MOST = 64
"""Parts, signatures, names and warnings of an image that are kept, of each."""


def bounded(facts: Facts) -> Facts:
    """Facts that are short enough to be kept; what is left out is counted in a warning. The verdict stays the same."""
    verdict = facts.verdict
    telling = sorted(facts.signatures, key=lambda signature: signature.verdict is not verdict)
    short = replace(
        facts,
        hardware=facts.hardware[:MOST],
        payloads=facts.payloads[:MOST],
        signatures=facts.signatures if len(facts.signatures) <= MOST else tuple(telling[:MOST]),
        provides=facts.provides[:MOST],
        requires=facts.requires[:MOST],
        warnings=facts.warnings[: MOST - 1],
    )
    lists = ("hardware", "payloads", "signatures", "provides", "requires", "warnings")
    left = sum(len(getattr(facts, name)) - len(getattr(short, name)) for name in lists)
    return (
        replace(short, warnings=(*short.warnings, f"{left} more of its parts and names are not shown"))
        if left
        else short
    )
