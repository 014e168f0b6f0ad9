"""Whether a certificate is one of `client_ca`'s: RFC 5280's path, by way of `cryptography`.

Every certificate of the bundle is an authority, also one that another has signed: a device's certificate is signed by
one of them directly, since proxies hand on nothing between. What the web asks of certificates beyond that (a name as SAN,
key identifiers) devices' certificates often lack, and it is not asked.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from otaru.apps.server.roads.certificates import MAX_DER, Certificate, refused
from otaru.domain.ids import DEFAULT_TENANT
from otaru.errors import InvalidInputError, UnauthenticatedError
from otaru.trust.pki import certificates as pki


class Authorities:
    """The authorities of a PEM bundle, or none."""

    def __init__(self, bundle: Path | None) -> None:
        """Read them.

        Raises:
            InvalidInputError: the file cannot be read or holds no certificates.
        """
        self._store: Store | None = None
        if bundle is None:
            return
        try:
            self._store = Store(x509.load_pem_x509_certificates(bundle.read_bytes()))
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"client_ca: {bundle} holds no certificates: {error}") from None

    def read(self, der: bytes, now: datetime) -> Certificate:
        """A device's certificate. Its subject says whose it is where one of these has signed it; else it says nothing by itself.

        Nor does one that names its device as our own authorities do, whoever has signed it: a tenant's authority that
        somebody puts among these would speak for the devices of all tenants.

        Raises:
            UnauthenticatedError: it cannot be read, is not for clients, or not good now.
        """
        with suppress(UnauthenticatedError):
            found = self.verify(der, now)
            return found if found.says is None else replace(found, tenant="", device="")
        if len(der) > MAX_DER:
            raise refused("it is too large")
        try:
            leaf = x509.load_der_x509_certificate(der)
            key, says = pki.key_in(leaf), pki.named(leaf)
            begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        except Exception:  # noqa: BLE001 - as in `verify`
            raise refused("it cannot be read") from None
        if not begins <= now <= ends:
            raise refused("it has expired, or its time has not come yet")
        if not pki.is_for_clients(leaf):
            raise refused("it is not for clients")
        return Certificate("", "", begins, ends, key, b"", says, der)

    def verify(self, der: bytes, now: datetime) -> Certificate:
        """Verify a device's certificate at a time.

        Raises:
            UnauthenticatedError: it is not good, now or at all.
        """
        if len(der) > MAX_DER:
            raise refused("it is too large")
        try:
            return self._verify(x509.load_der_x509_certificate(der), now)
        except UnauthenticatedError:
            raise
        except VerificationError:
            raise refused("no authority that we know has signed it for a client") from None
        except Exception:  # noqa: BLE001 - whatever else a parser of foreign bytes raises; it names no common class
            raise refused("it cannot be read") from None

    def _verify(self, leaf: x509.Certificate, now: datetime) -> Certificate:
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise refused("it has expired, or its time has not come yet")
        if self._store is None:
            raise refused("no authority that we know has signed it for a client")
        policy = PolicyBuilder().store(self._store).time(now)
        policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_DEVICE)
        chain = policy.build_client_verifier().verify(leaf, []).chain
        device, tenant = _word(leaf, NameOID.COMMON_NAME), _word(leaf, NameOID.ORGANIZATION_NAME)
        if device is None:
            raise refused("its subject has no CN")
        return Certificate(
            tenant=DEFAULT_TENANT if tenant is None else tenant,
            device=device,
            not_before=max(one.not_valid_before_utc for one in chain),
            not_after=min(one.not_valid_after_utc for one in chain),
            key=pki.key_in(leaf),
            issuer=pki.key_in(chain[1]) if len(chain) > 1 else b"",
            says=pki.named(leaf),
            der=pki.der(leaf),
        )


def _word(certificate: x509.Certificate, oid: ObjectIdentifier) -> str | None:
    """A word of the subject. One that stands there twice could be read in two ways."""
    found = certificate.subject.get_attributes_for_oid(oid)
    if len(found) > 1:
        raise refused("its subject has a CN or O twice")
    return str(found[0].value) if found else None


def _for_clients(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    """A server's certificate is not a device's (RFC 5280, 4.2.1.12: what an extension does not list is not allowed)."""
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("not for clients")


def _signs_certificates(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not sign certificates")


_ANY = Criticality.AGNOSTIC
_DEVICE = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, _ANY, _for_clients)
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY, None)  # the library looks whether it says CA
    .may_be_present(x509.KeyUsage, _ANY, _signs_certificates)
)
