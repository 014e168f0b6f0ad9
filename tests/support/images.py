"""Small firmware images, built byte by byte, and a source that watches how it is read."""

import base64
import datetime as dt
import functools
import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from otaru.images import reading, recognise
from otaru.images.facts import Facts, Format
from otaru.images.keys import Anchors, Trust

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Watched:
    """A source in memory that knows what was asked of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0
        self.largest = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, n: int) -> bytes:
        assert offset >= 0
        assert n >= 0
        assert offset + n <= len(self.data), "a reader asks for what is not there"
        self.read += n
        self.largest = max(self.largest, n)
        return self.data[offset : offset + n]


def look(data: bytes, trust: Trust | None = None, limits: reading.Limits | None = None) -> Facts:
    """Read an image, and check that reading stayed within its bounds."""
    source = Watched(data)
    try:
        return recognise.read(source, trust, limits)
    finally:
        bounds = limits or reading.Limits()
        assert source.largest <= max(reading.BLOCK, bounds.head)
        assert source.read <= 4 * len(data) + bounds.head + 4096


@dataclass(frozen=True)
class Signer:
    """A key and its certificate."""

    key: PrivateKey
    certificate: x509.Certificate

    def anchor(self) -> Anchors:
        return Anchors((self.certificate,))

    def cms(self, content: bytes, *options: pkcs7.PKCS7Options) -> bytes:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, *options])


DAY = dt.timedelta(days=1)
BORN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def certify(  # what differs from a plain signer's certificate
    key: PrivateKey,
    name: str,
    by: Signer | None = None,
    *,
    authority: bool = False,
    path: int | None = None,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
) -> Signer:
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(by.certificate.subject if by else own)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1)
        .not_valid_before(BORN)
        .not_valid_after(BORN + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return Signer(key, builder.sign(by.key if by else key, hashes.SHA256()))


@functools.cache
def signer(name: str = "release manager") -> Signer:
    return certify(ec.generate_private_key(ec.SECP256R1()), name)


def anchor(by: Signer | None = None) -> str:
    """A signer's certificate, in PEM."""
    return (by or signer()).certificate.public_bytes(Encoding.PEM).decode()


def public(key: PrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Sample:
    """An image, whom to trust, and what must be read from it."""

    data: bytes
    trust: Trust
    format: Format

    def look(self) -> Facts:
        return look(self.data, self.trust)

    def changed(self, data: bytes) -> "Sample":
        return replace(self, data=data)


def cpio(*files: tuple[str, bytes], magic: bytes = b"070702") -> bytes:
    """An archive of these files."""
    out = b""
    for name, data in (*files, ("TRAILER!!!", b"")):
        total = sum(data) & 0xFFFFFFFF if magic == b"070702" and name != "TRAILER!!!" else 0
        mode = 0o100644 if name != "TRAILER!!!" else 0
        numbers = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name.encode()) + 1, total)
        out += magic + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out


def description(payload: bytes, **more: str) -> bytes:
    """A sw-description of one part."""
    return (
        f'software = {{\n  version = "{more.get("version", "1.1.0")}";\n  name: "gateway"; // libconfig takes both\n'
        f'  hardware-compatibility: [ "1.0", "{more.get("hardware", "1.2")}" ];\n  images: ( {{\n'
        f'    filename = "{more.get("filename", "root.img")}"; device = "/dev/mmcblk0p2"; version = "7";\n'
        f'    sha256 = "{more.get("sha256", hashlib.sha256(payload).hexdigest())}"; }} );\n}};\n'
    ).encode()


def swu(payload: bytes = b"root file system", by: Signer | None = None, **more: str) -> bytes:
    """A .swu, signed if somebody does it."""
    text = description(payload, **more)
    proof = [("sw-description.sig", by.cms(text, pkcs7.PKCS7Options.DetachedSignature))] if by else []
    return cpio(("sw-description", text), *proof, (more.get("member", "root.img"), payload))


