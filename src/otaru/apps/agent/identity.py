"""Who the device is, to whom it belongs, and how it shows that: kept in its data folder by `otaru agent enroll`."""

import os
from pathlib import Path

import msgspec

from otaru.adapters.board.disk import LocalDisk, make_folders, replace
from otaru.adapters.board.sealed import Sealed
from otaru.errors import DataFolderError, JournalBrokenError

MAX_KEY = 16 * 1024


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """As it is kept; the key, or the token, lies in a file of its own."""

    server: str
    tenant: str
    device: str
    hardware: str
    ca: str = ""
    """Certificates (PEM) of who signed the server's; empty: those that the system trusts."""
    by_token: bool = False
    """It shows a token that somebody gave to it, not a key of its own."""
    key: str = ""
    """Where its key lies, as RFC 7512 writes it; empty: in a file beside this."""


def load(data: Path) -> Identity:
    """Who the device is.

    Raises:
        DataFolderError: nobody yet, or it cannot be read.
    """
    try:
        found = Sealed(LocalDisk(), str(data / "identity")).load()
        if found is not None:
            return msgspec.json.decode(found, type=Identity)
    except (JournalBrokenError, msgspec.DecodeError, OSError) as error:
        raise DataFolderError(f"{data}: who this device is cannot be read: {error}") from None
    raise DataFolderError(
        f"{data}: this device was never enrolled", hint="otaru agent enroll --server URL --token CLAIM"
    )


def keep(data: Path, identity: Identity) -> None:
    """Keep who the device is, durably."""
    Sealed(LocalDisk(), str(data / "identity")).put(msgspec.json.encode(identity))


def token(data: Path) -> str:
    """The token that the device was given."""
    return _read(data / "token").decode().strip()


def keep_token(data: Path, value: str) -> None:
    """Keep a token, durably, for the agent alone."""
    replace(LocalDisk(), str(data / "token"), value.encode())


class FileKey:
    """The device's own private key: P-256, in a file that only the agent reads."""

    def __init__(self, data: Path) -> None:
        """Read the key, or make it: durable before anybody hears of it."""
        # Six megabytes, which a device that shows a token does without.
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - an idle device does without
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - an idle device does without
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_pem_private_key,
        )

        disk, path = LocalDisk(), data / "key.pem"
        if disk.size(str(path)) is None:
            made = ec.generate_private_key(ec.SECP256R1())
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            replace(disk, str(path), pem)
        try:
            found = load_pem_private_key(_read(path), None)
        except ValueError as error:
            raise DataFolderError(f"{path} is no private key: {error}") from None
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise DataFolderError(f"{path} is a key of another kind")
        self._key = found

    @property
    def pem(self) -> str:
        """Its public part."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - an idle device does without

        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def der(self) -> bytes:
        """Its public part, as its digest is made of."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - an idle device does without

        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """A signature."""
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - an idle device does without
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an idle device does without

        return self._key.sign(data, ec.ECDSA(SHA256()))


def open_folder(data: Path) -> None:
    """Make the data folder, for the agent alone.

    Raises:
        DataFolderError: it cannot be.
    """
    try:
        make_folders(LocalDisk(), str(data))
        os.chmod(data, 0o700)  # noqa: PTH101 - as above
    except OSError as error:
        raise DataFolderError(f"{data}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY)
    except OSError as error:
        raise DataFolderError(f"{path}: {error.strerror}") from None
