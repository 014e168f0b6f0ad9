"""ESP-IDF application images (Espressif: "App Image Format", "Secure Boot v2").

A header of 24 bytes, up to 16 segments, a byte that is the exclusive-or of them, often the SHA-256 of all that. Secure
Boot v2 adds a sector at the next multiple of 4096 with up to three blocks, each a digest, a public key and a signature,
numbers little endian. The application's descriptor lies at the start of the first segment.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from otaru.images import keys, sums
from otaru.images.facts import Facts, Format, Payload, Signature, Verdict
from otaru.images.keys import Anchors, PublicKey
from otaru.images.reading import BrokenImageError, Reader

_MAGIC = 0xE9
_HEADER, _SEGMENT = struct.Struct("<BBBBIB3sHBHH4sB"), struct.Struct("<II")
_CHECKSUM = 0xEF
_DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s")
_DESCRIPTOR_MAGIC = 0xABCD5432
_SECTOR, _BLOCK, _BLOCKS = 4096, 1216, 3
_BLOCK_MAGIC, _RSA, _ECDSA = 0xE7, 2, 3
_P256 = 2
_CHIPS = {0: "ESP32", 2: "ESP32-S2", 5: "ESP32-C3", 9: "ESP32-S3", 12: "ESP32-C2", 13: "ESP32-C6", 16: "ESP32-H2",
          18: "ESP32-P4", 20: "ESP32-C61", 23: "ESP32-C5", 25: "ESP32-H21", 28: "ESP32-H4", 32: "ESP32-S31"}  # fmt: skip
_COVERS = "the whole image"


@dataclass(frozen=True, slots=True)
class _Body:
    """What the segments came to: `end` is behind the checksum."""

    segments: tuple[Payload, ...]
    end: int


def is_image(start: bytes) -> bool:
    """Whether a file may be one: the magic is a single byte, so the other fields must make sense too."""
    if len(start) < _HEADER.size or start[0] != _MAGIC:
        return False
    _, segments, mode, _, _, _, _, chip, _, _, _, _, appended = _HEADER.unpack_from(start)
    return 1 <= segments <= 16 and (mode <= 5 or mode == 0xFF) and chip in _CHIPS and appended <= 1


def read(reader: Reader, anchors: Anchors) -> Facts:
    """Read an image.

    Raises:
        BrokenImageError: it is cut short, or its checksum or hash is that of another.
    """
    header = _HEADER.unpack(reader.head(0, _HEADER.size, "the header"))
    chip, least, most, appended = header[7], header[9], header[10], bool(header[12])
    body = _segments(reader, header[1])
    digest, end = None, body.end
    if appended:
        told = reader.head(end, 32, "the hash")
        found = reader.digest(0, end, "the image")
        if found != told:
            raise BrokenImageError(f"the image has the sha256 {found.hex()}, at its end stands {told.hex()}")
        digest, end = f"sha256:{found.hex()}", end + 32
    sector = -(-end // _SECTOR) * _SECTOR
    signatures = tuple(_signatures(reader, sector, anchors))
    rest = reader.size - (sector + _SECTOR if signatures else end)
    told_of = _descriptor(reader, _HEADER.size + _SEGMENT.size)
    return Facts(
        Format.ESP_IDF,
        product=told_of.get("product"),
        version=told_of.get("version"),
        hardware=(_CHIPS[chip],),
        payloads=tuple(replace(one, verified=appended) for one in body.segments),
        signatures=signatures,
        digest=digest,
        security_counter=int(told_of["counter"]) if "counter" in told_of else None,
        provides=(f"esp-idf {told_of['idf']}",) if told_of.get("idf") else (),
        requires=(
            *((f"chip revision>={least // 100}.{least % 100}",) if least else ()),
            *((f"chip revision<={most // 100}.{most % 100}",) if most not in {0, 0xFFFF} else ()),
        ),
        warnings=(f"{rest} bytes follow the image, which nothing covers",) if rest > 0 else (),
    )


def _segments(reader: Reader, count: int) -> _Body:
    at, total = _HEADER.size, _CHECKSUM
    found: list[Payload] = []
    for _ in range(count):
        reader.count("segments")
        address, size = _SEGMENT.unpack(reader.head(at, _SEGMENT.size, "a segment"))
        at += _SEGMENT.size
        running = hashlib.sha256()
        for block in reader.blocks(at, size, "a segment"):
            running.update(block)
            total ^= sums.xor(block)
        found.append(Payload(f"0x{address:08x}", size, running.hexdigest(), "segment"))
        at += size
    # The checksum is the last byte of a multiple of 16.
    end = at + 16 - at % 16
    if reader.head(end - 1, 1, "the checksum")[0] != total:
        raise BrokenImageError("the checksum is that of other segments")
    return _Body(tuple(found), end)


def _descriptor(reader: Reader, at: int) -> dict[str, str]:
    raw = reader.peek(at, _DESCRIPTOR.size)
    if len(raw) < _DESCRIPTOR.size:
        return {}
    magic, counter, _, version, project, _, _, idf = _DESCRIPTOR.unpack(raw)
    if magic != _DESCRIPTOR_MAGIC:
        return {}
    texts = {"version": version, "product": project, "idf": idf}
    shown = {name: reader.text(text.split(b"\0", 1)[0], name) for name, text in texts.items()}
    return {"counter": str(counter)} | {name: text for name, text in shown.items() if text}


def _signatures(reader: Reader, at: int, anchors: Anchors) -> Iterator[Signature]:
    if at + _SECTOR > reader.size:
        return
    sector = reader.head(at, _SECTOR, "the signature sector")
    blocks = [sector[start : start + _BLOCK] for start in range(0, _BLOCK * _BLOCKS, _BLOCK)]
    blocks = [block for block in blocks if block[0] == _BLOCK_MAGIC]
    if not blocks:
        return
    digest = reader.digest(0, at, "the image")
    for block in blocks:
        yield _judge(block, digest, anchors)


def _judge(block: bytes, digest: bytes, anchors: Anchors) -> Signature:
    shown = f"sha256:{digest.hex()}"

    def broken(reason: str) -> Signature:
        return Signature("Secure Boot v2", Verdict.BROKEN, _COVERS, shown, reason=reason)

    if zlib.crc32(block[:1196]) != int.from_bytes(block[1196:1200], "little"):
        return broken("the block has another checksum")
    if block[4:36] != digest:
        return broken("the block holds the digest of another image")
    try:
        key, signature = _key(block)
    except keys.ERRORS:
        return broken("the block's key is none")
    if key is None:
        return Signature("Secure Boot v2", Verdict.UNKNOWN, _COVERS, shown, reason="its kind of key is not known here")
    name = f"{keys.kind(key, pss=True)}, Secure Boot v2"
    if not keys.holds(key, signature, digest, "sha256", pss=True):
        return Signature(name, Verdict.BROKEN, _COVERS, shown, key=keys.spki(key), reason="the signature does not hold")
    owner = next(((subject,) for known, subject in anchors.known() if known == key), None)
    if owner is None:
        return Signature(name, Verdict.UNKNOWN, _COVERS, shown, key=keys.spki(key), reason="its key is not trusted")
    return Signature(name, Verdict.VALID, _COVERS, shown, owner[0], keys.spki(key))


def _key(block: bytes) -> tuple[PublicKey | None, bytes]:
    def number(start: int, size: int) -> int:
        return int.from_bytes(block[start : start + size], "little")

    if block[1] == _RSA:
        return rsa.RSAPublicNumbers(number(420, 4), number(36, 384)).public_key(), block[812:1196][::-1]
    if block[1] == _ECDSA and block[36] == _P256:
        point = ec.EllipticCurvePublicNumbers(number(37, 32), number(69, 32), ec.SECP256R1())
        return point.public_key(), utils.encode_dss_signature(number(101, 32), number(133, 32))
    return None, b""