def swu_sample() -> Sample:
    by = signer()
    return Sample(swu(by=by), {Format.SWU: by.anchor()}, Format.SWU)


MANIFEST = """[update]
compatible=gateway
version=2026.11-1

[bundle]
format={form}
{verity}
[image.rootfs]
filename=rootfs.img
size=5
sha256={sha256}
"""


def verity_root(payload: bytes, salt: bytes) -> bytes:
    """The root of a dm-verity tree, a whole level at a time."""
    level = payload
    while True:
        blocks = [level[at : at + 4096].ljust(4096, b"\0") for at in range(0, len(level), 4096)]
        level = b"".join(hashlib.sha256(salt + block).digest() for block in blocks)
        if len(blocks) == 1:
            return level


def rauc(payload: bytes, by: Signer, form: str = "verity", **more: str) -> bytes:
    """A bundle in the form verity or crypt."""
    salt = b"s" * 32
    root = more.get("root") or verity_root(payload, salt).hex()
    verity = f"verity-hash={root}\nverity-salt={salt.hex()}\nverity-size={more.get('tree', '4096')}\n"
    manifest = MANIFEST.format(form=form, verity=verity, sha256=hashlib.sha256(b"image").hexdigest())
    proof = by.cms(more.get("manifest", manifest).encode())
    return payload + bytes(4096) + proof + len(proof).to_bytes(8)


def rauc_sample() -> Sample:
    by = signer()
    return Sample(rauc(b"hsqs".ljust(3 * 4096, b"p"), by), {Format.RAUC: by.anchor()}, Format.RAUC)


