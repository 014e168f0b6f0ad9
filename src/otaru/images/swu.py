"""SWUpdate's .swu: a cpio archive that begins with sw-description, then its signature, then what it describes.

The signature is over sw-description alone, which in turn names the SHA-256 of every part: so parts count as verified when
they match it. sw-description is libconfig or JSON; settings may stand deeper, below a board's or a selection's name.
"""

import hashlib
import json
from collections.abc import Iterator

from otaru.images import cms, cpio, keys, libconfig, sums
from otaru.images.cpio import Member
from otaru.images.facts import Facts, Format, Payload, Signature
from otaru.images.keys import Anchors
from otaru.images.libconfig import Value
from otaru.images.reading import BrokenImageError, Reader

DESCRIPTION, _SIGNATURE = "sw-description", "sw-description.sig"
_LARGEST = 1 << 20
_SECTIONS = ("images", "files", "scripts", "partitions", "uboot", "bootenv")
_HARDWARE = "hardware-compatibility"


def read(reader: Reader, anchors: Anchors) -> Facts:
    """Read a .swu.

    Raises:
        BrokenImageError: it is cut short, a part is missing or is not the one that sw-description names.
    """
    found: dict[str, Member] = {}
    for member in cpio.members(reader):
        if not found and member.name != DESCRIPTION:
            raise BrokenImageError(f"a .swu begins with {DESCRIPTION}, this one with {member.name[:80]}")
        if member.name in found:
            raise BrokenImageError(f"it holds {member.name[:80]} twice")
        found[member.name] = member
    if not found:
        raise BrokenImageError(f"it holds no {DESCRIPTION}")
    text = _small(reader, found.pop(DESCRIPTION))
    proof = found.pop(_SIGNATURE, None)
    signatures = _signatures(text, _small(reader, proof), anchors) if proof else ()
    software = _software(text, reader)
    payloads, warnings = _payloads(reader, found, software)
    if signatures:
        warnings += tuple(
            f"{one.name} has no sha256, so the signature does not cover it" for one in payloads if not one.verified
        )
    return Facts(
        Format.SWU,
        format_version="libconfig" if not text.lstrip().startswith(b"{") else "JSON",
        product=_text(reader, software, "name"),
        version=_text(reader, software, "version"),
        hardware=tuple(dict.fromkeys(_hardware(reader, software, ""))),
        payloads=payloads,
        signatures=signatures,
        digest=f"sha256:{hashlib.sha256(text).hexdigest()}",
        warnings=warnings,
    )


def _small(reader: Reader, member: Member) -> bytes:
    if member.size > _LARGEST:
        raise BrokenImageError(f"{member.name} is larger than {_LARGEST} bytes")
    data = reader.head(member.offset, member.size, member.name)
    _same_sum(member, sums.total(data))
    return data


def _signatures(text: bytes, proof: bytes, anchors: Anchors) -> tuple[Signature, ...]:
    # A CMS message begins with a SEQUENCE that begins with an object identifier; an ECDSA signature with two integers.
    if proof[:1] == b"\x30" and b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" in proof[:20]:
        data = cms.parse(proof)
        if data.content is not None and data.content != text:
            raise BrokenImageError("the signature brings another sw-description along")
        return cms.judge(data, cms.over(text), DESCRIPTION, anchors)
    return (keys.raw("bare", DESCRIPTION, text, proof, anchors),)


def _software(text: bytes, reader: Reader) -> dict[str, Value]:
    try:
        plain = text.decode()
        if plain.lstrip().startswith("{"):
            found = json.loads(plain, object_pairs_hook=_once, parse_constant=_no_constant)
        else:
            found = libconfig.parse(plain, reader.limits)
    except BrokenImageError:
        raise
    except (ValueError, RecursionError):
        raise BrokenImageError(f"{DESCRIPTION} is neither libconfig nor JSON") from None
    software = found.get("software") if isinstance(found, dict) else None
    if not isinstance(software, dict):
        raise BrokenImageError(f"{DESCRIPTION} describes no software")
    return software


def _once(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BrokenImageError(f"{DESCRIPTION} says a name twice")
    return found


def _no_constant(name: str) -> float:
    raise BrokenImageError(f"{DESCRIPTION} holds {name}, which JSON does not know")


def _payloads(
    reader: Reader, found: dict[str, Member], software: dict[str, Value]
) -> tuple[tuple[Payload, ...], tuple[str, ...]]:
    payloads: dict[tuple[str, str], Payload] = {}
    digests: dict[str, str] = {}
    for section, entry in _entries(software, "", 0, reader.limits.depth):
        reader.count("parts")
        name = reader.name(_required(entry, "filename"), "a part")
        member = found.get(name)
        if member is None:
            raise BrokenImageError(f"{DESCRIPTION} names {name}, which is not in the archive")
        told = _text(reader, entry, "sha256")
        digest = digests.get(name) or digests.setdefault(name, _digest(reader, member))
        if told is not None and told.lower() != digest:
            raise BrokenImageError(f"{name} has the sha256 {digest}, {DESCRIPTION} says {told}")
        version = _text(reader, entry, "version")
        part = Payload(name, member.size, digest, section, version, verified=told is not None)
        before = payloads.get((name, section))
        # The same file may stand in several selections; it is as verified as the least of them.
        payloads[name, section] = part if before is None or before.verified else before
    unused = tuple(name for name in found if name not in digests)
    for name in unused:
        _digest(reader, found[name])
    return tuple(payloads.values()), tuple(f"{name} is in the archive, but not in {DESCRIPTION}" for name in unused)


def _digest(reader: Reader, member: Member) -> str:
    running = hashlib.sha256()
    total = 0
    for block in reader.blocks(member.offset, member.size, member.name):
        running.update(block)
        if member.sum is not None:
            total += sums.total(block)
    _same_sum(member, total)
    return running.hexdigest()


def _same_sum(member: Member, total: int) -> None:
    if member.sum is not None and member.sum != total & 0xFFFFFFFF:
        raise BrokenImageError(f"the bytes of {member.name} do not add up to the archive's sum")


def _entries(value: Value, section: str, depth: int, deepest: int) -> Iterator[tuple[str, dict[str, Value]]]:
    """Every group that names a file, with the section it stands in."""
    if depth > deepest:
        raise BrokenImageError(f"{DESCRIPTION} nests deeper than {deepest}")
    if isinstance(value, dict):
        if "filename" in value:
            yield section, value
        for name, inner in value.items():
            yield from _entries(inner, name if name in _SECTIONS else section, depth + 1, deepest)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner, section, depth + 1, deepest)


def _hardware(reader: Reader, group: dict[str, Value], board: str) -> Iterator[str]:
    """`revision` for all boards, `board:revision` below a board's name."""
    listed = group.get(_HARDWARE, [])
    if not isinstance(listed, list):
        raise BrokenImageError(f"{_HARDWARE} is not a list")
    for one in listed:
        reader.count("hardware revisions")
        if not isinstance(one, str):
            raise BrokenImageError(f"{_HARDWARE} holds something else than text")
        yield reader.text(board + one, _HARDWARE)
    for name, inner in group.items():
        if isinstance(inner, dict) and not board:
            yield from _hardware(reader, inner, f"{name}:")


def _text(reader: Reader, group: dict[str, Value], name: str) -> str | None:
    value = group.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BrokenImageError(f"{name} in {DESCRIPTION} is not text")
    return reader.text(value, name) or None


def _required(group: dict[str, Value], name: str) -> str:
    value = group[name]
    if not isinstance(value, str):
        raise BrokenImageError(f"{name} in {DESCRIPTION} is not text")
    return value
