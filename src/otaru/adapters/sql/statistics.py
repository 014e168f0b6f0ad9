"""What SQLite's planner is told about our tables: fixed numbers, so that plans are the same everywhere and for ever.

Without statistics it takes the first column of any key for a selective one. Ours is the tenant, which most databases
have one of: it would read all of a tenant's deployments to find those of one device. With gathered statistics
(`ANALYZE`) plans would change with the data, by night. So the shape of a large fleet is written down here once.
PostgreSQL gathers its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from otaru.adapters.sql.tables import metadata


@dataclass(frozen=True, slots=True)
class _Shape:
    """A table's rows, and how many different values its key columns have; one that is not named has as many as rows."""

    rows: int
    values: Mapping[str, int] = field(default_factory=dict)


_MILLION = 1_000_000
_SHAPES = {
    "device": _Shape(_MILLION, {"model": 4, "lifecycle": 4, "hardware_revision": 4}),
    "device_contact": _Shape(_MILLION, {"hour": 2000}),
    "device_tag": _Shape(2 * _MILLION, {"device": _MILLION, "tag": 100}),
    "device_attribute": _Shape(5 * _MILLION, {"device": _MILLION, "name": 20, "value": 1000}),
    "device_component": _Shape(2 * _MILLION, {"device": _MILLION, "component": 5, "version": 20}),
    "deployment": _Shape(10 * _MILLION, {"rollout": 100, "device": _MILLION, "state": 10}),
    "deployment_reason": _Shape(_MILLION, {"rollout": 100}),
    "deployment_count": _Shape(100_000, {"rollout": 1000, "segment": 1, "wave": 5}),
    "device_failed": _Shape(_MILLION // 100),
    "device_standing": _Shape(_MILLION, {"state": 10}),
    "credential": _Shape(2 * _MILLION, {"device": _MILLION, "kind": 3, "issuer": 10}),
    "device_count": _Shape(16, {"lifecycle": 4}),
    "component_count": _Shape(100_000, {"hour": 5000, "component": 5, "version": 20}),
    "contact_count": _Shape(10_000, {"hour": 2000}),
    "telemetry_witness": _Shape(_MILLION, {"rollout": 10, "name": 3, "look": 3}),
    "report": _Shape(10 * _MILLION, {"device": _MILLION, "action": 100}),
    "event": _Shape(10 * _MILLION, {"transaction": 1, "subject": _MILLION, "kind": 20}),
    "rollout": _Shape(1000, {"state": 10}),
    "rollout_wave": _Shape(5000, {"rollout": 1000}),
    "rollout_segment": _Shape(1000, {"rollout": 1000}),
    "release": _Shape(1000, {"product": 20}),
    "blob": _Shape(10_000),
    "artifact": _Shape(3000, {"product": 20, "version": 50}),
    "release_document": _Shape(2000, {"product": 20, "version": 50}),
    "tenant": _Shape(10, {"tenant": 10}),
    "token": _Shape(100),
    "log_waiting": _Shape(100, {"log": 2}),
    "log_entry": _Shape(_MILLION, {"log": 2, "subject": 10_000}),
    "log_tile": _Shape(4000, {"log": 2, "level": 3}),
}
_OTHERS = _Shape(1000)
_PARTIAL = 100
"""A partial index is for what is rare: one row in so many."""


def settle(connection: Connection) -> None:
    """Write the numbers where they are not written yet; nothing on PostgreSQL. After every change of the schema.

    Dropping an index, as a migration may, drops its numbers too.
    """
    if connection.dialect.name != "sqlite":
        return
    wanted = sorted(row for table in metadata.tables for row in _numbers(connection, table))
    known = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"
    if connection.execute(text(known)).scalar_one():
        written = connection.execute(text("SELECT tbl, idx, stat FROM sqlite_stat1"))
        if sorted(map(tuple, written)) == wanted:
            return
    connection.execute(text("ANALYZE tenant"))  # makes the table that holds them
    connection.execute(text("DELETE FROM sqlite_stat1"))
    rows = [{"tbl": table, "idx": index, "stat": stat} for table, index, stat in wanted]
    connection.execute(text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:tbl, :idx, :stat)"), rows)
    connection.execute(text("ANALYZE sqlite_schema"))  # reads them


def _numbers(connection: Connection, table: str) -> list[tuple[str, str, str]]:
    """Rows of sqlite_stat1: how many rows an index has, and how many of them agree in its first 1, 2, … columns."""
    shape = _SHAPES.get(table, _OTHERS)
    found = []
    without_rowid = bool(metadata.tables[table].dialect_options["sqlite"]["with_rowid"]) is False
    for _, index, unique, origin, partial in connection.execute(text(f"PRAGMA index_list('{table}')")).all():
        columns = [row.name for row in connection.execute(text(f"PRAGMA index_info('{index}')"))]
        rows = shape.rows // (_PARTIAL if partial else 1)
        alike, numbers = rows, [rows]
        for column in columns:
            values = shape.values.get(column, 1 if column == "tenant" else shape.rows)
            alike = max(1, alike // values)
            numbers.append(alike)
        if unique:
            numbers[-1] = 1
        # The key of a table without row ids is the table; it is called so here.
        name = table if origin == "pk" and without_rowid else index
        found.append((table, name, " ".join(map(str, numbers))))
    return found
