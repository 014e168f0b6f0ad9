"""Documents that go with a release: whether bytes are what they are said to be. What they say is believed by nobody here.

A bill of materials is CycloneDX (1.2 and later, JSON) or SPDX (2.2, 2.3 and 3, JSON). A provenance is an in-toto statement,
bare or in a DSSE envelope, about some file of the release. The envelope's signatures are for those who know its builder.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec

from otaru.domain.release import DocumentKind
from otaru.errors import InvalidInputError

MAX_DOCUMENT = 16 * 1024 * 1024
_STATEMENTS = {"https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"}
_PAYLOAD = "application/vnd.in-toto+json"
T = TypeVar("T")
_PREDICATE = re.compile(r"[!-~]{1,200}")


class _Component(msgspec.Struct):
    type: str
    name: str


class _CycloneDx(msgspec.Struct):
    bomFormat: str  # noqa: N815 - the format's own names, here and below
    specVersion: str  # noqa: N815
    components: list[_Component] = []


class _Package(msgspec.Struct):
    name: str
    SPDXID: str


class _Spdx2(msgspec.Struct):
    spdxVersion: str  # noqa: N815
    SPDXID: str
    name: str
    documentNamespace: str  # noqa: N815
    packages: list[_Package] = []


class _Spdx3(msgspec.Struct):
    context: str = msgspec.field(name="@context")
    graph: list[dict[str, Any]] = msgspec.field(name="@graph")


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    kind: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicateType: str  # noqa: N815


class _Envelope(msgspec.Struct):
    payloadType: str  # noqa: N815
    payload: str
    signatures: list[dict[str, str]]


def recognised(kind: DocumentKind, data: bytes, made_of: Collection[str]) -> str:
    """What a document is, in words. `made_of` are the SHA-256 of the release's files.

    Raises:
        InvalidInputError: it is no such document, or about other files.
    """
    match kind:
        case DocumentKind.SBOM:
            return _bill(data)
        case DocumentKind.PROVENANCE:
            return _provenance(data, made_of)


def _bill(data: bytes) -> str:
    if (bom := _decoded(data, _CycloneDx)) is not None:
        found = re.fullmatch(r"1\.([2-9]|[1-9][0-9])", bom.specVersion)
        if bom.bomFormat == "CycloneDX" and found:
            return f"CycloneDX {bom.specVersion}"
    elif (spdx := _decoded(data, _Spdx2)) is not None:
        if spdx.spdxVersion in {"SPDX-2.2", "SPDX-2.3"} and spdx.SPDXID == "SPDXRef-DOCUMENT":
            return spdx.spdxVersion.replace("-", " ")
    elif (linked := _decoded(data, _Spdx3)) is not None:
        found = re.match(r"https://spdx\.org/rdf/(3\.[0-9]{1,2})[./]", linked.context)
        if found and any(thing.get("type") == "SpdxDocument" for thing in linked.graph):
            return f"SPDX {found[1]}"
    raise InvalidInputError(
        "it is no software bill of materials that is known here",
        hint="Give CycloneDX (1.2 or later) or SPDX (2.2, 2.3, 3) as JSON.",
    )


def _provenance(data: bytes, made_of: Collection[str]) -> str:
    told, packed = _decoded(data, _Statement), ""
    envelope = None if told is not None else _decoded(data, _Envelope)
    if envelope is not None and envelope.payloadType == _PAYLOAD and envelope.signatures:
        told, packed = _decoded(_unpacked(envelope.payload), _Statement), " in DSSE"
    if told is None or told.kind not in _STATEMENTS or not _PREDICATE.fullmatch(told.predicateType):
        raise InvalidInputError(
            "it is no provenance that is known here", hint="Give an in-toto statement (SLSA), bare or in DSSE, as JSON."
        )
    if not any(subject.digest.get("sha256") in made_of for subject in told.subject):
        raise InvalidInputError("the provenance is about other files than the release has")
    return f"in-toto{packed}: {told.predicateType}"


def _unpacked(payload: str) -> bytes:
    try:
        return b64decode(payload, validate=True)
    except (Base64Error, ValueError):
        return b""


def _decoded(data: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
