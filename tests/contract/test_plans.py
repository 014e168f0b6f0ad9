"""How SQLite means to run the statements that every poll and report waits for.

Tests have few rows, so a statement that looks at all of them passes all of them. SQLite plans from the text alone: the
schema is enough to see what it would look at.
"""

import sqlite3
from pathlib import Path

import pytest

from otaru.adapters.sql import devices, fleet, followings
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


def test_counting_who_stands_aside_looks_at_those_who_are_not_active(tmp_path: Path) -> None:
    with sqlite3.connect(SqliteDatabases(tmp_path).fresh().removeprefix("sqlite:///")) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {fleet._ASIDE}", ("x",))
        looks = [str(row[3]) for row in rows if str(row[3]).startswith(("SEARCH", "SCAN"))]
    connection.close()
    assert "ix_device_lifecycle (tenant=? AND lifecycle=?)" in looks[0]
    assert all("device=?" in look for look in looks[1:])


@pytest.mark.parametrize("name", ["_LIFECYCLES", "_VERSIONS", "_MOVES", "_FAILED", "_HEARD", "_MEMBERS"])
def test_counting_the_fleet_looks_at_no_device(name: str, tmp_path: Path) -> None:
    statement: str = getattr(fleet, name)
    with sqlite3.connect(SqliteDatabases(tmp_path).fresh().removeprefix("sqlite:///")) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("x",) * statement.count("?"))
        looks = [str(row[3]) for row in rows if str(row[3]).startswith(("SEARCH", "SCAN"))]
    connection.close()
    assert looks
    # By tenant in a table of counters, or in the list of failed devices; active rollouts by their state.
    assert all(look.startswith("SEARCH") and ("tenant=?" in look or "SEARCH r " in look) for look in looks)
    assert not any(look.split()[1] in {"device", "device_contact", "device_component", "deployment"} for look in looks)


@pytest.mark.parametrize("name", ["_STIRRED", "_AGAIN", "_DEAL"])
def test_looking_for_standing_orders_looks_each_one_up_by_index(name: str, tmp_path: Path) -> None:
    statement: str = getattr(followings, name)
    with sqlite3.connect(SqliteDatabases(tmp_path).fresh().removeprefix("sqlite:///")) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("1",) * statement.count("?"))
        looks = [str(row[3]) for row in rows if str(row[3]).startswith(("SEARCH", "SCAN"))]
    connection.close()
    assert any("ix_release_sorted (tenant=? AND product=?)" in look for look in looks)
    assert any("ix_rollout_follows (tenant=? AND follows_group=?" in look for look in looks)
    assert [look for look in looks if look.startswith("SCAN") and "following" not in look] == []
