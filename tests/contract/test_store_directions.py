"""The port `Directions`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.devices import SqlDevices
from otaru.adapters.sql.directions import SqlDirections
from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.domain.device import Assurance, Device, Hardware, Lifecycle
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId
from otaru.trust.tuf.director import Issued, Share
from tests.support.stores import ACME, NOW, RIVAL, later

DEV = DeviceId("dev-1")
SHARE = Share(RolloutId(3), 2, ActionId(7))


def issued(version: int, share: Share | None = SHARE) -> Issued:
    return Issued(version, 4, share, b"p", b"\x00\xff targets", b"snapshot", b"timestamp", NOW, later(60))


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    engine = open_writer(database)
    with engine.connect() as connection:
        yield Session(connection)
    engine.dispose()


@pytest.fixture
def directions(session: Session) -> SqlDirections:
    return SqlDirections(session)


def test_the_newest_comes_back_byte_by_byte(directions: SqlDirections) -> None:
    assert directions.get(ACME, DEV) is None
    for version, share in ((1, SHARE), (2, None), (3, SHARE)):
        assert directions.put(ACME, DEV, issued(version, share))
        assert directions.get(ACME, DEV) == issued(version, share)


def test_versions_rise_by_one(directions: SqlDirections) -> None:
    assert not directions.put(ACME, DEV, issued(2))
    assert directions.put(ACME, DEV, issued(1))
    for version in (1, 3):
        assert not directions.put(ACME, DEV, replace(issued(version), targets=b"other"))
    assert directions.get(ACME, DEV) == issued(1)


def test_when_it_was_fetched(directions: SqlDirections) -> None:
    directions.asked(ACME, DEV, NOW)
    assert directions.asked_at(ACME, DEV) is None
    directions.put(ACME, DEV, issued(1))
    assert directions.asked_at(ACME, DEV) is None
    directions.asked(ACME, DEV, NOW)
    directions.put(ACME, DEV, issued(2))
    assert directions.asked_at(ACME, DEV) == NOW


def verifies(session: Session, device: DeviceId, tenant: TenantId = ACME) -> bool:
    found = SqlDevices(session).entry(tenant, device)
    assert found is not None
    return found.verifies


def test_who_verifies(directions: SqlDirections, session: Session) -> None:
    two = [Device(DeviceId(name), Lifecycle.ACTIVE, Hardware("board"), NOW, NOW) for name in ("dev-1", "dev-2")]
    SqlDevices(session).add(ACME, [(device, b"") for device in two])
    SqlDevices(session).add(RIVAL, [(two[0], b"")])
    assert not verifies(session, DEV)
    directions.put(ACME, DEV, issued(1))
    assert verifies(session, DEV)
    assert not verifies(session, DeviceId("dev-2"))
    assert not verifies(session, DEV, RIVAL)


def test_tenants_and_devices_never_see_one_another(directions: SqlDirections) -> None:
    directions.put(ACME, DEV, issued(1))
    for tenant, device in ((RIVAL, DEV), (ACME, DeviceId("dev-2"))):
        assert directions.get(tenant, device) is None
        assert directions.put(tenant, device, replace(issued(1), targets=b"theirs"))
        directions.asked(tenant, device, NOW)
    assert directions.get(ACME, DEV) == issued(1)
    assert directions.asked_at(ACME, DEV) is None


def test_what_a_device_is_said_to_verify_and_what_was_seen(directions: SqlDirections, session: Session) -> None:
    devices = SqlDevices(session)
    made = Device(DEV, Lifecycle.ACTIVE, Hardware("board"), NOW, NOW)
    devices.add(ACME, [(made, b"")])
    devices.save(ACME, replace(made, assurance=Assurance.L2))
    assert verifies(session, DEV)
    assert devices.get(ACME, DEV) == replace(made, assurance=Assurance.L2)
    directions.put(ACME, DEV, issued(1))
    directions.asked(ACME, DEV, NOW)
    assert devices.get(ACME, DEV) == replace(made, assurance=Assurance.L2, directed_at=NOW)
