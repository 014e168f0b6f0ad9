"""Authorities that sign certificates for devices, good ones and all kinds of bad ones."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
DAY = timedelta(days=1)
BIRTH = datetime(2024, 1, 1, tzinfo=UTC)
"""When what unit tests use was made."""

Word = tuple[ObjectIdentifier, str]


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def rfc9440(self) -> str:
        """As `Client-Cert` has it."""
        return f":{b64encode(self.der).decode()}:"

    @property
    def escaped(self) -> str:
        """As nginx's `$ssl_client_escaped_cert` has it."""
        return quote(self.pem.decode(), safe="")

    def files(self, folder: Path, name: str) -> tuple[str, str]:
        """Written down: certificate and key."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(certificate), str(key)


@dataclass(frozen=True)
class Authority(Issued):
    """Signs."""

    def device(
        self,
        device: str | None,
        tenant: str | None = None,
        *,
        begins: datetime = BIRTH,
        days: int = 90,
        usages: Sequence[ObjectIdentifier] | None = (CLIENT,),
        more: Sequence[Word] = (),
        also: Sequence[x509.ExtensionType] = (),
    ) -> Issued:
        """Sign a device's certificate."""
        words = [(NameOID.COMMON_NAME, device), (NameOID.ORGANIZATION_NAME, tenant)]
        subject = [*((oid, text) for oid, text in words if text is not None), *more]
        key = ec.generate_private_key(ec.SECP256R1())
        made = _begun(subject, self.certificate.subject, key, begins, days)
        if usages is not None:
            made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        for extension in also:
            made = made.add_extension(extension, critical=True)
        return Issued(made.sign(self.key, hashes.SHA256()), key)

    def authority(self, name: str, *, days: int = 36_500) -> "Authority":
        """Sign another authority."""
        return _authority(name, days, self)


def authority(name: str, *, days: int = 36_500) -> Authority:
    """A root, as plain as `openssl req -x509` makes them."""
    return _authority(name, days, None)


def _authority(name: str, days: int, by: Authority | None) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject: Sequence[Word] = [(NameOID.COMMON_NAME, name)]
    issuer = _name(subject) if by is None else by.certificate.subject
    made = _begun(subject, issuer, key, BIRTH, days)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(made.sign(key if by is None else by.key, hashes.SHA256()), key)


def _name(words: Sequence[Word]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in words])


def _begun(
    subject: Sequence[Word], issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
    )


def bundle(folder: Path, *authorities: Issued) -> Path:
    """A PEM file of them."""
    file = folder / "client-ca.pem"
    file.write_bytes(b"".join(one.pem for one in authorities))
    return file


@dataclass(frozen=True)
class ServerTls:
    """What a server on 127.0.0.1 shows, and whom its clients trust."""

    chain: Path
    key: Path
    ca: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("--tls-cert", str(self.chain), "--tls-key", str(self.key))


def server_tls(folder: Path) -> ServerTls:
    """Make a server's certificate."""
    made = ServerTls(folder / "chain.pem", folder / "key.pem", folder / "ca.pem")
    root = trustme.CA()
    certificate = root.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(made.key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(made.chain, append=True)
    root.cert_pem.write_to_path(made.ca)
    return made
