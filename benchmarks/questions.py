"""What people ask of a fleet, against the SQL that a person would write for it: search pages and a rollout's counts."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from benchmarks.duel import Caller, Duel, bare, fight, timed
from benchmarks.subjects import TENANT
from benchmarks.subjects.otaru import Otaru
from otaru.adapters.sql.engine import open_reader
from otaru.adapters.sql.tx import SqlTx
from otaru.apps.server.api import paging
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.targeting import parse

LIMIT = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """A target, and the ids that it means as SQL: after `:after`, in order, the first `:limit`."""

    name: str
    target: str
    ids: str


_DEVICE = "SELECT device FROM device WHERE tenant = :tenant AND device > :after AND {} ORDER BY device LIMIT :limit"
_TAG = (
    "SELECT device FROM device_tag WHERE tenant = :tenant AND tag = {} AND device > :after ORDER BY device LIMIT :limit"
)

FILTERS = (
    Filter("all", "", _DEVICE.format("true")),
    Filter("id", "id==dev-000123", _DEVICE.format("device = 'dev-000123'")),
    Filter("id prefix", "id==dev-0*", _DEVICE.format("device >= 'dev-0' AND device < 'dev-1'")),
    Filter("hardware (1 in 4)", "hardware==model-2", _DEVICE.format("model = 'model-2'")),
    Filter("tag (1 in 100)", "tag==canary", _TAG.format("'canary'")),
    Filter(
        "attribute (1 in 19)",
        "attr.region==eu-07",
        "SELECT device FROM device_attribute WHERE tenant = :tenant AND name = 'region' AND value = 'eu-07'"
        " AND device > :after ORDER BY device LIMIT :limit",
    ),
    Filter(
        "attribute and tag",
        "attr.region==eu-07;tag==canary",
        "SELECT t.device FROM device_tag t CROSS JOIN device_attribute a USING (tenant, device) WHERE t.tenant = :tenant"
        " AND t.tag = 'canary' AND t.device > :after AND a.name = 'region' AND a.value = 'eu-07' ORDER BY t.device"
        " LIMIT :limit",
    ),
)

_HANGING = (
    "SELECT * FROM device LEFT JOIN device_contact USING (tenant, device)",
    "SELECT device, tag FROM device_tag",
    "SELECT device, name, value FROM device_attribute",
    "SELECT device, component, version, source, at, confirmed FROM device_component",
    "SELECT device, state FROM deployment",
)

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
"""No question is about how long ago something was."""

_COUNTS = (
    "SELECT wave, state, count(*) FROM deployment WHERE tenant = ? AND rollout = ? AND current GROUP BY wave, state"
)


def search(otaru: Otaru, size: int, rounds: int) -> Iterator[Duel]:
    """The first page of each filter, and one behind nine tenths of the fleet."""
    caller = Caller(otaru)
    with bare(otaru) as database, _store(otaru) as tx:
        for one in FILTERS:
            for name, after in ((one.name, ""), (f"{one.name}, deep", f"dev-{size * 9 // 10:06}")):
                if not after or one.name != "id":
                    yield _page(otaru, caller, tx, database, name, one, after, size, rounds)
    caller.close()


@contextmanager
def _store(otaru: Otaru) -> Iterator[SqlTx]:
    """Otaru's own statements, in this process."""
    engine = open_reader(f"sqlite:///{otaru.database}")
    try:
        with engine.connect() as connection, connection.begin():
            yield SqlTx(connection, 0)
    finally:
        engine.dispose()


def _page(
    otaru: Otaru,
    caller: Caller,
    tx: SqlTx,
    database: sqlite3.Connection,
    name: str,
    one: Filter,
    after: str,
    size: int,
    rounds: int,
) -> Duel:
    q = f"&q={quote(one.target)}" if one.target else ""
    cursor = f"&cursor={paging.encode(after)}" if after else ""
    path = f"/devices?limit={LIMIT}{q}{cursor}"
    _, said = caller.call("GET", path)
    expected = _rows(database, one, after)[:LIMIT]
    if [device["id"] for device in said["items"]] != expected:
        raise RuntimeError(f"{name}: Otaru and the bare SQL mean different devices")
    return fight(
        name,
        otaru,
        lambda: caller.call("GET", path)[0],
        lambda: timed(lambda: _rows(database, one, after)),
        devices=size,
        rounds=rounds,
        inner=lambda: timed(lambda: _stored(tx, one, after)),
    )


def _stored(tx: SqlTx, one: Filter, after: str) -> None:
    """What the REST API asks the store for a page (`survey.devices`)."""
    query = parse(one.target, _NOW) if one.target else None
    page = tx.devices.page(TenantId(TENANT), query, DeviceId(after) if after else None, LIMIT + 1)
    tx.deployments.standing(TenantId(TENANT), [device.id for device in page])


def _rows(database: sqlite3.Connection, one: Filter, after: str) -> list[str]:
    """The ids, with one more to know whether there are more; and all that a page shows of them is fetched."""
    asked = {"tenant": TENANT, "after": after, "limit": LIMIT + 1}
    ids = [row[0] for row in database.execute(one.ids, asked)]
    marks = ", ".join("?" * len(ids))
    for hanging in _HANGING:
        database.execute(f"{hanging} WHERE tenant = ? AND device IN ({marks})", (TENANT, *ids)).fetchall()
    return ids


def counts(otaru: Otaru, size: int, rollout: int, rounds: int) -> Duel:
    """A rollout with its members counted by wave and state."""
    caller = Caller(otaru)
    with bare(otaru) as database:
        duel = fight(
            "counts by status",
            otaru,
            lambda: caller.call("GET", f"/rollouts/{rollout}")[0],
            lambda: timed(lambda: database.execute(_COUNTS, (TENANT, rollout)).fetchall()),
            devices=size,
            rounds=rounds,
        )
    caller.close()
    return duel
