"""Trust anchors, and whether a signature was made by a key.

A key that is too weak verifies nothing: RSA below 2048 bits or with a public exponent below 3, other curves than NIST's.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from otaru.images.facts import Format, Signature, Verdict

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

HASHES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
"""The digests a signature may be made over. SHA-1 and MD5 are not among them."""

ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, Warning, x509.DuplicateExtension,
          x509.InvalidVersion, x509.UnsupportedGeneralNameType)  # fmt: skip
"""What cryptography raises about bytes that are no key, no certificate, or none it knows.

It also warns of odd ones (`Warning`, where warnings are errors).
"""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Whom a tenant trusts for a format: certificates (of signers or of authorities) and bare public keys.

    `at` is when certificates must be valid; without it their dates are not looked at.
    """

    certificates: tuple[x509.Certificate, ...] = ()
    keys: tuple[PublicKey, ...] = ()
    at: datetime | None = None

    def known(self) -> tuple[tuple[PublicKey, str | None], ...]:
        """Every key that may sign itself, with its certificate's subject."""
        certified_keys = (
            (key, subject(certificate))
            for certificate in self.certificates
            if in_time(certificate, self.at) and (key := certified(certificate))
        )
        return (*((key, None) for key in self.keys), *certified_keys)


Trust = Mapping[Format, Anchors]
NOBODY = Anchors()


def anchors(texts: Iterable[bytes], at: datetime | None = None) -> Anchors:
    """Read trust anchors: each text holds PEM certificates or one public key (PEM or DER).

    Raises:
        ValueError: it holds neither, or a key that verifies nothing.
    """
    certificates: list[x509.Certificate] = []
    keys: list[PublicKey] = []
    for text in texts:
        if b"-----BEGIN CERTIFICATE-----" in text:
            certificates += x509.load_pem_x509_certificates(text)
            continue
        key = load_pem_public_key(text) if text.lstrip().startswith(b"-----") else load_der_public_key(text)
        if not isinstance(key, PublicKey) or weakness(key):
            raise ValueError("a key of this kind verifies nothing here: RSA from 2048 bits on, ECDSA or Ed25519")
        keys.append(key)
    return Anchors(tuple(certificates), tuple(keys), at)


def described(found: Anchors) -> tuple[str, datetime | None]:
    """Whom anchors name, in words, and when the first of their certificates ends.

    Raises:
        ValueError: a certificate's key verifies nothing.
    """
    for certificate in found.certificates:
        if certified(certificate) is None:
            raise ValueError(f"the key of {subject(certificate)} verifies nothing here")
    names = [*(subject(certificate) or "a certificate" for certificate in found.certificates), *map(kind, found.keys)]
    ends = [certificate.not_valid_after_utc for certificate in found.certificates]
    return "; ".join(names)[:512], min(ends, default=None)


def weakness(key: object) -> str | None:
    """Why a key verifies nothing; None if it does."""
    match key:
        case rsa.RSAPublicKey():
            if not 2048 <= key.key_size <= 8192:
                return f"an RSA key of {key.key_size} bits"
            exponent = key.public_numbers().e
            return None if 3 <= exponent < 1 << 64 and exponent % 2 else f"an RSA key with the exponent {exponent}"
        case ec.EllipticCurvePublicKey():
            strong = isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
            return None if strong else f"a key on the curve {key.curve.name}"
        case ed25519.Ed25519PublicKey():
            return None
        case _:
            return "a key of an unknown kind"


def certified(certificate: x509.Certificate) -> PublicKey | None:
    """The key of a certificate, if it is one that verifies."""
    try:
        key = certificate.public_key()
    except ERRORS:
        return None
    return key if isinstance(key, PublicKey) and not weakness(key) else None


def subject(certificate: x509.Certificate) -> str | None:
    """Whom a certificate names, printable and bounded."""
    try:
        text = certificate.subject.rfc4514_string()
    except ERRORS:
        return None
    return "".join(letter if letter.isprintable() else "�" for letter in text[:256])


def in_time(certificate: x509.Certificate, at: datetime | None) -> bool:
    """Whether a certificate is valid at a time; always if none is asked for."""
    try:
        return at is None or certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
    except ERRORS:
        return False


def spki(key: PublicKey) -> str:
    """The SHA-256 of a key's SubjectPublicKeyInfo, as hex."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def holds(key: PublicKey, signature: bytes, digest: bytes, algorithm: str, *, pss: bool = False) -> bool:
    """Whether `signature` is this key's over a digest. Ed25519 signs messages, so it never is: see `signed`.

    Args:
        key: the key that is to have signed
        signature: RSA as it stands, ECDSA in DER
        digest: what was signed
        algorithm: a name of HASHES
        pss: RSA-PSS with MGF1 of the same hash and any salt; PKCS #1 v1.5 without it
    """
    if algorithm not in HASHES or weakness(key):
        return False
    how = HASHES[algorithm]()
    prehashed = utils.Prehashed(how)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pad = padding.PSS(padding.MGF1(how), padding.PSS.AUTO) if pss else padding.PKCS1v15()
            key.verify(signature, digest, pad, prehashed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, digest, ec.ECDSA(prehashed))
        else:
            return False
    except ERRORS:
        return False
    return True


def signed(key: PublicKey, signature: bytes, message: bytes, algorithm: str, *, pss: bool = False) -> bool:
    """Whether `signature` is this key's over a message."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        try:
            key.verify(signature, message)
        except ERRORS:
            return False
        return True
    return algorithm in HASHES and holds(key, signature, hashlib.new(algorithm, message).digest(), algorithm, pss=pss)


def kind(key: PublicKey, *, pss: bool = False) -> str:
    """What a key's signatures are called."""
    match key:
        case rsa.RSAPublicKey():
            return f"RSA-{key.key_size}" + (" PSS" if pss else "")
        case ec.EllipticCurvePublicKey():
            return f"ECDSA {key.curve.name}"
        case _:
            return "Ed25519"


def raw(name: str, covers: str, message: bytes, signature: bytes, trust: Anchors) -> Signature:
    """Judge a bare signature over the SHA-256 of a message: it names no key, so every anchor's is tried.

    Without a key that answers nobody can say whether it is broken, so the verdict is VALID or UNKNOWN.
    ECDSA is taken in DER or as r and s one after the other.
    """
    digest = f"sha256:{hashlib.sha256(message).hexdigest()}"
    for key, owner in trust.known():
        forms = [signature]
        if isinstance(key, ec.EllipticCurvePublicKey) and (pair := joined(key, signature)):
            forms.append(pair)
        if any(signed(key, form, message, "sha256", pss=pss) for form in forms for pss in (False, True)):
            return Signature(f"{name}, {kind(key)}", Verdict.VALID, covers, digest, owner, spki(key))
    return Signature(name, Verdict.UNKNOWN, covers, digest, reason="no trusted key made it")


def joined(key: ec.EllipticCurvePublicKey, signature: bytes) -> bytes | None:
    """The DER form of an ECDSA signature that is r and s, big endian, one after the other; None if it is not."""
    half = (key.key_size + 7) // 8
    if len(signature) != 2 * half:
        return None
    return utils.encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
