"""ELF programs: for which machine, how they are loaded, and their build id (System V ABI, chapters 4 and 5)."""

import struct

from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader

MAGIC = b"\x7fELF"
_LOAD, _NOTE = 1, 4
_SECTION_NOTE = 7
_BUILD_ID = 3
_LARGEST_NOTE = 1 << 16
_TYPES = {1: "relocatable", 2: "executable", 3: "shared", 4: "core"}
_MACHINES = {2: "SPARC", 3: "x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S390", 40: "ARM", 42: "SuperH",
             62: "x86-64", 83: "AVR", 94: "Xtensa", 105: "MSP430", 183: "AArch64", 243: "RISC-V", 247: "BPF",
             258: "LoongArch"}  # fmt: skip


def read(reader: Reader, _anchors: Anchors) -> Facts:
    """Read a program.

    Raises:
        BrokenImageError: its header is none, or names what lies beyond its end.
    """
    ident = reader.head(0, 16, "the header")
    if ident[4] not in {1, 2} or ident[5] not in {1, 2} or ident[6] != 1:
        raise BrokenImageError("the header is none of ELF's")
    wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"
    layout = struct.Struct(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"))
    kind, machine, _, _, programs, sections, _, _, program_size, program_count, section_size, section_count, _ = (
        layout.unpack(reader.head(16, layout.size, "the header"))
    )
    build = None
    payloads: list[Payload] = []
    for raw in _table(reader, programs, program_size, program_count, 56 if wide else 32):
        if wide:
            what, _, offset, address, _, size = struct.unpack_from(order + "IIQQQQ", raw)
        else:
            what, offset, address, _, size = struct.unpack_from(order + "IIIII", raw)
        if offset + size > reader.size and what in {_LOAD, _NOTE}:
            raise BrokenImageError("a segment lies beyond the end of the file")
        if what == _LOAD and size:
            payloads.append(Payload(f"0x{address:0{16 if wide else 8}x}", size, kind="segment"))
        elif what == _NOTE:
            build = build or _build_id(reader, offset, size, order)
    if build is None:
        for raw in _table(reader, sections, section_size, section_count, 64 if wide else 40):
            what = struct.unpack_from(order + "I", raw, 4)[0]
            offset, size = struct.unpack_from(order + ("QQ" if wide else "II"), raw, 24 if wide else 16)
            if what == _SECTION_NOTE:
                build = build or _build_id(reader, offset, size, order)
    shown = _MACHINES.get(machine, f"machine {machine}")
    return Facts(
        Format.ELF,
        format_version=_TYPES.get(kind, f"type {kind}"),
        hardware=(f"{shown}, {64 if wide else 32} bit, {'little' if order == '<' else 'big'} endian",),
        payloads=tuple(payloads),
        provides=(f"build-id {build}",) if build else (),
    )


def _table(reader: Reader, at: int, size: int, count: int, least: int) -> list[bytes]:
    if not count or not at:
        return []
    if size < least:
        raise BrokenImageError("a table has entries that are too short")
    raw = reader.head(at, size * count, "a table")
    for _ in range(count):
        reader.count("segments and sections")
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def _build_id(reader: Reader, offset: int, size: int, order: str) -> str | None:
    """The build id among the notes: each is three lengths and kinds, a name and a value, both filled up to 4 bytes."""
    if size > _LARGEST_NOTE:
        return None
    raw = reader.head(offset, size, "the notes")
    at = 0
    while at + 12 <= len(raw):
        reader.count("notes")
        name, value, kind = struct.unpack_from(order + "III", raw, at)
        start = at + 12 + (name + 3 & ~3)
        if start + value > len(raw):
            return None
        if kind == _BUILD_ID and raw[at + 12 : at + 12 + name] == b"GNU\0" and 0 < value <= 64:
            return raw[start : start + value].hex()
        at = start + (value + 3 & ~3)
    return None
