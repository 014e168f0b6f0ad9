"""Public keys as TUF writes them: Ed25519, ECDSA on P-256 and P-384. A key's id is the hash of the key.

TUF lets ids be chosen freely; then one key under two ids would count twice towards a threshold. Here an id has to be
the hash of the key in its one canonical form, so equal keys have equal ids.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.signer import Key, SSlibKey

from otaru.errors import MetadataFormError

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
MAX_KEYS = 64
"""Keys that one metadata file may name."""


def key_of(public: object) -> Key:
    """A public key of the library `cryptography` as TUF writes it.

    Raises:
        MetadataFormError: it is of a kind that we do not take.
    """
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1 | SECP384R1):
        return SSlibKey.from_crypto(public)
    if isinstance(public, Ed25519PublicKey):
        return SSlibKey.from_crypto(public)
    raise MetadataFormError("keys are Ed25519, or ECDSA on P-256 or P-384")


def read_public(pem: str) -> Key:
    """A public key from PEM.

    Raises:
        MetadataFormError: it is none that we take.
    """
    try:
        public = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise MetadataFormError("it is not a public key (PEM)") from None
    return key_of(public)


def as_pem(key: Key) -> str:
    """A public key as PEM."""
    return _public(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_json(given: Mapping[str, Any]) -> Key:
    """A key from its JSON form, checked.

    Raises:
        MetadataFormError: it is none that we take.
    """
    try:
        key = SSlibKey.from_dict("", dict(given))
        return key_of(_public(key))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MetadataFormError("it is not a public key") from None


def check_keys(keys: Mapping[str, Key]) -> None:
    """Check that each key is one we take, in its canonical form, under its own hash.

    Raises:
        MetadataFormError: one is not, or there are too many.
    """
    if len(keys) > MAX_KEYS:
        raise MetadataFormError(f"it names more than {MAX_KEYS} keys")
    for name, key in keys.items():
        if from_json(key.to_dict()) != key or key.keyid != name:
            raise MetadataFormError(f"key {name[:64]} is not written in its canonical form under its own hash")


def _public(key: Key) -> PublicKey:
    public = key.keyval["public"]
    if key.keytype == "ed25519":
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    loaded = load_pem_public_key(public.encode())
    if not isinstance(loaded, EllipticCurvePublicKey):
        raise MetadataFormError("keys are Ed25519, or ECDSA on P-256 or P-384")
    return loaded
