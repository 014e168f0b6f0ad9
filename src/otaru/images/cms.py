"""CMS SignedData (RFC 5652), as SWUpdate and RAUC sign with: who signed, and whether it holds.

Steps for each signer, of section 5.6: (1) the digest and signature algorithms are ones we accept; (2) the certificate that
the signer names is found; (3) the signature holds over the signed attributes, or over the content where there are none;
(4) the attributes, which are believed from here on, name the content's type and digest; (5) an anchor vouches for the key.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from otaru.images import der, keys
from otaru.images.facts import Signature, Verdict
from otaru.images.keys import Anchors, PublicKey
from otaru.images.reading import BrokenImageError

SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_DIGESTS = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_PSS = "1.2.840.113549.1.1.10"
_RSA = {"1.2.840.113549.1.1.1": None, _PSS: None, "1.2.840.113549.1.1.11": "sha256", "1.2.840.113549.1.1.12": "sha384",
        "1.2.840.113549.1.1.13": "sha512"}  # fmt: skip
_ECDSA = {"1.2.840.10045.2.1": None, "1.2.840.10045.4.3.2": "sha256", "1.2.840.10045.4.3.3": "sha384",
          "1.2.840.10045.4.3.4": "sha512"}  # fmt: skip
_ED25519 = {"1.3.101.112": None}
_MOST_SIGNERS = 8
_MOST_CERTIFICATES = 32
_MOST_LINKS = 6  # certificates between the signer's and the anchor
_UNDERSTOOD = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE,
               ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.CERTIFICATE_POLICIES}  # fmt: skip
_MAY_SIGN = {
    ExtendedKeyUsageOID.CODE_SIGNING,
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

Digest = Callable[[str], bytes]
"""The digest of the content by an algorithm's name."""


@dataclass(frozen=True, slots=True)
class _Signer:
    identifier: der.Element
    digest: str | None
    algorithm: str
    attributes: bytes | None
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedData:
    """A CMS signature before it is judged: `content` is None where it is detached."""

    content_type: str
    content: bytes | None
    certificates: tuple[x509.Certificate, ...]
    signers: tuple[_Signer, ...]


def content_type(raw: bytes) -> str:
    """Which kind of CMS message this is.

    Raises:
        BrokenImageError: it is none.
    """
    return der.oid(_parts(der.one(raw, "the CMS message"), 2)[0], "the CMS message")


def parse(raw: bytes) -> SignedData:
    """Read a CMS SignedData in DER.

    Raises:
        BrokenImageError: it is something else.
    """
    what = "the CMS signature"
    kind, explicit = _pair(der.one(raw, what))
    if der.oid(kind, what) != SIGNED_DATA or explicit.tag != 0xA0:
        raise BrokenImageError("the signature is no CMS SignedData")
    version, digests, capsule, *rest = _parts(der.one(explicit.body, what), 4)
    if version.tag != der.INTEGER or digests.tag != der.SET or rest[-1].tag != der.SET:
        raise BrokenImageError(f"{what} is not of the form of SignedData")
    inner, *content = _parts(capsule, 1)
    body = None
    if content:
        if content[0].tag != 0xA0 or (octets := der.one(content[0].body, what)).tag != der.OCTETS:
            raise BrokenImageError(f"{what} holds content in an unknown form")
        body = octets.body
    certificates = [one for part in rest[:-1] if part.tag == 0xA0 for one in der.children(part.body, what)]
    signers = der.children(rest[-1].body, what)
    if len(certificates) > _MOST_CERTIFICATES or len(signers) > _MOST_SIGNERS:
        raise BrokenImageError(f"{what} has too many certificates or signers")
    if not signers:
        raise BrokenImageError(f"{what} has no signer")
    loaded = (_certificate(one.raw) for one in certificates)
    return SignedData(
        der.oid(inner, what), body, tuple(one for one in loaded if one), tuple(_signer(one) for one in signers)
    )


def judge(data: SignedData, digest: Digest, covers: str, trust: Anchors) -> tuple[Signature, ...]:
    """Judge every signer of a SignedData over content with this digest."""
    return tuple(_judge(data, signer, digest, covers, trust) for signer in data.signers)


