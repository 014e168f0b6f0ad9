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

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from otaru.domain.deployment import Deployment, Report, State
from otaru.domain.device import AutoConfirm, Device, Installed
from otaru.domain.events import Happening, Kind, Position
from otaru.domain.evidence import Tally
from otaru.domain.fleet import Counts, Move
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, Sha256, TenantId, TokenId, Version
from otaru.domain.offer import Plan
from otaru.domain.release import Blob, Release, ReleaseState
from otaru.domain.rollout import Rollout, RolloutState, Wave
from otaru.domain.targeting import Field, Query
from otaru.domain.tenant import Tenant
from otaru.domain.token import Token
from otaru.ports.registry import Entry
from otaru.trust.tuf.kept import End, Kept, KnownKey

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A happening with its place in the record."""

    at: Position
    what: Happening


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit of this process recorded."""

    happenings: Sequence[Happening]
    keys: Sequence[int]
    """The `Position.key`s of it, for `Events.every_since` to leave out."""
    follows: str | None = None
    mark: str | None = None
    """Who has heard of everything up to the mark `follows`, and now of this, has heard of everything up to `mark`. None
    where other workers commit in between."""


class Tenants(Protocol):
    """Organisations and their settings."""

    def get(self, tenant: TenantId) -> Tenant | None: ...
    def add(self, tenant: Tenant) -> bool:
        """False where one of this name exists (nothing is changed)."""
        ...

    def save(self, tenant: Tenant) -> None:
        """Replace settings, halt and edition."""
        ...

    def every_tenant(self) -> list[Tenant]: ...


class Tokens(Protocol):
    """API tokens by the SHA-256 of their secret."""

    def every_by_hash(self, digest: bytes) -> Token | None:
        """Whose token this is; the tenant is what the token says, so no tenant is asked for."""
        ...

    def add(self, token: Token, digest: bytes) -> None: ...
    def page(self, tenant: TenantId, after: TokenId | None, limit: int) -> list[Token]:
        """API tokens by id (which sorts by time)."""
        ...

    def get(self, tenant: TenantId, token: TokenId) -> Token | None: ...
    def revoke(self, tenant: TenantId, token: TokenId, at: datetime) -> bool:
        """False where it is unknown or revoked already: of two who try, one gets True. The sessions it opened end too."""
        ...


class Devices(Protocol):
    """The inventory."""

    def get(self, tenant: TenantId, device: DeviceId) -> Device | None: ...
    def entry(self, tenant: TenantId, device: DeviceId) -> Entry | None:
        """What a poll needs, by key, in as few statements as it takes."""
        ...

    def add(self, tenant: TenantId, devices: Sequence[tuple[Device, bytes]]) -> list[bool]:
        """Add devices with their token hashes; False for each whose id is taken (nothing of it is changed)."""
        ...

    def save(self, tenant: TenantId, device: Device) -> None:
        """Replace lifecycle, hardware, tags, attributes, auto_confirm, attributes_requested, edition, updated_at."""
        ...

    def set_token(self, tenant: TenantId, device: DeviceId, digest: bytes) -> None: ...
    def install(self, tenant: TenantId, installed: Sequence[tuple[DeviceId, Installed]]) -> None:
        """Set what runs in a component."""
        ...

    def ask_attributes(self, tenant: TenantId, devices: Sequence[DeviceId]) -> None:
        """Have each asked for its attributes at its next poll."""
        ...

    def set_auto_confirm(self, tenant: TenantId, device: DeviceId, standing: AutoConfirm | None) -> None: ...
    def contacts(self, contacts: Sequence[tuple[TenantId, DeviceId, datetime, str]]) -> None:
        """Set last contact times and addresses; an older time than the known one, or an unknown device, changes nothing."""
        ...

    def page(self, tenant: TenantId, query: Query | None, after: DeviceId | None, limit: int) -> list[Device]:
        """Devices that match, by id, without a full scan where the query has an index."""
        ...

    def count(self, tenant: TenantId, query: Query | None) -> int: ...
    def words(self, tenant: TenantId, field: Field, limit: int, name: str = "") -> list[str]:
        """The first distinct values of hardware, revision or tag, sorted; what is read is as much as is returned.

        Of attributes and components those of the one called `name`; without it, their names.
        """
        ...


