"""Devices with keys that enroll, as a factory makes them."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from otaru.domain.ids import DEFAULT_TENANT, TenantId
from otaru.trust.pki.certificates import PublicKey
from otaru.trust.possession import Proof

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey


def p256() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@dataclass
class Newborn:
    """A device that has a serial and a key, and nothing else. It writes what it signs by the letter of the docs."""

    id: str
    key: PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    tenant: TenantId = DEFAULT_TENANT

    @property
    def public(self) -> PublicKey:
        return self.key.public_key()

    @property
    def pem(self) -> str:
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def digest(self) -> str:
        return sha256(self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def sign(self, text: str) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(text.encode())
        return self.key.sign(text.encode(), ECDSA(SHA256()))

    def to_enroll(self, claim: bytes, at: datetime) -> Proof:
        """Of a claim's digest."""
        seconds = int(at.timestamp())
        lines = ("otaru-enroll-v1", self.tenant, self.id, str(seconds), claim.hex(), self.digest)
        return Proof(seconds, self.sign("\n".join(lines)))

    def for_grant(self, at: datetime) -> Proof:
        seconds = int(at.timestamp())
        return Proof(seconds, self.sign("\n".join(("otaru-token-v1", self.tenant, self.id, str(seconds), self.digest))))

    def csr(self) -> str:
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        algorithm = None if isinstance(self.key, Ed25519PrivateKey) else SHA256()
        return request.sign(self.key, algorithm).public_bytes(Encoding.PEM).decode()

    def asking(self, token: str, at: datetime, **more: Any) -> dict[str, Any]:
        """The body of an enrollment."""
        proof = shown(self.to_enroll(sha256(token.encode()).digest(), at))
        return {"id": self.id, "public_key": self.pem, "proof": proof} | more

    def asking_grant(self, at: datetime, **more: Any) -> dict[str, Any]:
        """The body of a request for a token."""
        return {"id": self.id, "public_key": self.pem, "proof": shown(self.for_grant(at))} | more


def shown(proof: Proof) -> dict[str, Any]:
    """A proof in JSON."""
    return {"time": proof.time_s, "signature": b64encode(proof.signature).decode()}
