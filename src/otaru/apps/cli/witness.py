"""A witness's key and signature."""

import os
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from otaru.errors import InvalidInputError
from otaru.trust.log.notes import COSIGNATURE, NoteError, Verifier, cosign


def cosigned(note: str, name: str, file: Path) -> tuple[str, Verifier]:
    """A note with this witness's signature, and the witness's public key.

    Raises:
        InvalidInputError: the key cannot be read or made, or the name is none.
    """
    key = _key(file)
    public = Verifier(name, key.public_key().public_bytes_raw(), COSIGNATURE)
    try:
        return cosign(note, name, key, int(time.time())), public  # noqa: TID251 - a witness says when it saw it
    except NoteError as error:
        raise InvalidInputError(f"it cannot be signed: {error}") from None


def _key(file: Path) -> Ed25519PrivateKey:
    try:
        if not file.exists():
            _make(file)
        key = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise InvalidInputError(f"the key {file} cannot be read or made: {error.strerror}") from None
    except (ValueError, TypeError):
        raise InvalidInputError(f"{file} holds no private key without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInputError(f"the key {file} is not an Ed25519 key")
    return key


def _make(file: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
        made.write(pem)
