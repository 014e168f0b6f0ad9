"""Mender artifacts, version 3: a tar of `version`, `manifest`, perhaps `manifest.sig`, a header and data, in that order.

The manifest names the SHA-256 of the version, of the header as it is packed, and of each file of the data as it is
unpacked; the signature is over the manifest. An unsigned `manifest-augment` may add more, which is told and not believed.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from otaru.images import keys
from otaru.images.facts import Facts, Format, Payload, Signature
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader, digest, gunzip, unxz
from otaru.images.tar import Archive

_LARGEST = 4 << 20
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_HEADER = re.compile(r"header(-augment)?\.tar(\.gz|\.xz|\.zst)?")
_DATA = re.compile(r"(data/\d{4})\.tar(\.gz|\.xz|\.zst)?")
_TYPE_INFO = re.compile(r"headers/\d{4}/type-info")
_ORDER = ("version", "manifest", "manifest.sig", "manifest-augment", "header", "header-augment", "data")


@dataclass(slots=True)
class _Heard:
    """What was read so far."""

    manifest: dict[str, str] = field(default_factory=dict)
    augment: dict[str, str] = field(default_factory=dict)
    signed: bytes = b""
    signatures: tuple[Signature, ...] = ()
    found: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    header: dict[str, object] = field(default_factory=dict)
    types: list[dict[str, object]] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)


def is_artifact(start: bytes) -> bool:
    """Whether a file begins as a Mender artifact: a tar whose first member is `version`, of Mender's form."""
    return start[:8] == b"version\0" and b'"mender"' in start[512:1024]


def read(reader: Reader, anchors: Anchors) -> Facts:
    """Read an artifact.

    Raises:
        BrokenImageError: it is cut short, in disorder, or holds other files than its manifest names.
    """
    heard = _Heard()
    archive = Archive(reader, reader.blocks(0, reader.size, "the artifact"), "the artifact")
    before = -1
    for entry in archive:
        kind = entry.name if entry.name in _ORDER else "data" if _DATA.fullmatch(entry.name) else ""
        if found := _HEADER.fullmatch(entry.name):
            kind = "header" + (found.group(1) or "")
        place = _ORDER.index(kind) if kind else -1
        if place < before or place < 0 or (place == before and kind != "data"):
            raise BrokenImageError(f"{entry.name[:80]} does not belong where it stands")
        if before < 1 < place:
            raise BrokenImageError("it has no manifest, or has it too late")
        before = place
        _member(reader, archive, entry.name, kind, heard, anchors)
    if not any(name.startswith("header.tar") for name in heard.found):
        raise BrokenImageError("it has no header")
    _complete(heard)
    return _facts(reader, heard)


def _member(reader: Reader, archive: Archive, name: str, kind: str, heard: _Heard, anchors: Anchors) -> None:
    match kind:
        case "version":
            raw = archive.content(_LARGEST)
            told = _json(raw, name)
            if told.get("format") != "mender" or told.get("version") != 3:
                raise BrokenImageError("it is an artifact of another version than 3")
            heard.found[name] = digest([raw]).hex()
        case "manifest":
            heard.signed = archive.content(_LARGEST)
            heard.manifest = _manifest(reader, heard.signed)
        case "manifest.sig":
            heard.signatures = (_signature(archive.content(_LARGEST), heard.signed, anchors),)
        case "manifest-augment":
            heard.augment = _manifest(reader, archive.content(_LARGEST))
        case "header" | "header-augment":
            raw = archive.content(_LARGEST)
            heard.found[name] = digest([raw]).hex()
            _header(reader, name, raw, heard)
        case _:
            _data(reader, archive, name, heard)


def _header(reader: Reader, name: str, raw: bytes, heard: _Heard) -> None:
    unpack = _unpacker(name)
    if unpack is None:
        heard.warnings.append(f"{name} is packed with zstd, which is not read here: devices and names are not known")
        return
    inner = Archive(reader, unpack(reader, [raw], name), name)
    for index, entry in enumerate(inner):
        if index == 0 and entry.name != "header-info":
            raise BrokenImageError(f"{name} does not begin with header-info")
        if entry.name == "header-info" and "augment" not in name:
            heard.header = _json(inner.content(_LARGEST), entry.name)
        elif _TYPE_INFO.fullmatch(entry.name) and "augment" not in name:
            heard.types.append(_json(inner.content(_LARGEST), entry.name))


def _data(reader: Reader, archive: Archive, name: str, heard: _Heard) -> None:
    unpack = _unpacker(name)
    found = _DATA.fullmatch(name)
    folder = found.group(1) if found else name
    if unpack is None:
        heard.unread.add(folder)
        heard.warnings.append(f"{name} is packed with zstd, which is not read here: its files are not verified")
        return
    inner = Archive(reader, unpack(reader, archive.data(), name), name)
    for entry in inner:
        path = f"{folder}/{entry.name}"
        if path in heard.found:
            raise BrokenImageError(f"it holds {path[:80]} twice")
        heard.found[path] = digest(inner.data()).hex()
        heard.sizes[path] = entry.size


