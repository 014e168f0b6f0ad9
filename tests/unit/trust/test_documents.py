"""What is a bill of materials or a provenance, and what only looks like one."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.domain.release import DocumentKind
from otaru.errors import InvalidInputError
from otaru.trust.documents import recognised

OURS = "a" * 64
CYCLONE: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "components": [{"type": "library", "name": "zlib", "version": "1.3"}],
}
SPDX: dict[str, Any] = {
    "spdxVersion": "SPDX-2.3",
    "SPDXID": "SPDXRef-DOCUMENT",
    "dataLicense": "CC0-1.0",
    "name": "app",
    "documentNamespace": "https://example.org/app",
    "creationInfo": {"created": "2026-11-21T00:00:00Z", "creators": ["Tool: x"]},
    "packages": [{"name": "zlib", "SPDXID": "SPDXRef-zlib", "downloadLocation": "NOASSERTION"}],
}
LINKED: dict[str, Any] = {
    "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
    "@graph": [{"type": "SpdxDocument", "spdxId": "x"}],
}
STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "other", "digest": {"sha1": "x"}}, {"name": "app.swu", "digest": {"sha256": OURS}}],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {"buildDefinition": {}},
}


def enveloped(statement: Any) -> dict[str, Any]:
    payload = b64encode(json.dumps(statement).encode()).decode()
    return {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [{"sig": "AAAA"}]}


def read(kind: DocumentKind, document: Any) -> str:
    return recognised(kind, json.dumps(document).encode(), {OURS})


@pytest.mark.parametrize(
    ("kind", "document", "form"),
    [
        (DocumentKind.SBOM, CYCLONE, "CycloneDX 1.6"),
        (DocumentKind.SBOM, {"bomFormat": "CycloneDX", "specVersion": "1.2"}, "CycloneDX 1.2"),
        (DocumentKind.SBOM, SPDX, "SPDX 2.3"),
        (DocumentKind.SBOM, LINKED, "SPDX 3.0"),
        (DocumentKind.PROVENANCE, STATEMENT, "in-toto: https://slsa.dev/provenance/v1"),
        (DocumentKind.PROVENANCE, enveloped(STATEMENT), "in-toto in DSSE: https://slsa.dev/provenance/v1"),
    ],
)
def test_what_is_known(kind: DocumentKind, document: Any, form: str) -> None:
    assert read(kind, document) == form


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (DocumentKind.SBOM, {}),
        (DocumentKind.SBOM, []),
        (DocumentKind.SBOM, CYCLONE | {"bomFormat": "Cyclone"}),
        (DocumentKind.SBOM, CYCLONE | {"specVersion": "1.1"}),
        (DocumentKind.SBOM, CYCLONE | {"specVersion": "1.6\n"}),
        (DocumentKind.SBOM, CYCLONE | {"components": [{"name": "zlib"}]}),
        (DocumentKind.SBOM, SPDX | {"spdxVersion": "SPDX-2.1"}),
        (DocumentKind.SBOM, SPDX | {"SPDXID": "x"}),
        (DocumentKind.SBOM, SPDX | {"packages": [7]}),
        (DocumentKind.SBOM, LINKED | {"@context": "https://spdx.org/rdf/4"}),
        (DocumentKind.SBOM, LINKED | {"@graph": []}),
        (DocumentKind.SBOM, STATEMENT),
        (DocumentKind.PROVENANCE, CYCLONE),
        (DocumentKind.PROVENANCE, STATEMENT | {"_type": "x"}),
        (DocumentKind.PROVENANCE, STATEMENT | {"predicateType": "a b"}),
        (DocumentKind.PROVENANCE, STATEMENT | {"subject": [{"digest": {"sha256": "b" * 64}}]}),
        (DocumentKind.PROVENANCE, STATEMENT | {"subject": []}),
        (DocumentKind.PROVENANCE, enveloped(STATEMENT) | {"signatures": []}),
        (DocumentKind.PROVENANCE, enveloped(STATEMENT) | {"payload": "?"}),
        (DocumentKind.PROVENANCE, enveloped(STATEMENT) | {"payloadType": "text/plain"}),
        (DocumentKind.PROVENANCE, enveloped(enveloped(STATEMENT))),
    ],
)
def test_what_only_looks_like_it(kind: DocumentKind, document: Any) -> None:
    with pytest.raises(InvalidInputError):
        read(kind, document)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 1_000_000, b'{"bomFormat":' + b'{"a":' * 500_000])
def test_bytes_that_are_no_json(data: bytes) -> None:
    for kind in DocumentKind:
        with pytest.raises(InvalidInputError):
            recognised(kind, data, {OURS})


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_anything_else_is_refused_in_words(data: bytes) -> None:
    for kind in DocumentKind:
        with pytest.raises(InvalidInputError):
            recognised(kind, data, ())
