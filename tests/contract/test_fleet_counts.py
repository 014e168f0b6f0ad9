"""The fleet counted: what a database of before has in it, and what of the past is kept."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from otaru.adapters.sql.fleet import SqlFleet
from otaru.adapters.sql.migrate import config
from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Installed, Lifecycle, Source
from otaru.domain.fleet import Counts, Move, history
from otaru.domain.ids import DeviceId, Version
from otaru.domain.rollout import RolloutState
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_rollout, later, open_shelf

HOUR = NOW.replace(minute=0, second=0, microsecond=0)
LONG_AGO = NOW - timedelta(days=30)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


def a_fleet(shelf: Shelf) -> SqlFleet:
    """Four devices: one failed, one silent, one pending, one decommissioned after it failed."""
    runs = {"app": "1.0", "os": "7"}
    devices = [a_device(name, runs=runs) for name in ("a", "b", "c")]
    waiting = a_device("p", lifecycle=Lifecycle.PENDING, hardware=Hardware("other"))
    release = shelf.stock(HERE, [*devices, waiting])
    shelf.stock(THERE, [a_device("a", runs={"app": "9"})])
    shelf.launch(HERE, a_rollout(), release)
    shelf.devices.contacts([(HERE, DeviceId("a"), LONG_AGO, ""), (HERE, DeviceId("b"), NOW, "")])
    for name in ("a", "c"):
        shelf.move(HERE, 1, name, State.FAILED, "no space")
    gone = shelf.devices.get(HERE, DeviceId("c"))
    assert gone is not None
    shelf.devices.save(HERE, replace(gone, lifecycle=Lifecycle.DECOMMISSIONED, updated_at=NOW))
    return SqlFleet(shelf.session)


EXPECTED = Counts(
    lifecycles={Lifecycle.ACTIVE: 2, Lifecycle.PENDING: 1, Lifecycle.DECOMMISSIONED: 1},
    versions={("app", Version("1.0")): 2, ("os", Version("7")): 2},
    failed=1,
    aside=0,
    unheard_aside=1,
    heard=2,
    silent=1,
)


def week_ago() -> datetime:
    return NOW - timedelta(days=7)


def test_devices_are_counted_by_what_they_are(shelf: Shelf) -> None:
    fleet = a_fleet(shelf)
    assert fleet.counts(HERE, week_ago()) == EXPECTED
    assert fleet.recounted(HERE, week_ago()) == EXPECTED
    assert EXPECTED.devices == 3
    for (component, version), devices in EXPECTED.versions.items():
        assert fleet.running(HERE, component, version) == devices
    assert fleet.running(HERE, "app", Version("9")) == fleet.running(THERE, "os", Version("7")) == 0
    assert fleet.counts(THERE, week_ago()).versions == {("app", Version("9")): 1}
    assert fleet.members(HERE) == {
        (RolloutState.RUNNING, State.FAILED): 2,
        (RolloutState.RUNNING, State.SCHEDULED): 1,
    }


def _revision(number: str) -> Any:
    script = ScriptDirectory.from_config(config()).get_revision(number)
    assert script is not None
    return script.module


def test_a_database_of_before_is_counted_by_its_migration(shelf: Shelf) -> None:
    fleet = a_fleet(shelf)
    tables = ("device_standing", "device_count", "component_count", "contact_count", "hardware_count")
    spread = fleet.spread(HERE, "app", 99)
    standing = shelf.session.connection.execute(text("SELECT * FROM device_standing ORDER BY 1, 2")).all()
    for table in tables:
        shelf.session.connection.execute(text(f"DELETE FROM {table}"))
    assert fleet.counts(HERE, week_ago()) != EXPECTED
    module, later, newest = (_revision(number) for number in ("0003", "0014", "0032"))
    hours = [module.COMPONENTS.format(hour=hour) for hour in ("0", "c.at / 3600000000")]
    for statement in (module.LIFECYCLES, *hours, module.CONTACTS, later.STANDING, newest.HARDWARE):
        shelf.session.connection.execute(text(statement))
    assert shelf.session.connection.execute(text("SELECT * FROM device_standing ORDER BY 1, 2")).all() == standing != []
    assert fleet.counts(HERE, week_ago()) == EXPECTED
    assert fleet.counts(THERE, week_ago()) == fleet.recounted(THERE, week_ago())
    assert fleet.spread(HERE, "app", 99) == spread != {}


def test_what_ran_when_is_told_backwards_from_now(shelf: Shelf) -> None:
    fleet = a_fleet(shelf)
    shelf.devices.install(HERE, [(DeviceId("b"), Installed("app", Version("1.1"), Source.OTARU, later(7200)))])
    moves = fleet.moves(HERE, NOW)
    assert moves == [
        # c came and went within one hour.
        Move(HOUR, ("app", Version("1.0")), 2),
        Move(HOUR, ("os", Version("7")), 2),
        Move(HOUR + timedelta(hours=2), ("app", Version("1.0")), -1),
        Move(HOUR + timedelta(hours=2), ("app", Version("1.1")), 1),
    ]
    assert fleet.moves(HERE, later(7200)) == moves[2:]
    times = [HOUR + timedelta(hours=n) for n in (-1, 0, 1, 2)]
    assert history(fleet.counts(HERE, NOW).versions, moves, times) == {
        ("app", Version("1.0")): [0, 2, 2, 1],
        ("app", Version("1.1")): [0, 0, 0, 1],
        ("os", Version("7")): [0, 2, 2, 2],
    }


def test_old_hours_are_forgotten_and_what_is_counted_stays(shelf: Shelf) -> None:
    fleet = a_fleet(shelf)
    shelf.devices.contacts([(HERE, DeviceId("b"), later(7200), "")])
    fleet.prune(later(3600))
    assert fleet.moves(HERE, NOW - timedelta(days=1)) == []
    assert fleet.counts(HERE, week_ago()) == EXPECTED
    left = shelf.session.connection.execute(text("SELECT hour FROM contact_count WHERE tenant = 'here'")).all()
    assert len(left) == 2
