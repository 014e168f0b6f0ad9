"""Makes the seeds anew: `python -m tests.fuzz.makers`. They are small, and none is from elsewhere."""

import gzip
import hashlib
import io
import json
import lzma
import shutil
import struct
import tarfile
import zlib
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from otaru.images import configuration
from otaru.images.delta import patch, rdiff
from tests.fuzz.targets import ANCHOR, DELTA_SOURCE, SEEDS
from tests.support import images

PLAIN = b"""[update]
compatible=gateway
[image.rootfs]
filename=rootfs.img
"""


def squashfs(compression: int = 1, *, raw: bool = False, long: bool = False) -> bytes:
    """A file system of one file, `manifest.raucm`, in a fragment; its inodes of the short or the long kind."""

    def packed(data: bytes) -> bytes:
        return zlib.compress(data) if compression == 1 else lzma.compress(data, check=lzma.CHECK_CRC32)

    def table(data: bytes) -> bytes:
        shrunk = packed(data)
        return struct.pack("<H", len(data) | 0x8000) + data if raw else struct.pack("<H", len(shrunk)) + shrunk

    name = b"manifest.raucm"
    listing = struct.pack("<III", 0, 0, 1) + struct.pack("<HhHH", 0, 0, 2, len(name) - 1) + name
    head = struct.pack("<HHHIII", 9 if long else 2, 0o644, 0, 0, 0, 1)[:16]
    body = (
        struct.pack("<QQQIIII", 96, len(PLAIN), 0, 1, 0, 0, 0) if long else struct.pack("<IIII", 96, 0, 0, len(PLAIN))
    )
    own = head.ljust(16, b"\0") + body
    root = struct.pack("<HHHIII", 8 if long else 1, 0o755, 0, 0, 0, 2)[:16].ljust(16, b"\0")
    size = len(listing) + 3
    root += struct.pack("<IIIIHHI", 2, size, 0, 1, 0, 0, 0) if long else struct.pack("<IIHHI", 0, 2, size, 0, 1)
    block = PLAIN if raw else packed(PLAIN)
    inodes, folders = table(own + root), table(listing)
    entry = table(struct.pack("<QII", 96, len(block) | (1 << 24 if raw else 0), 0))
    inode_at = 96 + len(block)
    folder_at = inode_at + len(inodes)
    entry_at = folder_at + len(folders)
    pointers = struct.pack("<Q", entry_at)
    used = entry_at + len(entry) + 8
    superblock = struct.pack(
        "<4sIIIIHHHHHHQQQQQQQQ", b"hsqs", 2, 0, 4096, 1, compression, 12, 0, 1, 4, 0, len(own), used,
        (1 << 64) - 1, (1 << 64) - 1, inode_at, folder_at, entry_at + len(entry), (1 << 64) - 1,
    )  # fmt: skip
    return superblock + block + inodes + folders + entry + pointers


