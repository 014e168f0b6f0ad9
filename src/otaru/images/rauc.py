"""RAUC bundles: a squashfs, its dm-verity tree, a CMS signature, and the length of that in the last 8 bytes.

In the forms `verity` and `crypt` the signature holds the manifest, which names the root of the verity tree over what
comes before: the payload counts as verified when it has that root. In the form `plain` the signature is over the whole
squashfs and the manifest lies inside; RAUC advises against it, and production refuses it: versions of RAUC checked only a
prefix of large bundles (CVE-2026-34155), and what was checked can be exchanged before it is installed (CVE-2020-25860).
"""

import hashlib
import re

from otaru.images import cms, keyfile, squashfs
from otaru.images.facts import Facts, Format, Payload, Signature, Verdict
from otaru.images.keyfile import Groups
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader

_LARGEST_SIGNATURE = 1 << 20
_LARGEST_MANIFEST = 1 << 20
_BLOCK = 4096
_MANIFEST = "manifest.raucm"
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_CMS_HEAD = re.compile(rb"\x30[\x82\x83].{2,3}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07[\x02\x03]", re.DOTALL)


def is_bundle(reader: Reader) -> bool:
    """Whether a file ends with a CMS message and its length, as every RAUC bundle does."""
    if reader.size <= _BLOCK:
        return False
    size = _signature_size(reader)
    return bool(size) and bool(_CMS_HEAD.match(reader.peek(reader.size - 8 - size, 18)))


def may_end(size: int, end: bytes) -> bool:
    """Whether a file of this size may be a bundle, by its last 8 bytes: the length of the signature before them."""
    return 0 < int.from_bytes(end) <= min(_LARGEST_SIGNATURE, size - 8 - _BLOCK)


def read(reader: Reader, anchors: Anchors) -> Facts:
    """Read a bundle.

    Raises:
        BrokenImageError: it is cut short, or the payload is not the one that the signed manifest names.
    """
    size = _signature_size(reader)
    end = reader.size - 8 - size
    raw = reader.head(end, size, "the signature")
    if cms.content_type(raw) == cms.ENVELOPED_DATA:
        hidden = Signature("CMS", Verdict.UNKNOWN, "the manifest", reason="it is encrypted for the devices")
        told = "the manifest is encrypted for the devices: nothing of it can be compared"
        return Facts(Format.RAUC, format_version="crypt", signatures=(hidden,), warnings=(told,))
    data = cms.parse(raw)
    if data.content is None:
        return _plain(reader, data, end, anchors)
    manifest = data.content
    signatures = cms.judge(data, cms.over(manifest), "the manifest and the payload", anchors)
    groups = keyfile.parse(manifest, _MANIFEST)
    form = groups.get("bundle", {}).get("format", "plain")
    if form not in {"verity", "crypt"}:
        raise BrokenImageError(f"the manifest inside the signature is for the format {form[:20]!r}")
    payload = _verified(reader, groups["bundle"], end, form)
    warnings = ("the key of the payload stands in the manifest, readable for all",) if form == "crypt" else ()
    return _facts(reader, groups, form, manifest, signatures, (payload,), warnings)


def _plain(reader: Reader, data: cms.SignedData, end: int, anchors: Anchors) -> Facts:
    if reader.peek(0, 4) != squashfs.MAGIC:
        raise BrokenImageError("a bundle with a detached signature begins with squashfs, this one does not")
    signatures = cms.judge(
        data, lambda algorithm: reader.digest(0, end, "the squashfs", algorithm), "the squashfs", anchors
    )
    warnings: tuple[str, ...] = ("the bundle has the format plain: production refuses it, use verity",)
    manifest = b""
    try:
        manifest = squashfs.file(reader, _MANIFEST, _LARGEST_MANIFEST)
    except squashfs.UnknownCompressionError as error:
        warnings += (f"{error}: the manifest was not read",)
    groups = keyfile.parse(manifest, _MANIFEST)
    form = groups.get("bundle", {}).get("format", "plain")
    if form != "plain":
        raise BrokenImageError(f"the manifest asks for the format {form[:20]!r}, the bundle is plain")
    return _facts(reader, groups, form, manifest, signatures, (), warnings)


