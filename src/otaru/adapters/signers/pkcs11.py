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
from pkcs11.util.ec import encode_ec_public_key
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


_ONE = Lock()
"""A library logs in to a token for the whole process: a second session that opens it meanwhile is refused."""
_LOST: set[str] = set()
"""Modules that have failed. They may keep what they knew of a token that was away, until they are begun anew."""


class Pkcs11Signer:
    """Implements `ports.signing.Signer`. It holds no session: each signature opens the token anew."""

    def __init__(self, where: Place, pin: str) -> None:
        self._where = where
        self._pin = pin
        with self._session() as session:
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
        with self._session() as session:
            private = self._found(session, pkcs11.ObjectClass.PRIVATE_KEY)
            raw: bytes = private.sign(digest.finalize(), mechanism=pkcs11.Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    @contextmanager
    def _session(self) -> Iterator[Any]:
        try:
            with _ONE, self._library().get_token(token_label=self._where.token).open(user_pin=self._pin) as session:
                yield session
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinLocked) as error:
            raise InvalidInputError(f"the token {self._where.token} refuses the PIN: {type(error).__name__}") from None
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            _LOST.add(self._where.module)
            told = str(error) or type(error).__name__
            raise UnavailableError(f"the token {self._where.token} cannot be used: {told}") from None

    def _library(self) -> Any:
        library = pkcs11.lib(self._where.module)
        if self._where.module in _LOST:
            library.reinitialize()
            _LOST.discard(self._where.module)
        return library

    def _found(self, session: Any, kind: Any) -> Any:
        found = list(session.get_objects({pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: self._where.label}))
        if len(found) != 1 or found[0].key_type is not pkcs11.KeyType.EC:
            raise InvalidInputError(f"the token {self._where.token} has not one EC key {self._where.label}")
        return found[0]