class Fleet(Protocol):
    """All devices of a tenant, counted: from counters that move with the rows, whatever the number of devices."""

    def counts(self, tenant: TenantId, before: datetime) -> Counts:
        """How many are what; `silent` are those last heard of before the hour of `before`."""
        ...

    def recounted(self, tenant: TenantId, before: datetime) -> Counts:
        """The same counted anew from the rows: what `counts` must equal in the same snapshot."""
        ...

    def moves(self, tenant: TenantId, since: datetime) -> list[Move]:
        """How the versions that run changed, by hour, from the hour of `since` on."""
        ...

    def members(self, tenant: TenantId) -> dict[tuple[RolloutState, State], int]:
        """Members of active rollouts by the state of both."""
        ...

    def prune(self, before: datetime) -> None:
        """Forget, of all tenants, how versions changed before, and hours before that nobody was last heard of in."""
        ...


class Releases(Protocol):
    """Products and their releases."""

    def products(
        self, tenant: TenantId, after: ProductName | None, limit: int
    ) -> list[tuple[ProductName, datetime, int]]:
        """Products by name: with time of making and number of releases."""
        ...

    def get(self, tenant: TenantId, product: ProductName, version: Version) -> Release | None: ...
    def add(self, tenant: TenantId, release: Release) -> bool:
        """Add a release, with its product on first use; False where this version exists (nothing is changed)."""
        ...

    def save(self, tenant: TenantId, release: Release) -> None:
        """Replace state, published_at, notes and edition; artifacts never change."""
        ...

    def page(
        self, tenant: TenantId, product: ProductName | None, after: tuple[ProductName, Version] | None, limit: int
    ) -> list[Release]:
        """Releases by product and version."""
        ...

    def newest(self, tenant: TenantId, states: Collection[ReleaseState], limit: int) -> list[Release]:
        """Releases in one of `states`, those published (else made) last first."""
        ...

    def latest(
        self, tenant: TenantId, product: ProductName | None, after: tuple[ProductName, Version] | None, limit: int
    ) -> list[Release]:
        """Releases by time of making, newest first; nothing after one that is not there."""
        ...

    def latest_of(self, tenant: TenantId, products: Collection[ProductName]) -> dict[ProductName, Release]:
        """The release of each that was made last."""
        ...


class BlobRows(Protocol):
    """Which tenant owns which bytes. The bytes themselves are in `ports/blobs`."""

    def get(self, tenant: TenantId, sha256: Sha256) -> tuple[Blob, datetime] | None: ...
    def add(self, tenant: TenantId, blob: Blob, at: datetime) -> bool:
        """False where the tenant has these bytes already."""
        ...

    def used(self, tenant: TenantId) -> int:
        """Bytes that count against the quota."""
        ...

    def page(self, tenant: TenantId, after: Sha256 | None, limit: int) -> list[tuple[Blob, datetime, int]]:
        """By digest: with time of making and in how many releases they stand."""
        ...

    def remove(self, tenant: TenantId, sha256: Sha256) -> bool:
        """False where they stand in a release, or are not there."""
        ...

    def every_known(self, digests: Collection[Sha256]) -> set[Sha256]:
        """Those of `digests` that some tenant has a row for."""
        ...

    def begin_upload(
        self, tenant: TenantId, upload: str, limit: int, filename: str, at: datetime, size: int | None = None
    ) -> None:
        """Keep that an upload has begun; `size` is what it has to hold in the end, where that was announced."""
        ...

    def upload(self, tenant: TenantId, upload: str) -> tuple[int, str, int | None] | None:
        """Limit, file name and announced size of an upload of this tenant."""
        ...

    def end_upload(self, tenant: TenantId, upload: str) -> None: ...
    def open_uploads(self, tenant: TenantId) -> int:
        """How many uploads have begun and not ended."""
        ...

    def prune_uploads(self, before: datetime) -> int:
        """Forget uploads, of all tenants, that were begun before; how many."""
        ...


