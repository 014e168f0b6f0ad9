"""Small signed documents beside TUF's own: a permission to downgrade, a bundle for places without a network.

They are written as TUF writes metadata, `{"signed": {"_type", "spec_version", "expires", …}, "signatures": […]}`, signed over
canonical JSON, and hold when the threshold of keys of the image repository's top-level `targets` role has signed: people's
keys, offline. Their `_type` is none of TUF's, so no signature of one can be taken for a signature of the other.

A document is closed: a field that is not known is refused, because a device that overlooked it might allow too much.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Signature
from tuf.api.metadata import Root

from otaru.errors import MetadataExpiredError, MetadataFormError, MetadataSizeError
from otaru.trust.tuf.metadata import MAX_SIGNATURES, check_signed
from otaru.trust.tuf.names import TARGETS

SPEC_VERSION = "1.0"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_COMMON = frozenset({"_type", "spec_version", "expires"})


@dataclass(frozen=True, slots=True)
class Document:
    """What is signed, field by field, and the signatures in hexadecimal by key id."""

    kind: str
    fields: Mapping[str, Any]
    expires: datetime
    signatures: Mapping[str, str] = field(default_factory=dict)

    @property
    def signed_bytes(self) -> bytes:
        """What is to be signed."""
        try:
            return (encode_canonical(self._signed()) or "").encode()
        except (FormatError, RecursionError, UnicodeEncodeError):
            raise MetadataFormError(f"the {self.kind} cannot be written canonically") from None

    def _signed(self) -> dict[str, Any]:
        common = {"_type": self.kind, "spec_version": SPEC_VERSION, "expires": written(self.expires)}
        return {**self.fields, **common}

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        signatures = [{"keyid": key, "sig": said} for key, said in sorted(self.signatures.items())]
        return {"signed": self._signed(), "signatures": signatures}

    def with_signature(self, key_id: str, signature: bytes) -> "Document":
        """With one more signature, over `signed_bytes`."""
        return Document(self.kind, self.fields, self.expires, {**self.signatures, key_id: signature.hex()})


def read_document(kind: str, given: object, names: Sequence[str], max_size: int) -> Document:
    """Read a document of a kind that has these fields. Nothing of it is believed yet.

    `given` is its bytes, or what they decode to.

    Raises:
        MetadataSizeError: it is too long.
        MetadataFormError: it is not such a document.
    """
    whole = _decoded(kind, given, max_size) if isinstance(given, bytes) else given
    if not isinstance(whole, Mapping) or set(whole) != {"signed", "signatures"}:
        raise MetadataFormError(f"it is not {_a(kind)}")
    told, signatures = whole["signed"], whole["signatures"]
    if not isinstance(told, Mapping) or set(told) != _COMMON | set(names):
        raise MetadataFormError(f"{_a(kind)} has the fields {', '.join(sorted(_COMMON | set(names)))}")
    if told["_type"] != kind or told["spec_version"] != SPEC_VERSION:
        raise MetadataFormError(f"it is not {_a(kind)} of version {SPEC_VERSION}")
    fields = {name: told[name] for name in names}
    found = Document(kind, fields, read_time(kind, told["expires"]), _signatures(kind, signatures))
    if len(found.signed_bytes) > max_size:
        raise MetadataSizeError(f"{_a(kind)} has at most {max_size} bytes", limit=max_size)
    return found


def check_document(document: Document, root: Root, now: datetime) -> None:
    """Check that enough keys of top-level targets have signed, and that it has not expired.

    Raises:
        MetadataUnsignedError, MetadataSignatureError, MetadataThresholdError: they have not.
        MetadataExpiredError: it has.
    """
    signatures = {key: Signature(key, said) for key, said in document.signatures.items()}
    check_signed(root, TARGETS, document.kind, document.signed_bytes, signatures)
    if document.expires <= now:
        raise MetadataExpiredError(f"the {document.kind} expired at {written(document.expires)}", role=document.kind)


def written(at: datetime) -> str:
    """A time as TUF writes it: UTC, whole seconds."""
    return at.astimezone(UTC).strftime(_TIME)


def read_time(kind: str, text: object) -> datetime:
    """Read a time as TUF writes it.

    Raises:
        MetadataFormError: it is none.
    """
    try:
        found = datetime.strptime(str(text), _TIME).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or written(found) != text:
        raise MetadataFormError(f"a time of the {kind} is not written as 2026-11-21T12:00:00Z")
    return found


def _decoded(kind: str, data: bytes, max_size: int) -> object:
    if len(data) > max_size:
        raise MetadataSizeError(f"{_a(kind)} has at most {max_size} bytes", limit=max_size)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise MetadataFormError(f"it is not {_a(kind)}") from None


def _signatures(kind: str, given: object) -> dict[str, str]:
    if not isinstance(given, list) or len(given) > MAX_SIGNATURES:
        raise MetadataFormError(f"{_a(kind)} has a list of at most {MAX_SIGNATURES} signatures")
    found: dict[str, str] = {}
    for one in given:
        if not isinstance(one, Mapping) or set(one) != {"keyid", "sig"}:
            raise MetadataFormError(f"a signature of the {kind} is not of its form")
        key, said = one["keyid"], one["sig"]
        if not isinstance(key, str) or not isinstance(said, str) or key in found:
            raise MetadataFormError(f"a signature of the {kind} is not of its form")
        found[key] = said
    return found


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
