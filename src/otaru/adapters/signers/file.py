"""Private keys in files: PKCS#8 in PEM, encrypted with a passphrase (PBES2, scrypt) where there is one; and a folder of them.

The keyring of a server is the folder `DATA/keys`, with a folder for each tenant. Its keys carry no passphrase, since
nobody is there to type one when the server starts: they are readable to the server's user only, as its database is.
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import Key

from otaru.adapters.signers.pkcs8 import covered
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from otaru.errors import DataFolderError, InvalidInputError, UnavailableError
from otaru.ports.signing import Signer
from otaru.trust.tuf.keys import key_of

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
MAX_FILE = 16 * 1024
_ID = re.compile(r"[0-9a-f]{64}")
"""Ids come from metadata that nobody has checked yet, and name files here."""


class FileSigner:
    """Implements `ports.signing.Signer` by a key in memory."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self._key = key_of(private.public_key())

    @property
    def key(self) -> Key:
        """See the port."""
        return self._key

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        if isinstance(self._private, Ed25519PrivateKey):
            return self._private.sign(data)
        return self._private.sign(data, ECDSA(SHA384() if self._private.key_size == 384 else SHA256()))


def generate(kind: str = "ed25519") -> PrivateKey:
    """A new private key, `ed25519` or `p256`."""
    match kind:
        case "ed25519":
            return Ed25519PrivateKey.generate()
        case "p256":
            return generate_private_key(SECP256R1())
        case _:
            raise InvalidInputError(f"{kind!r} is not a kind of key", hint="Keys are ed25519 or p256.")


def write_key(path: Path, private: PrivateKey, passphrase: bytes | None) -> None:
    """Write a private key to a new file that only its owner can read; durable when this returns.

    Raises:
        InvalidInputError: there is a file already.
        OSError: it cannot be written.
    """
    encoding = Encoding.DER if passphrase else Encoding.PEM
    pem = private.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    if passphrase:
        pem = covered(pem, passphrase)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise InvalidInputError(f"there is a file {path} already; keys are never overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    _sync(path.parent)


def read_key(path: Path, passphrase: bytes | None) -> FileSigner:
    """The signer of a private key in a file.

    Raises:
        InvalidInputError: it cannot be read, holds no such key, or the passphrase is wrong or missing.
    """
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_FILE)
        private = load_pem_private_key(pem, passphrase)
    except OSError as error:
        raise InvalidInputError(f"the key {path} cannot be read: {error.strerror}") from None
    except TypeError:
        told = "is encrypted: it needs its passphrase" if passphrase is None else "is not encrypted"
        raise InvalidInputError(f"the key {path} {told}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError(f"{path} holds no private key, or its passphrase is another") from None
    if not isinstance(private, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise InvalidInputError(f"the key {path} is neither Ed25519 nor ECDSA")
    return FileSigner(private)


class FolderKeyring:
    """Implements `ports.signing.Keyring` by a folder."""

    def __init__(self, folder: Path, pin: str | None = None, online: str = "") -> None:
        """Take the folder, and the PIN of the tokens that some of its keys lie in.

        `online` is where the key lies for what is signed all the time, with `{tenant}` in it; without that it is the tenant
        DEFAULT's. Empty: such keys are made here.
        """
        self._folder = folder
        self._pin = pin
        self._online = online
        self._held: dict[tuple[TenantId, str], Signer] = {}

    def make(self, tenant: TenantId, kind: str = "ed25519") -> Signer:
        """See the port."""
        private = generate(kind)
        signer = FileSigner(private)
        path = self._path(tenant, signer.key.keyid)
        try:
            for folder in (self._folder, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync(folder.parent)
            write_key(path, private, None)
        except OSError as error:
            raise DataFolderError(f"the key {path} cannot be written: {error.strerror}") from None
        self._held[tenant, signer.key.keyid] = signer
        return signer

    def online(self, tenant: TenantId) -> Signer:
        """See the port."""
        if not self._online:
            return self.make(tenant)
        if "{tenant}" not in self._online and tenant != DEFAULT_TENANT:
            raise InvalidInputError(
                f"the online key of the settings is {DEFAULT_TENANT}'s",
                hint="Write {tenant} where its name has the tenant's.",
            )
        name = self.adopt(tenant, self._online.replace("{tenant}", tenant))
        return self.of(tenant, [name])[name]

    def adopt(self, tenant: TenantId, uri: str) -> str:
        """Note that a key in a token (PKCS#11) or in AWS KMS is the tenant's; its id. Adopting it again changes nothing.

        Raises:
            InvalidInputError: the URI names no key, or the PIN is wrong.
            UnavailableError: the token cannot be used.
            DataFolderError: it cannot be noted.
        """
        name = self._elsewhere(uri).key.keyid
        path = self._path(tenant, name).with_suffix(".uri")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(uri, encoding="utf-8")
            _sync(path.parent)
        except OSError as error:
            raise DataFolderError(f"the key {path} cannot be noted: {error.strerror}") from None
        return name

    def of(self, tenant: TenantId, keys: Collection[str]) -> Mapping[str, Signer]:
        """See the port."""
        found = {}
        for name in filter(_ID.fullmatch, keys):
            signer = self._held.get((tenant, name)) or self._read(tenant, name)
            if signer is not None:
                found[name] = self._held[tenant, name] = signer
        return found

    def drop(self, tenant: TenantId, key: str) -> None:
        """See the port."""
        if not _ID.fullmatch(key):
            return
        self._held.pop((tenant, key), None)
        path = self._path(tenant, key)
        try:
            for file in (path, path.with_suffix(".uri")):
                file.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync(path.parent)
        except OSError as error:
            raise DataFolderError(f"the key {path} cannot be removed: {error.strerror}") from None

    def _read(self, tenant: TenantId, name: str) -> Signer | None:
        path = self._path(tenant, name)
        token = path.with_suffix(".uri")
        if not path.exists() and not token.exists():
            return None
        try:
            signer = read_key(path, None) if path.exists() else self._elsewhere(token.read_text(encoding="utf-8"))
        except InvalidInputError as error:
            raise DataFolderError(error.message) from None
        if signer.key.keyid != name:
            raise DataFolderError(f"the key in {path} is another")
        return signer

    def _elsewhere(self, uri: str) -> Signer:
        if uri.startswith("awskms:"):
            try:
                from otaru.adapters.signers.kms import KmsSigner  # noqa: PLC0415 - where keys are there
            except ImportError:
                raise UnavailableError("keys in AWS KMS need a library", hint="Install otaru[kms].") from None
            return KmsSigner(uri)
        try:
            from otaru.adapters.signers.pkcs11 import Pkcs11Signer, place  # noqa: PLC0415 - where there are tokens
        except ImportError:
            raise UnavailableError("keys in tokens need a library", hint="Install otaru[pkcs11].") from None
        if self._pin is None:
            raise UnavailableError("the PIN of the token is missing", hint="Start the server with OTARU_PIN set.")
        return Pkcs11Signer(place(uri), self._pin)

    def _path(self, tenant: TenantId, name: str) -> Path:
        return self._folder / tenant / f"{name}.pem"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
