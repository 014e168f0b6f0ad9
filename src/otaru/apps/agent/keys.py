"""The device's private key, wherever it lies: in a file of the data folder, or in a token (PKCS#11: a secure element, a TPM).

What lies in a token never leaves it. The token is opened anew for each signature, which is one in an hour.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from otaru.adapters.links.admission import Key
from otaru.apps.agent.identity import MAX_KEY, FileKey, Identity
from otaru.errors import DataFolderError, OtaruError

if TYPE_CHECKING:
    from otaru.adapters.signers.pkcs11 import Pkcs11Signer

PIN = "OTARU_PIN"


def key(data: Path, me: Identity) -> Key:
    """The key that a device was enrolled with; where it lies in a file, it is made if it is not there.

    Raises:
        DataFolderError: the file cannot be read, or is no key.
        InvalidInputError: the token refuses the PIN, or has no such key.
        UnavailableError: the token is not there.
    """
    return token_key(me.key) if me.key else FileKey(data)


def token_key(uri: str, *, make: bool = False) -> Key:
    """A key in a token; made there, on P-256 and never to leave it, where it is missing and `make` says so.

    The PIN is in the file that `pin-source` of the URI names (RFC 7512, 2.4), else in OTARU_PIN.

    Raises:
        InvalidInputError: it is no address of a key, or the token refuses the PIN, or has no such key.
        UnavailableError: the token is not there.
        OtaruError: the extra `pkcs11` is not installed.
    """
    try:
        from otaru.adapters.signers.pkcs11 import Pkcs11Signer, ensure, place  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OtaruError(f"a key in a token needs {error.name}", hint='pip install "otaru[pkcs11]"') from None
    where, pin = place(uri), _pin(uri)
    if make:
        ensure(where, pin)
    return _TokenKey(Pkcs11Signer(where, pin))


def _pin(uri: str) -> str:
    found = dict(part.partition("=")[::2] for part in uri.partition("?")[2].split("&")).get("pin-source", "")
    if not found:
        return os.environ.get(PIN, "")
    path = Path(unquote(found).removeprefix("file:"))
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFolderError(f"{path}: the PIN cannot be read: {error}") from None


class _TokenKey:
    """Implements `adapters.links.admission.Key`."""

    def __init__(self, signer: "Pkcs11Signer") -> None:
        self._signer = signer

    @property
    def pem(self) -> str:
        """See the protocol."""
        return str(self._signer.key.keyval["public"])

    @property
    def der(self) -> bytes:
        """See the protocol."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key  # noqa: PLC0415 - an idle device does without

        public = load_pem_public_key(self.pem.encode())
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """See the protocol."""
        return self._signer.sign(data)
