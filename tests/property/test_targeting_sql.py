"""A query means the same devices in memory, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from otaru.adapters.sql import targeting
from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.domain.device import Device
from otaru.domain.targeting import Query, match
from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.fleet import HERE, THERE, a_device, shelf_on
from tests.support.queries import cases


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases, st.integers(1, 3), st.sampled_from([1, 2, 10_000]))
def test_a_query_means_the_same_everywhere(
    connections: dict[str, Connection],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[list[Device], list[Query]],
    limit: int,
    few: int,
) -> None:
    fleet, asked = case
    monkeypatch.setattr(targeting, "FEW", few)  # so that small fleets go all ways that large ones do
    for name, connection in connections.items():
        with connection.begin() as transaction:
            shelf = shelf_on(Session(connection))
            shelf.devices.add(HERE, [(device, b"h") for device in fleet])
            shelf.devices.add(THERE, [(a_device("a", tags=("a",), attributes={"x": "a"}), b"h")])
            for query in asked:
                meant = sorted((d for d in fleet if match(query, d)), key=lambda d: d.id)
                assert shelf.devices.count(HERE, query) == len(meant), (name, query)
                found: list[Device] = []
                while page := shelf.devices.page(HERE, query, found[-1].id if found else None, limit):
                    assert len(page) <= limit
                    found += page
                assert found == meant, (name, query)
            transaction.rollback()
