"""Images that would keep a reader busy for long, or end it: what fuzzing and reading the readers has found.

Work is counted, not timed: how often something dear is done, or what was refused.
"""

import gzip
import hashlib
import json
import struct

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from otaru.images import cms, squashfs, suit
from otaru.images.cbor import octets, text
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader
from tests.fuzz import makers
from tests.support import images
from tests.support.images import Watched, look, signer


def described(software: object, *files: tuple[str, bytes]) -> bytes:
    return images.cpio(("sw-description", json.dumps({"software": software}).encode()), *files, magic=b"070701")


def test_half_a_sign_in_a_file_name() -> None:
    with pytest.raises(BrokenImageError, match="control characters"):
        look(described({"images": [{"filename": "\ud800"}]}))


@pytest.mark.parametrize("kind", [[], {}, 1, None])
def test_a_media_type_that_is_no_text_is_none_that_is_known(kind: object) -> None:
    index = json.dumps({"manifests": [{"mediaType": kind}]}).encode()
    assert look(images.oci(index=index)).payloads == ()


def test_an_error_is_short_and_prints() -> None:
    layer = hashlib.sha256(b"layer").hexdigest()
    kind = "application/vnd.oci.image.manifest.v1+json"
    for size in ("\ud800\x1b[31m", "9" * 100_000):
        index = {"manifests": [{"mediaType": kind, "digest": f"sha256:{layer}", "size": size}]}
        with pytest.raises(BrokenImageError) as told:
            look(images.oci(index=json.dumps(index).encode()))
        assert str(told.value).isprintable()
    assert len(str(BrokenImageError("x" * 10_000))) <= 501
    assert str(BrokenImageError("a\x1bb\ud800\n")) == "a�b��"


@pytest.mark.parametrize("inside", [b"1,", b'"",', b"# c\n1,", b"{a=1;},"])
def test_a_description_of_very_many_words(inside: bytes) -> None:
    words = b'software = { version = "1"; a = (' + inside * (900_000 // len(inside)) + b"1); };"
    with pytest.raises(BrokenImageError, match="more than 100000 words"):
        look(images.cpio(("sw-description", words), magic=b"070701"))


def test_a_description_larger_than_any() -> None:
    with pytest.raises(BrokenImageError, match="larger than 1048576"):
        look(images.cpio(("sw-description", b" " * (1 << 20) + b"a"), magic=b"070701"))


def test_headers_of_an_artifact_count_together() -> None:
    info = json.dumps(images.HEADER_INFO).encode()
    types = json.dumps({"type": "x", "y": [0] * 300_000}).encode()
    files = [("header-info", info), *((f"headers/{n:04d}/type-info", types) for n in range(24))]
    assert len(types) * 24 > 16 << 20
    with pytest.raises(BrokenImageError, match="headers are larger"):
        look(images.mender(header=gzip.compress(images.tar(*files))))


def test_a_payload_is_digested_once_however_many_digests_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    payload, count = b"firmware" * 1000, 500
    made = {"payload": 0}

    class Counting:
        """hashlib, as `suit` uses it."""

        @staticmethod
        def new(algorithm: str, data: bytes) -> "hashlib._Hash":
            made["payload"] += data == payload
            return hashlib.new(algorithm, data)

    commands = b"".join(
        b"\x14\xa2\x03" + octets(b"\x82\x2f" + octets(n.to_bytes(32))) + b"\x15" + text("#a") for n in range(count)
    )
    common = b"\xa2\x02\x81\x81" + octets(b"a") + b"\x04" + octets(b"\x99" + (2 * count).to_bytes(2) + commands)
    manifest = b"\xa3\x01\x01\x02\x09\x03" + octets(common)
    told = b"\x82\x2f" + octets(hashlib.sha256(octets(manifest)).digest())
    parts = b"\x02" + octets(b"\x81" + octets(told)) + b"\x03" + octets(manifest) + text("#a") + octets(payload)
    monkeypatch.setattr(suit, "hashlib", Counting)
    assert len(look(b"\xd8\x6b\xa3" + parts).payloads) == count
    assert made["payload"] == 1


def authorities(count: int) -> tuple[ec.EllipticCurvePrivateKey, tuple[x509.Certificate, ...]]:
    """Authorities of one name and one key: each vouches for every other."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    return key, tuple(
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number + 1)
        .not_valid_before(images.BORN)
        .not_valid_after(images.BORN + images.DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        for number in range(count)
    )


def test_certificates_that_all_vouch_for_one_another_are_each_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    key, maze = authorities(30)
    leaf = images.certify(ec.generate_private_key(ec.SECP256R1()), "leaf", images.Signer(key, maze[0]))
    tried, issued = [], cms._issued

    def counting(certificate: x509.Certificate, issuer: x509.Certificate, below: int) -> bool:
        tried.append(issuer)
        return issued(certificate, issuer, below)

    monkeypatch.setattr(cms, "_issued", counting)
    assert not cms._leads(leaf.certificate, maze, Anchors((signer().certificate,)))
    assert len(tried) <= 2 * len(maze) ** 2
    assert cms._leads(leaf.certificate, maze, Anchors((maze[7],)))


def test_a_path_is_found_where_it_is_longest() -> None:
    """Six certificates between the signer's and the anchor's, given in the order that helps least."""
    chain = [images.certify(ec.generate_private_key(ec.SECP256R1()), "0", authority=True)]
    for number in range(1, 8):
        key = ec.generate_private_key(ec.SECP256R1())
        chain.append(images.certify(key, str(number), chain[-1], authority=number < 7))
    root, *between, leaf = [one.certificate for one in chain]
    assert cms._leads(leaf, tuple(between), Anchors((root,)))
    assert not cms._leads(leaf, tuple(between[1:]), Anchors((root,)))
    assert not cms._leads(leaf, tuple(between), Anchors((signer().certificate,)))


def test_a_table_of_very_many_small_blocks_ends_with_the_first() -> None:
    small = bytearray(makers.squashfs(raw=True))
    inode = struct.pack("<HHHHII", 8, 0o755, 0, 0, 0, 2) + struct.pack("<IIIIHHI", 2, 1 << 20, 0, 1, 0, 0, 0)
    fields = list(struct.unpack_from("<4sIIIIHHHHHHQQQQQQQQ", small))
    listing = len(small)
    small += b"\x01\x80a" * 50_000
    fields[15], fields[16], fields[11] = len(small), listing, 0
    small += struct.pack("<H", len(inode) | 0x8000) + inode
    fields[12] = len(small)
    small[:96] = struct.pack("<4sIIIIHHHHHHQQQQQQQQ", *fields)
    source = Watched(bytes(small))
    with pytest.raises(BrokenImageError, match="holds no manifest"):
        squashfs.file(Reader(source), "manifest.raucm", 1 << 20)
    assert source.read < 1000
