"""Client certificates as credentials of devices: where one is found, whom it speaks for, and those seen before.

A certificate comes from the TLS connection itself (on the listener `device_listen`), or from a proxy that ended it, in
the header `client_cert_header`: RFC 9440's `:base64 of the DER:` or nginx's `$ssl_client_escaped_cert`, a PEM in
percent encoding. The header is read of `trusted_proxies` only, from all others it is as if it were not there. Either
way the certificate is verified here: a proxy is believed that the client has its key, no more.

Whose it is, a credential of the device says, which names its key and its authority's (`credentials.py`). Only where an
authority in `client_ca` has signed it, its subject may say so too: CN is the device's id, O its tenant (`DEFAULT` where there
is none). Nothing of a certificate is logged.
"""

import binascii
import ssl
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address, ip_network
from urllib.parse import unquote_to_bytes

from otaru.apps.server.body import Scope
from otaru.apps.server.http import PEER
from otaru.apps.server.settings import Settings
from otaru.errors import UnauthenticatedError

CHALLENGE = "TargetToken"
"""Certificates have no name among HTTP's schemes (RFC 9110, section 11): this is what else opens the door."""

MAX_DER = 8 * 1024
"""Bytes. Devices' certificates have 400 to 2,000."""
MAX_HEADER = 4 * MAX_DER
"""Bytes: base64 takes four for three, percent encoding three for some of those."""
MAX_KNOWN = 65_536
"""Certificates remembered as verified, some 500 bytes each: of as many devices, no poll costs a signature."""

_PEM = b"-----BEGIN%20CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that a client has shown, and has the key of; in its time, which ends with that of its authority."""

    tenant: str
    """What its subject says, where an authority in `client_ca` has signed it; else empty."""
    device: str
    not_before: datetime
    not_after: datetime
    key: bytes = field(default=b"", compare=False)
    """SHA-256 of its public key (SubjectPublicKeyInfo)."""
    issuer: bytes = field(default=b"", compare=False)
    """The same of its authority's, where that is in `client_ca`; else empty."""
    says: tuple[str, str] | None = field(default=None, compare=False)
    """Tenant and device by its alternative names, whoever has signed them."""
    der: bytes = field(default=b"", compare=False)
    signed: set[bytes] = field(default_factory=set, compare=False)
    """Keys of tenants' authorities (SHA-256) that are known to have signed it."""


Verify = Callable[[bytes, datetime], Certificate]
"""DER and the time to a certificate, or UnauthenticatedError."""


class Certificates:
    """Finds the certificate of a request and remembers those that were verified."""

    def __init__(self, verify: Verify, header: str, proxies: tuple[str, ...]) -> None:
        self._verify = verify
        self._header = header.lower().encode()
        self._proxies = [ip_network(proxy, strict=False) for proxy in proxies]
        self._known: OrderedDict[bytes, Certificate] = OrderedDict()

    def shown(self, scope: Scope, now: datetime) -> Certificate | None:
        """The certificate that a request comes with, None where it has none.

        Raises:
            UnauthenticatedError: it has one that is not good, or more than one.
        """
        extensions = scope.get("extensions", {})
        der: bytes | None = extensions.get("tls", {}).get("client_cert")
        if der is not None:
            return self._verified(der, now, _same)
        if self._header and self._trusted(extensions.get(PEER, {}).get("address", "")):
            values = [value for name, value in scope["headers"] if name == self._header]
            if len(values) > 1:
                raise refused("there is more than one")
            if values and values[0].strip(b" :"):  # proxies say nothing, or nothing between colons, where there is none
                return self._verified(values[0], now, decoded)
        return None

    def _trusted(self, address: str) -> bool:
        try:
            peer = ip_address(address)
        except ValueError:  # a Unix socket's
            return False
        return any(peer in network for network in self._proxies)

    def _verified(self, raw: bytes, now: datetime, der: Callable[[bytes], bytes]) -> Certificate:
        if len(raw) > MAX_HEADER:
            raise refused("it is too large")
        digest = sha256(raw).digest()
        found = self._known.pop(digest, None)
        if found is None or not found.not_before <= now <= found.not_after:
            found = self._verify(der(raw), now)
        self._known[digest] = found  # the newest is last
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return found


def certificates(settings: Settings) -> Certificates | None:
    """What finds certificates, where the operator wants any.

    Raises:
        InvalidInputError: `client_ca` holds no certificates.
    """
    if not (settings.device_listen or settings.client_cert_header):
        return None
    # 20 MB and 65 ms for those who use it.
    from otaru.apps.server.roads.authorities import Authorities  # noqa: PLC0415

    return Certificates(Authorities(settings.client_ca).read, settings.client_cert_header, settings.trusted_proxies)


def signed_by_any(der: bytes, authorities: list[bytes]) -> bool:
    """Whether one of some authorities has signed a certificate; all in DER."""
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - as above

    from otaru.trust.pki.certificates import signed_by  # noqa: PLC0415

    leaf = load_der_x509_certificate(der)
    return any(signed_by(leaf, load_der_x509_certificate(one)) for one in authorities)


def decoded(value: bytes) -> bytes:
    """The DER in a header's value.

    Raises:
        UnauthenticatedError: it is neither RFC 9440's form nor a percent-encoded PEM, or too large.
    """
    try:
        if value.startswith(b":") and value.endswith(b":"):
            return b64decode(value[1:-1], validate=True)
        if value.startswith(_PEM):
            return ssl.PEM_cert_to_DER_cert(unquote_to_bytes(value).decode("ascii"))
    except (binascii.Error, ValueError):
        pass
    raise refused("the header is neither :base64: of its DER (RFC 9440) nor its PEM in percent encoding")


def refused(why: str) -> UnauthenticatedError:
    """The error for a certificate that is not good. What stands in it is not said: not even to the log."""
    return UnauthenticatedError(f"the client certificate is not good: {why}", challenge=CHALLENGE)


def _same(der: bytes) -> bytes:
    return der
