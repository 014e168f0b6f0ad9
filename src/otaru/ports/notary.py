"""Who signs the heads of logs, and remembers what was signed.

A log is worth as much as the promise that it never shows two histories. So the notary keeps, beside each private key,
the last head that it signed, and signs none that does not begin with it: not after a crash, and not where the database
was put back to an older state or changed by hand.
"""

from collections.abc import Sequence
from typing import Protocol

from otaru.domain.ids import TenantId
from otaru.trust.log.entries import Log
from otaru.trust.log.notes import Checkpoint, Verifier


class Notary(Protocol):
    """One key for each tenant and log. A worker that does not hold a log's key leaves signing to the one that does."""

    async def held(self, tenant: TenantId, log: Log) -> Verifier | None:
        """The public part of the key that is here, under the name that is also the log's origin.

        Raises `DataFolderError` where it cannot be read.
        """
        ...

    async def make(self, tenant: TenantId, log: Log) -> Verifier:
        """Make the key where there is none; durable when this returns."""
        ...

    async def last(self, tenant: TenantId, log: Log) -> Checkpoint | None:
        """The head that was signed last."""
        ...

    async def sign(self, tenant: TenantId, log: Log, size: int, root: bytes, proof: Sequence[bytes]) -> str:
        """The signed head of this size; what was signed is durable before anybody sees it.

        `proof` shows that it begins with the last one (nothing is needed before the first). The same head signed twice
        is the same note. Raises `RefusedError` where the proof does not hold.
        """
        ...
