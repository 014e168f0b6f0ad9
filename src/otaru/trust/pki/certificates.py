"""X.509 for devices (RFC 5280): requests are read here, certificates made, by signers whose private keys stay where they are.

The library signs only with private keys that it holds. So a key that everybody knows signs first, for the form; what it
signed (the TBS bytes, which name the algorithm) is then signed by the signer, and the two are put together.

A device is named by the URI `urn:ota:TENANT:DEVICE` among its certificate's alternative names. The subject's CN repeats the
device for people, where it has room.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from otaru.errors import InvalidInputError

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
Sign = Callable[[bytes], bytes]

LIFE = timedelta(days=90)
AUTHORITY_LIFE = timedelta(days=3650)
SKEW = timedelta(hours=1)
"""Certificates begin so much earlier: a device's clock may be behind."""
MAX_PEM = 64 * 1024
MAX_REQUEST = 8 * 1024
"""Bytes of DER. Requests with a P-256 key have some 300."""
MAX_CHAIN = 8
_MAX_CN = 64
"""Characters (RFC 5280, appendix A.1, ub-common-name)."""
_URN = "urn:ota:"
_BEGIN = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a certificate (PKCS#10) whose sender has the private key."""

    csr: x509.CertificateSigningRequest
    public: PublicKey

    @property
    def digest(self) -> bytes:
        """What its credential is named by."""
        return fingerprint(self.public)


def spki(public: PublicKey) -> bytes:
    """A public key as SubjectPublicKeyInfo in DER."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(public: PublicKey) -> bytes:
    """SHA-256 of a public key's SubjectPublicKeyInfo."""
    return sha256(spki(public)).digest()


def key_in(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the public key in a certificate, of whatever kind the key is."""
    return sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def taken(public: object) -> PublicKey:
    """A public key, if it is of a kind that devices may have here.

    Raises:
        InvalidInputError: it is not.
    """
    if isinstance(public, Ed25519PublicKey):
        return public
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1 | SECP384R1):
        return public
    raise InvalidInputError("the key is of another kind", hint="Keys are ECDSA on P-256 or P-384, or Ed25519.")


def read_key(pem: str) -> PublicKey:
    """A public key from PEM.

    Raises:
        InvalidInputError: it is none, or of a kind that we do not take.
    """
    if "PRIVATE KEY" in pem:
        raise InvalidInputError("this is a private key: it stays where it is", hint="Send the public one.")
    try:
        public = load_pem_public_key(pem.encode())
    except Exception:  # noqa: BLE001 - a parser of foreign bytes; what it raises has no common class
        raise InvalidInputError("it is not a public key (PEM)") from None
    return taken(public)


def read_certificates(pem: str) -> list[x509.Certificate]:
    """Certificates from PEM, at least one.

    Raises:
        InvalidInputError: there are none, or too many.
    """
    try:
        found = x509.load_pem_x509_certificates(pem.encode()) if len(pem) <= MAX_PEM else []
        for one in found:
            key_in(one)
    except Exception:  # noqa: BLE001 - as above
        found = []
    if not 0 < len(found) <= MAX_CHAIN:
        raise InvalidInputError("it is no certificate, or too many (PEM)")
    return found


def read_request(body: bytes) -> Request:
    """A request for a certificate, in base64 as EST sends it, in PEM or in DER, whose sender has proved to have the key.

    Raises:
        InvalidInputError: it is none, its signature is wrong, or its key is of another kind.
    """
    der = _request_bytes(body)
    try:
        csr = x509.load_der_x509_csr(der)
        # A bit string may leave bits of its last byte unused; a signature is whole bytes, and has one form only.
        whole = der[: -len(csr.signature)].endswith(b"\0")
        public, proved = csr.public_key(), whole and csr.is_signature_valid
    except Exception:  # noqa: BLE001 - as above
        raise InvalidInputError(
            "the body is no request for a certificate", hint="Send PKCS#10 as base64 of its DER, or as PEM."
        ) from None
    if not proved:
        raise InvalidInputError("the request is not signed with its own key")
    return Request(csr, taken(public))


def _request_bytes(body: bytes) -> bytes:
    if len(body) > 2 * MAX_REQUEST:
        raise InvalidInputError(f"the request is longer than {MAX_REQUEST} bytes")
    text = body.strip()
    if text.startswith(_BEGIN):
        lines = text.splitlines()[1:]
        end = next((at for at, line in enumerate(lines) if line.startswith(b"-----END ")), len(lines))
        text = b"".join(lines[:end])
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except (Base64Error, ValueError):
        return body


def device_uri(tenant: str, device: str) -> str:
    """The name of a device in its certificate."""
    return f"{_URN}{tenant}:{device}"


def named(certificate: x509.Certificate) -> tuple[str, str] | None:
    """The tenant and the device that a certificate's alternative names say; None where they name none, or several."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return None
    found = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(_URN)]
    if len(found) != 1:
        return None
    tenant, _, device = found[0].removeprefix(_URN).partition(":")
    return (tenant, device) if tenant and device else None


def check_names(request: Request, tenant: str, device: str) -> None:
    """Check that a request asks for no other name than its device's; it may ask for none.

    Raises:
        InvalidInputError: it does.
    """
    hint = f"Leave the subject empty or write CN={device}; as alternative name only URI:{device_uri(tenant, device)}."
    fit = {NameOID.COMMON_NAME: device, NameOID.ORGANIZATION_NAME: tenant}
    if any(fit.get(attribute.oid) != attribute.value for attribute in request.csr.subject):
        raise InvalidInputError("the request's subject is not that of its device", hint=hint)
    try:
        extensions = request.csr.extensions
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise InvalidInputError("the request's extensions cannot be read") from None
    if any(name != x509.UniformResourceIdentifier(device_uri(tenant, device)) for name in names):
        raise InvalidInputError("the request asks for other names than its device's", hint=hint)


def device_certificate(
    authority: x509.Certificate, sign: Sign, public: PublicKey, tenant: str, device: str, serial: int, now: datetime
) -> x509.Certificate:
    """Make a device's certificate: good for LIFE, or as long as its authority."""
    words = [x509.NameAttribute(NameOID.COMMON_NAME, device)] if len(device) <= _MAX_CN else []
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(device_uri(tenant, device))])
    begun = _begun(x509.Name(words), authority.subject, public, serial, (now - SKEW, now + LIFE), authority)
    begun = (
        begun.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(uri, critical=not words)  # RFC 5280, 4.2.1.6
        .add_extension(x509.AuthorityKeyIdentifier(_key_id_of(authority), None, None), critical=False)
    )
    return _signed(begun, taken(authority.public_key()), sign)


