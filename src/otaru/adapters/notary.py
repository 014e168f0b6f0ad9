"""The notary with its keys in a folder: for each tenant and log a private key and the head that it signed last."""

import asyncio
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from otaru.adapters.blobs.durable import make_folder, sync_folder
from otaru.domain.ids import TenantId
from otaru.errors import DataFolderError, RefusedError
from otaru.trust.log.entries import Log
from otaru.trust.log.merkle import ProofError, check_consistency
from otaru.trust.log.notes import MAX_NOTE, Checkpoint, NoteError, Verifier, opened, sign

_MAX_FILE = 16 * 1024


class FolderNotary:
    """`ports.notary.Notary`. One process uses the folder: who has the data folder's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[tuple[TenantId, Log], tuple[Ed25519PrivateKey, Verifier]] = {}

    async def held(self, tenant: TenantId, log: Log) -> Verifier | None:
        """See the port."""
        known = await self._key(tenant, log)
        return known and known[1]

    async def make(self, tenant: TenantId, log: Log) -> Verifier:
        """See the port."""
        if (known := await self._key(tenant, log)) is None:
            await asyncio.to_thread(self._make, tenant, log)
            known = await self._key(tenant, log)
        assert known is not None  # noqa: S101 - it was just made
        return known[1]

    async def last(self, tenant: TenantId, log: Log) -> Checkpoint | None:
        """See the port."""
        known = await self._key(tenant, log)
        return None if known is None else await asyncio.to_thread(self._last, tenant, log, known[1])

    async def sign(self, tenant: TenantId, log: Log, size: int, root: bytes, proof: Sequence[bytes]) -> str:
        """See the port."""
        known = await self._key(tenant, log)
        if known is None:
            raise RefusedError(f"the key of the {log} log of {tenant} is not here")
        return await asyncio.to_thread(self._sign, tenant, log, known, Checkpoint(known[1].name, size, root), proof)

    async def _key(self, tenant: TenantId, log: Log) -> tuple[Ed25519PrivateKey, Verifier] | None:
        known = self._keys.get((tenant, log)) or await asyncio.to_thread(self._read, tenant, log)
        if known is not None:
            self._keys[tenant, log] = known
        return known

    def _path(self, tenant: TenantId, log: Log, ending: str) -> Path:
        return self._folder / tenant / f"{log}.{ending}"

    def _make(self, tenant: TenantId, log: Log) -> None:
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._path(tenant, log, "key")
        try:
            make_folder(self._folder)
            make_folder(path.parent)
            _write(path, pem)
        except OSError as error:
            raise DataFolderError(f"the log's key {path} cannot be written: {error.strerror}") from None

    def _read(self, tenant: TenantId, log: Log) -> tuple[Ed25519PrivateKey, Verifier] | None:
        path = self._path(tenant, log, "key")
        try:
            with path.open("rb") as file:
                private = load_pem_private_key(file.read(_MAX_FILE), None)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise DataFolderError(f"the log's key {path} cannot be read: {error}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise DataFolderError(f"the log's key {path} is not an Ed25519 key")
        public = private.public_key().public_bytes_raw()
        # A name of its own for every key: a log that was begun anew is another log.
        return private, Verifier(f"otaru/{tenant}/{log}/{sha256(public).hexdigest()[:16]}", public)

    def _last(self, tenant: TenantId, log: Log, verifier: Verifier) -> Checkpoint | None:
        path = self._path(tenant, log, "signed")
        try:
            with path.open("rb") as file:
                return opened(file.read(MAX_NOTE).decode(), verifier)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, NoteError) as error:
            raise DataFolderError(f"what was signed last, {path}, cannot be read: {error}") from None

    def _sign(
        self,
        tenant: TenantId,
        log: Log,
        key: tuple[Ed25519PrivateKey, Verifier],
        head: Checkpoint,
        proof: Sequence[bytes],
    ) -> str:
        private, verifier = key
        last = self._last(tenant, log, verifier)
        if last is not None:
            try:
                check_consistency(last.size, last.root, head.size, head.root, proof)
            except ProofError as error:
                raise RefusedError(
                    f"the {log} log of {tenant} is not what was signed before: {error}",
                    hint="Its rows were changed, or the database was put back to an older state. See docs/log.md.",
                ) from None
        note = sign(head, verifier.name, private)
        path = self._path(tenant, log, "signed")
        try:
            _write(path, note.encode())
        except OSError as error:
            raise DataFolderError(f"{path} cannot be written: {error.strerror}") from None
        return note


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, for its owner only; durable when this returns."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)