class Rollouts(Protocol):
    """Rollouts, their waves, segments and members."""

    def next_id(self, tenant: TenantId) -> RolloutId: ...
    def add(self, tenant: TenantId, rollout: Rollout) -> None: ...
    def get(self, tenant: TenantId, rollout: RolloutId) -> Rollout | None: ...
    def plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        """As the poll needs it. A held segment's watermark is -1."""
        ...

    def save(self, tenant: TenantId, rollout: Rollout) -> None:
        """Replace state, waves, reason, times, size and edition, and raise each open segment's watermark to the rollout's.

        O(waves + segments), whatever the number of members.
        """
        ...

    def page(
        self,
        tenant: TenantId,
        states: Collection[str],
        after: RolloutId | None,
        limit: int,
        release: tuple[ProductName, Version] | None = None,
    ) -> list[Rollout]:
        """Newest first; `states` empty means all, `release` None those of any."""
        ...

    def candidates(self, tenant: TenantId, query: Query, release: Release) -> tuple[int, Mapping[str, int]]:
        """How many devices of the target would be members, and how many are left out for which reason.

        Reasons, in this order: `inactive` (lifecycle), `misfit` (hardware), `installed` (this very version runs).
        """
        ...

    def enlist(self, tenant: TenantId, rollout: Rollout, query: Query, release: Release) -> int:
        """Make the candidates members, ranked by the rollout's `draw` and then device id, all in one segment.

        Set-based: no row passes through Python. Returns how many. Their deployments are `scheduled`, attempt 1. Their
        waves are those of `assign_waves`, which follows.
        """
        ...

    def assign_waves(self, tenant: TenantId, rollout: RolloutId, waves: Sequence[Wave]) -> None:
        """Give each member the wave of its rank, and count members anew."""
        ...

    def tallies(self, tenant: TenantId, rollout: RolloutId) -> dict[int, Tally]:
        """By wave, from the counters that move with the rows."""
        ...

    def recounted(self, tenant: TenantId, rollout: RolloutId) -> dict[int, Tally]:
        """By wave, counted anew from the rows: what `tallies` must equal in the same snapshot."""
        ...

    def move_all(
        self,
        tenant: TenantId,
        rollout: RolloutId,
        states: Collection[State],
        target: State,
        reason: str,
        at: datetime,
    ) -> int:
        """Move every current member in `states` to `target`, with counters. Set-based. Returns how many.

        The caller has looked `target` up in the deployment table for each of `states`.
        """
        ...

    def retry(self, tenant: TenantId, rollout: RolloutId, states: Collection[State], at: datetime) -> dict[int, int]:
        """Give each current member in `states` a new attempt, `scheduled`, same rank and wave; how many by wave.

        The old attempt stays as history and is no longer counted. Decommissioned devices are left as they are.
        """
        ...

    def every_due(self, now: datetime, limit: int) -> list[tuple[TenantId, RolloutId]]:
        """Rollouts that a worker should step now: stopping ones, and where no halt holds them, running and due ones.

        Nothing is claimed: a step is decided and taken in one serializable transaction, so two workers cannot both take it.
        """
        ...


class Deployments(Protocol):
    """Devices' shares in rollouts."""

    def current(self, tenant: TenantId, keys: Sequence[tuple[RolloutId, DeviceId]]) -> list[Deployment | None]:
        """The newest attempt of each."""
        ...

    def by_action(self, tenant: TenantId, keys: Sequence[tuple[DeviceId, ActionId]]) -> list[Deployment | None]: ...
    def open_of(self, tenant: TenantId, device: DeviceId) -> Deployment | None:
        """The deployment that the device has been told of and has not ended."""
        ...

    def unended_of(self, tenant: TenantId, device: DeviceId) -> list[Deployment]:
        """All of the device's deployments that are not final, by rollout, whatever state the rollout is in."""
        ...

    def allot(self, tenant: TenantId, devices: Sequence[DeviceId]) -> list[ActionId]:
        """The next action id of each device: 1, 2, 3 …, each given out once. `devices` are distinct."""
        ...

    def save(self, tenant: TenantId, changed: Sequence[tuple[Deployment, Deployment]]) -> None:
        """Replace (before → after) state, action, times and reason, and move the counters by the differences.

        `changed` holds a deployment once. At most one open deployment a device is held by the schema.
        """
        ...

    def of_device(self, tenant: TenantId, device: DeviceId, limit: int) -> list[tuple[Deployment, Rollout]]:
        """Newest first, every attempt (the rollouts come without waves)."""
        ...

    def standing(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, State]:
        """The state of each device's open deployment, else of the one that ended last; without either it is left out."""
        ...

    def page(
        self, tenant: TenantId, rollout: RolloutId, states: Collection[State], after: DeviceId | None, limit: int
    ) -> list[Deployment]:
        """Current attempts of a rollout, by device id."""
        ...

    def reasons(
        self, tenant: TenantId, rollout: RolloutId, limit: int, among: int | None = None
    ) -> list[tuple[State, str, int]]:
        """Why members failed: state and last words, with how many, most frequent first.

        `among` is how many members of each state are looked at, the first by device; None is all.
        """
        ...


