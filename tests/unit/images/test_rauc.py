"""RAUC's bundles."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.images import cms, keyfile, rauc
from otaru.images.facts import Format, Verdict
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader
from tests.support import images
from tests.support.images import BORN, DAY, MANIFEST, Watched, certify, look, signer, verity_root

PAYLOAD = b"hsqs".ljust(3 * 4096, b"p")
TRUST = {Format.RAUC: signer().anchor()}


def test_everything_it_says_is_found() -> None:
    found = look(images.rauc(PAYLOAD, signer()), TRUST)
    assert (found.format_version, found.version, found.hardware) == ("verity", "2026.11-1", ("gateway",))
    payload, image = found.payloads
    assert (payload.size, payload.verified) == (len(PAYLOAD), True)
    assert (image.name, image.kind, image.size) == ("rootfs.img", "rootfs", 5)
    assert image.sha256 == hashlib.sha256(b"image").hexdigest()
    assert found.verdict is Verdict.VALID
    assert found.production


def test_a_changed_payload_is_refused() -> None:
    data = bytearray(images.rauc(PAYLOAD, signer()))
    data[5000] ^= 1
    with pytest.raises(BrokenImageError, match="verity root"):
        look(bytes(data), TRUST)


@settings(max_examples=20, deadline=None)
@given(blocks=st.one_of(st.integers(1, 5), st.sampled_from([127, 128, 129, 255, 256, 257, 128 * 128, 128 * 128 + 1])))
def test_the_verity_root_is_that_of_the_whole_tree(blocks: int) -> None:
    payload = b"".join(index.to_bytes(4096) for index in range(blocks))
    assert rauc._root(Reader(Watched(payload)), len(payload), b"salt" * 8) == verity_root(payload, b"salt" * 8)


def test_crypt_payloads_are_opaque_but_bound() -> None:
    found = look(images.rauc(b"\x17" * 8192, signer(), "crypt"), TRUST)
    assert found.format_version == "crypt"
    assert found.payloads[0].verified
    assert "readable for all" in found.warnings[0]


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (images.rauc(b"\x17" * 8192, signer()), "no squashfs"),
        (images.rauc(PAYLOAD, signer(), tree="8192"), "verity root|as long"),
        (images.rauc(PAYLOAD, signer(), tree="100"), "as long"),
        (images.rauc(PAYLOAD, signer(), tree="9" * 18), "as long"),
        (images.rauc(PAYLOAD, signer(), root="xyz"), "no root"),
        (images.rauc(PAYLOAD, signer(), manifest="[update]\ncompatible=a\n[bundle]\nformat=plain\n"), "for the format"),
        (images.rauc(PAYLOAD, signer(), manifest="[update]\n[update]\n"), "twice"),
        (images.rauc(PAYLOAD, signer(), manifest="x=1\n"), "no key file"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(bundle: bytes, words: str) -> None:
    with pytest.raises(BrokenImageError, match=words):
        look(bundle, TRUST)


def test_a_squashfs_without_a_signature_is_a_plain_file() -> None:
    assert look(PAYLOAD).format is Format.PLAIN


def test_paths_in_the_manifest_stay_inside() -> None:
    verity = f"verity-hash={verity_root(PAYLOAD, b's' * 32).hex()}\nverity-salt={(b's' * 32).hex()}\nverity-size=4096\n"
    manifest = MANIFEST.format(form="verity", verity=verity, sha256="").replace("rootfs.img", "../rootfs.img")
    with pytest.raises(BrokenImageError, match="leads out"):
        look(images.rauc(PAYLOAD, signer(), manifest=manifest), TRUST)


def test_key_files() -> None:
    assert keyfile.parse(b"# note\n[a]\nx = 1 \ny=a=b\n\n[b c]\n", "it") == {"a": {"x": "1", "y": "a=b"}, "b c": {}}
    for broken in (b"[a]\nx\n", b"x=1", b"[a]\nx=1\nx=2", b"\xff", b"[a]\n=1", b"\n" * 30_000):
        with pytest.raises(BrokenImageError):
            keyfile.parse(broken, "it")


class TestWhoSigned:
    """The rules of `cms`: which certificates lead from an anchor to a signer."""

    root = certify(ec.generate_private_key(ec.SECP256R1()), "root", authority=True)
    middle = certify(ec.generate_private_key(ec.SECP384R1()), "middle", root, authority=True, path=0)

    def verdict(self, by: images.Signer, anchors: Anchors) -> Verdict:
        return look(images.rauc(PAYLOAD, by), {Format.RAUC: anchors}).verdict

    def test_an_authority_vouches_for_those_it_certified(self) -> None:
        leaf = certify(ec.generate_private_key(ec.SECP256R1()), "leaf", self.root)
        assert self.verdict(leaf, self.root.anchor()) is Verdict.VALID
        assert self.verdict(leaf, self.middle.anchor()) is Verdict.UNKNOWN

    def test_an_intermediate_as_anchor(self) -> None:
        leaf = certify(ec.generate_private_key(ec.SECP256R1()), "leaf", self.middle)
        assert self.verdict(leaf, self.middle.anchor()) is Verdict.VALID
        # its certificate does not come along, so nothing leads to the root
        assert self.verdict(leaf, self.root.anchor()) is Verdict.UNKNOWN

    def test_a_signer_is_no_authority(self) -> None:
        leaf = certify(ec.generate_private_key(ec.SECP256R1()), "leaf", self.root)
        below = certify(ec.generate_private_key(ec.SECP256R1()), "below", leaf)
        assert self.verdict(below, leaf.anchor()) is Verdict.UNKNOWN

    def test_a_web_server_s_certificate_signs_no_firmware(self) -> None:
        from cryptography.x509.oid import ExtendedKeyUsageOID

        web = certify(
            ec.generate_private_key(ec.SECP256R1()), "web", self.root, purpose=ExtendedKeyUsageOID.SERVER_AUTH
        )
        assert self.verdict(web, self.root.anchor()) is Verdict.UNKNOWN

    def test_an_authority_with_the_same_name_does_not_count(self) -> None:
        other = certify(ec.generate_private_key(ec.SECP256R1()), "root", authority=True)
        leaf = certify(ec.generate_private_key(ec.SECP256R1()), "leaf", other)
        assert self.verdict(leaf, self.root.anchor()) is Verdict.UNKNOWN

    def test_dates_are_looked_at_where_a_time_is_given(self) -> None:
        by = signer()
        for at, verdict in (
            (BORN + DAY, Verdict.VALID),
            (BORN - DAY, Verdict.UNKNOWN),
            (BORN + 366 * DAY, Verdict.UNKNOWN),
        ):
            assert self.verdict(by, Anchors((by.certificate,), at=at)) is verdict

    def test_a_bare_key_is_an_anchor_too(self) -> None:
        assert self.verdict(signer(), Anchors(keys=(signer().key.public_key(),))) is Verdict.VALID

    def test_curves_that_are_not_accepted(self) -> None:
        weak = certify(ec.generate_private_key(ec.SECP224R1()), "weak")
        assert self.verdict(weak, weak.anchor()) is Verdict.BROKEN

    def test_every_signer_must_be_known(self) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

        bundle = images.rauc(PAYLOAD, signer())
        size = int.from_bytes(bundle[-8:])
        manifest = cms.parse(bundle[-8 - size : -8]).content or b""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(manifest)
        for by in (signer(), signer("somebody else")):
            builder = builder.add_signer(by.certificate, by.key, hashes.SHA256())
        proof = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
        twice = bundle[: -8 - size] + proof + len(proof).to_bytes(8)
        both = Anchors((signer().certificate, signer("somebody else").certificate))
        assert look(twice, {Format.RAUC: both}).verdict is Verdict.VALID
        assert look(twice, TRUST).verdict is Verdict.UNKNOWN
        assert len(look(twice, TRUST).signatures) == 2
