"""The fleet counted is the fleet recounted, whatever was done to its devices, by whichever worker."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.fleet import SqlFleet
from otaru.adapters.sql.lean import fetch
from otaru.adapters.sql.session import Session
from otaru.domain import fleet as lists
from otaru.domain.deployment import DEPLOYMENT, FINAL, OPEN, RETRIABLE, Event, State
from otaru.domain.device import LIFECYCLE, Installed, Lifecycle, LifecycleEvent, Source
from otaru.domain.fleet import SILENCE, history
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId, Version
from otaru.domain.targeting import parse
from otaru.services.control.fleet import Summary
from tests.conftest import Databases
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_rollout, shelf_on

DEVICES = [DeviceId(f"dev-{n}") for n in range(4)]
FRESH = [DeviceId(f"new-{n}") for n in range(3)]
ROLLOUTS = [RolloutId(1), RolloutId(2)]
HOUR = timedelta(hours=1)

Act = Callable[[Shelf, datetime], None]
"""Something done to a fleet at a time."""


def add(devices: list[DeviceId]) -> Act:
    def act(shelf: Shelf, at: datetime) -> None:
        runs = [Installed("app", Version("1.0"), Source.FACTORY, at), Installed("os", Version("7"), Source.FACTORY, at)]
        fresh = [
            replace(a_device(d), installed=tuple(runs[: n % 3]), last_contact=at if n % 2 else None, address="")
            for n, d in enumerate(devices)
        ]
        shelf.devices.add(HERE, [(device, b"t") for device in fresh])

    return act


def live(device: DeviceId, event: LifecycleEvent) -> Act:
    def act(shelf: Shelf, at: datetime) -> None:
        known = shelf.devices.get(HERE, device)
        if known is not None and (lifecycle := LIFECYCLE.next(known.lifecycle, event)) is not None:
            shelf.devices.save(HERE, replace(known, lifecycle=lifecycle, updated_at=at))
            if lifecycle is Lifecycle.DECOMMISSIONED:
                # As `services.control.leaving` does: nothing of it stays open.
                unended = shelf.deployments.unended_of(HERE, device)
                ended = [(d, replace(d, state=State.SKIPPED, changed_at=at, ended_at=at)) for d in unended]
                shelf.deployments.save(HERE, ended)

    return act


def revise(device: DeviceId, revision: str) -> Act:
    def act(shelf: Shelf, at: datetime) -> None:
        if (known := shelf.devices.get(HERE, device)) is not None:
            hardware = replace(known.hardware, revision=revision)
            shelf.devices.save(HERE, replace(known, hardware=hardware, updated_at=at))

    return act


def install(what: list[tuple[DeviceId, str, str]]) -> Act:
    def act(shelf: Shelf, at: datetime) -> None:
        facts = [(device, Installed(name, Version(v), Source.OTARU, at)) for device, name, v in what]
        shelf.devices.install(HERE, facts)

    return act


def hear(whom: list[tuple[TenantId, DeviceId, int]]) -> Act:
    def act(shelf: Shelf, at: datetime) -> None:
        shelf.devices.contacts([(tenant, device, at - timedelta(minutes=m), "") for tenant, device, m in whom])

    return act


def tell(whom: set[tuple[RolloutId, DeviceId]], event: Event) -> Act:
    """Who is told, or tells, has polled."""

    def act(shelf: Shelf, at: datetime) -> None:
        shelf.devices.contacts([(HERE, device, at, "") for device in sorted({device for _, device in whom})])
        opened: set[DeviceId] = set()
        changed = []
        for before in shelf.deployments.current(HERE, sorted(whom)):
            after = None if before is None else DEPLOYMENT.next(before.state, event)
            if before is None or after is None:
                continue
            if after in OPEN and before.state not in OPEN:
                # At most one open deployment a device.
                if before.device in opened or shelf.deployments.open_of(HERE, before.device):
                    continue
                opened.add(before.device)
            action = before.action or shelf.deployments.allot(HERE, [before.device])[0]
            ended = at if after in FINAL else None
            changed.append(
                (before, replace(before, state=after, action=ActionId(action), changed_at=at, ended_at=ended))
            )
        shelf.deployments.save(HERE, changed)

    return act


ORDERS = [
    ({State.SCHEDULED}, State.CANCELLED),
    ({State.SCHEDULED}, State.SKIPPED),
    (set(OPEN), State.SILENT),
    ({State.AWAITING_CONSENT, State.POSTPONED}, State.CANCELLED),
]


def order(rollout: RolloutId, wanted: tuple[set[State], State]) -> Act:
    return lambda shelf, at: void(shelf.rollouts.move_all(HERE, rollout, *wanted, "ordered", at))


def retry(rollout: RolloutId) -> Act:
    return lambda shelf, at: void(shelf.rollouts.retry(HERE, rollout, RETRIABLE, at))


def void(_: object) -> None:
    pass


devices = st.sampled_from(DEVICES + FRESH)
acts = st.one_of(
    st.builds(add, st.lists(devices, max_size=4)),
    st.builds(live, devices, st.sampled_from(LifecycleEvent)),
    st.builds(revise, devices, st.sampled_from(["", "2"])),
    st.builds(
        install,
        st.lists(st.tuples(devices, st.sampled_from(["app", "os"]), st.sampled_from(["1.0", "1.1"])), max_size=4),
    ),
    st.builds(
        hear, st.lists(st.tuples(st.sampled_from([HERE, THERE]), devices, st.integers(0, 60 * 24 * 9)), max_size=4)
    ),
    st.builds(
        tell,
        st.sets(st.tuples(st.sampled_from(ROLLOUTS), st.sampled_from(DEVICES)), max_size=4),
        st.sampled_from([Event.OFFER, Event.ASK_CONSENT, Event.FAIL, Event.REVERT, Event.SUCCEED, Event.SILENCE])
        | st.sampled_from(Event),
    ),
    st.builds(order, st.sampled_from(ROLLOUTS), st.sampled_from(ORDERS)),
    st.builds(retry, st.sampled_from(ROLLOUTS)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(acts, st.integers(0, 15)), max_size=25))
def test_counts_are_what_a_recount_finds(made: Shelf, story: list[tuple[Act, int]]) -> None:
    with made.session.connection.begin_nested() as transaction:
        for step, (act, shard) in enumerate(story):
            at = NOW + (step + 1) * timedelta(minutes=25)
            act(shelf_on(Session(made.session.connection, shard)), at)
            fleet = SqlFleet(made.session)
            for before in (at, at - timedelta(days=7)):
                for tenant in (HERE, THERE):
                    assert fleet.counts(tenant, before) == fleet.recounted(tenant, before)
            fleet.prune(NOW - HOUR)
            assert fleet.counts(HERE, at) == fleet.recounted(HERE, at)
        assert_lists(made, NOW + (len(story) + 1) * timedelta(minutes=25))
        assert_standings(made)
        assert_spread(made)
        now = fleet_now(made)
        moves = SqlFleet(made.session).moves(HERE, NOW - timedelta(days=1))
        assert all(not any(before) for before in history(now, moves, [NOW - HOUR]).values()), "nothing ran before"
        transaction.rollback()


def assert_lists(shelf: Shelf, at: datetime) -> None:
    """As many devices are on the list behind each number as the number says."""
    counts, members = SqlFleet(shelf.session).counts(HERE, at - SILENCE), SqlFleet(shelf.session).members(HERE)
    summary = Summary(at, counts, members, (), ())

    def on(target: str) -> int:
        return shelf.devices.count(HERE, parse(target, at))

    assert on(lists.HEALTHY) == summary.healthy
    assert on(lists.WAITING) == summary.waiting
    assert on(lists.AWAITING) == summary.awaiting
    assert on(lists.FAILED) == counts.failed
    assert on(lists.UNHEARD) == summary.unheard
    assert on(lists.silent(at)) == counts.silent
    assert on(lists.TO_ACCEPT) == summary.of(Lifecycle.PENDING)
    assert on(lists.QUARANTINED) == summary.of(Lifecycle.QUARANTINED)
    assert on(lists.IN_SERVICE) == counts.devices
    for (component, version), number in counts.versions.items():
        assert on(lists.running(component, version)) == number
        others = [n for (c, v), n in counts.versions.items() if c == component and v != version]
        assert on(lists.running_others(component, [version])) == sum(others)


def assert_standings(shelf: Shelf) -> None:
    """Each device in service is listed where its deployments say that it stands, and nobody else is."""
    for tenant in (HERE, THERE):
        known = shelf.devices.page(tenant, None, None, 99)
        served = [device.id for device in known if device.lifecycle is not Lifecycle.DECOMMISSIONED]
        listed = "SELECT device, state FROM device_standing WHERE tenant = ?"
        assert dict(fetch(shelf.session, listed, tenant)) == shelf.deployments.standing(tenant, served)


def assert_spread(shelf: Shelf) -> None:
    """What runs on which hardware is counted as the devices in service say it."""
    served = [d for d in shelf.devices.page(HERE, None, None, 99) if d.lifecycle is not Lifecycle.DECOMMISSIONED]
    for name in ("app", "os"):
        runs = Counter((d.hardware, i.version) for d in served for i in d.installed if i.component == name)
        assert SqlFleet(shelf.session).spread(HERE, name, 99) == runs


def fleet_now(shelf: Shelf) -> dict[tuple[str, Version], int]:
    return dict(SqlFleet(shelf.session).counts(HERE, NOW).versions)


@pytest.fixture
def made(databases: Databases) -> Iterator[Shelf]:
    engine = open_writer(databases.fresh())
    with engine.connect() as connection, connection.begin():
        shelf = shelf_on(Session(connection))
        for tenant in (HERE, THERE):
            release = shelf.stock(tenant, [a_device(name) for name in DEVICES])
            for number in ROLLOUTS:
                shelf.launch(tenant, a_rollout(number), release)
        yield shelf
    engine.dispose()
