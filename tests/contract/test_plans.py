"""How SQLite means to run the statements that every poll and report waits for.

Tests have few rows, so a statement that looks at all of them passes all of them. SQLite plans from the text alone: the
schema is enough to see what it would look at.
"""

import sqlite3
from pathlib import Path

import pytest

from otaru.adapters.sql import devices
from tests.support.databases import SqliteDatabases


@pytest.mark.parametrize("name", ["_ENTRY", "_ENTRY_INSTALLED", "_ENTRY_MEMBERSHIPS"])
def test_reading_a_device_for_a_poll_looks_at_no_other_device(name: str, tmp_path: Path) -> None:
    statement: str = getattr(devices, name)
    with sqlite3.connect(SqliteDatabases(tmp_path).fresh().removeprefix("sqlite:///")) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("x",) * statement.count("?"))
        plan = [str(row[3]) for row in rows]
    connection.close()
    looks = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert looks
    # A tenant's rollouts are few; everything else is looked up by the device.
    assert all("device=?" in step for step in looks if not step.startswith("SEARCH r "))
