"""The truth: a transactional store, and the named questions and changes that services may put to it.

Theory of operation. A service decides; the store keeps. A write is a *bulk function* `bulk(tx, params) -> results`:
the store collects the jobs that wait, groups them by function, runs each group in one call inside one transaction and
commits once for all (group commit). A result is handed out only after its commit is durable: what was acknowledged
survives `kill -9` and a power cut. Invariants:

- Order between different functions inside one batch is not kept: what depends on each other is one function.
- Jobs of one function keep their order.
- When a batch fails, all of it is rolled back and it is tried again in halves, down to the one job that fails alone; only that
  job's caller sees the error. A bulk function may thus run several times for one job: it must have no effect but on `tx`.
- Bulk functions and readers are plain functions: they never await, and they hold `tx` no longer than they run.
- Transactions are serializable: a bulk function may read, decide and write without locks of its own. (SQLite: one
  writer. PostgreSQL: SERIALIZABLE, conflicts are tried again inside the store.)
- `tenant` leads every question and every change. Nothing here crosses tenants but what says so (`every_…`).

The methods of `Tx` are set-based where a hot path calls them. Times are aware UTC datetimes, to the microsecond.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from otaru.ports.store.backups import Backups
from otaru.ports.store.bundles import Bundles
from otaru.ports.store.enrolling import Claim, Dispute, Enrollments, GrantKey
from otaru.ports.store.following import Followings
from otaru.ports.store.health import Health
from otaru.ports.store.inventory import Attributes, Authorities, Credentials, Devices, Fleet, Groups
from otaru.ports.store.record import Committed, Events, Recorded
from otaru.ports.store.rollouts import Deployments, Reports, Rollouts
from otaru.ports.store.shelf import BlobRows, Deltas, Inspection, Inspections, Releases
from otaru.ports.store.tenancy import Idempotency, Tenants, Tokens
from otaru.ports.store.trust import Anchor, Anchors, Directions, Logs, Signatures, Signed, Tree
from otaru.ports.store.verdicts import Verdicts
from otaru.ports.store.watching import Alerts, Errands

__all__ = [
    "Alerts",
    "Anchor",
    "Anchors",
    "Attributes",
    "Authorities",
    "Backups",
    "BlobRows",
    "Bundles",
    "Claim",
    "Committed",
    "Credentials",
    "Deltas",
    "Deployments",
    "Devices",
    "Directions",
    "Dispute",
    "Enrollments",
    "Errands",
    "Events",
    "Fleet",
    "Followings",
    "GrantKey",
    "Groups",
    "Health",
    "Idempotency",
    "Inspection",
    "Inspections",
    "Logs",
    "Recorded",
    "Releases",
    "Reports",
    "Rollouts",
    "Signatures",
    "Signed",
    "Store",
    "Tenants",
    "Tokens",
    "Tree",
    "Tx",
    "Verdicts",
    "one",
]

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


class Tx(Protocol):
    """One transaction (or, for readers, one snapshot)."""

    tenants: Tenants
    tokens: Tokens
    devices: Devices
    credentials: Credentials
    authorities: Authorities
    releases: Releases
    blobs: BlobRows
    rollouts: Rollouts
    deployments: Deployments
    fleet: Fleet
    followings: Followings
    groups: Groups
    attributes: Attributes
    health: Health
    errands: Errands
    backups: Backups
    alerts: Alerts
    verdicts: Verdicts
    reports: Reports
    events: Events
    idempotency: Idempotency
    inspections: Inspections
    deltas: Deltas
    logs: Logs
    signatures: Signatures
    anchors: Anchors
    directions: Directions
    bundles: Bundles
    enrollments: Enrollments


class Store(Protocol):
    """See the module's theory of operation."""

    async def write(self, bulk: Callable[[Tx, Sequence[P]], Sequence[R]], param: P) -> R:
        """Have `bulk` run with `param` among others; return its result once it is durable.

        Raises `OverloadedError` when the queue is full, `StorageFullError` when the disk is, and what `bulk` raised.
        A caller that is cancelled does not take its job back.
        """
        ...

    def beside(self) -> "Store":
        """The store for what is kept whatever becomes of the use case.

        Where a use case's first write keeps its answer too (`services.control.once`), a write through this is not that one.
        """
        ...

    async def read(self, reader: Callable[[Tx], T]) -> T:
        """Run `reader` on a snapshot, in a thread: for scans and pages."""
        ...

    async def glance(self, reader: Callable[[Tx], T]) -> T:
        """Run `reader` on a snapshot for a few rows by key: on SQLite at once, without leaving the event loop."""
        ...

    def follow(self, listener: Callable[[Committed], None]) -> Callable[[], None]:
        """Have `listener` called on the event loop with what each commit of this process recorded. Returns the way out.

        It is called before any caller gets a result of that commit: what a listener does with it (forget what a cache
        holds) has been done when the request that made the change is answered. It must be quick and must not raise.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, then close."""
        ...


def one(function: Callable[[Tx, P], R]) -> Callable[[Tx, Sequence[P]], list[R]]:
    """A bulk function that does `function` for one job after the other: for use cases that are not hot."""

    def bulk(tx: Tx, params: Sequence[P]) -> list[R]:
        return [function(tx, param) for param in params]

    bulk.__name__ = bulk.__qualname__ = function.__name__
    return bulk
