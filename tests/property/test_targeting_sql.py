"""A query means the same devices in memory, on SQLite and on PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from otaru.adapters.sql import targeting
from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.domain.attribute import Declared
from otaru.domain.deployment import State
from otaru.domain.device import Device, Hardware, Lifecycle
from otaru.domain.group import Group, GroupName
from otaru.domain.health import HealthEvent
from otaru.domain.health import Kind as HealthKind
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.targeting import Query, matches
from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_release, a_rollout, shelf_on
from tests.support.queries import DECLARED, Life, cases


@pytest.fixture(scope="module")
def connections(
    sqlite_databases: SqliteDatabases, postgres_databases: PostgresDatabases
) -> Iterator[dict[str, Connection]]:
    with ExitStack() as stack:
        opened = {}
        for name, url in (("sqlite", sqlite_databases.fresh()), ("postgres", postgres_databases.fresh())):
            engine = open_writer(url)
            stack.callback(engine.dispose)
            opened[name] = stack.enter_context(engine.connect())
        yield opened


MODELS = ("rpi4", "rpi[5]", "a_b", "a%b", "ab")
ROLLOUTS = (1, 2, 3)


def declare(shelf: Shelf) -> None:
    """Have attributes of types."""
    for name, kind in DECLARED.items():
        for tenant in (HERE, THERE):
            shelf.attributes.declare(tenant, Declared(name, kind, NOW, ready=True))


def tell(shelf: Shelf, fleet: Sequence[Life]) -> None:
    """Put devices on lists, and have them tell what they measure."""
    for name in ("lab", "vip", "a.b"):
        for tenant in (HERE, THERE):
            shelf.groups.add(tenant, Group(GroupName(name), None, "", NOW, NOW))
        shelf.groups.enter(HERE, GroupName(name), [life.device.id for life in fleet if name in life.groups])
    samples = [
        HealthEvent(life.device.id, name, HealthKind.SAMPLE, NOW, name=name, value=value)
        for life in fleet
        for name, value in life.telemetry
    ]
    shelf.health.add(HERE, samples)


def settle(shelf: Shelf, fleet: Sequence[Life]) -> None:
    """Have devices live their lives."""
    declare(shelf)
    served = [replace(life.device, lifecycle=Lifecycle.ACTIVE) for life in fleet]
    release = shelf.stock(HERE, served, a_release("9", hardware=[Hardware(model) for model in MODELS]))
    for number in ROLLOUTS:
        shelf.launch(HERE, a_rollout(number), release)
    for place, number in enumerate(ROLLOUTS):
        moved = []
        for before, life in zip(
            shelf.deployments.current(HERE, [(RolloutId(number), life.device.id) for life in fleet]), fleet, strict=True
        ):
            assert before is not None
            state, ended_at = life.shares[place]
            if state is not State.SCHEDULED:
                moved.append((before, replace(before, state=state, changed_at=NOW, ended_at=ended_at)))
        shelf.deployments.save(HERE, moved)
    tell(shelf, fleet)
    for life in fleet:
        if life.device.lifecycle is not Lifecycle.ACTIVE:
            shelf.devices.save(HERE, life.device)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases, st.integers(1, 3), st.sampled_from([1, 2, 10_000]))
def test_a_query_means_the_same_everywhere(
    connections: dict[str, Connection],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[list[Life], list[Query]],
    limit: int,
    few: int,
) -> None:
    fleet, asked = case
    monkeypatch.setattr(targeting, "UNEVEN", 1)
    monkeypatch.setattr(targeting, "SAMPLE", few)
    monkeypatch.setattr(targeting, "FEW", few)  # so that small fleets go all ways that large ones do
    for name, connection in connections.items():
        with connection.begin() as transaction:
            shelf = shelf_on(Session(connection))
            settle(shelf, fleet)
            shelf.devices.add(THERE, [(a_device("a", tags=("a",), attributes={"x": "a", "t.number": "2"}), b"h")])
            shelf.groups.enter(THERE, GroupName("lab"), [DeviceId("a")])
            for query in asked:
                meant = sorted((life.device for life in fleet if matches(query, life.facts)), key=lambda d: d.id)
                assert shelf.devices.count(HERE, query) == len(meant), (name, query)
                found: list[Device] = []
                while page := shelf.devices.page(HERE, query, found[-1].id if found else None, limit):
                    assert len(page) <= limit
                    found += page
                assert found == meant, (name, query)
            transaction.rollback()
