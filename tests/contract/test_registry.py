"""The registry port: never silently stale, on one worker and on two."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.registry import StoreRegistry, open_registry
from otaru.adapters.sql.store import SqlStore
from otaru.domain.authority import Authority
from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.deployment import State
from otaru.domain.device import Device, Hardware, Lifecycle
from otaru.domain.events import START, Kind
from otaru.domain.ids import CredentialId, DeviceId, ProductName, RolloutId, Sha256, TenantId, Version
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.domain.rollout import Policy, Rollout, RolloutState, Segment, Wave, WaveState
from otaru.domain.targeting import parse
from otaru.domain.tenant import Tenant
from otaru.errors import UnavailableError
from otaru.ports.registry import Entry
from otaru.ports.store import Tx
from tests.support.stores import ACME, NOW, RIVAL, happening, later, opened, record

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
BOARD = Hardware("board")


@dataclass
class Worker:
    store: SqlStore
    registry: StoreRegistry


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    bus = LocalBus()
    async with opened(database, bus) as store, open_registry(store, bus, SystemClock()) as registry:
        yield Worker(store, registry)


@pytest.fixture
async def other(database: str) -> AsyncIterator[Worker]:
    """A second worker on the same database, whose bus does not reach the first."""
    bus = LocalBus()
    async with opened(database, bus, shard=1) as store, open_registry(store, bus, SystemClock()) as registry:
        yield Worker(store, registry)


def device(name: DeviceId, **changes: object) -> Device:
    return replace(Device(name, Lifecycle.ACTIVE, BOARD, NOW, NOW), **changes)  # type: ignore[arg-type]


def add_devices(tx: Tx, params: Sequence[tuple[TenantId, Sequence[Device]]]) -> list[None]:
    for tenant, devices in params:
        tx.devices.add(tenant, [(one, one.id.encode().ljust(32)) for one in devices])
        tx.events.add([happening(one.id, Kind.DEVICE_ADDED, tenant) for one in devices])
    return [None] * len(params)


def change_device(tx: Tx, params: Sequence[tuple[TenantId, Device]]) -> list[None]:
    for tenant, changed in params:
        tx.devices.save(tenant, changed)
        tx.events.add([happening(changed.id, Kind.DEVICE_LIFECYCLE, tenant)])
    return [None] * len(params)


def change_unrecorded(tx: Tx, params: Sequence[tuple[TenantId, Device]]) -> list[None]:
    for tenant, changed in params:
        tx.devices.save(tenant, changed)
    return [None] * len(params)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - there is nothing else to wait for
            await asyncio.sleep(0.01)


async def lifecycle(worker: Worker, name: DeviceId = DEV) -> Lifecycle | None:
    entry = await worker.registry.device(ACME, name)
    return None if entry is None else entry.subject.lifecycle


QUARANTINED = device(DEV, lifecycle=Lifecycle.QUARANTINED)


async def test_an_unknown_device_is_none_until_it_is_there(worker: Worker) -> None:
    assert await worker.registry.device(ACME, DEV) is None
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    entry = await worker.registry.device(ACME, DEV)
    assert entry is not None
    assert (entry.subject.id, entry.subject.hardware, entry.token_hash) == (DEV, BOARD, DEV.encode().ljust(32))
    assert await worker.registry.device(RIVAL, DEV) is None


async def test_a_second_look_asks_nobody(worker: Worker) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    await worker.registry.device(ACME, DEV)
    assert await worker.registry.device(ACME, DEV) is await worker.registry.device(ACME, DEV)
    await worker.store.write(change_unrecorded, (ACME, QUARANTINED))
    assert await lifecycle(worker) is Lifecycle.ACTIVE
    worker.registry.forget(RIVAL, DEV)
    assert await lifecycle(worker) is Lifecycle.ACTIVE
    worker.registry.forget(ACME, DEV)
    assert await lifecycle(worker) is Lifecycle.QUARANTINED


async def test_an_own_change_is_seen_when_its_caller_has_its_result(worker: Worker) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    for n in range(50):
        assert await lifecycle(worker) is not None
        state = Lifecycle.QUARANTINED if n % 2 else Lifecycle.ACTIVE
        await worker.store.write(change_device, (ACME, device(DEV, lifecycle=state)))
        assert await lifecycle(worker) is state


async def test_another_workers_change_is_seen_after_catching_up(worker: Worker, other: Worker) -> None:
    await other.store.write(add_devices, (ACME, [device(DEV)]))
    for n in range(30):
        assert await lifecycle(worker) is not None
        state = Lifecycle.QUARANTINED if n % 2 else Lifecycle.ACTIVE
        await other.store.write(change_device, (ACME, device(DEV, lifecycle=state)))
        await worker.registry.caught_up()
        assert await lifecycle(worker) is state


async def test_another_workers_change_is_seen_by_itself(worker: Worker, other: Worker) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    assert await lifecycle(worker) is Lifecycle.ACTIVE
    await other.store.write(change_device, (ACME, QUARANTINED))

    async def seen() -> bool:
        return await lifecycle(worker) is Lifecycle.QUARANTINED

    await eventually(seen)


async def test_nobody_sees_a_state_older_than_one_seen_before(worker: Worker, other: Worker) -> None:
    """Workers change, look and forget at once; what a caller reads after its own write is never older than it."""
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    newest = 1

    async def write(by: Worker, editions: range) -> None:
        nonlocal newest
        for edition in editions:
            await by.store.write(change_device, (ACME, device(DEV, updated_at=later(edition), edition=edition)))
            newest = edition
            await by.registry.device(ACME, DEV)

    async def look(by: Worker) -> None:
        for _ in range(200):
            await by.registry.caught_up()
            least = newest
            assert await stored_edition(by) >= least
            await asyncio.sleep(0)

    async def stored_edition(by: Worker) -> int:
        found = await by.store.glance(lambda tx: tx.devices.get(ACME, DEV))
        assert found is not None
        return found.edition

    await asyncio.gather(write(other, range(2, 80)), look(worker), look(other))
    await worker.registry.caught_up()
    assert await lifecycle(worker) is Lifecycle.ACTIVE


class Slow:
    """A store whose glances can be held between their snapshot and their answer."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.held: asyncio.Event | None = None
        self.loads = 0
        self.looked = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def glance(self, reader: Callable[[Tx], object]) -> object:
        found = await self._store.glance(reader)
        if isinstance(found, Entry):
            self.loads += 1
            self.looked.set()
            if self.held is not None:
                await self.held.wait()
        return found


