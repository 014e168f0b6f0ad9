"""Which format a file has, by the magic it begins (or ends) with, and the way to that format's reader."""

from collections.abc import Callable, Mapping

from otaru.images import cpio, esp, mcuboot, mender, rauc, suit, swu
from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import NOBODY, Anchors, Trust
from otaru.images.reading import BrokenImageError, Limits, Reader, Source

_READERS: Mapping[Format, Callable[[Reader, Anchors], Facts]] = {
    Format.SWU: swu.read,
    Format.RAUC: rauc.read,
    Format.SUIT: suit.read,
    Format.MENDER: mender.read,
    Format.ESP_IDF: esp.read,
    Format.MCUBOOT: mcuboot.read,
}


def recognise(source: Source) -> Format:
    """Find a file's format. What nothing claims is PLAIN."""
    return _recognise(Reader(source))


def read(source: Source, trust: Trust | None = None, limits: Limits | None = None) -> Facts:
    """Read what an image says of itself.

    Args:
        source: the bytes
        trust: whom to believe, by format; nobody where it says nothing
        limits: what the image may ask of us

    Raises:
        BrokenImageError: it begins like an image of a format and is none.
    """
    reader = Reader(source, limits)
    found = _recognise(reader)
    if found is Format.PLAIN:
        whole = Payload("", reader.size, reader.digest(0, reader.size, "the file").hex())
        return Facts(Format.PLAIN, payloads=(whole,))
    try:
        return _READERS[found](reader, (trust or {}).get(found, NOBODY))
    except RecursionError:
        raise BrokenImageError("it nests too deep") from None


def _recognise(reader: Reader) -> Format:
    start = reader.peek(0, 1024)
    if start[:6] in cpio.MAGICS:
        return Format.SWU
    if start[:4] == mcuboot.MAGIC:
        return Format.MCUBOOT
    if esp.is_image(start):
        return Format.ESP_IDF
    if mender.is_artifact(start):
        return Format.MENDER
    if start[:2] == suit.START:
        return Format.SUIT
    return Format.RAUC if rauc.is_bundle(reader) else Format.PLAIN
