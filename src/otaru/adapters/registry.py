"""`ports.registry.Registry` over a store: filled by key, emptied by the record of events.

Theory of operation. Three kinds of things are kept: tenants, plans (rollouts) and devices' entries. A look-up that finds
nothing loads from the store (`glance`), and those who ask meanwhile share the load. Things are forgotten

- by key, when something happened to just that: it leaves the table, and a load of it that is under way is disowned: its
  own callers get what it reads (it was true when they asked), but it is not kept and nobody else joins it;
- by age, when something may have happened to many devices: an entry carries the tick at which it was kept, and is stale
  when a later tick is noted for its tenant (members were added) or for one of its rollouts (members were moved). That
  costs the same for one device and for a million.

Who says so: `Store.follow` for changes of this process, before their callers have their results; and the tail of the
record for those of other workers, every TAIL_INTERVAL_S and when the bus hints. The tail leaves out what `follow` has
said already. It goes from snapshot to snapshot: a change is either in the snapshot that a load read, or a later round
of the tail sees it, which forgets what was loaded.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from otaru.adapters.contacts import ContactBook
from otaru.adapters.kept import Kept, keep
from otaru.adapters.watching import Watchers, Watching
from otaru.domain.authority import Authority
from otaru.domain.device import Lifecycle
from otaru.domain.errand import MAX_OPEN_IN_ALL
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.offer import Plan
from otaru.domain.rollout import ACTIVE
from otaru.domain.tenant import Tenant
from otaru.ports.bus import Bus
from otaru.ports.clock import Clock
from otaru.ports.registry import Entry
from otaru.ports.store import Committed, Store, Tx

T = TypeVar("T")

EVENTS_TOPIC = "events"
TAIL_INTERVAL_S = 0.25
MAX_DEVICES = 2_000_000
"""Entries kept at most; beyond, the oldest leave."""

_REST_S = 0.02
"""The least time between two rounds of the tail, however often the bus hints."""
_FRESH_S = 1.0
_ROUND_LIMIT = 20_000
"""Changes in one round of the tail; where there are more, everything is forgotten instead."""
_MAX_KNOWN = 200_000
_MAX_PLANS = 10_000
_MAX_INTERNED = 10_000
_MAX_DENIED = 100_000

_ABANDONED: Any = object()

_log = logging.getLogger(__name__)


class _Key(NamedTuple):
    tenant: TenantId
    kind: str
    name: DeviceId | RolloutId | bytes | None


@dataclass(eq=False, slots=True)
class _Shelf:
    """What is kept of one tenant."""

    tenant: Tenant | None = None
    devices: dict[DeviceId, Kept] = field(default_factory=dict)
    plans: dict[RolloutId, Plan] = field(default_factory=dict)
    authorities: tuple[Authority, ...] | None = None
    errands: frozenset[DeviceId] | None = None
    denied: dict[bytes, bool] = field(default_factory=dict)
    """What `is_denied` has said."""
    tick: int = 0
    """Entries kept before it are stale."""
    moved: dict[RolloutId, int] = field(default_factory=dict)
    """Entries kept before it that name the rollout are stale."""

    def entry(self, device: DeviceId) -> Entry | None:
        kept = self.devices.get(device)
        if kept is None or kept.tick < self.tick:
            return None
        entry = kept.entry(device)
        if self.moved:
            for membership in entry.subject.memberships:
                if kept.tick < self.moved.get(membership.rollout, 0):
                    return None
        return entry


class _Concern(Enum):
    """Whose entries may differ after something happened to a rollout."""

    PLAN = auto()
    """Nobody's: only the plan does."""
    MEMBERS = auto()
    """Those that name the rollout."""
    TENANT = auto()
    """Any of the tenant."""


def _revokes(what: Happening) -> bool:
    """Whether credentials may have been revoked."""
    if what.kind is Kind.DEVICE_CREDENTIAL:
        return what.data.get("change") == "revoked"
    return what.kind is Kind.DEVICE_LIFECYCLE and what.data.get("to") == Lifecycle.DECOMMISSIONED


def _concerns(what: Happening) -> _Concern:
    # Entries name the rollouts that are active (`Devices.entry`): a rollout that becomes active comes into entries that
    # do not name it yet; afterwards nothing but moved members changes them.
    if what.kind in {Kind.ROLLOUT_SEGMENT, Kind.ROLLOUT_INSTALL}:
        return _Concern.PLAN
    was, is_, moved = (what.data.get(name) for name in ("from", "to", "moved"))
    if what.kind not in {Kind.ROLLOUT_MOVED, Kind.ROLLOUT_WAVE} or was not in ACTIVE:
        return _Concern.TENANT
    return _Concern.PLAN if is_ in ACTIVE and not moved else _Concern.MEMBERS


