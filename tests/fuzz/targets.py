"""What is fuzzed: each reader of `otaru.images`, what it may do with any bytes at all, and how to get past its sums.

A reader may return facts or raise `BrokenImageError`. It reads only what is there and no more than its bounds, takes less
than SLOW_S, and whatever it says, in facts or in an error, is short and printable. Anything else is a finding.

Where a format sums itself up a mutation ends at the sum, so each target may have a `mend`: it makes the sums right again.
"""

import dataclasses
import functools
import hashlib
import io
import re
import struct
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from otaru.images import (
    cbor,
    cms,
    configuration,
    cpio,
    elf,
    esp,
    intelhex,
    keyfile,
    keys,
    libconfig,
    mcuboot,
    mender,
    oci,
    rauc,
    recognise,
    squashfs,
    suit,
    sums,
    swu,
    uf2,
)
from otaru.images.delta import container, patch, rdiff
from otaru.images.facts import Facts, Format
from otaru.images.keys import Anchors
from otaru.images.reading import BLOCK, BrokenImageError, Limits, Reader, gunzip, unxz
from otaru.images.tar import Archive
from tests.support import images
from tests.support.images import Watched

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
FOUND = HERE / "found"
ANCHOR = SEEDS / "anchor.der"

LIMITS = Limits(expanded=16 << 20)
SLOW_S = 1.0
"""Of processor time, for an input of LARGEST bytes at most."""
LARGEST = 1 << 17
LONGEST = 2000
"""Characters of a text in facts, or of an error."""

_MANIFEST = "manifest.raucm"


@dataclass(frozen=True)
class Target:
    """A reader that is fuzzed."""

    read: Callable[[Reader], object]
    mend: Callable[[bytes], bytes] = bytes
    format: Format | None = None

    def check(self, data: bytes) -> bool:
        """Let it read; whether the bytes were of its format at all.

        Raises:
            AssertionError: it does what no reader may.
            Exception: what only a bug raises.
        """
        source = Watched(data)
        if self.format is not None and recognise.recognise(Watched(data)) is not self.format:
            return False
        began = time.process_time()
        try:
            found = self.read(Reader(source, LIMITS))
        except BrokenImageError as error:
            found = str(error)
        except RecursionError:
            found = None  # `recognise.read` makes it a BrokenImageError
        shown(dataclasses.astuple(found) if isinstance(found, Facts) else found)
        took = time.process_time() - began
        assert took < SLOW_S, f"it took {took:.1f} s of processor time"
        assert source.largest <= max(BLOCK, LIMITS.head), "it read too much at once"
        assert source.read <= 4 * len(data) + LIMITS.head + 4096, "it read too much"
        return True


def shown(value: object) -> None:
    """Facts hold short, printable text and numbers that a store can hold."""
    if isinstance(value, tuple):
        for one in value:
            shown(one)
    elif isinstance(value, str):
        assert value.isprintable(), f"text that does not print: {value!r}"
        assert len(value) <= LONGEST, f"a text of {len(value)} characters"
    elif isinstance(value, int):
        assert value < 1 << 64, "a number that no store holds"


@functools.cache
def anchors() -> Anchors:
    """Whom the seeds are signed by."""
    return Anchors((x509.load_der_x509_certificate(ANCHOR.read_bytes()),))


def of_format(
    read: Callable[[Reader, Anchors], Facts], wanted: Format, mend: Callable[[bytes], bytes] = bytes
) -> Target:
    """A reader of whole images."""
    return Target(lambda reader: read(reader, anchors()), mend, wanted)


def read_cms(reader: Reader) -> None:
    """A CMS message, over content of which nobody knows the digest; and, behind the signature, what it would sign."""
    raw = reader.head(0, reader.size, "the message")
    cms.content_type(raw)
    data = cms.parse(raw)
    cms.judge(data, cms.over(data.content or b"content"), "the content", anchors())
    for signer in data.signers:
        if signer.attributes is not None:
            with suppress(BrokenImageError):
                cms._attributes_fault(data, signer.attributes, bytes(32))
    for certificate in data.certificates:
        if key := keys.certified(certificate):
            cms._vouched(certificate, key, data, Anchors(data.certificates[-1:]))


def read_tar(reader: Reader) -> None:
    """A tar, plain or compressed."""
    blocks = reader.blocks(0, reader.size, "the archive")
    if (start := reader.peek(0, 6))[:2] == b"\x1f\x8b":
        blocks = gunzip(reader, blocks, "the archive")
    elif start == b"\xfd7zXZ\0":
        blocks = unxz(reader, blocks, "the archive")
    for entry in Archive(reader, blocks, "the archive"):
        assert entry.name.isprintable()


def read_cbor(reader: Reader) -> None:
    """One CBOR value."""
    hash(repr(cbor.decode(reader.head(0, reader.size, "the value"), "the value")))


