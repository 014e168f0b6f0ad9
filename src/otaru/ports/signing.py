"""Private keys that sign, wherever they lie.

A private key never leaves its place: who signs hands over bytes and gets a signature. Signing has no effect but on the
signature, so it may be done inside a transaction that is tried again.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from securesystemslib.signer import Key

from otaru.domain.ids import TenantId


class Signer(Protocol):
    """One private key."""

    @property
    def key(self) -> Key:
        """Its public part, under the id that metadata names it by."""
        ...

    def sign(self, data: bytes) -> bytes:
        """A signature that `key` finds good: Ed25519's 64 bytes, or DER for ECDSA.

        Raises `UnavailableError` where the key's place does not answer.
        """
        ...


class Keyring(Protocol):
    """The private keys that this server holds, by tenant. Keys of one tenant never sign for another."""

    def make(self, tenant: TenantId, kind: str = "ed25519") -> Signer:
        """A new key, `ed25519` or `p256`, durable when this returns."""
        ...

    def online(self, tenant: TenantId) -> Signer:
        """The key for what is signed all the time: the one that the operator has named, else a new one.

        Raises `InvalidInputError` where the operator has named none of this tenant's, or what is none, `UnavailableError`
        where its place does not answer.
        """
        ...

    def of(self, tenant: TenantId, keys: Collection[str]) -> Mapping[str, Signer]:
        """Those of the keys with these ids that are held here, by id.

        Raises `DataFolderError` where one is there and cannot be read.
        """
        ...

    def drop(self, tenant: TenantId, key: str) -> None:
        """Forget a private key for ever; nothing where it is not held here. One in a token stays in the token.

        Raises `DataFolderError` where it cannot be removed.
        """
        ...