def _complete(heard: _Heard) -> None:
    """Everything the manifests name is there and is it, and nothing else is there."""
    for name, told in (*heard.manifest.items(), *heard.augment.items()):
        found = heard.found.get(name)
        if found is None and name.rpartition("/")[0] in heard.unread:
            continue
        if found != told:
            raise BrokenImageError(f"{name[:80]} has the sha256 {found}, the manifest says {told}")
    for name in heard.found:
        if name not in heard.manifest and name not in heard.augment:
            raise BrokenImageError(f"{name[:80]} is not in the manifest")
    if "version" not in heard.manifest or not any(name.startswith("header.tar") for name in heard.manifest):
        raise BrokenImageError("the manifest does not cover the version and the header")
    for name in heard.augment:
        heard.warnings.append(f"{name[:80]} stands in manifest-augment: no signature covers it")


def _facts(reader: Reader, heard: _Heard) -> Facts:
    provides = _pairs(reader, heard.header.get("artifact_provides"))
    depends = _pairs(reader, heard.header.get("artifact_depends"))
    for one in heard.types:
        provides += _pairs(reader, one.get("artifact_provides"))
        depends += _pairs(reader, one.get("artifact_depends"))
    kinds = [reader.text(kind, "a type") for one in heard.types if isinstance(kind := one.get("type"), str)]
    files = [name for name in (*heard.manifest, *heard.augment) if name.startswith("data/")]
    return Facts(
        Format.MENDER,
        format_version="3",
        product=None,
        version=next((value for name, value in provides if name == "artifact_name"), None),
        hardware=tuple(value for name, value in depends if name == "device_type"),
        payloads=tuple(
            Payload(
                name.split("/", 2)[2],
                heard.sizes.get(name),
                heard.manifest.get(name) or heard.augment[name],
                kinds[int(name[5:9])] if int(name[5:9]) < len(kinds) else "",
                verified=name in heard.manifest and name in heard.found,
            )
            for name in files
        ),
        signatures=heard.signatures,
        digest=f"sha256:{digest([heard.signed]).hex()}",
        provides=tuple(f"{name}={value}" for name, value in provides),
        requires=tuple(f"{name}={value}" for name, value in depends if name != "device_type"),
        warnings=tuple(heard.warnings),
    )


def _pairs(reader: Reader, group: object) -> list[tuple[str, str]]:
    """Names and values of `artifact_provides` or `artifact_depends`, where several values stand as a list."""
    if group is None:
        return []
    if not isinstance(group, dict):
        raise BrokenImageError("what the artifact provides or depends on is not of Mender's form")
    found: list[tuple[str, str]] = []
    for name, values in group.items():
        for value in values if isinstance(values, list) else [values]:
            reader.count("names")
            if not isinstance(value, str):
                raise BrokenImageError("what the artifact provides or depends on is not text")
            found.append((reader.text(name, "a name"), reader.text(value, "a value")))
    return found


def _manifest(reader: Reader, raw: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        raise BrokenImageError("the manifest is not UTF-8") from None
    for line in lines:
        reader.count("lines")
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise BrokenImageError(f"the manifest has the line {line[:80]!r}")
        name = reader.name(parts.group(2), "the manifest")
        if name in found or (name.startswith("data/") and not re.match(r"data/\d{4}/.", name)):
            raise BrokenImageError(f"the manifest names {name[:80]} twice or wrongly")
        found[name] = parts.group(1)
    return found


def _signature(raw: bytes, manifest: bytes, anchors: Anchors) -> Signature:
    try:
        signature = base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error:
        raise BrokenImageError("manifest.sig is not base64") from None
    return keys.raw("bare", "the manifest", manifest, signature, anchors)


def _unpacker(name: str) -> Callable[[Reader, Iterable[bytes], str], Iterator[bytes]] | None:
    if name.endswith(".gz"):
        return gunzip
    if name.endswith(".xz"):
        return unxz
    return None if name.endswith(".zst") else lambda _reader, blocks, _what: iter(blocks)


def _json(raw: bytes, what: str) -> dict[str, object]:
    try:
        found = json.loads(raw, object_pairs_hook=_once)
    except BrokenImageError:
        raise
    except (ValueError, RecursionError):
        raise BrokenImageError(f"{what} is not JSON") from None
    if not isinstance(found, dict):
        raise BrokenImageError(f"{what} is not a JSON object")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BrokenImageError("a header says a name twice")
    return found