@pytest.fixture
async def slow(database: str) -> AsyncIterator[tuple[Slow, Worker]]:
    bus = LocalBus()
    async with opened(database, bus) as store:
        slow = Slow(store)
        async with open_registry(slow, bus, SystemClock()) as registry:  # type: ignore[arg-type]
            yield slow, Worker(store, registry)


@pytest.mark.parametrize("how", ["follow", "forget", "rollout", "everything"])
async def test_a_load_that_a_change_overtook_is_not_kept(slow: tuple[Slow, Worker], how: str) -> None:
    store, worker = slow
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    store.held = asyncio.Event()
    early = asyncio.create_task(lifecycle(worker))
    await store.looked.wait()
    match how:
        case "follow":
            await worker.store.write(change_device, (ACME, QUARANTINED))
        case "forget":
            await worker.store.write(change_unrecorded, (ACME, QUARANTINED))
            worker.registry.forget(ACME, DEV)
        case "rollout":
            await worker.store.write(change_unrecorded, (ACME, QUARANTINED))
            await worker.store.write(record_rollout, Kind.ROLLOUT_CREATED)
        case _:
            await worker.store.write(change_unrecorded, (ACME, QUARANTINED))
            worker.registry._forget_all()
    held, store.held = store.held, None
    # Who asks now may not be given what the load under way has read.
    assert await lifecycle(worker) is Lifecycle.QUARANTINED
    held.set()
    assert await early is Lifecycle.ACTIVE  # true when it was asked
    assert await lifecycle(worker) is Lifecycle.QUARANTINED