def over(content: bytes) -> Digest:
    """The digests of content that is at hand."""
    return lambda algorithm: hashlib.new(algorithm, content).digest()


def _judge(data: SignedData, signer: _Signer, digest: Digest, covers: str, trust: Anchors) -> Signature:
    if signer.digest is None:
        return Signature("CMS", Verdict.BROKEN, covers, reason="it is made over a digest that is not accepted")
    claimed = digest(signer.digest)
    shown = f"{signer.digest}:{claimed.hex()}"
    pool = (*trust.certificates, *data.certificates)
    certificate = next((one for one in pool if _names(signer.identifier, one)), None)
    if certificate is None:
        return Signature("CMS", Verdict.UNKNOWN, covers, shown, reason="its signer's certificate is not at hand")
    key = keys.certified(certificate)
    if key is None:
        return Signature("CMS", Verdict.BROKEN, covers, shown, reason="its signer's key is weak or of an unknown kind")
    fault = _fault(data, signer, key, claimed)
    verdict, owner, reason = (Verdict.BROKEN, None, fault) if fault else _vouched(certificate, key, data, trust)
    name = f"CMS, {keys.kind(key, pss=signer.algorithm == _PSS)}"
    return Signature(name, verdict, covers, shown, owner or keys.subject(certificate), keys.spki(key), reason)


def _fault(data: SignedData, signer: _Signer, key: PublicKey, claimed: bytes) -> str | None:
    """What is wrong with the signature itself; None if it holds."""
    match key:
        case rsa.RSAPublicKey():
            family: Mapping[str, str | None] = _RSA
        case ec.EllipticCurvePublicKey():
            family = _ECDSA
        case ed25519.Ed25519PublicKey():
            family = _ED25519
    algorithm = signer.digest or ""
    if signer.algorithm not in family or family[signer.algorithm] not in {None, algorithm}:
        return "its algorithm is not accepted or not that of its key"
    pss = signer.algorithm == _PSS
    if signer.attributes is None:
        held = data.content_type == "1.2.840.113549.1.7.1" and keys.holds(
            key, signer.signature, claimed, algorithm, pss=pss
        )
        return None if held else "the signature does not hold"
    # The attributes are signed as the SET they are, not with the [0] they are sent with (RFC 5652, 5.4).
    if not keys.signed(key, signer.signature, b"\x31" + signer.attributes[1:], algorithm, pss=pss):
        return "the signature does not hold"
    return _attributes_fault(data, signer.attributes, claimed)


def _attributes_fault(data: SignedData, attributes: bytes, claimed: bytes) -> str | None:
    what = "the signed attributes"
    found: dict[str, der.Element] = {}
    for attribute in der.children(der.one(attributes, what).body, what):
        name, values = _pair(attribute)
        oid = der.oid(name, what)
        if oid in {_CONTENT_TYPE, _MESSAGE_DIGEST}:
            if oid in found:
                return "an attribute stands twice"
            found[oid] = der.one(values.body, what)
    if set(found) != {_CONTENT_TYPE, _MESSAGE_DIGEST}:
        return "the signed attributes lack the content's type or digest"
    if der.oid(found[_CONTENT_TYPE], what) != data.content_type:
        return "the signed content type is another"
    told = found[_MESSAGE_DIGEST]
    return None if told.tag == der.OCTETS and told.body == claimed else "the signed digest is that of other content"


def _vouched(
    certificate: x509.Certificate, key: PublicKey, data: SignedData, trust: Anchors
) -> tuple[Verdict, str | None, str | None]:
    """Whether an anchor is this key's, or leads to it; with the name by which it is known."""
    if not keys.in_time(certificate, trust.at):
        return Verdict.UNKNOWN, None, "the signer's certificate has expired or is not valid yet"
    # The certificate in the image is only a claim: an anchor with the same key says whose it is.
    for known, owner in trust.known():
        if known == key:
            return Verdict.VALID, owner, None
    if not _may_sign(certificate):
        return Verdict.UNKNOWN, None, "the signer's certificate is not for signing"
    if _leads(certificate, data.certificates, trust):
        return Verdict.VALID, None, None
    return Verdict.UNKNOWN, None, "no trusted certificate leads to its signer"