def tar(*files: tuple[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive without the zeros that fill up its last record: shorter ones are fuzzed faster."""
    data = images.tar(*files, form=form)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = archive.getmembers()[-1]
    return data[: last.offset_data + -(-last.size // 512) * 512] + bytes(1024)


def rauc_plain(by: images.Signer) -> bytes:
    """A bundle whose signature is beside it."""
    payload = squashfs().ljust(2 * 4096, b"\0")
    proof = by.cms(payload, pkcs7.PKCS7Options.DetachedSignature)
    return payload + proof + len(proof).to_bytes(8)


def mender_plain() -> bytes:
    """An artifact of which nothing is compressed, so that mutations reach what is inside."""
    info = json.dumps(images.HEADER_INFO).encode()
    header = tar(("header-info", info), ("headers/0000/type-info", b'{"type":"rootfs-image"}'))
    payload = b"root file system"
    sums = {"data/0000/rootfs.ext4": payload, "header.tar": header, "version": images.VERSION}
    manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sums.items()).encode()
    parts = (("version", images.VERSION), ("manifest", manifest), ("header.tar", header))
    return tar(*parts, ("data/0000.tar", tar(("rootfs.ext4", payload))))


def swu_json() -> bytes:
    """A sw-description in JSON, in an archive without sums."""
    part = {"filename": "root.img", "version": "7", "device": "/dev/mmcblk0p2"}
    boards = {"gateway": {"hardware-compatibility": ["1.0"], "stable": {"images": [part], "files": [part]}}}
    described = {"software": {"version": "1.1.0", "name": "gateway", **boards}}
    files = (("sw-description", json.dumps(described).encode()), ("root.img", b"root"))
    return images.cpio(*files, magic=b"070701")


def chain() -> bytes:
    """A CMS message of two signers with a chain of three."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = images.certify(keys[0], "root", authority=True)
    middle = images.certify(keys[1], "middle", root, authority=True, path=0)
    signer = images.certify(keys[2], "signer", middle)
    made = pkcs7.PKCS7SignatureBuilder().set_data(b"content")
    for one in (signer, images.certify(rsa.generate_private_key(65537, 2048), "other")):
        made = made.add_signer(one.certificate, one.key, hashes.SHA256())
    for one in (middle, root):
        made = made.add_certificate(one.certificate)
    return made.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def configuration_of_each_form() -> bytes:
    """Documents with and without schemas."""
    rule = {
        "type": ["object", "null"],
        "required": ["a"],
        "properties": {"a": {"enum": [1, "x"]}, "b": {"items": {"maximum": 2.5}}},
    }
    of = configuration.Document
    return configuration.pack(
        [of("a.json", '{"a": 1, "b": [2]}', rule), of("b.toml", 'a = "x"\n', rule), of("c", "text")]
    )


def seeds(by: images.Signer) -> Iterator[tuple[str, bytes]]:
    """Each as TARGET/NAME."""
    samples = {
        "swu": images.swu_sample, "rauc": images.rauc_sample, "mender": images.mender_sample, "elf": images.elf_sample,
        "mcuboot": images.mcuboot_sample, "esp": images.esp_sample, "uf2": images.uf2_sample, "oci": images.oci_sample,
        "intelhex": images.hex_sample, "suit": images.suit_sample,
    }  # fmt: skip
    for name, make in samples.items():
        sample = make()
        yield f"{name}/signed", sample.data
        yield f"recognise/{name}", sample.data
    yield "swu/json", swu_json()
    yield "swu/bare", images.swu(magic="070701")
    yield "rauc/plain", rauc_plain(by)
    yield "mender/plain", mender_plain()
    yield "mcuboot/bare", images.mcuboot(counter=None)
    yield "esp/bare", images.esp(hashed=False)
    yield "uf2/tags", images.uf2({1: b"a" * 300, 2: b"b"}, tags=b"\x08\xbc\xc7\x9f1.0\0\x0b\x9d\x0d\x65gateway\0")
    board = images.hex_line(10, 0, b"\x99\x00\xc0\xde") + images.hex_line(13, 0, b"code") + images.hex_line(1, 0, b"")
    yield "intelhex/boards", board.encode()
    yield "intelhex/segment", (images.hex_line(2, 0, b"\x10\0") + images.hex_line(1, 0, b"")).encode()
    yield "suit/bare", images.suit(inside=None)
    yield "cbor/envelope", images.suit(by)
    yield "cbor/values", bytes.fromhex("a40161610282f5f6033a0001000041 02d820 6568656c6c6f".replace(" ", ""))
    yield "configuration/schemas", configuration_of_each_form()
    yield "recognise/configuration", configuration_of_each_form()
    for kind in (1, 4):
        yield f"squashfs/packed{kind}", squashfs(kind)
        yield f"squashfs/long{kind}", squashfs(kind, long=True)
    yield "squashfs/raw", squashfs(raw=True)
    plain = tar(("a/b", b"content"), ("c" * 150, b""))
    yield "tar/gnu", plain
    yield "tar/pax", tar(("ä" * 120, b"content"), form=tarfile.PAX_FORMAT)
    yield "tar/gzip", gzip.compress(plain, mtime=0)
    yield "tar/xz", lzma.compress(plain)
    yield "cpio/sums", images.cpio(("sw-description", b"text"), ("root.img", b"root"))
    yield "cpio/plain", images.cpio(("sw-description", b"text"), magic=b"070701")
    yield "libconfig/description", images.description(b"payload")
    yield "keyfile/manifest", images.MANIFEST.format(form="verity", verity="", sha256="0" * 64).encode()
    every = b's = { a = true; b: "x\\x41\\n" "y"; c = [1, 0xFFL, -1.5e3, .5]; d = ( { e = {}; } ); /* c */ }; # end\n'
    yield "libconfig/every", every
    yield "cms/detached", by.cms(b"content", pkcs7.PKCS7Options.DetachedSignature)
    yield "cms/inside", by.cms(b"content")
    yield "cms/bare", by.cms(b"content", pkcs7.PKCS7Options.NoAttributes)
    yield "cms/chain", chain()
    changed = DELTA_SOURCE[:1000].replace(b"\x07", b"\x70") + b"new" + DELTA_SOURCE[990:]
    for codec in patch.Codec:
        yield f"delta/{codec}", b"".join(patch.make(codec, images.Watched(DELTA_SOURCE), images.Watched(changed)))
    yield "rdiff/commands", b"".join(rdiff.commands(DELTA_SOURCE, changed)) + (len(changed) - 1).to_bytes(2)


def main() -> None:
    """Write them all."""
    shutil.rmtree(SEEDS, ignore_errors=True)
    by = images.signer()
    SEEDS.mkdir()
    ANCHOR.write_bytes(by.certificate.public_bytes(Encoding.DER))
    for name, data in seeds(by):
        path = SEEDS / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