def root_certificate(name: str, public: PublicKey, sign: Sign, serial: int, now: datetime) -> x509.Certificate:
    """Make an authority's certificate, signed by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_CN])])
    begun = _begun(subject, subject, public, serial, (now - SKEW, now + AUTHORITY_LIFE), None)
    begun = (
        begun.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(_key_id(public)), critical=False)
    )
    return _signed(begun, public, sign)


def authority_request(name: str, public: PublicKey, sign: Sign) -> bytes:
    """Make an authority's request (PKCS#10, PEM) for a certificate by another."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_CN])])
    stand_in = _stand_in(public)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(stand_in, _hash(public))
    )
    # The library writes the signing key's public part; both have the same length.
    said, meant = spki(stand_in.public_key()), spki(public)
    tbs = csr.tbs_certrequest_bytes
    if tbs.count(said) != 1 or len(said) != len(meant):
        raise InvalidInputError("a request for this kind of key cannot be made")
    der = _joined(csr.public_bytes(Encoding.DER), tbs, tbs.replace(said, meant), sign)
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)


def check_authority(chain: Sequence[x509.Certificate], digest: bytes, now: datetime) -> None:
    """Check an authority's certificate and those above it: the first is of the key with this digest, each signed by the next.

    Raises:
        InvalidInputError: they are not.
    """
    first = chain[0]
    if key_in(first) != digest:
        raise InvalidInputError("the first certificate is not of this authority's key")
    if not first.not_valid_before_utc <= now < first.not_valid_after_utc:
        raise InvalidInputError("the certificate has expired, or its time has not come yet")
    for one in chain:
        if not is_authority(one):
            raise InvalidInputError("one of the certificates may not sign certificates")
    for below, above in pairwise(chain):
        if not signed_by(below, above):
            raise InvalidInputError("each certificate must be signed by the one after it")


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others."""
    try:
        extensions = certificate.extensions
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as error:
        return error.oid == x509.KeyUsage.oid
    except (ValueError, x509.DuplicateExtension):
        return False


def is_for_clients(certificate: x509.Certificate) -> bool:
    """Whether a certificate may be shown by a client (RFC 5280, 4.2.1.12: what an extension does not list is not allowed)."""
    try:
        return (
            ExtendedKeyUsageOID.CLIENT_AUTH
            in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        )
    except x509.ExtensionNotFound:
        return True
    except (ValueError, x509.DuplicateExtension):
        return False


def signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority's key has signed a certificate, and is named as its issuer."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def der(certificate: x509.Certificate) -> bytes:
    """A certificate in DER."""
    return certificate.public_bytes(Encoding.DER)


def as_pem(der: bytes) -> str:
    """A certificate in DER as PEM."""
    return pem(x509.load_der_x509_certificate(der))


def pem(certificate: x509.Certificate) -> str:
    """A certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates as a PKCS#7 that holds nothing else (RFC 5272, 4.1; what EST answers with), in DER."""
    return serialize_certificates(list(certificates), Encoding.DER)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    public: PublicKey,
    serial: int,
    life: tuple[datetime, datetime],
    authority: x509.Certificate | None,
) -> x509.CertificateBuilder:
    begins, ends = life
    if authority is not None:
        begins, ends = max(begins, authority.not_valid_before_utc), min(ends, authority.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(begins.replace(microsecond=0))
        .not_valid_after(ends.replace(microsecond=0))
    )


