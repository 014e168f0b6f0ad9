"""Private keys in a hardware token, or in anything else that speaks PKCS#11: ECDSA on P-256 and P-384.

A key is named as RFC 7512 writes it: `pkcs11:token=TOKEN;object=LABEL?module-path=/usr/lib/…/libsofthsm2.so`. The token
hashes nothing: it gets the digest and gives r and s, which become the DER that TUF wants.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import unquote

import pkcs11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, Hash
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
from securesystemslib.signer import Key

from otaru.errors import InvalidInputError, UnavailableError
from otaru.trust.tuf.keys import key_of


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key lies."""

    module: str
    token: str
    label: str


def place(uri: str) -> Place:
    """Read a PKCS#11 URI.

    Raises:
        InvalidInputError: it is none, or does not name module, token and object.
    """
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    parts = dict(part.partition("=")[::2] for part in (*path.split(";"), *query.split("&")))
    found = [unquote(parts.get(name, "")) for name in ("module-path", "token", "object")]
    if not uri.startswith("pkcs11:") or not all(found):
        raise InvalidInputError(
            f"{uri!r} does not name a key", hint="Write pkcs11:token=TOKEN;object=LABEL?module-path=FILE."
        )
    return Place(*found)


def ensure(where: Place, pin: str) -> None:
    """Make a key on P-256 in a token, which never gives it away, where it has none of that name.

    Raises:
        InvalidInputError: the token refuses the PIN.
        UnavailableError: the token is not there, or can make none.
    """
    with _session(where, pin, rw=True) as session:
        named = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.LABEL: where.label}
        if not list(session.get_objects(named)):
            curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
            parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
            secret = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
            parameters.generate_keypair(label=where.label, store=True, private_template=secret)


_ONE = Lock()
"""A library logs in to a token for the whole process: a second session that opens it meanwhile is refused."""
_LOST: set[str] = set()
"""Modules that have failed. They may keep what they knew of a token that was away, until they are begun anew."""


class Pkcs11Signer:
    """Implements `ports.signing.Signer`. It holds no session: each signature opens the token anew."""

    def __init__(self, where: Place, pin: str) -> None:
        self._where = where
        self._pin = pin
        with _session(where, pin) as session:
            public = self._found(session, pkcs11.ObjectClass.PUBLIC_KEY)
            self._key = key_of(load_der_public_key(encode_ec_public_key(public)))

    @property
    def key(self) -> Key:
        """See the port."""
        return self._key

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        digest = Hash(SHA384() if self._key.scheme.endswith("384") else SHA256())
        digest.update(data)
        with _session(self._where, self._pin) as session:
            private = self._found(session, pkcs11.ObjectClass.PRIVATE_KEY)
            raw: bytes = private.sign(digest.finalize(), mechanism=pkcs11.Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def _found(self, session: Any, kind: Any) -> Any:
        found = list(session.get_objects({pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: self._where.label}))
        if len(found) != 1 or found[0].key_type is not pkcs11.KeyType.EC:
            raise InvalidInputError(f"the token {self._where.token} has not one EC key {self._where.label}")
        return found[0]


@contextmanager
def _session(where: Place, pin: str, *, rw: bool = False) -> Iterator[Any]:
    try:
        with _ONE, _library(where.module).get_token(token_label=where.token).open(rw=rw, user_pin=pin) as session:
            yield session
    except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinLocked) as error:
        raise InvalidInputError(f"the token {where.token} refuses the PIN: {type(error).__name__}") from None
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        _LOST.add(where.module)
        told = str(error) or type(error).__name__
        raise UnavailableError(f"the token {where.token} cannot be used: {told}") from None


def _library(module: str) -> Any:
    library = pkcs11.lib(module)
    if module in _LOST:
        library.reinitialize()
        _LOST.discard(module)
    return library
