"""Fixtures that many suites share. What is under them lives in `tests/support/`."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.databases import PostgresDatabases, SqliteDatabases, postgres_server

# How long an example takes says how busy the machine is, not whether the rule holds.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

Databases = SqliteDatabases | PostgresDatabases


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    with postgres_server() as databases:
        yield databases


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Makes databases, of each engine in turn."""
    found: Databases = request.getfixturevalue(f"{request.param}_databases")
    return found


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """The URL of a fresh database with the schema, on each engine in turn."""
    url = databases.fresh()
    yield url
    databases.drop(url)