def _signed(begun: x509.CertificateBuilder, by: PublicKey, sign: Sign) -> x509.Certificate:
    formed = begun.sign(_stand_in(by), _hash(by))
    tbs = formed.tbs_certificate_bytes
    made = x509.load_der_x509_certificate(_joined(formed.public_bytes(Encoding.DER), tbs, tbs, sign))
    if not _is_signed(made, by):
        raise InvalidInputError("the signer does not sign with the key that it shows")
    return made


def _is_signed(made: x509.Certificate, by: PublicKey) -> bool:
    try:
        if isinstance(by, Ed25519PublicKey):
            by.verify(made.signature, made.tbs_certificate_bytes)
        else:
            assert made.signature_algorithm_parameters is not None  # noqa: S101 - ECDSA has them
            by.verify(made.signature, made.tbs_certificate_bytes, made.signature_algorithm_parameters)  # type: ignore[arg-type]
    except InvalidSignature:
        return False
    return True


def _joined(formed: bytes, old: bytes, new: bytes, sign: Sign) -> bytes:
    """What was formed, with `new` in the place of `old` (of the same length) and signed by `sign`."""
    after = formed.index(old) + len(old)
    algorithm = formed[after : after + 2 + formed[after + 1]]  # a short SEQUENCE
    return _der(0x30, new + algorithm + _der(0x03, b"\0" + sign(new)))


def _der(tag: int, content: bytes) -> bytes:
    """One element (X.690, 8.1)."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _stand_in(public: PublicKey) -> Ed25519PrivateKey | EllipticCurvePrivateKey:
    """A private key of the same kind, which everybody knows."""
    if isinstance(public, Ed25519PublicKey):
        return Ed25519PrivateKey.from_private_bytes(bytes(32))
    return derive_private_key(2, public.curve)


def _hash(public: PublicKey) -> SHA256 | SHA384 | None:
    if isinstance(public, Ed25519PublicKey):
        return None
    return SHA384() if public.key_size == 384 else SHA256()


def _key_id(public: object) -> bytes:
    """RFC 7093, method 1."""
    return fingerprint(taken(public))[:20]


def _key_id_of(authority: x509.Certificate) -> bytes:
    """The key identifier that an authority's certificate says of itself: whoever signed that one chose it."""
    try:
        return authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return _key_id(authority.public_key())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