def read_libconfig(reader: Reader) -> None:
    """A configuration of SWUpdate's."""
    with suppress(UnicodeDecodeError):
        libconfig.parse(reader.head(0, reader.size, "the text").decode(), reader.limits)


def read_any(reader: Reader) -> Facts:
    """What the server does with an upload."""
    source = reader._source
    return recognise.read(source, dict.fromkeys(Format, anchors()), LIMITS)


DELTA_SOURCE = bytes(range(256)) * 8 + b"the source of every seed" * 40


def read_delta(reader: Reader) -> None:
    """A patch, applied to the source of the seeds."""
    made = 0
    for piece in patch.apply(reader._source, Watched(DELTA_SOURCE), 32 << 20, 1 << 20):
        made += len(piece)
        assert len(piece) <= BLOCK, "a piece that is too long"
        assert made <= 1 << 20, "it makes too much"


def read_commands(reader: Reader) -> None:
    """What lies unpacked in a patch of librsync's form, for a result as long as it says itself or shorter."""
    raw, made = reader.head(0, reader.size, "the commands"), 0
    wanted = 1 + int.from_bytes(raw[-2:])
    window = container.Window(0, len(DELTA_SOURCE), wanted, 0)
    for piece in rdiff.decode(window, Watched(DELTA_SOURCE), [zstd.compress(raw[:-2])]):
        made += len(piece)
        assert len(piece) <= BLOCK, "a piece that is too long"
        assert made <= wanted, "it makes too much"
    assert made == wanted, "it makes too little"


def mend_delta(data: bytes) -> bytes:
    """One window, as long as what is there, that reads of the source of the seeds."""
    start = container.HEAD_SIZE + container.WINDOW_SIZE
    if len(data) < start:
        return data
    with suppress(BrokenImageError):
        head = patch.read_head(Watched(data))
        at, n = struct.unpack_from("<QI", data, container.HEAD_SIZE)
        at %= len(DELTA_SOURCE) + 1
        result = container.End(max(head.result.size % (1 << 16), 1), head.result.sha256)
        source = container.End(len(DELTA_SOURCE), head.source.sha256)
        window = container.Window(at, n % (len(DELTA_SOURCE) - at + 1), result.size, len(data) - start)
        told = container.write_head(container.Head(head.codec, source, result, 1))
        return told + container.write_window(window) + data[start:]
    return data


def mend_tar(data: bytes) -> bytes:
    """Right sums in the headers of a tar."""
    out = bytearray(data)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def _unpacked(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            (member.name, found.read())
            for member in archive
            if member.isreg() and member.size <= len(data) and (found := archive.extractfile(member))
        ]


def mend_mender(data: bytes) -> bytes:
    """A manifest that names what is there."""
    data = mend_tar(data)
    with suppress(tarfile.TarError, ValueError, OSError, EOFError, OverflowError):
        files = dict(_unpacked(data))
        known = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        for name, raw in files.items():
            if name.startswith("data/") and name.endswith(".tar"):
                inner = _unpacked(mend_tar(raw))
                known |= {f"{name[:9]}/{one}": hashlib.sha256(each).hexdigest() for one, each in inner}
        for line in files.get("manifest", b"").splitlines():
            told, _, name = line.decode("latin-1").partition("  ")
            if len(told) == 64 and name in known:
                data = data.replace(told.encode(), known[name].encode())
    return mend_tar(data)


def mend_oci(data: bytes) -> bytes:
    """Blobs that are named by their digests, wherever they are named."""
    with suppress(tarfile.TarError, ValueError, OSError, EOFError):
        files = _unpacked(mend_tar(data))
        for _ in range(4):  # what names another is another itself afterwards
            for at, (name, raw) in enumerate(files):
                told = name.removeprefix("blobs/sha256/")
                found = hashlib.sha256(raw).hexdigest()
                if told in {name, found}:
                    continue
                sized = re.compile(rb'(sha256:%s"[^{}]*"size": *)\d+' % re.escape(told.encode()))
                for index, (other, text) in enumerate(files):
                    renamed = sized.sub(rb"\g<1>%d" % len(raw), text).replace(told.encode(), found.encode())
                    files[index] = (other, renamed)
                files[at] = (f"blobs/sha256/{found}", files[at][1])
        return images.tar(*files)
    return data


def mend_mcuboot(data: bytes) -> bytes:
    """The hash of what is hashed."""
    with suppress(BrokenImageError):
        layout = mcuboot._layout(Reader(Watched(data)))
        for kind, told in layout.records:
            if kind == 0x10 and len(told) == 32:
                data = data.replace(told, hashlib.sha256(data[: layout.covered]).digest())
    return data


