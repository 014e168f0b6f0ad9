"""Which format a file has, by the magic it begins (or ends) with, and the way to that format's reader."""

from collections.abc import Callable, Mapping

from otaru.images import configuration, cpio, elf, esp, intelhex, mcuboot, mender, oci, rauc, suit, swu, uf2
from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import NOBODY, Anchors, Trust
from otaru.images.reading import BrokenImageError, Limits, Reader, Source


def _plain(reader: Reader, _anchors: Anchors) -> Facts:
    whole = Payload("", reader.size, reader.digest(0, reader.size, "the file").hex())
    return Facts(Format.PLAIN, payloads=(whole,))


_READERS: Mapping[Format, Callable[[Reader, Anchors], Facts]] = {
    Format.SWU: swu.read,
    Format.RAUC: rauc.read,
    Format.MENDER: mender.read,
    Format.MCUBOOT: mcuboot.read,
    Format.ESP_IDF: esp.read,
    Format.UF2: uf2.read,
    Format.INTEL_HEX: intelhex.read,
    Format.SUIT: suit.read,
    Format.ELF: elf.read,
    Format.OCI: oci.read,
    Format.CONFIGURATION: configuration.read,
    Format.PLAIN: _plain,
}

# What a format's files begin with. The surest come first: ESP-IDF's magic is a single byte.
_BEGINNINGS: tuple[tuple[Format, Callable[[bytes], object]], ...] = (
    # An initramfs is cpio too.
    (Format.SWU, lambda start: start[:6] in cpio.MAGICS and cpio.first_name(start) == swu.DESCRIPTION.encode()),
    (Format.MCUBOOT, lambda start: start[:4] == mcuboot.MAGIC),
    (Format.UF2, lambda start: start[:8] == uf2.MAGIC),
    (Format.ELF, lambda start: start[:4] == elf.MAGIC),
    (Format.MENDER, mender.is_artifact),
    (Format.SUIT, lambda start: start[:2] == suit.START),
    (Format.CONFIGURATION, configuration.BEGINS.match),
    (Format.INTEL_HEX, intelhex.FIRST_LINE.match),
    (Format.ESP_IDF, esp.is_image),
)
START, END = 1024, 8
"""How many bytes at a file's beginning and end tell most files that nothing claims."""
EDITION = 1
"""Counted up when a reader comes to find something else in the same bytes: what an older one found is read anew."""


def recognise(source: Source) -> Format:
    """Find a file's format. What nothing claims is PLAIN."""
    reader = Reader(source)
    start = reader.peek(0, START)
    for found, begins in _BEGINNINGS:
        if begins(start):
            return found
    try:
        if rauc.is_bundle(reader):
            return Format.RAUC
        return Format.OCI if oci.is_archive(reader) else Format.PLAIN
    except BrokenImageError:
        return Format.PLAIN  # a tar of more files than we go through


def is_plain(size: int, start: bytes, end: bytes) -> bool:
    """Whether a file is surely PLAIN, by its first START and last END bytes; else somebody has to look at it."""
    claimed = any(begins(start) for _, begins in _BEGINNINGS)
    return not (claimed or rauc.may_end(size, end) or start[257:262] == b"ustar")


def read(source: Source, trust: Trust | None = None, limits: Limits | None = None) -> Facts:
    """Read what an image says of itself.

    Args:
        source: the bytes
        trust: whom to believe, by format; nobody where it says nothing
        limits: what the image may ask of us

    Raises:
        BrokenImageError: it begins like an image of a format and is none.
    """
    found = recognise(source)
    try:
        return _READERS[found](Reader(source, limits), (trust or {}).get(found, NOBODY))
    except RecursionError:
        raise BrokenImageError("it nests too deep") from None
