"""Mender's artifacts."""

import gzip
import hashlib
import io
import json
import lzma
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.images.facts import Format, Verdict
from otaru.images.reading import BLOCK, BrokenImageError, Limits, Reader, gunzip, unxz
from otaru.images.tar import Archive
from tests.support.images import VERSION, Watched, look, mender, signer, tar

PAYLOAD = b"root file system"
TRUST = {Format.MENDER: signer().anchor()}


def test_everything_it_says_is_found() -> None:
    found = look(mender(PAYLOAD, signer()), TRUST)
    assert (found.format_version, found.version, found.hardware) == ("3", "release-2", ("gateway", "beaglebone"))
    assert found.provides == ("artifact_name=release-2", "artifact_group=fix", "rootfs-image.version=2")
    assert found.requires == ("artifact_name=release-1",)
    (part,) = found.payloads
    assert (part.name, part.size, part.kind, part.verified) == ("rootfs.ext4", 16, "rootfs-image", True)
    assert part.sha256 == hashlib.sha256(PAYLOAD).hexdigest()
    assert found.verdict is Verdict.VALID


def test_keys_nobody_knows() -> None:
    assert look(mender(by=signer())).verdict is Verdict.UNKNOWN
    assert look(mender()).verdict is Verdict.NONE


def lines(**files: bytes) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        (mender(data=gzip.compress(tar(("rootfs.ext4", b"evil")))), "the manifest says"),
        (mender(data=gzip.compress(tar(("rootfs.ext4", PAYLOAD), ("more", b"x")))), "not in the manifest"),
        (mender(data=gzip.compress(tar(("rootfs.ext4", PAYLOAD), ("rootfs.ext4", PAYLOAD)))), "twice"),
        (mender(data=gzip.compress(tar(("../rootfs.ext4", PAYLOAD)))), "leads out"),
        (mender(data=gzip.compress(tar(("/etc/passwd", PAYLOAD)))), "leads out"),
        (mender(data=gzip.compress(tar(("rootfs.ext4", PAYLOAD)))[:-4]), "does not end"),
        (mender(data=gzip.compress(tar(("rootfs.ext4", PAYLOAD))) + b"x"), "does not end|after its end"),
        (mender(data=b"x" * 100), "compressed wrongly"),
        (mender(manifest=b"nonsense\n"), "has the line"),
        (mender(manifest=lines(version=VERSION)), "not in the manifest"),
        (mender(info=b"[" * 100_000), "not JSON"),
        (mender(info=b"[1]"), "not a JSON object"),
        (mender(info=b'{"artifact_depends":{"device_type":[1]}}'), "not text"),
        (mender(info=b'{"payloads":[],"payloads":[]}'), "twice"),
        (mender(header=gzip.compress(tar(("else", b"")))), "begin with header-info"),
        (tar(("version", VERSION), ("header.tar.gz", b"")), "no manifest"),
        (tar(("version", VERSION), ("manifest", b""), ("data/0000.tar", tar())), "no header"),
        (tar(("version", VERSION), ("surprise", b"")), "does not belong"),
        (tar(("version", VERSION.replace(b"3", b"9"))), "another version"),
        (mender() + b"\0" * 512 + b"hidden", "behind its end"),
        (mender()[:2048], "ends too early"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(artifact: bytes, words: str) -> None:
    with pytest.raises(BrokenImageError, match=words):
        look(artifact)


def test_files_that_no_signature_covers_are_told() -> None:
    payload, delta = b"x", b"delta"
    header = gzip.compress(tar(("header-info", json.dumps({"payloads": [{"type": "delta"}]}).encode())), mtime=0)
    names = {"data/0000/a": payload, "header.tar.gz": header, "version": VERSION}
    manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in names.items()).encode()
    augment = f"{hashlib.sha256(delta).hexdigest()}  data/0000/b\n".encode()
    artifact = tar(
        ("version", VERSION), ("manifest", manifest), ("manifest-augment", augment), ("header.tar.gz", header),
        ("data/0000.tar", tar(("a", payload), ("b", delta))),
    )  # fmt: skip
    found = look(artifact)
    assert [(part.name, part.verified) for part in found.payloads] == [("a", True), ("b", False)]
    assert "no signature covers it" in found.warnings[0]


def test_zstd_is_told_and_not_verified() -> None:
    names = {"data/0000/a": b"a", "header.tar.zst": b"(zstd)", "version": VERSION}
    manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in names.items()).encode()
    parts = [
        ("version", VERSION),
        ("manifest", manifest),
        ("header.tar.zst", b"(zstd)"),
        ("data/0000.tar.zst", b"(zstd)"),
    ]
    found = look(tar(*parts))
    assert len(found.warnings) == 2
    assert not found.payloads[0].verified


def test_bombs_stop_at_the_limit() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    with pytest.raises(BrokenImageError, match="grows beyond"):
        look(mender(data=bomb), limits=Limits(expanded=1 << 20))
    with pytest.raises(BrokenImageError, match="grows beyond"):
        look(mender(data=bomb, header=bomb), limits=Limits(expanded=1 << 20))


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=5000), st.integers(0, 3 * BLOCK), st.integers(1, 2000))
def test_what_was_packed_comes_out_in_small_pieces(data: bytes, zeros: int, step: int) -> None:
    data += bytes(zeros)
    for pack, unpack in ((gzip.compress, gunzip), (lzma.compress, unxz)):
        packed = pack(data)
        blocks = (packed[at : at + step] for at in range(0, len(packed), step))
        pieces = list(unpack(Reader(Watched(b"")), blocks, "it"))
        assert b"".join(pieces) == data
        assert all(len(piece) <= BLOCK for piece in pieces)
        with pytest.raises(BrokenImageError):
            list(unpack(Reader(Watched(b"")), [packed[:-1]], "it"))
        with pytest.raises(BrokenImageError):
            list(unpack(Reader(Watched(b"")), [packed, b"x"], "it"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S"]
)
def test_links_and_devices_are_refused(kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a")
        member.type = kind
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BrokenImageError, match="neither a file nor a folder"):
        names(out.getvalue())


def names(data: bytes) -> list[tuple[str, int, bytes]]:
    reader = Reader(Watched(data))
    archive = Archive(reader, reader.blocks(0, len(data), "it"), "it")
    return [(entry.name, entry.offset, archive.content(10_000)) for entry in archive]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text("abcé/", min_size=1, max_size=300), st.binary(max_size=1500)), max_size=5),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_archives_as_python_writes_them(files: list[tuple[str, bytes]], form: int) -> None:
    files = [("x" + name.replace("//", "/").strip("/"), data) for name, data in files]
    data = tar(*files, form=form)
    found = names(data)
    assert [(name, content) for name, _, content in found] == files
    assert all(data[offset : offset + len(content)] == content for _, offset, content in found)


def test_sizes_beyond_the_archive_are_refused() -> None:
    for size in (b"77777777777\0", b"\x80" + (2**63).to_bytes(11), b"\x80" + b"\xff" * 11):
        data = bytearray(tar(("a", b"x")))
        data[124:136] = size
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        with pytest.raises(BrokenImageError, match=r"ends too early|larger than"):
            names(bytes(data))
