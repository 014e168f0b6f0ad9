"""MCUboot images: a header, the program, and type-length-value records after it (docs/design.md of MCUboot).

The hash is over header, program and protected records, so only those are believed: what the other records name is a hash,
a key and a signature. Sizes are little endian.
"""

import hashlib
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from otaru.images import keys
from otaru.images.facts import Facts, Format, Payload, Signature, Verdict
from otaru.images.keys import Anchors, PublicKey
from otaru.images.reading import BrokenImageError, Reader

MAGIC = struct.pack("<I", 0x96F3B83D)
_HEADER = struct.Struct("<IIHHIIBBHII")
_VERSION = struct.Struct("<BBHI")
_PROTECTED, _PLAIN = 0x6908, 0x6907
_ENCRYPTED = 0x04 | 0x08
_KEY_HASH, _PUBLIC_KEY = 0x01, 0x02
_HASHES = {0x10: "sha256", 0x11: "sha384", 0x12: "sha512"}
_RSA, _ECDSA, _ED25519, _PURE = (0x20, 0x23), (0x21, 0x22), 0x24, 0x25
_SIGNATURES = (*_RSA, *_ECDSA, _ED25519)
_DEPENDENCY, _COUNTER, _VENDOR, _CLASS = 0x40, 0x50, 0x74, 0x75
_COVERS = "the whole image"
_LARGEST_PURE = 32 << 20