class Reports(Protocol):
    """What devices said: append-only."""

    def add(self, tenant: TenantId, reports: Sequence[Report]) -> list[bool]:
        """Keep reports; False for each that is known already by (device, action, digest), also within `reports`.

        Beyond MAX_REPORTS of an action, words are dropped: the report counts as new and is not kept.
        """
        ...

    def of_action(self, tenant: TenantId, device: DeviceId, action: ActionId, limit: int) -> list[Report]:
        """Newest first."""
        ...


class Events(Protocol):
    """The record of what happened."""

    def add(self, happenings: Sequence[Happening]) -> None: ...
    def page(
        self,
        tenant: TenantId,
        after: Position,
        limit: int,
        subject: str | None = None,
        newest_first: bool = False,
        kinds: Collection[Kind] = (),
    ) -> list[Recorded]:
        """Of one tenant, after a position (or, newest first, before it: `START` then means from the end).

        `kinds` empty means all. Of a subject with many events, those of other kinds are read over.
        """
        ...

    def every_after(self, after: Position, limit: int) -> list[Recorded]:
        """Of all tenants, for registries. Ends where an older transaction may still commit in between."""
        ...

    def mark(self) -> str:
        """This snapshot, for `every_since`."""
        ...

    def every_since(self, mark: str, limit: int, known: Collection[int] = ()) -> tuple[list[Recorded] | None, str]:
        """What was committed between `mark` and this snapshot, of all tenants, and this snapshot's mark.

        What has one of the keys `known` is left out. Nothing else is missed and nothing comes twice, and unlike
        `every_after` it does not wait for transactions that still run; in exchange, the order between transactions is
        not that of their positions. None instead of a list where it is more than `limit`, or something that this
        program does not know: then everything may have changed.
        """
        ...

    def last(self) -> Position:
        """Where the record ends now."""
        ...

    def prune(self, before: datetime, limit: int) -> int:
        """Forget, of the `limit` oldest, those of all tenants from before; how many."""
        ...


class Idempotency(Protocol):
    """Answers given to requests that carried an Idempotency-Key."""

    def get(self, tenant: TenantId, token: TokenId, key: str) -> tuple[bytes, int, bytes] | None:
        """Request digest, status and body of the answer that was given."""
        ...

    def add(
        self, tenant: TenantId, token: TokenId, key: str, request: bytes, status: int, body: bytes, at: datetime
    ) -> None: ...
    def prune(self, before: datetime) -> int: ...


class Signatures(Protocol):
    """TUF metadata and the public keys of tenants. What is signed never changes; versions of a role rise."""

    def newest(self, tenant: TenantId, repository: str, roles: Collection[str] | None = None) -> dict[str, Kept]:
        """The newest version of each role, or of those of `roles` that there are."""
        ...

    def get(self, tenant: TenantId, repository: str, role: str, version: int) -> Kept | None: ...
    def ends(self, tenant: TenantId, repository: str) -> dict[str, End]:
        """Of every role, the newest version's number and end, without its bytes."""
        ...

    def add(self, tenant: TenantId, repository: str, kept: Kept) -> bool:
        """False where this version is there (nothing is changed)."""
        ...

    def forget(self, tenant: TenantId, repository: str, role: str, before: int | None = None) -> int:
        """Forget a role's versions, with `before` only those below it; how many."""
        ...

    def every_ending(self, before: datetime) -> list[tuple[TenantId, str]]:
        """Repositories of all tenants in which some role's newest version ends by then."""
        ...

    def add_key(self, tenant: TenantId, key: KnownKey) -> bool:
        """False where it is known (nothing is changed)."""
        ...

    def keys(self, tenant: TenantId) -> list[KnownKey]:
        """The oldest first."""
        ...

    def revoke_keys(self, tenant: TenantId, keys: Collection[str], at: datetime) -> int:
        """Say of keys that no role has them any more; of how many it was not said before."""
        ...

    def every_development(self) -> list[TenantId]:
        """Tenants with development keys that are not revoked."""
        ...


class Tx(Protocol):
    """One transaction (or, for readers, one snapshot)."""

    tenants: Tenants
    tokens: Tokens
    devices: Devices
    releases: Releases
    blobs: BlobRows
    rollouts: Rollouts
    deployments: Deployments
    fleet: Fleet
    reports: Reports
    events: Events
    idempotency: Idempotency
    signatures: Signatures


class Store(Protocol):
    """See the module's theory of operation."""

    async def write(self, bulk: Callable[[Tx, Sequence[P]], Sequence[R]], param: P) -> R:
        """Have `bulk` run with `param` among others; return its result once it is durable.

        Raises `OverloadedError` when the queue is full, `StorageFullError` when the disk is, and what `bulk` raised.
        A caller that is cancelled does not take its job back.
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
