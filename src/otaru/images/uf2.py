"""UF2 (Microsoft's specification): blocks of 512 bytes, each with its address, its number and how many there are.

Blocks for several families of chips may stand in one file; each family's are counted on their own.
"""

import hashlib
import struct
from dataclasses import dataclass, field

from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader

MAGIC = struct.pack("<II", 0x0A324655, 0x9E5D5157)
_BLOCK = 512
_HEAD = struct.Struct("<IIIIIIII")
_END = struct.pack("<I", 0x0AB16F30)
_DATA = 476
_ELSEWHERE, _FILE, _FAMILY, _MD5, _TAGS = 0x1, 0x1000, 0x2000, 0x4000, 0x8000
_MOST_FAMILIES = 64
_VERSION, _DESCRIPTION, _DEVICE = 0x9FC7BC, 0x650D9D, 0xC8A729
_NAMES = {0xE48BFF56: "RP2040", 0xE48BFF57: "RP2XXX absolute", 0xE48BFF58: "RP2XXX data", 0xE48BFF59: "RP2350-ARM-S",
          0xE48BFF5A: "RP2350-RISCV", 0xE48BFF5B: "RP2350-ARM-NS", 0x68ED2B88: "SAMD21", 0x55114460: "SAMD51",
          0x1851780A: "SAML21", 0xADA52840: "nRF52840", 0x1B57745F: "nRF52", 0x57755A57: "STM32F4", 0x5EE21072: "STM32F1",
          0xBFDD4EEE: "ESP32-S2", 0xC47E5767: "ESP32-S3", 0xD42BA06C: "ESP32-C3", 0x1C5F21B0: "ESP32"}  # fmt: skip


@dataclass(slots=True)
class _Family:
    """What was seen of one family's blocks."""

    total: int
    seen: bytearray
    found: int = 0
    size: int = 0
    address: int = 1 << 32
    running: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    tags: dict[int, bytes] = field(default_factory=dict)


def read(reader: Reader, _anchors: Anchors) -> Facts:
    """Read a file.

    Raises:
        BrokenImageError: a block is broken, missing or stands twice.
    """
    families: dict[int | None, _Family] = {}
    if reader.size % _BLOCK:
        raise BrokenImageError("it does not end with a whole block")
    for piece in reader.blocks(0, reader.size, "the blocks"):
        for at in range(0, len(piece), _BLOCK):
            _block(piece[at : at + _BLOCK], reader.size, families)
    for number, family in families.items():
        if family.found != family.total:
            raise BrokenImageError(
                f"{family.total - family.found} of {family.total} blocks for {_name(number)} are missing"
            )
    tags = {kind: raw for family in families.values() for kind, raw in family.tags.items()}
    described = {
        kind: reader.text(tags[kind].rstrip(b"\0"), "a tag") for kind in (_VERSION, _DESCRIPTION) if tags.get(kind)
    }
    device = tags.get(_DEVICE)
    return Facts(
        Format.UF2,
        product=described.get(_DESCRIPTION),
        version=described.get(_VERSION),
        hardware=(
            *(_name(number) for number in families if number is not None),
            *((f"device 0x{int.from_bytes(device, 'little'):x}",) if device else ()),
        ),
        payloads=tuple(
            Payload(f"0x{family.address:08x}", family.size, family.running.hexdigest(), _name(number))
            for number, family in families.items()
            if family.size
        ),
    )


def _block(raw: bytes, size: int, families: dict[int | None, _Family]) -> None:
    first, second, flags, address, length, number, total, named = _HEAD.unpack_from(raw)
    if first != 0x0A324655 or second != 0x9E5D5157 or raw[-4:] != _END:
        raise BrokenImageError("a block is none of UF2's")
    if length > _DATA - (24 if flags & _MD5 else 0) or address + length > 1 << 32:
        raise BrokenImageError("a block has more data than fit")
    if total > size // _BLOCK:
        raise BrokenImageError(f"blocks are missing: one counts {total}, there are {size // _BLOCK}")
    if number >= total:
        raise BrokenImageError(f"a block has the number {number} of {total}")
    if flags & _FILE:
        raise BrokenImageError("it holds files, which are not read here")
    key = named if flags & _FAMILY else None
    family = _family(families, key, total)
    if family.total != total or family.seen[number >> 3] >> (number & 7) & 1:
        raise BrokenImageError(f"block {number} for {_name(key)} stands twice, or counts other blocks than the others")
    family.seen[number >> 3] |= 1 << (number & 7)
    family.found += 1
    if flags & _ELSEWHERE:
        return
    family.size += length
    family.address = min(family.address, address)
    family.running.update(raw[32 : 32 + length])
    if flags & _TAGS:
        _tags(raw[32 + length : 32 + _DATA - (24 if flags & _MD5 else 0)], family.tags)


def _family(families: dict[int | None, _Family], key: int | None, total: int) -> _Family:
    found = families.get(key)
    if found is None:
        if len(families) == _MOST_FAMILIES:
            raise BrokenImageError(f"it is for more than {_MOST_FAMILIES} families")
        found = families[key] = _Family(total, bytearray((total + 7) // 8))
    return found


def _tags(raw: bytes, found: dict[int, bytes]) -> None:
    """Extension tags: a byte of length (of all), three of kind, the value, up to the next multiple of four."""
    at = 0
    while at + 4 <= len(raw) and raw[at]:
        length = raw[at]
        if length < 4 or at + length > len(raw):
            raise BrokenImageError("a tag is longer than its block")
        kind = int.from_bytes(raw[at + 1 : at + 4], "little")
        if (
            kind in {_VERSION, _DESCRIPTION, _DEVICE}
            and found.setdefault(kind, raw[at + 4 : at + length]) != raw[at + 4 : at + length]
        ):
            raise BrokenImageError("two blocks have different tags")
        at += (length + 3) & ~3


def _name(number: int | None) -> str:
    return "any family" if number is None else _NAMES.get(number, f"family 0x{number:08x}")
