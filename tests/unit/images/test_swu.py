"""SWUpdate's images."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from otaru.images import libconfig, recognise
from otaru.images.facts import Format, Verdict
from otaru.images.keys import NOBODY, Anchors
from otaru.images.reading import BrokenImageError, Limits, Reader
from otaru.images.swu import read
from tests.support.images import Watched, cpio, description, look, signer, swu

PAYLOAD = b"root file system"


def test_everything_it_says_is_found() -> None:
    found = look(swu(PAYLOAD, signer()), {Format.SWU: signer().anchor()})
    assert (found.format, found.format_version) == (Format.SWU, "libconfig")
    assert (found.product, found.version, found.hardware) == ("gateway", "1.1.0", ("1.0", "1.2"))
    (part,) = found.payloads
    assert (part.name, part.size, part.kind, part.version, part.verified) == ("root.img", 16, "images", "7", True)
    assert part.sha256 == hashlib.sha256(PAYLOAD).hexdigest()
    assert found.verdict is Verdict.VALID
    assert found.signatures[0].signer == "CN=release manager"
    assert found.digest == "sha256:" + hashlib.sha256(description(PAYLOAD)).hexdigest()
    assert found.warnings == ()


def test_without_a_signature_there_is_none() -> None:
    assert look(swu()).verdict is Verdict.NONE


def test_a_stranger_s_signature_is_unknown() -> None:
    found = look(swu(by=signer()), {Format.SWU: signer("somebody else").anchor()})
    assert found.verdict is Verdict.UNKNOWN
    assert look(swu(by=signer())).verdict is Verdict.UNKNOWN


def test_a_signature_of_another_description_is_broken() -> None:
    one, other = description(PAYLOAD), description(PAYLOAD, version="6.6.6")
    archive = cpio(("sw-description", other), ("sw-description.sig", signer().cms(one)), ("root.img", PAYLOAD))
    with pytest.raises(BrokenImageError, match="another sw-description"):
        look(archive)
    from cryptography.hazmat.primitives.serialization import pkcs7

    proof = signer().cms(one, pkcs7.PKCS7Options.DetachedSignature)
    archive = cpio(("sw-description", other), ("sw-description.sig", proof), ("root.img", PAYLOAD))
    assert look(archive, {Format.SWU: signer().anchor()}).verdict is Verdict.BROKEN


def test_bare_signatures_are_tried_against_every_key() -> None:
    text = description(PAYLOAD)
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    proofs = (
        rsa_key.sign(text, padding.PKCS1v15(), hashes.SHA256()),
        rsa_key.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
        ec_key.sign(text, ec.ECDSA(hashes.SHA256())),
    )
    trust = {Format.SWU: Anchors(keys=(ec_key.public_key(), rsa_key.public_key()))}
    for proof in proofs:
        archive = cpio(("sw-description", text), ("sw-description.sig", proof), ("root.img", PAYLOAD))
        assert look(archive, trust).verdict is Verdict.VALID
        assert look(archive).verdict is Verdict.UNKNOWN
        other = cpio(("sw-description", text + b"\n"), ("sw-description.sig", proof), ("root.img", PAYLOAD))
        assert look(other, trust).verdict is not Verdict.VALID


def test_json_and_a_board_s_own_settings() -> None:
    entry = {"filename": "a.bin", "sha256": hashlib.sha256(b"a").hexdigest()}
    software = {
        "version": "2",
        "gateway": {
            "hardware-compatibility": ["A", "B"],
            "stable": {"copy1": {"files": [entry]}, "copy2": {"files": [entry]}},
        },
    }
    found = look(
        cpio(("sw-description", json.dumps({"software": software}).encode()), ("a.bin", b"a"), magic=b"070701")
    )
    assert found.format_version == "JSON"
    assert found.hardware == ("gateway:A", "gateway:B")
    assert [part.name for part in found.payloads] == ["a.bin"]


def test_a_part_without_its_digest_is_not_covered() -> None:
    text = b'software = { version = "1"; images: ( { filename = "a"; } ); };'
    archive = cpio(("sw-description", text), ("sw-description.sig", signer().cms(text)), ("a", b"x"), ("b", b"y"))
    found = look(archive, {Format.SWU: signer().anchor()})
    assert not found.payloads[0].verified
    assert "a has no sha256" in " ".join(found.warnings)
    assert "b is in the archive, but not in sw-description" in found.warnings


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (swu(sha256="0" * 64), "has the sha256"),
        (swu(member="other.img"), "not in the archive"),
        (swu(filename="../../etc/passwd", member="../../etc/passwd"), "leads out"),
        (swu(filename="/etc/passwd", member="/etc/passwd"), "leads out"),
        (swu(filename="a\\b", member="a\\\\b"), "leads out"),
        (cpio(("sw-description", b""), ("a", b""), ("a", b"")), "twice"),
        (cpio(("sw-description", b"hardware = 1;")), "describes no software"),
        (cpio(("sw-description", b"[" * 100_000)), "neither|no setting"),
        (cpio(("sw-description", b'{"software":' + b"[" * 100_000)), "neither"),
        (cpio(("sw-description", b"software = " + b"{a=" * 100 + b"1")), "nests deeper"),
        (cpio(("sw-description", b"software = " + b"(" * 100_000)), "nests deeper"),
        (cpio(("sw-description", b'{"software":{},"software":{}}')), "says a name twice"),
        (cpio(("sw-description", b'{"software":{"a":NaN}}')), "JSON does not know"),
        (cpio(("sw-description", b'@include "/etc/shadow"')), "not libconfig"),
        (cpio(("sw-description", b"software = { version = 1; };")), "version in sw-description is not text"),
        (cpio(("sw-description", b"software = { a = " + b"9" * 5000 + b"; };")), "number"),
        (swu()[:-200], "ends within"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(archive: bytes, words: str) -> None:
    with pytest.raises(BrokenImageError, match=words):
        look(archive)


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 - 1])
def test_sizes_beyond_the_file_are_refused(size: int) -> None:
    archive = bytearray(swu())
    archive[54:62] = b"%08X" % size
    with pytest.raises(BrokenImageError, match="ends within"):
        look(bytes(archive))


@pytest.mark.parametrize("mode", ["0000A1FF", "00002180", "000061B0", "000041ED"])
def test_links_devices_and_folders_are_refused(mode: str) -> None:
    archive = bytearray(swu())
    archive[14:22] = mode.encode()
    with pytest.raises(BrokenImageError, match="not a plain file"):
        look(bytes(archive))


def test_a_wrong_sum_is_refused() -> None:
    archive = swu(PAYLOAD)
    at = archive.index(b"%08X" % sum(PAYLOAD))
    with pytest.raises(BrokenImageError, match="add up"):
        look(archive[:at] + b"00000001" + archive[at + 8 :])


def test_more_members_than_the_limit_are_refused() -> None:
    archive = cpio(("sw-description", b"software = {};"), *((f"part{index}", b"") for index in range(20)))
    with pytest.raises(BrokenImageError, match="more than 10 members"):
        look(archive, limits=Limits(members=10))


def test_libconfig_as_its_manual_writes_it() -> None:
    text = r"""
    # three kinds of comments
    // one
    /* and a
       long one */
    window = { title = "My" " App\x21\n"; size: { w = 640; h = 0x1e0L }, pos = [1, 2, 3,]; };
    list = ( ( "abc", 123, TRUE ), 1.234, ( ), -2.5e3, false );
    big = 9223372036854775807L;
    """
    assert libconfig.parse(text, Limits()) == {
        "window": {"title": "My App!\n", "size": {"w": 640, "h": 480}, "pos": [1, 2, 3]},
        "list": [["abc", 123, True], 1.234, [], -2500.0, False],
        "big": 9223372036854775807,
    }


@pytest.mark.parametrize(
    "text", ["a = 1; a = 2;", "a", "a =", "a = ;", "= 1", "a = [1 2]", "a = (1", 'a = "x', "a = 1x", "}"]
)
def test_what_is_not_libconfig(text: str) -> None:
    with pytest.raises(BrokenImageError):
        libconfig.parse(text, Limits())


@pytest.mark.parametrize(
    "archive", [cpio(), cpio(("init", b"#!/bin/sh")), cpio(("root.img", b"x"), ("sw-description", b""))]
)
def test_other_cpio_archives_are_plain_files(archive: bytes) -> None:
    assert look(archive).format is Format.PLAIN
    assert recognise.is_plain(len(archive), archive[: recognise.START], archive[-recognise.END :])
    with pytest.raises(BrokenImageError, match=r"begins with sw-description|no sw-description"):
        read(Reader(Watched(archive)), NOBODY)
