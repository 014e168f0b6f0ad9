from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from otaru.adapters.signers.file import FileSigner
from otaru.errors import InvalidInputError
from otaru.trust.pki import certificates as pki

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)
KINDS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": Ed25519PrivateKey.generate,
}


def csr(private: Any, subject: dict[x509.ObjectIdentifier, str] | None = None, *names: x509.GeneralName) -> bytes:
    words = [x509.NameAttribute(oid, text) for oid, text in (subject or {}).items()]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(words))
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(private, None if isinstance(private, Ed25519PrivateKey) else SHA256()).public_bytes(Encoding.DER)


def root(private: Any, now: datetime = NOW) -> x509.Certificate:
    return pki.root_certificate("Root", private.public_key(), FileSigner(private).sign, 7, now)


GOOD = csr(KINDS["p256"]())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", KINDS)
def test_a_certificate_is_signed_by_whoever_holds_the_key(kind: str, by: str) -> None:
    private, device = KINDS[by](), KINDS[kind]()
    authority = root(private)
    assert pki.is_authority(authority)
    assert pki.signed_by(authority, authority)
    made = pki.device_certificate(authority, FileSigner(private).sign, device.public_key(), "acme", "d:1", 9, NOW)
    assert pki.signed_by(made, authority)
    assert not pki.signed_by(made, root(KINDS[by]()))
    assert pki.named(made) == ("acme", "d:1")
    assert pki.key_in(made) == pki.fingerprint(device.public_key())
    assert pki.is_for_clients(made)
    assert not pki.is_authority(made)
    assert made.not_valid_after_utc == (NOW + pki.LIFE).replace(microsecond=0)


def test_it_does_not_outlive_its_authority() -> None:
    private = KINDS["p256"]()
    authority = root(private)
    late = authority.not_valid_after_utc - timedelta(days=3)
    made = pki.device_certificate(authority, FileSigner(private).sign, private.public_key(), "acme", "d", 9, late)
    assert made.not_valid_after_utc == authority.not_valid_after_utc


def test_an_id_that_is_longer_than_a_cn() -> None:
    private = KINDS["p256"]()
    made = pki.device_certificate(root(private), FileSigner(private).sign, private.public_key(), "a", "d" * 128, 9, NOW)
    assert not list(made.subject)
    assert pki.named(made) == ("a", "d" * 128)
    assert made.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_a_signer_of_another_key_is_noticed() -> None:
    private = KINDS["p256"]()
    with pytest.raises(InvalidInputError):
        pki.root_certificate("Root", private.public_key(), FileSigner(KINDS["p256"]()).sign, 7, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_an_authoritys_request_is_signed_with_its_key(kind: str) -> None:
    private = KINDS[kind]()
    made = pki.authority_request("Below", private.public_key(), FileSigner(private).sign)
    found = pki.read_request(made)
    assert found.public == private.public_key()
    assert found.csr.is_signature_valid


def test_an_authoritys_certificate_is_checked() -> None:
    private = KINDS["p256"]()
    authority = root(private)
    digest = pki.fingerprint(private.public_key())
    pki.check_authority([authority], digest, NOW)
    device = pki.device_certificate(authority, FileSigner(private).sign, private.public_key(), "a", "d", 9, NOW)
    other = root(KINDS["p256"]())
    for chain, whose, at in (
        ([authority], b"x" * 32, NOW),
        ([authority], digest, NOW + timedelta(days=36_500)),
        ([device], digest, NOW),
        ([authority, other], digest, NOW),
        ([authority, device], digest, NOW),
    ):
        with pytest.raises(InvalidInputError):
            pki.check_authority(chain, whose, at)


CN, ORG = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
OWN = x509.UniformResourceIdentifier("urn:ota:acme:d-1")


@pytest.mark.parametrize(
    ("subject", "names", "good"),
    [
        ({}, (), True),
        ({CN: "d-1"}, (), True),
        ({CN: "d-1", ORG: "acme"}, (OWN,), True),
        ({CN: "d-2"}, (), False),
        ({CN: "d-1", ORG: "rival"}, (), False),
        ({NameOID.SERIAL_NUMBER: "d-1"}, (), False),
        ({}, (x509.UniformResourceIdentifier("urn:ota:rival:d-1"),), False),
        ({}, (OWN, x509.DNSName("d-1")), False),
    ],
)
def test_a_request_asks_for_no_other_name(
    subject: dict[x509.ObjectIdentifier, str], names: tuple[x509.GeneralName, ...], good: bool
) -> None:
    request = pki.read_request(csr(KINDS["p256"](), subject, *names))
    if good:
        pki.check_names(request, "acme", "d-1")
    else:
        with pytest.raises(InvalidInputError):
            pki.check_names(request, "acme", "d-1")


def test_keys_of_other_kinds_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="another kind"):
        pki.read_request(csr(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(InvalidInputError, match="another kind"):
        pki.read_request(csr(ec.generate_private_key(ec.SECP256K1())))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
def test_a_request_with_any_bit_turned_is_refused(at: int, bit: int) -> None:
    """Its signature covers all but the frame and itself; those cannot be turned either."""
    turned = bytearray(GOOD)
    turned[at] ^= 1 << bit
    with pytest.raises(InvalidInputError):
        pki.read_request(bytes(turned))


def test_a_signature_is_whole_bytes() -> None:
    """Else a signature whose last bit is 0 could be written in two ways."""
    private = KINDS["p256"]()
    even = next(made for made in (csr(private) for _ in range(200)) if made[-1] & 1 == 0)
    at = len(even) - len(x509.load_der_x509_csr(even).signature) - 1
    pki.read_request(even)
    with pytest.raises(InvalidInputError):
        pki.read_request(even[:at] + b"\1" + even[at + 1 :])


@given(
    st.binary(max_size=400)
    | st.text(max_size=200).map(str.encode)
    | st.integers(0, len(GOOD)).map(lambda n: GOOD[:n][:-1])
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        pki.read_request(body)


@given(st.text(max_size=300))
def test_what_is_no_pem_is_refused(text: str) -> None:
    for read in (pki.read_key, pki.read_certificates):
        with pytest.raises(InvalidInputError):
            read(text)