def record_rollout(tx: Tx, kinds: Sequence[Kind]) -> list[None]:
    tx.events.add([happening("1", kind) for kind in kinds])
    return [None] * len(kinds)


async def test_those_who_ask_together_share_a_load(slow: tuple[Slow, Worker]) -> None:
    store, worker = slow
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    store.held = asyncio.Event()
    asking = [asyncio.create_task(lifecycle(worker)) for _ in range(20)]
    await store.looked.wait()
    store.held.set()
    assert await asyncio.gather(*asking) == [Lifecycle.ACTIVE] * 20
    assert store.loads == 1


async def test_who_is_cancelled_takes_nobody_along(slow: tuple[Slow, Worker]) -> None:
    store, worker = slow
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    store.held = asyncio.Event()
    first = asyncio.create_task(lifecycle(worker))
    await store.looked.wait()
    second, third = (asyncio.create_task(lifecycle(worker)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    store.held.set()
    assert await third is Lifecycle.ACTIVE
    assert {type(r) for r in await asyncio.gather(first, second, return_exceptions=True)} == {asyncio.CancelledError}


async def test_a_load_that_fails_fails_for_all_and_is_tried_again(worker: Worker) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    broken = worker.store._inline or worker.store._glances
    assert broken is not None
    broken._closed = True
    results = await asyncio.gather(*(lifecycle(worker) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, UnavailableError) for result in results)
    broken._closed = False
    assert await lifecycle(worker) is Lifecycle.ACTIVE


async def test_tenants_are_forgotten_when_they_change(worker: Worker, other: Worker) -> None:
    def save(tx: Tx, tenants: Sequence[Tenant]) -> list[None]:
        for tenant in tenants:
            if not tx.tenants.add(tenant):
                tx.tenants.save(tenant)
            tx.events.add([happening(tenant.id, Kind.TENANT_HALTED, tenant.id)])
        return [None] * len(tenants)

    assert await worker.registry.tenant(ACME) is None
    for edition in range(1, 6):
        tenant = Tenant(ACME, NOW, halted=edition % 2 == 0, edition=edition)
        await other.store.write(save, tenant)
        assert await other.registry.tenant(ACME) == tenant
        await worker.registry.caught_up()
        assert await worker.registry.tenant(ACME) == tenant
    assert await worker.registry.tenant(ACME) is await worker.registry.tenant(ACME)
    assert await worker.registry.tenant(RIVAL) is None


RELEASE = Release(
    ProductName("app"),
    Version("2"),
    ReleaseState.PUBLISHED,
    (Artifact("app", BOARD, "app.swu", Blob(Sha256("a" * 64), "b" * 40, "c" * 32, 3)),),
    NOW,
    NOW,
)
ROLLOUT = Rollout(
    RolloutId(1), ProductName("app"), Version("2"), "id==*", RolloutState.PLANNED, Policy(), 7, NOW,
    waves=(Wave(0, 0, 10),), segments=(Segment(0, "all", 10),),
)  # fmt: skip


def add_rollout(tx: Tx, params: Sequence[Rollout]) -> list[int]:
    sizes = []
    for rollout in params:
        tx.blobs.add(ACME, RELEASE.artifacts[0].blob, NOW)
        tx.releases.add(ACME, RELEASE)
        tx.rollouts.add(ACME, rollout)
        sizes.append(tx.rollouts.enlist(ACME, rollout, parse(rollout.target, NOW), RELEASE))
        tx.events.add([happening(str(rollout.id), Kind.ROLLOUT_CREATED)])
    return sizes


def save_rollout(tx: Tx, params: Sequence[Rollout]) -> list[None]:
    for rollout in params:
        tx.rollouts.save(ACME, rollout)
        data: dict[str, Any] = {"from": "planned", "to": rollout.state.value}
        tx.events.add([happening(str(rollout.id), Kind.ROLLOUT_MOVED, **data)])
    return [None] * len(params)


def skip_members(tx: Tx, params: Sequence[Rollout]) -> list[None]:
    for rollout in params:
        moved = tx.rollouts.move_all(ACME, rollout.id, {State.SCHEDULED}, State.SKIPPED, "stopped", NOW)
        stopped = replace(rollout, state=RolloutState.STOPPED)
        tx.rollouts.save(ACME, stopped)
        data: dict[str, Any] = {"from": "running", "to": "stopped", "moved": {"skip_scheduled": moved}}
        tx.events.add([happening(str(rollout.id), Kind.ROLLOUT_MOVED, **data)])
    return [None] * len(params)


RUNNING = replace(ROLLOUT, state=RolloutState.RUNNING, started_at=NOW, waves=(Wave(0, 0, 10, WaveState.OPEN, NOW),))


@pytest.mark.parametrize("by", ["itself", "another"])
async def test_members_follow_their_rollout(worker: Worker, other: Worker, by: str) -> None:
    writer = worker if by == "itself" else other
    names = [DeviceId(f"d{n}") for n in range(5)]
    await writer.store.write(add_devices, (ACME, [device(name) for name in names]))

    async def memberships() -> list[int]:
        if by == "another":
            await worker.registry.caught_up()
        entries = [await worker.registry.device(ACME, name) for name in names]
        return [len(entry.subject.memberships) for entry in entries if entry is not None]

    assert await memberships() == [0] * 5
    assert await writer.store.write(add_rollout, ROLLOUT) == 5
    await memberships()
    plan = await worker.registry.plan(ACME, ROLLOUT.id)
    assert plan is not None
    assert plan.rollout.state is RolloutState.PLANNED
    assert await worker.registry.plan(ACME, ROLLOUT.id) is plan
    assert worker.registry.known_plan(ACME, ROLLOUT.id) is plan

    await writer.store.write(save_rollout, RUNNING)
    assert await memberships() == [1] * 5
    plan = await worker.registry.plan(ACME, ROLLOUT.id)
    assert plan is not None
    assert plan.rollout.state is RolloutState.RUNNING

    await writer.store.write(skip_members, RUNNING)
    assert await memberships() == [0] * 5
    assert await worker.registry.plan(RIVAL, ROLLOUT.id) is None
    assert worker.registry.known_plan(RIVAL, ROLLOUT.id) is None


@pytest.mark.parametrize(
    ("kind", "was", "now", "moved", "kept"),
    [
        (Kind.ROLLOUT_MOVED, "running", "paused", {}, True),
        (Kind.ROLLOUT_MOVED, "running", "stopping", {"skip_scheduled": 3}, True),
        (Kind.ROLLOUT_WAVE, "running", "running", {}, True),
        (Kind.ROLLOUT_MOVED, "planned", "running", {}, False),
        (Kind.ROLLOUT_MOVED, "finished", "running", {}, False),
        (Kind.ROLLOUT_MOVED, None, None, {}, False),
        (Kind.ROLLOUT_CREATED, None, None, {}, False),
        (Kind.ROLLOUT_RETRIED, None, None, {}, False),
        (Kind.ROLLOUT_SEGMENT, None, None, {}, True),
    ],
)
async def test_devices_of_no_rollout_are_asked_anew_only_where_members_may_have_come(
    worker: Worker, kind: Kind, was: str | None, now: str | None, moved: dict[str, int], kept: bool
) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    await worker.registry.device(ACME, DEV)
    before = await worker.registry.device(ACME, DEV)
    data: dict[str, Any] = {"from": was, "to": now, "moved": moved} if was else {}
    what = happening("9", kind, **data)
    await worker.store.write(record, what)
    assert (await worker.registry.device(ACME, DEV) is before) is kept


async def test_a_release_that_changes_is_forgotten_with_its_plans(worker: Worker) -> None:
    await worker.store.write(add_rollout, ROLLOUT)
    assert await worker.registry.plan(ACME, ROLLOUT.id) is not None

    def withdraw(tx: Tx, params: Sequence[Release]) -> list[None]:
        for release in params:
            tx.releases.save(ACME, replace(release, state=ReleaseState.WITHDRAWN))
            tx.events.add([happening("app:2", Kind.RELEASE_MOVED)])
        return [None] * len(params)

    await worker.store.write(withdraw, RELEASE)
    plan = await worker.registry.plan(ACME, ROLLOUT.id)
    assert plan is not None
    assert plan.release.state is ReleaseState.WITHDRAWN


async def test_where_it_lost_track_it_forgets_everything(
    worker: Worker, other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    assert await lifecycle(worker) is Lifecycle.ACTIVE
    monkeypatch.setattr("otaru.adapters.registry._ROUND_LIMIT", 3)
    await other.store.write(change_unrecorded, (ACME, QUARANTINED))

    def many(tx: Tx, params: Sequence[int]) -> list[None]:
        tx.events.add([happening(f"{n}") for param in params for n in range(param)])
        return [None] * len(params)

    await other.store.write(many, 10)
    await worker.registry.caught_up()
    assert await lifecycle(worker) is Lifecycle.QUARANTINED


CREDENTIAL = Credential(CredentialId("c1"), CredentialKind.CERTIFICATE, b"k" * 32, b"i" * 32, "", NOW)
AUTHORITY = Authority("a" * 64, "key", b"der", "", NOW, later(60))


def add_credential(tx: Tx, params: Sequence[Credential]) -> list[None]:
    for credential in params:
        tx.credentials.add(ACME, DEV, credential)
        tx.events.add([happening(DEV, Kind.DEVICE_CREDENTIAL, change="added")])
    return [None] * len(params)


def revoke_credential(tx: Tx, params: Sequence[Credential]) -> list[None]:
    for credential in params:
        tx.credentials.revoke(ACME, DEV, credential.id, later(1))
        tx.events.add([happening(DEV, Kind.DEVICE_CREDENTIAL, change="revoked")])
    return [None] * len(params)


def decommission(tx: Tx, params: Sequence[Credential]) -> list[None]:
    for _ in params:
        tx.credentials.revoke_all(ACME, DEV, later(1))
        tx.events.add([happening(DEV, Kind.DEVICE_LIFECYCLE, to="decommissioned")])
    return [None] * len(params)


@pytest.mark.parametrize("by", ["self", "other"])
@pytest.mark.parametrize("end", [revoke_credential, decommission])
async def test_a_revoked_credential_opens_nothing_any_more(
    worker: Worker, other: Worker, by: str, end: Callable[[Tx, Sequence[Credential]], list[None]]
) -> None:
    changing = worker if by == "self" else other
    await changing.store.write(add_devices, (ACME, [device(DEV)]))
    await changing.store.write(add_credential, CREDENTIAL)
    await worker.registry.caught_up()
    entry = await worker.registry.device(ACME, DEV)
    assert entry is not None
    assert entry.credentials == (CREDENTIAL,)
    assert not await worker.registry.is_denied(ACME, CREDENTIAL.digest)
    await changing.store.write(end, CREDENTIAL)
    if by == "other":
        await worker.registry.caught_up()
    entry = await worker.registry.device(ACME, DEV)
    assert entry is not None
    assert entry.credentials == ()
    assert await worker.registry.is_denied(ACME, CREDENTIAL.digest)
    assert not await worker.registry.is_denied(RIVAL, CREDENTIAL.digest)


def add_authority(tx: Tx, params: Sequence[Authority]) -> list[None]:
    for authority in params:
        tx.authorities.add(ACME, authority)
        tx.events.add([happening(authority.id, Kind.AUTHORITY_ADDED)])
    return [None] * len(params)


async def test_authorities_are_known_when_they_are_made(worker: Worker, other: Worker) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    assert await lifecycle(worker) is Lifecycle.ACTIVE
    assert await worker.registry.authorities(ACME) == ()
    await other.store.write(add_authority, AUTHORITY)
    await worker.registry.caught_up()
    assert await worker.registry.authorities(ACME) == (AUTHORITY,)
    second = replace(AUTHORITY, id="b" * 64)
    await worker.store.write(add_authority, second)
    assert await worker.registry.authorities(ACME) == (AUTHORITY, second)
    assert await worker.registry.authorities(RIVAL) == ()


async def test_it_keeps_no_more_than_it_may(database: str) -> None:
    bus = LocalBus()
    names = [DeviceId(f"d{n:03}") for n in range(100)]
    async with opened(database, bus) as store:
        registry = StoreRegistry(store, bus, SystemClock(), max_devices=40)
        await store.write(add_devices, (ACME, [device(name) for name in names]))
        for name in names:
            assert await registry.device(ACME, name) is not None
        kept = registry._shelves[ACME].devices
        assert len(kept) == registry._count <= 40
        assert names[-1] in kept
        for name in names:
            registry.forget(ACME, name)
        assert registry._count == 0


async def test_contacts_are_written_behind(worker: Worker) -> None:
    names = [DeviceId(f"d{n:04}") for n in range(1200)]
    await worker.store.write(add_devices, (ACME, [device(name) for name in names]))
    for name in reversed(names):
        worker.registry.touch(ACME, name, later(1), "192.0.2.1")
    worker.registry.touch(ACME, names[3], later(2), "192.0.2.2")
    worker.registry.touch(ACME, DeviceId("unknown"), later(2), "192.0.2.2")
    await worker.registry.close()
    found = await worker.store.read(lambda tx: tx.devices.page(ACME, None, None, 2000))
    assert {(one.last_contact, one.address) for one in found if one.id != names[3]} == {(later(1), "192.0.2.1")}
    assert (found[3].last_contact, found[3].address) == (later(2), "192.0.2.2")
    assert len(found) == 1200


async def test_a_device_that_is_heard_from_two_places_at_once_may_be_two(worker: Worker) -> None:
    """It is recorded with the contacts, once, and nothing else becomes of it; of a device that is gone, nothing."""
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    for _ in range(5):
        for name in (DEV, DeviceId("unknown")):
            worker.registry.touch(ACME, name, later(1), "192.0.2.1")
            worker.registry.touch(ACME, name, later(2), "192.0.2.2")
    await worker.registry.close()
    found = await worker.store.read(lambda tx: tx.events.page(ACME, START, 100))
    (told,) = [one.what for one in found if one.what.kind is Kind.DEVICE_DOUBLED]
    assert (told.subject, told.data["addresses"]) == (DEV, ["192.0.2.1", "192.0.2.2"])
    entry = await worker.registry.device(ACME, DEV)
    assert entry is not None
    assert entry.subject.lifecycle is Lifecycle.ACTIVE


async def test_contacts_reach_the_store_by_themselves(worker: Worker) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    worker.registry.touch(ACME, DEV, later(1), "192.0.2.1")

    async def written() -> bool:
        found = await worker.store.read(lambda tx: tx.devices.get(ACME, DEV))
        return found is not None and found.last_contact == later(1)

    await eventually(written)


async def test_contacts_wait_for_a_store_that_does_not_answer(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    await worker.store.write(add_devices, (ACME, [device(DEV)]))
    book = worker.registry._contacts
    worker.store._writer._closing = True
    worker.registry.touch(ACME, DEV, later(1), "192.0.2.1")
    with pytest.raises(UnavailableError):
        await book.flush()
    worker.registry.touch(ACME, DEV, later(2), "192.0.2.2")
    with pytest.raises(UnavailableError):
        await book.flush()
    worker.store._writer._closing = False
    await book.flush()
    found = await worker.store.read(lambda tx: tx.devices.get(ACME, DEV))
    assert found is not None
    assert (found.last_contact, found.address) == (later(2), "192.0.2.2")
    del caplog


async def test_it_is_fresh_while_it_follows(worker: Worker) -> None:
    assert worker.registry.fresh
    reading = worker.store._inline or worker.store._glances
    assert reading is not None
    reading._closed = True

    async def stale() -> bool:
        return not worker.registry.fresh

    await eventually(stale)
    with pytest.raises(UnavailableError):
        await worker.registry.caught_up()
    reading._closed = False
    await worker.registry.caught_up()
    assert worker.registry.fresh