def _leads(certificate: x509.Certificate, pool: tuple[x509.Certificate, ...], trust: Anchors) -> bool:
    """Whether certificates of `pool` lead to an anchor.

    Level by level, each certificate once and as near to the signer as it can stand, where the bounds on the length of the
    path are widest: trying every path takes for ever where authorities vouch for one another.
    """
    level, left = [certificate], list(pool)
    anchors = [anchor for anchor in trust.certificates if keys.in_time(anchor, trust.at)]
    for below in range(_MOST_LINKS + 1):
        if any(_issued(one, anchor, below) for anchor in anchors for one in level):
            return True
        above = [
            one for one in left if keys.in_time(one, trust.at) and any(_issued(known, one, below) for known in level)
        ]
        level, left = above, [one for one in left if one not in above]
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, below: int) -> bool:
    """Whether `issuer` is an authority that made `certificate`, with `below` authorities between it and the signer."""
    try:
        if issuer.subject != certificate.issuer or keys.certified(issuer) is None or not _understood(issuer):
            return False
        extensions = issuer.extensions
        authority = extensions.get_extension_for_class(x509.BasicConstraints).value
        if not authority.ca or (authority.path_length is not None and authority.path_length < below):
            return False
        usage = _optional(extensions, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (*keys.ERRORS, x509.ExtensionNotFound):
        return False
    return True


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        usage = _optional(certificate.extensions, x509.KeyUsage)
        purpose = _optional(certificate.extensions, x509.ExtendedKeyUsage)
    except keys.ERRORS:
        return False
    signs = usage is None or usage.digital_signature or usage.content_commitment
    return signs and (purpose is None or not _MAY_SIGN.isdisjoint(purpose)) and _understood(certificate)


def _understood(certificate: x509.Certificate) -> bool:
    """Whether we know what each critical extension means (RFC 5280, 4.2)."""
    try:
        return all(one.oid in _UNDERSTOOD for one in certificate.extensions if one.critical)
    except keys.ERRORS:
        return False


def _optional(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _names(identifier: der.Element, certificate: x509.Certificate) -> bool:
    """Whether a signer identifier means this certificate: by issuer and serial number, or by key identifier."""
    try:
        if identifier.tag == 0x80:
            own = _optional(certificate.extensions, x509.SubjectKeyIdentifier)
            return own is not None and own.digest == identifier.body
        issuer, serial = _pair(identifier)
        number = int.from_bytes(serial.body, signed=True)
        return issuer.raw == certificate.issuer.public_bytes() and number == certificate.serial_number
    except keys.ERRORS:
        return False


def _signer(element: der.Element) -> _Signer:
    what = "a signer of the CMS signature"
    version, identifier, digest, *rest = _parts(element, 5)
    attributes = rest.pop(0).raw if rest[0].tag == 0xA0 else None
    if len(rest) < 2 or version.tag != der.INTEGER or rest[1].tag != der.OCTETS:
        raise BrokenImageError(f"{what} is not of the form of SignerInfo")
    if identifier.tag not in {der.SEQUENCE, 0x80}:
        raise BrokenImageError(f"{what} names its certificate in an unknown way")
    named = der.oid(_parts(digest, 1)[0], what)
    algorithm = der.oid(_parts(rest[0], 1)[0], what)
    return _Signer(identifier, _DIGESTS.get(named), algorithm, attributes, rest[1].body)


def _parts(element: der.Element, least: int) -> list[der.Element]:
    found = der.children(element.body, "the CMS signature") if element.tag == der.SEQUENCE else []
    if len(found) < least:
        raise BrokenImageError("the CMS signature is not of the form that RFC 5652 gives it")
    return found


def _pair(element: der.Element) -> tuple[der.Element, der.Element]:
    first, second, *more = _parts(element, 2)
    if more:
        raise BrokenImageError("the CMS signature is not of the form that RFC 5652 gives it")
    return first, second


def _certificate(raw: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(raw)
    except keys.ERRORS:
        return None  # one that cannot be read vouches for nobody
