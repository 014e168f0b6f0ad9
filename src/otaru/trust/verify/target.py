"""One target, as both repositories have to tell of it: read from metadata that is verified, in the form that we make.

What only the director says of a target stands in `DIRECTOR_ONLY`; all the rest has to be the same, byte by byte (Uptane,
5.4.4.2 step 10), also fields that this version of the device knows nothing of.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tuf.api.metadata import TargetFile

from otaru.domain import ids
from otaru.domain.device import Hardware, hardware
from otaru.domain.ids import Version
from otaru.domain.terms import MAX_COUNTER, MAX_REQUIREMENTS, Requirement, requirement
from otaru.errors import InvalidInputError, MetadataFormError
from otaru.trust.document import read_time
from otaru.trust.log.canonical import canonical
from otaru.trust.permit import Permit, read_permit
from otaru.trust.verify.refusals import DisagreementError, TargetFormError, TargetPathError

DIRECTOR_ONLY = frozenset(
    {"rolloutId", "action", "bundleId", "bundleSize", "notBefore", "window", "allowDowngradeTo"},
)
MAX_TARGETS = 64
"""Targets that a device is given at a time: the artifacts of one release."""
MAX_HARDWARE = 64
_HASHES = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"[A-Za-z0-9._+~:-]{1,255}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_BUNDLE = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Delta:
    """What a patch leads from, and what it makes: SHA-256 of each."""

    source: str
    result: str


@dataclass(frozen=True, slots=True)
class Target:
    """A file that a device may take."""

    path: str
    length: int
    hashes: Mapping[str, str]
    component: str
    hardware: tuple[Hardware, ...]
    version: Version
    counter: int
    installer: str
    installer_digest: str | None = None
    """What the installer has to find in the file: its own manifest's hash."""
    prerequisites: tuple[Requirement, ...] = ()
    delta: Delta | None = None

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return self.hashes["sha256"]


@dataclass(frozen=True, slots=True)
class Order:
    """What the director alone says of a target: when, and together with what."""

    bundle: str | None = None
    bundle_size: int = 1
    not_before: datetime | None = None
    permit: Permit | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """`rolloutId`, `action` and `window`: for reports and for the installer's hour, trusted no further."""


def read_target(given: TargetFile) -> Target:
    """What is said of a target.

    Raises:
        TargetPathError: its path is not one of ours.
        TargetFormError: something of it is not of the form that we make.
    """
    check_path(given.path)
    if "sha256" not in given.hashes or not all(
        name in _HASHES and _HASHES[name].fullmatch(value) for name, value in given.hashes.items()
    ):
        raise TargetFormError(f"{given.path} has no SHA-256, or other digests than SHA-256 and SHA-512")
    told = _custom(given)
    try:
        return Target(
            given.path,
            given.length,
            dict(given.hashes),
            ids.name(told["component"]),
            _hardware(told["hardwareIds"]),
            ids.version(told["version"]),
            _number(told["releaseCounter"], 0, MAX_COUNTER),
            _text(told["installer"], _NAME),
            None if "installerDigest" not in told else _text(told["installerDigest"], _DIGEST),
            _prerequisites(told.get("prerequisites", [])),
            _delta(told),
        )
    except KeyError as missing:
        raise TargetFormError(f"{given.path} does not say its {missing.args[0]}") from None
    except (InvalidInputError, TypeError, ValueError, AttributeError):
        raise TargetFormError(f"what is said of {given.path} is not of its form") from None


def read_order(given: TargetFile) -> Order:
    """What the director alone says of a target.

    Raises:
        TargetFormError: it is not of its form.
        MetadataFormError, MetadataSizeError: its permission is not.
    """
    told = _custom(given)
    permit = read_permit(told["allowDowngradeTo"]) if "allowDowngradeTo" in told else None
    try:
        bundle = None if "bundleId" not in told else _text(told["bundleId"], _BUNDLE)
        size = _number(told.get("bundleSize", 1), 1, MAX_TARGETS)
        not_before = read_time("target", told["notBefore"]) if "notBefore" in told else None
    except (ValueError, MetadataFormError):
        raise TargetFormError(f"what the director says of {given.path} is not of its form") from None
    facts = {name: told[name] for name in ("rolloutId", "action", "window") if name in told}
    return Order(bundle, size, not_before, permit, facts)


def check_agreement(director: TargetFile, image: TargetFile) -> None:
    """Check that both repositories say the same of a target.

    Raises:
        DisagreementError: they do not.
    """
    if _agreed(director, DIRECTOR_ONLY) != _agreed(image, frozenset()):
        raise DisagreementError(
            f"the director and the image repository disagree on {director.path}", path=director.path
        )


def check_path(path: str) -> None:
    """Check that a path is `PRODUCT/CHANNEL/VERSION/FILE`, or with a folder before the file, of harmless signs.

    Raises:
        TargetPathError: it is not.
    """
    parts = path.split("/")
    if len(parts) not in {4, 5} or not all(_SEGMENT.fullmatch(part) and part not in {".", ".."} for part in parts):
        raise TargetPathError(f"{path[:128]!r} is not the path of a target")


def _agreed(given: TargetFile, but: frozenset[str]) -> bytes:
    told = given.to_dict()
    if isinstance(told.get("custom"), Mapping):
        told["custom"] = {name: value for name, value in told["custom"].items() if name not in but}
    try:
        return canonical({"path": given.path, **told})
    except (ValueError, RecursionError):
        raise TargetFormError(f"what is said of {given.path} has no one spelling") from None


def _custom(given: TargetFile) -> Mapping[str, Any]:
    told = given.custom
    if not isinstance(told, Mapping):
        raise TargetFormError(f"nothing is said of {given.path}")
    return told


def _hardware(told: object) -> tuple[Hardware, ...]:
    if not isinstance(told, list) or not 1 <= len(told) <= MAX_HARDWARE:
        raise ValueError
    return tuple(hardware(one) for one in told)


def _prerequisites(told: object) -> tuple[Requirement, ...]:
    if not isinstance(told, list) or len(told) > MAX_REQUIREMENTS:
        raise ValueError
    return tuple(requirement(one) for one in told)


def _delta(told: Mapping[str, Any]) -> Delta | None:
    if "fromDigest" not in told and "toDigest" not in told:
        return None
    return Delta(_text(told["fromDigest"], _DIGEST), _text(told["toDigest"], _DIGEST))


def _number(told: object, least: int, most: int) -> int:
    if type(told) is not int or not least <= told <= most:
        raise ValueError
    return told


def _text(told: object, form: re.Pattern[str]) -> str:
    if not isinstance(told, str) or not form.fullmatch(told):
        raise ValueError
    return told
