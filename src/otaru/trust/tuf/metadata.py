"""Metadata of one role: read within bounds, signed, and held against the keys that have to have signed it.

Values are python-tuf's; what changes one returns another. `now` and keys are parameters: nothing here signs, it says
which bytes are to be signed and takes the signature.
"""

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from securesystemslib.signer import Signature
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError, SerializationError

from otaru.errors import (
    MetadataExpiredError,
    MetadataFormError,
    MetadataSignatureError,
    MetadataSizeError,
    MetadataThresholdError,
    MetadataUnsignedError,
    MetadataVersionError,
)
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

AnyMetadata = Metadata[Any]

MAX_SIZE = {ROOT: 512_000, TARGETS: 5_000_000, SNAPSHOT: 2_000_000, TIMESTAMP: 16_384}
"""Bytes of each kind that python-tuf's client reads at most; a longer file would lock devices out."""
MAX_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class Term:
    """How long a role's metadata holds, and how long before its end it is to be signed anew."""

    lifetime: timedelta
    renew: timedelta


TERMS = {
    ROOT: Term(timedelta(days=365), timedelta(days=95)),
    TARGETS: Term(timedelta(days=365), timedelta(days=95)),
    SNAPSHOT: Term(timedelta(days=14), timedelta(days=7)),
    TIMESTAMP: Term(timedelta(days=3), timedelta(days=2)),
}
DELEGATED = Term(timedelta(days=180), timedelta(days=45))


def term(role: str) -> Term:
    """The term of a role."""
    return TERMS.get(role, DELEGATED)


def due_at(role: str, expires: datetime) -> datetime:
    """When a role's metadata is to be signed anew."""
    return expires - term(role).renew


def read(role: str, data: bytes) -> AnyMetadata:
    """Read metadata that claims to be a role's. Nothing of it is believed yet.

    Raises:
        MetadataSizeError: it is longer than clients read.
        MetadataFormError: it is not metadata of this role's kind.
    """
    kind = role if role in MAX_SIZE else TARGETS
    if len(data) > MAX_SIZE[kind]:
        raise MetadataSizeError(f"{role} has {len(data)} bytes, clients read {MAX_SIZE[kind]}", limit=MAX_SIZE[kind])
    try:
        found: AnyMetadata = Metadata.from_bytes(data)
        found.signed_bytes  # noqa: B018 - what cannot be written canonically cannot be signed either
    except (DeserializationError, SerializationError):
        raise MetadataFormError(f"{role} is not TUF metadata") from None
    if found.signed.type != kind:
        raise MetadataFormError(f"{role} is metadata of the kind {found.signed.type}")
    if len(found.signatures) > MAX_SIGNATURES:
        raise MetadataFormError(f"{role} has more than {MAX_SIGNATURES} signatures")
    return found


def as_root(found: AnyMetadata) -> Metadata[Root]:
    """Metadata whose kind has been checked."""
    return cast("Metadata[Root]", found)


def as_targets(found: AnyMetadata) -> Metadata[Targets]:
    """Metadata whose kind has been checked."""
    return cast("Metadata[Targets]", found)


def as_snapshot(found: AnyMetadata) -> Metadata[Snapshot]:
    """Metadata whose kind has been checked."""
    return cast("Metadata[Snapshot]", found)


def as_timestamp(found: AnyMetadata) -> Metadata[Timestamp]:
    """Metadata whose kind has been checked."""
    return cast("Metadata[Timestamp]", found)


def expiry(role: str, now: datetime) -> datetime:
    """When metadata of a role that is signed now ends; TUF knows no fractions of seconds."""
    return now.replace(microsecond=0) + term(role).lifetime


def following(role: str, found: Metadata[T], now: datetime) -> Metadata[T]:
    """The same of the next version, unsigned, ending later."""
    after = deepcopy(found)
    after.signatures.clear()
    after.signed.version += 1
    after.signed.expires = expiry(role, now)
    return after


def signed(found: Metadata[T], key_id: str, signature: bytes) -> Metadata[T]:
    """With one more signature, over `found.signed_bytes`. What is signed is shared: nobody changes it any more."""
    signatures = found.signatures | {key_id: Signature(key_id, signature.hex())}
    return Metadata(found.signed, signatures, found.unrecognized_fields)


def signers_of(delegator: Root | Targets, role: str, found: AnyMetadata) -> tuple[set[str], set[str], int]:
    """Which of a role's keys have signed well, which have not, and how many have to.

    Raises:
        MetadataFormError: the delegator does not know the role.
    """
    return _signers(delegator, role, found.signed_bytes, found.signatures)


def check_signatures(delegator: Root | Targets, role: str, found: AnyMetadata) -> None:
    """Check that enough different keys of a role have signed.

    Raises:
        MetadataUnsignedError, MetadataSignatureError, MetadataThresholdError: they have not.
    """
    check_signed(delegator, role, role, found.signed_bytes, found.signatures)


def check_signed(
    delegator: Root | Targets, role: str, what: str, data: bytes, signatures: dict[str, Signature]
) -> None:
    """Check that enough different keys of a role have signed data; `what` it is called in the refusal.

    Raises:
        MetadataUnsignedError, MetadataSignatureError, MetadataThresholdError: they have not.
    """
    if not signatures:
        raise MetadataUnsignedError(f"{what} has no signature", role=what)
    good, _, threshold = _signers(delegator, role, data, signatures)
    if not good:
        raise MetadataSignatureError(f"{what} is signed by none of its keys", role=what)
    if len(good) < threshold:
        raise MetadataThresholdError(
            f"{what} is signed by {len(good)} of {threshold} keys", role=what, signed=len(good), threshold=threshold
        )


def _signers(
    delegator: Root | Targets, role: str, data: bytes, signatures: dict[str, Signature]
) -> tuple[set[str], set[str], int]:
    try:
        result = delegator.get_verification_result(role, data, signatures)
    except ValueError:
        raise MetadataFormError(f"nobody delegates to {role}") from None
    return set(result.signed), set(result.unsigned), result.threshold


def check_fresh(role: str, found: AnyMetadata, known: int, now: datetime) -> None:
    """Check that metadata follows version `known` (0: none) and has not expired.

    Raises:
        MetadataVersionError, MetadataExpiredError: it does not, or has.
    """
    if found.signed.version != known + 1:
        raise MetadataVersionError(
            f"{role} is of version {found.signed.version}, {known + 1} follows",
            hint="Make a new request: something else was signed meanwhile.",
            role=role,
            known=known,
        )
    if found.signed.is_expired(now):
        raise MetadataExpiredError(f"{role} expired at {found.signed.expires.isoformat()}", role=role)
