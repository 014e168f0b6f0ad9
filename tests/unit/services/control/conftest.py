"""A world of services over SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from otaru.services.control.world import World
from tests.support.databases import SqliteDatabases
from tests.support.world import SettableClock, a_world


@pytest.fixture
async def made(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[tuple[World, SettableClock]]:
    async with a_world(sqlite_databases.fresh(), tmp_path) as parts:
        yield parts


@pytest.fixture
def world(made: tuple[World, SettableClock]) -> World:
    return made[0]


@pytest.fixture
def clock(made: tuple[World, SettableClock]) -> SettableClock:
    return made[1]