Records = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are: what is hashed ends where `covered` says."""

    version: str
    encrypted: bool
    covered: int
    protected: Records
    records: Records
    program: Payload


def read(reader: Reader, anchors: Anchors) -> Facts:
    """Read an image.

    Raises:
        BrokenImageError: it is cut short, or is not the one that its hash is of.
    """
    layout = _layout(reader)
    hashes = [(_HASHES[kind], value) for kind, value in layout.records if kind in _HASHES]
    pure = any(kind == _PURE for kind, _ in layout.records)
    if len(hashes) > 1 or (not hashes and not pure):
        raise BrokenImageError("it has no hash, or more than one")
    algorithm, told = hashes[0] if hashes else ("sha256", b"")
    found = reader.digest(0, layout.covered, "the image", algorithm)
    warnings: tuple[str, ...] = ()
    if layout.encrypted:
        # The hash is over the program before it was encrypted (docs/encrypted_images.md): only the device can check it.
        warnings = ("the program is encrypted: neither its hash nor its signature can be checked here",)
    elif hashes and found != told:
        raise BrokenImageError(f"the image has the {algorithm} {found.hex()}, its record says {told.hex()}")
    signatures = tuple(_signatures(reader, layout, algorithm, told, anchors))
    return Facts(
        Format.MCUBOOT,
        version=layout.version,
        hardware=tuple(
            f"{name} {uuid.UUID(bytes=value)}"
            for name, wanted in (("vendor", _VENDOR), ("class", _CLASS))
            for kind, value in layout.protected
            if kind == wanted and len(value) == 16
        ),
        payloads=(layout.program,),
        signatures=signatures,
        digest=f"{algorithm}:{told.hex()}" if hashes else None,
        security_counter=_counter(layout.protected),
        requires=tuple(_dependency(value) for kind, value in layout.protected if kind == _DEPENDENCY),
        warnings=warnings,
    )


def _layout(reader: Reader) -> _Layout:
    raw = reader.head(0, _HEADER.size, "the header")
    _, _, header, protected_size, size, flags, *version, _ = _HEADER.unpack(raw)
    if raw[:4] != MAGIC or header < _HEADER.size:
        raise BrokenImageError("the header is none of MCUboot's")
    end = header + size
    encrypted = bool(flags & _ENCRYPTED)
    protected: Records = []
    if protected_size:
        protected, covered = _records(reader, end, _PROTECTED)
        if covered - end != protected_size:
            raise BrokenImageError("the protected records are not as long as the header says")
        end = covered
    records, _ = _records(reader, end, _PLAIN)
    program = Payload(
        "program", size, None if encrypted else reader.digest(header, size, "the program").hex(), verified=not encrypted
    )
    return _Layout(_version(*version), encrypted, end, protected, records, program)


def _records(reader: Reader, at: int, magic: int) -> tuple[Records, int]:
    what = "the records"
    found, size = struct.unpack("<HH", reader.head(at, 4, what))
    if found != magic or size < 4:
        raise BrokenImageError("there are no records where they belong")
    raw = reader.head(at, size, what)
    records: Records = []
    offset = 4
    while offset < size:
        reader.count("records")
        if offset + 4 > size:
            raise BrokenImageError("a record ends beyond the others")
        kind, length = struct.unpack_from("<HH", raw, offset)
        offset += 4
        if offset + length > size:
            raise BrokenImageError("a record ends beyond the others")
        records.append((kind, raw[offset : offset + length]))
        offset += length
    return records, at + size


def _version(major: int, minor: int, revision: int, build: int) -> str:
    return f"{major}.{minor}.{revision}" + (f"+{build}" if build else "")


def _counter(records: Records) -> int | None:
    found = [value for kind, value in records if kind == _COUNTER]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) != 4:
        raise BrokenImageError("it has more than one security counter, or one of a wrong size")
    return int.from_bytes(found[0], "little")


def _dependency(value: bytes) -> str:
    """`image 1>=1.0.0`: the number of another image, and the version it must have at least."""
    if len(value) != 12:
        raise BrokenImageError("a dependency has a wrong size")
    return f"image {value[0]}>={_version(*_VERSION.unpack_from(value, 4))}"


def _signatures(
    reader: Reader, layout: _Layout, algorithm: str, digest: bytes, anchors: Anchors
) -> Iterator[Signature]:
    """Judge each signature by the key that the record before it names."""
    known = anchors.known()
    named = b""
    pure = any(kind == _PURE for kind, _ in layout.records)
    shown = f"{algorithm}:{digest.hex()}" if digest else None
    for kind, value in layout.records:
        if kind in {_KEY_HASH, _PUBLIC_KEY}:
            named = value
        elif kind in _SIGNATURES:
            reader.count("signatures")
            match = next(((key, owner) for key, owner in known if _is(key, named)), None)
            if match is None or layout.encrypted:
                reason = "no trusted key has the hash it names" if match is None else "the program is encrypted"
                yield Signature(_kind(kind), Verdict.UNKNOWN, _COVERS, shown, key=_shown(named), reason=reason)
                continue
            key, owner = match
            held = _holds(reader, layout, key, kind, value, algorithm, digest, pure=pure)
            verdict = Verdict.VALID if held else Verdict.BROKEN
            fault = None if held else "the signature does not hold"
            yield Signature(keys.kind(key, pss=True), verdict, _COVERS, shown, owner, keys.spki(key), fault)


def _holds(
    reader: Reader,
    layout: _Layout,
    key: PublicKey,
    kind: int,
    value: bytes,
    algorithm: str,
    digest: bytes,
    *,
    pure: bool,
) -> bool:
    match key:
        case ed25519.Ed25519PublicKey():
            message = digest
            if pure:
                if layout.covered > _LARGEST_PURE:
                    return False
                message = b"".join(reader.blocks(0, layout.covered, "the image"))
            return kind == _ED25519 and bool(message) and keys.signed(key, value, message, algorithm)
        case rsa.RSAPublicKey():
            return kind in _RSA and keys.holds(key, value, digest, algorithm, pss=True)
        case ec.EllipticCurvePublicKey():
            # imgtool fills signatures up with zeros for old bootloaders; DER knows its own length.
            exact = value[: 2 + value[1]] if len(value) > 2 and not any(value[2 + value[1] :]) else value
            return kind in _ECDSA and keys.holds(key, exact, digest, algorithm)


def _is(key: PublicKey, named: bytes) -> bool:
    """Whether a record names this key: by a hash of its form in the bootloader, or by the key itself."""
    form = PublicFormat.PKCS1 if isinstance(key, rsa.RSAPublicKey) else PublicFormat.SubjectPublicKeyInfo
    raw = key.public_bytes(Encoding.DER, form)
    if len(named) in {32, 48, 64}:
        return hashlib.new({32: "sha256", 48: "sha384", 64: "sha512"}[len(named)], raw).digest() == named
    try:
        return bool(named) and load_der_public_key(named) == key
    except keys.ERRORS:
        return False


def _shown(named: bytes) -> str | None:
    return (named if len(named) <= 64 else hashlib.sha256(named).digest()).hex() or None


def _kind(kind: int) -> str:
    return "RSA PSS" if kind in _RSA else "ECDSA" if kind in _ECDSA else "Ed25519"
