"""Who signs for the director: holds its online keys, and signs what it finds to be so, nothing else.

Nobody hands it bytes. It is told a device and what the server would have it do, looks that up in the store itself, and
signs only what it finds there: a share in a rollout that runs, that is in the signed release log, of a release that the
image repository lists under its own signatures. What it knows of the store it reads; it changes nothing there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from securesystemslib.signer import Key

from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import AssignmentRefusedError
from otaru.ports.store import Tx
from otaru.trust.tuf.director import Issued, Share


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a device is to be told; `share` None: that nothing is due."""

    tenant: TenantId
    device: DeviceId
    share: Share | None


class Director(Protocol):
    """The signer, wherever it is."""

    async def make(self, tenant: TenantId) -> Key:
        """A new online key, or the one that the operator has named; durable when this returns.

        Raises `UnavailableError` where nobody answers, or the key's place does not.
        """
        ...

    async def held(self, tenant: TenantId, keys: Collection[str]) -> frozenset[str]:
        """Which of these keys, by id, it holds. Raises `UnavailableError`."""
        ...

    async def sign(self, assignment: Assignment) -> Issued:
        """A device's metadata of the version that follows the one in the store.

        Raises `AssignmentRefusedError` where it is not so, `UnavailableError` where nobody answers, `OverloadedError`
        where too many wait. Signing has no effect: what is not kept (`Directions.put`) was never handed out.
        """
        ...

    async def close(self) -> None:
        """End it."""
        ...


class Desk(Protocol):
    """What the signer does, on a snapshot of the store."""

    def make(self, tenant: TenantId) -> Key: ...
    def held(self, tenant: TenantId, keys: Collection[str]) -> frozenset[str]: ...
    def sign(self, tx: Tx, assignments: Sequence[Assignment], now: datetime) -> list[Issued | AssignmentRefusedError]:
        """Each as `Director.sign`."""
        ...