@asynccontextmanager
async def open_registry(store: Store, bus: Bus, clock: Clock, **options: Any) -> AsyncIterator["StoreRegistry"]:
    """A registry that follows `store` until the end of the block; then contacts that wait are written."""
    registry = StoreRegistry(store, bus, clock, **options)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


class StoreRegistry:
    """See the module's theory of operation. Everything happens on one event loop."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, *, max_devices: int = MAX_DEVICES) -> None:
        """Take the store to answer from; nothing is read before `start`."""
        self._store = store
        self._bus = bus
        self._clock = clock
        self._max_devices = max_devices
        self._shelves: dict[TenantId, _Shelf] = {}
        self._flights: dict[_Key, asyncio.Future[Any]] = {}
        self._interned: dict[Any, Any] = {}
        self._count = 0
        self._tick = 1
        self._mark = ""
        self._known: set[int] = set()
        self._rounds = 0
        self._round = asyncio.Lock()
        self._seen_at = -_FRESH_S * 2
        self._hint = asyncio.Event()
        self._tail: asyncio.Task[None] | None = None
        self._leave: list[Callable[[], None]] = []
        self._contacts = ContactBook(store)
        self._watchers = Watchers()

    async def start(self) -> None:
        """Begin to follow the record."""
        began = self._clock.monotonic()
        self._leave.append(self._store.follow(self._on_commit))
        self._mark = await self._store.glance(lambda tx: tx.events.mark())
        self._seen_at = began
        self._leave.append(self._bus.subscribe(EVENTS_TOPIC, self._hint.set))
        self._tail = asyncio.create_task(self._follow_record())
        self._contacts.start()

    async def close(self) -> None:
        """Stop following, and write the contacts that wait."""
        for leave in self._leave:
            leave()
        self._leave.clear()
        if self._tail is not None:
            self._tail.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tail
            self._tail = None
        await self._contacts.close()

    async def tenant(self, tenant: TenantId) -> Tenant | None:
        """See the port."""
        shelf = self._shelves.get(tenant)
        if shelf is not None and shelf.tenant is not None:
            return shelf.tenant

        def keep(found: Tenant) -> None:
            self._shelf(tenant).tenant = found

        return await self._load(_Key(tenant, "tenant", None), lambda tx: tx.tenants.get(tenant), keep)

    async def device(self, tenant: TenantId, device: DeviceId) -> Entry | None:
        """See the port."""
        shelf = self._shelves.get(tenant)
        if shelf is not None and (entry := shelf.entry(device)) is not None:
            return entry
        return await self._load(
            _Key(tenant, "device", device),
            lambda tx: tx.devices.entry(tenant, device),
            lambda found: self._keep(tenant, found),
        )

    def known(self, tenant: TenantId, device: DeviceId) -> tuple[Tenant, Entry] | None:
        """See the port."""
        shelf = self._shelves.get(tenant)
        if shelf is None or shelf.tenant is None or not self.fresh:
            return None
        entry = shelf.entry(device)
        return None if entry is None else (shelf.tenant, entry)

    async def plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        """See the port."""
        if (plan := self.known_plan(tenant, rollout)) is not None:
            return plan

        def keep(found: Plan) -> None:
            plans = self._shelf(tenant).plans
            if len(plans) >= _MAX_PLANS:
                plans.clear()
            plans[rollout] = found

        return await self._load(_Key(tenant, "plan", rollout), lambda tx: tx.rollouts.plan(tenant, rollout), keep)

    async def authorities(self, tenant: TenantId) -> tuple[Authority, ...]:
        """See the port."""
        shelf = self._shelves.get(tenant)
        if shelf is not None and shelf.authorities is not None:
            return shelf.authorities

        def keep(found: tuple[Authority, ...]) -> None:
            if (shelf := self._shelves.get(tenant)) is not None:
                shelf.authorities = found

        key = _Key(tenant, "authorities", None)
        return await self._load(key, lambda tx: tuple(tx.authorities.of(tenant)), keep) or ()

    async def errands(self, tenant: TenantId) -> frozenset[DeviceId]:
        """See the port."""
        shelf = self._shelves.get(tenant)
        if shelf is not None and shelf.errands is not None:
            return shelf.errands

        def keep(found: frozenset[DeviceId]) -> None:
            self._shelf(tenant).errands = found

        def load(tx: Tx) -> frozenset[DeviceId]:
            return frozenset(tx.errands.waited_for(tenant, MAX_OPEN_IN_ALL))

        return await self._load(_Key(tenant, "errands", None), load, keep) or frozenset()

    async def is_denied(self, tenant: TenantId, digest: bytes) -> bool:
        """See the port."""
        if (known := self.known_denied(tenant, digest)) is not None:
            return known

        def keep(found: bool) -> None:
            if (shelf := self._shelves.get(tenant)) is not None:
                if len(shelf.denied) >= _MAX_DENIED:
                    shelf.denied.clear()
                shelf.denied[digest] = found

        def read(tx: Tx) -> bool:
            return tx.credentials.is_denied(tenant, digest)

        found = await self._load(_Key(tenant, "denied", digest), read, keep)
        return bool(found)

    def known_denied(self, tenant: TenantId, digest: bytes) -> bool | None:
        """See the port."""
        shelf = self._shelves.get(tenant)
        return None if shelf is None else shelf.denied.get(digest)

    def known_plan(self, tenant: TenantId, rollout: RolloutId) -> Plan | None:
        """See the port."""
        shelf = self._shelves.get(tenant)
        return None if shelf is None else shelf.plans.get(rollout)

    def forget(self, tenant: TenantId, device: DeviceId) -> None:
        """See the port."""
        shelf = self._shelves.get(tenant)
        if shelf is not None and shelf.devices.pop(device, None) is not None:
            self._count -= 1
        self._flights.pop(_Key(tenant, "device", device), None)

    async def caught_up(self) -> None:
        """See the port."""
        asked = self._rounds
        async with self._round:
            # Whoever waited here before us may have begun a round after we asked: it serves us too.
            if self._rounds == asked:
                await self._look()

    @property
    def fresh(self) -> bool:
        """See the port."""
        return self._clock.monotonic() - self._seen_at < _FRESH_S

    def watch(self, tenant: TenantId, device: DeviceId, wake: Callable[[], None]) -> Watching:
        """See the port."""
        return self._watchers.add(tenant, device, wake)

    def touch(self, tenant: TenantId, device: DeviceId, at: datetime, address: str) -> None:
        """See the port."""
        self._contacts.note(tenant, device, at, address)

    # Loading and keeping

    async def _load(self, key: _Key, reader: Callable[[Tx], T | None], keep: Callable[[T], None]) -> T | None:
        while (flight := self._flights.get(key)) is not None:
            found: T | None = await asyncio.shield(flight)
            if found is not _ABANDONED:
                return found
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            found = await self._store.glance(reader)
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # nobody may be waiting
            raise
        except BaseException:
            flight.set_result(_ABANDONED)  # we were cancelled, those who wait were not
            raise
        else:
            flight.set_result(found)
            if found is not None and self._flights.get(key) is flight:
                keep(found)
            return found
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _shelf(self, tenant: TenantId) -> _Shelf:
        # Made only for what was found: names that strangers make up take no room.
        shelf = self._shelves.get(tenant)
        if shelf is None:
            shelf = self._shelves[tenant] = _Shelf()
        return shelf

    def _keep(self, tenant: TenantId, entry: Entry) -> None:
        devices = self._shelf(tenant).devices
        if entry.subject.id not in devices:
            if self._count >= self._max_devices:
                self._evict()
            self._count += 1
        devices[entry.subject.id] = keep(entry, self._tick, self._shared)

    def _shared(self, value: T) -> T:
        """The first object that equals `value`: a million devices run a few versions on a few kinds of hardware."""
        if len(self._interned) >= _MAX_INTERNED:
            self._interned.clear()
        known: T = self._interned.setdefault(value, value)
        return known

    def _evict(self) -> None:
        # An eighth at a time, those that were loaded first, of the largest tenant: cheap for each, and no flood follows.
        devices = max((shelf.devices for shelf in self._shelves.values()), key=len)
        for device in list(islice(devices, len(devices) // 8 + 1)):
            del devices[device]
            self._count -= 1

    # Forgetting

    def _on_commit(self, commit: Committed) -> None:
        for happening in commit.happenings:
            self._forget(happening)
        if commit.mark is not None and commit.follows == self._mark and not self._round.locked():
            self._mark = commit.mark
        elif len(self._known) < _MAX_KNOWN:  # the tail fails for long; then it will just hear of it again
            self._known.update(commit.keys)

    def _forget(self, what: Happening) -> None:
        topic = what.kind.partition(".")[0]
        if topic in {"device", "deployment"}:
            self.forget(what.tenant, DeviceId(what.subject))
            self._watchers.device(what.tenant, DeviceId(what.subject))
            if what.kind is Kind.DEVICE_ERRAND:
                self._forget_errands(what.tenant)
            elif _revokes(what):
                self._forget_identity(what.tenant)
        elif topic == "authority":
            self._forget_identity(what.tenant)
        elif topic == "tenant":
            if (shelf := self._shelves.get(what.tenant)) is not None:
                shelf.tenant = None
            self._flights.pop(_Key(what.tenant, "tenant", None), None)
            self._watchers.tenant(what.tenant)
        elif topic in {"release", "product"}:
            if (shelf := self._shelves.get(what.tenant)) is not None:
                shelf.plans.clear()
            self._disown(what.tenant, "plan")
            self._watchers.rollouts(what.tenant)
        elif topic == "rollout":
            self._forget_rollout(what)

    def _forget_errands(self, tenant: TenantId) -> None:
        if (shelf := self._shelves.get(tenant)) is not None:
            shelf.errands = None
        self._flights.pop(_Key(tenant, "errands", None), None)

    def _forget_identity(self, tenant: TenantId) -> None:
        if (shelf := self._shelves.get(tenant)) is not None:
            shelf.authorities = None
            shelf.denied.clear()
        for kind in ("authorities", "denied"):
            self._disown(tenant, kind)

    def _forget_plan(self, what: Happening) -> RolloutId:
        rollout = RolloutId(int(what.subject))
        self._flights.pop(_Key(what.tenant, "plan", rollout), None)
        if (shelf := self._shelves.get(what.tenant)) is not None:
            shelf.plans.pop(rollout, None)
        return rollout

    def _forget_rollout(self, what: Happening) -> None:
        rollout = self._forget_plan(what)
        if what.kind is Kind.ROLLOUT_JOINED and "devices" in what.data:
            for device in what.data["devices"]:
                self.forget(what.tenant, DeviceId(device))
                self._watchers.device(what.tenant, DeviceId(device))
            return
        shelf = self._shelves.get(what.tenant)
        whom = _concerns(what)
        if whom is _Concern.TENANT:
            self._watchers.tenant(what.tenant)
        else:
            self._watchers.rollout(what.tenant, rollout)
        if whom is _Concern.PLAN:
            return
        self._disown(what.tenant, "device")
        if shelf is None:
            return
        self._tick += 1
        if whom is _Concern.MEMBERS:
            shelf.moved[rollout] = self._tick
        else:
            shelf.tick = self._tick
            shelf.moved.clear()

    def _disown(self, tenant: TenantId, kind: str) -> None:
        for key in [key for key in self._flights if key.tenant == tenant and key.kind == kind]:
            del self._flights[key]

    def _forget_all(self) -> None:
        self._shelves.clear()
        self._flights.clear()
        self._count = 0
        self._watchers.everybody()

    # Following the record

    async def _follow_record(self) -> None:
        failing = False
        while True:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: until Python 3.12 it may swallow the cancellation that `close` waits for.
                async with asyncio.timeout(TAIL_INTERVAL_S):
                    await self._hint.wait()
            self._hint.clear()
            try:
                async with self._round:
                    await self._look()
            except Exception:  # noqa: BLE001 - the next round may go well; until then `fresh` tells callers
                if not failing:
                    _log.warning("the record of events cannot be read", exc_info=True)
                failing = True
            else:
                failing = False
            await asyncio.sleep(_REST_S)

    async def _look(self) -> None:
        """One round of the tail: forget what others changed since the last one. Holds `_round`."""
        began = self._clock.monotonic()
        self._rounds += 1
        mark = self._mark
        # All of these are committed, so this round's snapshot has them and no later round comes upon them.
        known, self._known = self._known, set()
        try:
            recorded, present = await self._store.glance(lambda tx: tx.events.every_since(mark, _ROUND_LIMIT, known))
        except BaseException:
            self._known |= known
            raise
        if recorded is None:
            self._forget_all()
        else:
            for one in recorded:
                self._forget(one.what)
        self._mark = present
        self._seen_at = began