def record(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def mcuboot(
    program: bytes = b"firmware" * 9, by: Signer | None = None, counter: int | None = 7, **more: bytes
) -> bytes:
    """An image of version 1.2.3+4 that needs image 1 from 1.0.0 on."""
    records = record(0x40, struct.pack("<BBHBBHI", 1, 0, 0, 1, 0, 0, 0))
    if counter is not None:
        records += record(0x50, counter.to_bytes(4, "little"))
    protected = struct.pack("<HH", 0x6908, len(records) + 4) + records
    header = struct.pack("<IIHHIIBBHII", 0x96F3B83D, 0, 32, len(protected), len(program), 0, 1, 2, 3, 4, 0)
    covered = header + program + protected
    digest = more.get("digest", hashlib.sha256(covered).digest())
    plain = record(0x10, digest)
    if by:
        assert isinstance(by.key, ec.EllipticCurvePrivateKey)
        plain += record(0x01, hashlib.sha256(public(by.key)).digest())
        plain += record(0x22, by.key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
    plain += more.get("records", b"")
    return covered + struct.pack("<HH", 0x6907, len(plain) + 4) + plain


def mcuboot_sample() -> Sample:
    by = signer()
    return Sample(mcuboot(by=by), {Format.MCUBOOT: by.anchor()}, Format.MCUBOOT)


def esp(*, by: Signer | None = None, hashed: bool = True, program: bytes = b"code" * 11, **more: int) -> bytes:
    """An ESP32-C3 application of version v1.2.3."""
    described = struct.pack("<II8s32s32s16s16s32s", 0xABCD5432, 5, b"", b"v1.2.3", b"gateway", b"", b"", b"v5.4")
    out = struct.pack("<BBBBIB3sHBHH4sB", 0xE9, 2, 2, 0x20, 0, 0, b"", more.get("chip", 5), 0, 3, 199, b"", hashed)
    total = 0xEF
    for address, data in ((0x3C000020, described), (0x42000020, program)):
        out += struct.pack("<II", address, more.get("size", len(data))) + data
        for byte in data:
            total ^= byte
    out += bytes(15 - len(out) % 16) + bytes([total])
    if hashed:
        out += hashlib.sha256(out).digest()
    if by:
        assert isinstance(by.key, ec.EllipticCurvePrivateKey)
        out += b"\xff" * (-len(out) % 4096)
        digest = hashlib.sha256(out).digest()
        r, s = utils.decode_dss_signature(by.key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
        point = by.key.public_key().public_numbers()
        numbers = b"".join(number.to_bytes(32, "little") for number in (point.x, point.y, r, s))
        block = (b"\xe7\x03\0\0" + digest + b"\x02" + numbers).ljust(1196, b"\0")
        out += (block + zlib.crc32(block).to_bytes(4, "little") + bytes(16)).ljust(4096, b"\xff")
    return out


def esp_sample() -> Sample:
    by = signer()
    return Sample(esp(by=by), {Format.ESP_IDF: by.anchor()}, Format.ESP_IDF)


def tar(*files: tuple[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


VERSION = b'{"format":"mender","version":3}'
HEADER_INFO = {
    "payloads": [{"type": "rootfs-image"}],
    "artifact_provides": {"artifact_name": "release-2", "artifact_group": "fix"},
    "artifact_depends": {"artifact_name": ["release-1"], "device_type": ["gateway", "beaglebone"]},
}


def mender(payload: bytes = b"root file system", by: Signer | None = None, **more: bytes) -> bytes:
    """An artifact of one file; `more` replaces parts."""
    types = {"type": "rootfs-image", "artifact_provides": {"rootfs-image.version": "2"}}
    info = more.get("info", json.dumps(HEADER_INFO).encode())
    header = gzip.compress(tar(("header-info", info), ("headers/0000/type-info", json.dumps(types).encode())), mtime=0)
    header = more.get("header", header)
    sums = {"data/0000/rootfs.ext4": payload, "header.tar.gz": header, "version": VERSION}
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sums.items())
    manifest = more.get("manifest", lines.encode())
    proof = []
    if by:
        assert isinstance(by.key, ec.EllipticCurvePrivateKey)
        r, s = utils.decode_dss_signature(by.key.sign(manifest, ec.ECDSA(hashes.SHA256())))
        proof = [("manifest.sig", base64.b64encode(r.to_bytes(32) + s.to_bytes(32)))]
    data = more.get("data", gzip.compress(tar(("rootfs.ext4", payload)), mtime=0))
    parts = [
        ("version", VERSION),
        ("manifest", manifest),
        *proof,
        ("header.tar.gz", header),
        ("data/0000.tar.gz", data),
    ]
    return tar(*parts)


def mender_sample() -> Sample:
    by = signer()
    return Sample(mender(by=by), {Format.MENDER: by.anchor()}, Format.MENDER)


VECTORS = Path(__file__).parents[1] / "unit" / "images" / "vectors"


def suit(by: Signer | None = None, inside: bytes | None = b"firmware", **more: str) -> bytes:
    """An envelope of sequence number 9 with one component, whose payload comes along."""
    from otaru.images.cbor import octets, text

    digest = bytes.fromhex("822f5820") + hashlib.sha256(b"firmware").digest()
    vendor, model = b"v" * 16, b"c" * 16
    parameters = b"\xa5\x01" + octets(vendor) + b"\x02" + octets(model) + b"\x03" + octets(digest)
    parameters += b"\x0e\x08\x15" + text(more.get("uri", "#app"))
    shared = b"\x82\x14" + parameters
    common = b"\xa2\x02\x81\x82" + octets(b"flash") + octets(b"\0") + b"\x04" + octets(shared)
    texts = (
        b"\xa1"
        + text("en")
        + b"\xa1\x82"
        + octets(b"flash")
        + octets(b"\0")
        + b"\xa2\x02"
        + text("gateway")
        + b"\x06"
        + text("1.1.0")
    )
    severed = b"\x82\x2f" + octets(hashlib.sha256(octets(texts)).digest())
    manifest = b"\xa4\x01\x01\x02\x09\x03" + octets(common) + b"\x17" + severed
    told = b"\x82\x2f" + octets(hashlib.sha256(octets(manifest)).digest())
    proofs = [told]
    if by:
        assert isinstance(by.key, ec.EllipticCurvePrivateKey)
        head = b"\xa1\x01\x26"
        message = b"\x84" + text("Signature1") + octets(head) + b"\x40" + octets(told)
        r, s = utils.decode_dss_signature(by.key.sign(message, ec.ECDSA(hashes.SHA256())))
        proofs.append(b"\xd2\x84" + octets(head) + b"\xa0\xf6" + octets(r.to_bytes(32) + s.to_bytes(32)))
    wrapped = bytes([0x80 | len(proofs)]) + b"".join(octets(proof) for proof in proofs)
    parts = [b"\x02" + octets(wrapped), b"\x03" + octets(manifest), b"\x17" + octets(texts)]
    if inside is not None:
        parts.append(text("#app") + octets(inside))
    return b"\xd8\x6b" + bytes([0xA0 | len(parts)]) + b"".join(parts)


def suit_sample() -> Sample:
    by = signer()
    return Sample(suit(by), {Format.SUIT: by.anchor()}, Format.SUIT)


def uf2(parts: dict[int, bytes], *, at: int = 0x10000000, tags: bytes = b"") -> bytes:
    """Files for families, in blocks of 256 bytes."""
    out: list[bytes] = []
    for family, data in parts.items():
        pieces = [data[start : start + 256] for start in range(0, len(data), 256)]
        for number, piece in enumerate(pieces):
            flags = 0x2000 | (0x8000 if tags else 0)
            numbers = (0x0A324655, 0x9E5D5157, flags, at + 256 * number, len(piece), number, len(pieces), family)
            out.append((struct.pack("<8I", *numbers) + piece + tags).ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30))
    return b"".join(out)


def uf2_sample() -> Sample:
    return Sample(uf2({0xE48BFF56: bytes(range(256)) * 3}), {}, Format.UF2)


def hex_line(kind: int, address: int, data: bytes) -> str:
    raw = bytes([len(data)]) + address.to_bytes(2) + bytes([kind]) + data
    return f":{raw.hex().upper()}{-sum(raw) & 0xFF:02X}\n"


def hex_sample() -> Sample:
    lines = [
        hex_line(4, 0, b"\x08\0"),
        *(hex_line(0, 16 * row, bytes(range(16))) for row in range(20)),
        hex_line(1, 0, b""),
    ]
    return Sample("".join(lines).encode(), {}, Format.INTEL_HEX)


def elf(build: bytes = b"b" * 20) -> bytes:
    """A 64-bit program for AArch64 of one segment and a note."""
    note = struct.pack("<III", 4, len(build), 3) + b"GNU\0" + build
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 183, 1, 0x400000, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    at = 64 + 2 * 56
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, at + len(note), at + len(note), 4096)
    return head + load + struct.pack("<IIQQQQQQ", 4, 4, at, at, at, len(note), len(note), 4) + note


def elf_sample() -> Sample:
    return Sample(elf(), {}, Format.ELF)


def oci(layer: bytes = b"layer", **more: bytes) -> bytes:
    """An archive of one image for linux/arm64."""

    def blob(data: bytes, kind: str) -> dict[str, object]:
        blobs[hashlib.sha256(data).hexdigest()] = data
        return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    blobs: dict[str, bytes] = {}
    image = "application/vnd.oci.image."
    config = blob(json.dumps({"architecture": "arm64", "os": "linux"}).encode(), f"{image}config.v1+json")
    layers = [blob(layer, f"{image}layer.v1.tar+gzip")]
    notes = {"org.opencontainers.image.version": "1.1.0", "org.opencontainers.image.title": "gateway"}
    manifest = {"schemaVersion": 2, "config": config, "layers": layers, "annotations": notes}
    named = blob(json.dumps(manifest).encode(), f"{image}manifest.v1+json")
    index = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    files = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", more.get("index", index))]
    return tar(*files, *((f"blobs/sha256/{name}", more.get("blob", data)) for name, data in blobs.items()))


def oci_sample() -> Sample:
    return Sample(oci(), {}, Format.OCI)