def _facts(
    reader: Reader,
    groups: Groups,
    form: str,
    manifest: bytes,
    signatures: tuple[Signature, ...],
    payloads: tuple[Payload, ...],
    warnings: tuple[str, ...],
) -> Facts:
    update = groups.get("update", {})
    if manifest and "compatible" not in update:
        raise BrokenImageError("the manifest names no compatible")
    compatible, version = update.get("compatible"), update.get("version")
    least = update.get("min-rauc-version")
    return Facts(
        Format.RAUC,
        format_version=form,
        version=reader.text(version, "version") if version else None,
        hardware=(reader.text(compatible, "compatible"),) if compatible else (),
        payloads=(*payloads, *_images(reader, groups)),
        signatures=signatures,
        digest=f"sha256:{hashlib.sha256(manifest).hexdigest()}" if manifest else None,
        requires=(f"rauc>={reader.text(least, 'min-rauc-version')}",) if least else (),
        warnings=warnings,
        production=form != "plain",
    )


def _images(reader: Reader, groups: Groups) -> tuple[Payload, ...]:
    found: list[Payload] = []
    for name, group in groups.items():
        if not name.startswith("image."):
            continue
        reader.count("images")
        file = reader.name(group.get("filename", name), name)
        size, sha256 = group.get("size", ""), group.get("sha256", "")
        if not re.fullmatch(r"\d{0,18}", size) or not (not sha256 or _HASH.fullmatch(sha256)):
            raise BrokenImageError(f"{file} has a size or a sha256 that is none")
        slot = reader.text(name.removeprefix("image."), "a slot class")
        version = group.get("version")
        shown = reader.text(version, "a version") if version else None
        found.append(Payload(file, int(size) if size else None, sha256.lower() or None, slot, shown))
    return tuple(found)


def _verified(reader: Reader, bundle: dict[str, str], end: int, form: str) -> Payload:
    told, salt, tree = bundle.get("verity-hash", ""), bundle.get("verity-salt", ""), bundle.get("verity-size", "")
    if not _HASH.fullmatch(told) or not _HASH.fullmatch(salt) or not re.fullmatch(r"\d{1,18}", tree):
        raise BrokenImageError("the manifest has no root of the payload's verity tree")
    size = end - int(tree)
    if size <= 0 or size % _BLOCK or int(tree) % _BLOCK:
        raise BrokenImageError("the payload is not as long as the manifest says")
    if form == "verity" and reader.peek(0, 4) != squashfs.MAGIC:
        raise BrokenImageError("the payload is no squashfs")
    found = _root(reader, size, bytes.fromhex(salt))
    if found.hex() != told.lower():
        raise BrokenImageError(f"the payload has the verity root {found.hex()}, the manifest says {told}")
    return Payload("payload", size, None, form, verified=True)


def _root(reader: Reader, size: int, salt: bytes) -> bytes:
    """The root of a dm-verity tree (version 1: salt first, SHA-256, blocks of 4096 bytes)."""
    seed = hashlib.sha256(salt)

    def salted(block: bytes) -> bytes:
        running = seed.copy()
        running.update(block)
        return running.digest()

    levels: list[bytearray] = []  # the hashes of each level that no full block has taken up yet
    counts: list[int] = []

    def add(level: int, found: bytes) -> None:
        if level == len(levels):
            levels.append(bytearray())
            counts.append(0)
        levels[level] += found
        counts[level] += 1
        if len(levels[level]) == _BLOCK:
            full = bytes(levels[level])
            levels[level].clear()
            add(level + 1, salted(full))

    for block in reader.blocks(0, size, "the payload"):
        for at in range(0, len(block), _BLOCK):
            add(0, salted(block[at : at + _BLOCK]))
    level = 0
    while counts[level] > 1:
        if levels[level]:
            add(level + 1, salted(bytes(levels[level]).ljust(_BLOCK, b"\0")))
        level += 1
    return bytes(levels[level])


def _signature_size(reader: Reader) -> int:
    """How long the signature is by the last 8 bytes; 0 where that cannot be."""
    end = reader.peek(reader.size - 8, 8)
    return int.from_bytes(end) if may_end(reader.size, end) else 0
