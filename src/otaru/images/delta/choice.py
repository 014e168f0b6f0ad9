"""Which codecs suit which bytes."""

from dataclasses import dataclass

from otaru.images.delta import sequential
from otaru.images.delta.patch import Codec
from otaru.images.facts import Format

START = 1024
"""How many bytes of an artifact's beginning `unsuited` looks at."""

SMALL = 4 << 20
"""What fits a microcontroller's flash."""
PROGRAM = 16 << 20
"""Up to here suffix sorting is worth its time: about a second of processor time for each MiB."""

WINDOW = 32 << 20
LOW_WINDOW = 8 << 20
"""Where whole windows would be most of the memory of small gateways."""
LARGE = 128 << 20

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\0\0", "LZMA"),
    (b"LZIP", "lzip"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
)
_HIDDEN = ((b"LUKS\xba\xbe", "LUKS"), (b"Salted__", "OpenSSL"), (b"age-encryption.org/", "age"))
# Sync words of Xilinx (and Efinix), Lattice ECP5 and iCE40, Intel's RBF begins with so many ones.
_BITSTREAMS = (b"\xaa\x99\x55\x66", b"\xff\xff\xbd\xb3", b"\x7e\xaa\x99\x7e")
_MCUBOOT, _MCUBOOT_ENCRYPTED = b"\x3d\xb8\xf3\x96", 0x04 | 0x08
_MCUBOOT_FLAGS = 16
_PACKED = {
    Format.MENDER: "the parts of a Mender artifact are compressed",
    Format.OCI: "the layers of a container image are compressed",
}
_MCU = frozenset({Format.MCUBOOT, Format.ESP_IDF, Format.UF2, Format.INTEL_HEX, Format.SUIT})


@dataclass(frozen=True, slots=True)
class Way:
    """A codec, and the bytes of its windows."""

    codec: Codec
    window: int | None = None


def unsuited(format_: Format, start: bytes) -> str | None:
    """Why no delta helps for such bytes: whatever changes in them, all that follows is different. None where one may."""
    if format_ in _PACKED:
        return _PACKED[format_]
    for magic, name in _MAGICS:
        if start.startswith(magic):
            return f"it is compressed ({name})"
    for magic, name in _HIDDEN:
        if start.startswith(magic):
            return f"it is encrypted ({name})"
    if start.startswith(_MCUBOOT) and int.from_bytes(start[_MCUBOOT_FLAGS:][:4], "little") & _MCUBOOT_ENCRYPTED:
        return "it is encrypted (MCUboot)"
    if any(word in start for word in _BITSTREAMS):
        return "it configures an FPGA"
    return None


def ways(format_: Format, source: int, target: int) -> tuple[Way, ...]:
    """How deltas are written between artifacts of these sizes, by what they are, for all devices that may run them.

    Up to SMALL they may be for a microcontroller, whose decoder has 256 bytes. What is larger runs on Linux, where the first
    way makes the smaller delta; the second one is for whoever has only a few MiB to apply it in (`domain.delta.suited`).
    """
    largest = max(source, target)
    if largest <= SMALL:
        return (Way(Codec.LZMA), Way(Codec.HEATSHRINK))
    if format_ in _MCU:
        return (Way(Codec.LZMA),) if largest <= sequential.LARGEST else ()
    if largest <= PROGRAM:
        return (Way(Codec.LZMA), Way(Codec.RDIFF))
    return (Way(Codec.ZSTD, WINDOW if largest <= LARGE else LOW_WINDOW), Way(Codec.RDIFF))