def mend_esp(data: bytes) -> bytes:
    """The checksum and the hash of the segments."""
    out = bytearray(data)
    at, total = 24, 0xEF
    for _ in range(out[1] if len(out) > 24 else 99):
        if at + 8 > len(out):
            return data
        size = struct.unpack_from("<I", out, at + 4)[0]
        at += 8 + size
        if at > len(out):
            return data
        total ^= sums.xor(bytes(out[at - size : at]))
    end = at + 16 - at % 16
    if end + 32 > len(out):
        return data
    out[end - 1] = total
    if out[23]:
        out[end : end + 32] = hashlib.sha256(out[:end]).digest()
    return bytes(out)


def mend_uf2(data: bytes) -> bytes:
    """Whole blocks, each with its magic."""
    out = bytearray(data[: len(data) // 512 * 512])
    for at in range(0, len(out), 512):
        out[at : at + 8] = uf2.MAGIC
        out[at + 508 : at + 512] = struct.pack("<I", 0x0AB16F30)
    return bytes(out)


def mend_hex(data: bytes) -> bytes:
    """Records that are as long as they say and add up."""
    out: list[bytes] = []
    for line in data.split(b"\n"):
        raw = b""
        with suppress(ValueError):
            raw = bytes.fromhex(line[1:].strip().decode("ascii"))
        if len(raw) < 5:
            out.append(line)
            continue
        raw = bytes([max(len(raw) - 5, 0) & 0xFF]) + raw[1:-1]
        out.append(b":" + (raw + bytes([-sum(raw) & 0xFF])).hex().encode())
    return b"\n".join(out)


def mend_suit(data: bytes) -> bytes:
    """Digests of the parts that were cut off, and of the manifest."""
    with suppress(BrokenImageError):
        envelope = cbor.decode(data, "", 24)
        parts = envelope.value if isinstance(envelope, cbor.Tag) else None
        if not isinstance(parts, dict):
            return data
        manifest, wrapped = parts.get(3), parts.get(2)
        if not isinstance(manifest, bytes) or not isinstance(wrapped, bytes):
            return data
        new = manifest
        found = cbor.decode(manifest, "", 24)
        for key, own in found.items() if isinstance(found, dict) else ():
            part = parts.get(key)
            if isinstance(own, tuple) and len(own) == 2 and isinstance(own[1], bytes) and isinstance(part, bytes):
                new = new.replace(own[1], hashlib.sha256(cbor.octets(part)).digest())
        data = data.replace(manifest, new)
        proofs = cbor.decode(wrapped, "", 24)
        told = proofs[0] if isinstance(proofs, tuple) and proofs else None
        if isinstance(told, bytes) and len(told) > 32:
            data = data.replace(told[-32:], hashlib.sha256(cbor.octets(new)).digest())
    return data


def mend_rauc(data: bytes) -> bytes:
    """The root of the payload's tree."""
    found = re.search(rb"verity-hash=([0-9a-f]{64})\nverity-salt=([0-9a-f]{64})\nverity-size=(\d{1,6})\n", data)
    end = len(data) - 8 - int.from_bytes(data[-8:])
    if found and 4096 <= end - int(found[3]) <= LARGEST:
        root = images.verity_root(data[: end - int(found[3])], bytes.fromhex(found[2].decode()))
        return data.replace(found[1], root.hex().encode())
    return data


TARGETS: Mapping[str, Target] = {
    "swu": of_format(swu.read, Format.SWU),
    "rauc": of_format(rauc.read, Format.RAUC, mend_rauc),
    "squashfs": Target(lambda reader: squashfs.file(reader, _MANIFEST, 1 << 20)),
    "mender": of_format(mender.read, Format.MENDER, mend_mender),
    "mcuboot": of_format(mcuboot.read, Format.MCUBOOT, mend_mcuboot),
    "esp": of_format(esp.read, Format.ESP_IDF, mend_esp),
    "uf2": of_format(uf2.read, Format.UF2, mend_uf2),
    "configuration": of_format(configuration.read, Format.CONFIGURATION),
    "intelhex": of_format(intelhex.read, Format.INTEL_HEX, mend_hex),
    "suit": of_format(suit.read, Format.SUIT, mend_suit),
    "cbor": Target(read_cbor),
    "elf": of_format(elf.read, Format.ELF),
    "oci": of_format(oci.read, Format.OCI, mend_oci),
    "tar": Target(read_tar, mend_tar),
    "cpio": Target(lambda reader: list(cpio.members(reader))),
    "libconfig": Target(read_libconfig),
    "keyfile": Target(lambda reader: keyfile.parse(reader.head(0, reader.size, "the text"), _MANIFEST)),
    "cms": Target(read_cms),
    "delta": Target(read_delta, mend_delta),
    "rdiff": Target(read_commands),
    "recognise": Target(read_any),
}
