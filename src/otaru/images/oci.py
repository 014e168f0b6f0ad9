"""OCI archives (OCI image layout 1.0): a tar of `oci-layout`, `index.json` and blobs that are named by their digest."""

import json
import re
from collections.abc import Iterator
from typing import Any

from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader, digest
from otaru.images.tar import Archive, Entry

_LARGEST = 4 << 20
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_INDEXES = {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
_MANIFESTS = {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
_VERSION, _TITLE, _REFERENCE = (f"org.opencontainers.image.{name}" for name in ("version", "title", "ref.name"))
_DEEPEST = 4

Json = dict[str, Any]


def is_archive(reader: Reader) -> bool:
    """Whether a tar holds `oci-layout`: its headers are gone through, not what is between them."""
    at = 0
    try:
        while (header := reader.peek(at, 512)) and header[257:262] == b"ustar":
            reader.count("members")
            if header[:100].rstrip(b"\0").removeprefix(b"./") == b"oci-layout":
                return True
            at += 512 + -(-int(header[124:136].rstrip(b" \0") or b"0", 8) // 512) * 512
    except ValueError:
        return False
    return False


def read(reader: Reader, _anchors: Anchors) -> Facts:
    """Read an archive.

    Raises:
        BrokenImageError: it is cut short, a blob has another digest than its name, or one that is named is missing.
    """
    archive = Archive(reader, reader.blocks(0, reader.size, "the archive"), "the archive")
    members: dict[str, Entry] = {}
    for entry in archive:
        if entry.name in members:
            raise BrokenImageError(f"it holds {entry.name[:80]} twice")
        members[entry.name] = entry
        if (blob := _BLOB.fullmatch(entry.name)) and (found := digest(archive.data()).hex()) != blob.group(1):
            raise BrokenImageError(f"{entry.name} has the sha256 {found}")
    layout = _json(reader, members, "oci-layout")
    payloads: dict[str, Payload] = {}
    platforms: dict[str, None] = {}
    words: dict[str, str] = {}
    for manifest, descriptor in _manifests(reader, members, _json(reader, members, "index.json"), 0):
        for part in (_object(manifest.get("config")), *_list(manifest.get("layers"))):
            entry = _blob(members, part)
            kind = reader.text(str(part.get("mediaType", "")), "a media type")
            payloads[entry.name] = Payload(entry.name.rpartition("/")[2], entry.size, _told(part), kind, verified=True)
        platform = _object(descriptor.get("platform")) or _config(reader, members, _object(manifest.get("config")))
        if platform.get("architecture"):
            named = (platform.get(name) for name in ("os", "architecture", "variant"))
            platforms[reader.text("/".join(str(one) for one in named if one), "a platform")] = None
        words = _words(reader, descriptor) | _words(reader, manifest) | words
    return Facts(
        Format.OCI,
        format_version=reader.text(str(layout.get("imageLayoutVersion", "")), "the layout's version"),
        product=words.get(_TITLE),
        version=words.get(_VERSION) or words.get(_REFERENCE),
        hardware=tuple(platforms),
        payloads=tuple(payloads.values()),
    )


def _manifests(reader: Reader, members: dict[str, Entry], index: Json, depth: int) -> Iterator[tuple[Json, Json]]:
    """Every image's manifest, with what names it."""
    if depth > _DEEPEST:
        raise BrokenImageError("its indexes nest too deep")
    for descriptor in _list(index.get("manifests")):
        reader.count("manifests")
        kind = descriptor.get("mediaType")
        if not isinstance(kind, str) or kind not in _INDEXES | _MANIFESTS:
            continue
        found = _json(reader, members, _blob(members, descriptor).name)
        if kind in _INDEXES:
            yield from _manifests(reader, members, found, depth + 1)
        else:
            yield found, descriptor


def _config(reader: Reader, members: dict[str, Entry], descriptor: Json) -> Json:
    """The configuration names the platform where the index does not."""
    entry = _blob(members, descriptor)
    return _json(reader, members, entry.name) if str(descriptor.get("mediaType", "")).endswith("+json") else {}


def _blob(members: dict[str, Entry], descriptor: Json) -> Entry:
    name = f"blobs/sha256/{_told(descriptor)}"
    entry = members.get(name)
    if entry is None:
        raise BrokenImageError(f"{name} is named and not there")
    if descriptor.get("size") != entry.size:
        raise BrokenImageError(f"{name} has {entry.size} bytes, not {str(descriptor.get('size'))[:20]}")
    return entry


def _told(descriptor: Json) -> str:
    found = _DIGEST.fullmatch(str(descriptor.get("digest", "")))
    if found is None:
        raise BrokenImageError("a blob is named by something else than a sha256")
    return found.group(1)


def _words(reader: Reader, group: Json) -> dict[str, str]:
    notes = _object(group.get("annotations"))
    return {
        name: reader.text(value, name)
        for name in (_VERSION, _TITLE, _REFERENCE)
        if isinstance(value := notes.get(name), str)
    }


def _json(reader: Reader, members: dict[str, Entry], name: str) -> Json:
    entry = members.get(name)
    if entry is None or entry.size > _LARGEST:
        raise BrokenImageError(f"{name} is missing or too large")
    try:
        return _object(json.loads(reader.head(entry.offset, entry.size, name)))
    except (ValueError, RecursionError):
        raise BrokenImageError(f"{name} is not JSON") from None


def _object(value: object) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BrokenImageError("there is no JSON object where one belongs")
    return value


def _list(value: object) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BrokenImageError("there is no list of JSON objects where one belongs")
    return value
