"""What an image says of itself, held against what people typed, and against what the tenant trusts.

Pure rules; docs/images.md tells them to users. Whether an image was made for some hardware is a question of names, and
boards, chips and bootloaders have other names for a model than people do. So an image's names are compared with those of
the same product's earlier images for the same hardware: they have to share one, or one is the model's own name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from otaru.domain.device import Hardware
from otaru.domain.ids import Sha256, Version
from otaru.domain.ids import version as parse_version
from otaru.domain.release import Artifact, Release
from otaru.domain.versions import compare, reads
from otaru.errors import ImageError, ImageFormError, ImageSignatureError, InvalidInputError
from otaru.images.facts import Facts, Format, Verdict

INSTALLERS: Mapping[Format, str] = {
    Format.SWU: "swupdate",
    Format.RAUC: "rauc",
    Format.MCUBOOT: "mcuboot",
    Format.OCI: "container",
    Format.CONFIGURATION: "config",
}
"""What installs a format, in the words of signed metadata; others are files to it."""

_UNSTATED: Mapping[Format, frozenset[str]] = {
    Format.SWU: frozenset(),
    Format.RAUC: frozenset(),
    Format.MCUBOOT: frozenset({"0.0.0"}),
    Format.ESP_IDF: frozenset({"1"}),
}
"""Formats whose version is that of what they bring, with what stands there when nobody has set it: Zephyr signs 0.0.0,
ESP-IDF writes 1. A Mender artifact has a name, a SUIT envelope a sequence number, an OCI image a tag."""


class Aspect(StrEnum):
    """What may be typed otherwise than an image has it."""

    VERSION = "version"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Two values that do not go together."""

    aspect: Aspect
    artifact: Artifact
    format: Format
    found: str
    """What the image says."""
    typed: str
    """What people said."""

    @property
    def sentence(self) -> str:
        """Both values."""
        who = f"{self.artifact.filename} ({self.format})"
        if self.aspect is Aspect.VERSION:
            return f"{who} says it is version {self.found}, the release is {self.typed}"
        return f"{who} is made for {self.found}, the release has it for {self.typed}"


def installer(facts: Facts, filename_says: str) -> str:
    """What installs a file: by its format, else by its name; a format that the name contradicts wins."""
    if facts.format is Format.PLAIN:
        return filename_says
    return INSTALLERS.get(facts.format, "file")


def installer_digest(facts: Facts) -> str:
    """SHA-256 in hex of what the installer looks for in the file, of those that can be held to it; empty: none."""
    algorithm, _, digest = (facts.digest or "").partition(":")
    return digest if facts.format in {Format.RAUC, Format.SWU} and algorithm == "sha256" else ""


def mismatches(
    release: Release, images: Mapping[Sha256, Facts], earlier: Mapping[tuple[Hardware, Format], frozenset[str]]
) -> list[Mismatch]:
    """Where images of a release say something else than it does.

    Args:
        release: as people typed it
        images: what each artifact's bytes say, by SHA-256
        earlier: by what names earlier images of the product, for this hardware and in this format, called it
    """
    found: list[Mismatch] = []
    for artifact in release.artifacts:
        facts = images.get(artifact.blob.sha256)
        if facts is None:
            continue
        version, once = facts.version, not any(m.artifact.blob == artifact.blob for m in found)
        if once and version is not None and _states_version(facts) and not _same(release, version):
            found.append(Mismatch(Aspect.VERSION, artifact, facts.format, version, release.version))
        known = earlier.get((artifact.hardware, facts.format), frozenset())
        if not _fits(facts.hardware, artifact.hardware, known):
            typed = f"{artifact.hardware}, which earlier images called {_listed(sorted(known))}"
            found.append(Mismatch(Aspect.HARDWARE, artifact, facts.format, _listed(facts.hardware), typed))
    return found


def refusal(artifact: Artifact, facts: Facts, *, anchored: bool, production: bool) -> ImageError | None:
    """Why an image may not stand in a release, whatever was typed.

    Args:
        artifact: the file
        facts: what it says of itself
        anchored: whether the tenant has trust anchors for the format
        production: whether this server is in production
    """
    of = {"filename": artifact.filename, "sha256": artifact.blob.sha256, "format": str(facts.format)}
    verdict = facts.verdict
    if verdict is Verdict.BROKEN:
        reason = next((s.reason for s in facts.signatures if s.verdict is verdict and s.reason), "it does not hold")
        return ImageSignatureError(
            f"the signature of {artifact.filename} is broken: {reason}",
            hint="It was changed after it was signed, or signed by another key than it names: sign it again.",
            verdict=str(verdict),
            **of,
        )
    if not production:
        return None
    if not facts.production:
        return ImageFormError(
            f"{artifact.filename} is a {facts.format} bundle of the form {facts.format_version}, which production refuses",
            hint="Build it in the form verity: RAUC may check less of a plain bundle than it installs (CVE-2026-34155).",
            **of,
        )
    if anchored and verdict in {Verdict.NONE, Verdict.UNKNOWN}:
        told = "is not signed" if verdict is Verdict.NONE else "is signed by nobody you trust"
        return ImageSignatureError(
            f"{artifact.filename} {told}, and you have trust anchors for {facts.format}",
            hint="Sign it with a key that they answer for, or add its anchor: otaru keys anchor add.",
            verdict=str(verdict),
            **of,
        )
    return None


def _states_version(facts: Facts) -> bool:
    return facts.format in _UNSTATED and facts.version not in _UNSTATED[facts.format]


def _same(release: Release, found: str) -> bool:
    """Whether a version found is the release's: the same text but for a `v`, or equally new in the product's order."""
    typed = Version(_bare(release.version))
    try:
        own = parse_version(_bare(found))
    except InvalidInputError:  # no release could have it
        return False
    readable = all(reads(release.order, version) for version in (typed, own))
    return typed == own or (readable and compare(release.order, typed, own) == 0)


def _bare(version: str) -> str:
    return version[1:] if version[:1] in {"v", "V"} and version[1:2].isdigit() else version


def _fits(names: Sequence[str], hardware: Hardware, known: frozenset[str]) -> bool:
    """Whether an image's names for its hardware go together with what is known; nothing said is no contradiction."""
    if not names or not known:
        return True
    said = {name.casefold() for name in names}
    own = {hardware.model.casefold(), str(hardware).casefold()}
    return bool(said & (own | {name.casefold() for name in known}))


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names[:4]) + (f" or {len(names) - 4} more" if len(names) > 4 else "")
