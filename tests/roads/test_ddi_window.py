"""A rollout's maintenance window as a device meets it, over real HTTP and under a clock that is set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.clocked import Clocked, clocked
from tests.support.databases import SqliteDatabases
from tests.support.ddi import DdiDevice, Operator

NIGHT = "02:00/4h Europe/Paris"
NOON = datetime(2031, 1, 15, 12, tzinfo=UTC)
OPENS = datetime(2031, 1, 16, 1, tzinfo=UTC)
CLOSES = OPENS + timedelta(hours=4)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def server(sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    folder: Path = tmp_path_factory.mktemp("clocked")
    with clocked(sqlite_databases.fresh(), folder) as running:
        yield running


@pytest.fixture
def operator(server: Clocked) -> Iterator[Operator]:
    server.turn(NOON)
    headers = {"Authorization": f"Bearer {server.token}"}
    with (
        httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        yield Operator(server, api, devices)


@pytest.fixture
def device(operator: Operator) -> DdiDevice:
    made = operator.device()
    made.configure({})
    return made


def window(device: DdiDevice) -> str | None:
    """What deploymentBase says of it, beside an order that no client takes for a success."""
    order = device.get(f"deploymentBase/{device.action()}").json()["deployment"]
    assert (order["download"], order["update"]) == ("forced", "forced")
    found: str | None = order.get("maintenanceWindow")
    return found


def test_outside_nothing_is_due_and_inside_it_is(operator: Operator, server: Clocked, device: DdiDevice) -> None:
    operator.rollout(device, window=NIGHT)
    (answer,) = operator.ok("GET", f"/devices/{device.id}/why")["answers"]
    assert answer["rule"] == "window"
    assert answer["because"].endswith("is shut: it opens at 2031-01-16 01:00 UTC.")
    for moment in (NOON, OPENS - 30 * SECOND, CLOSES, OPENS + timedelta(days=1, seconds=-30)):
        server.turn(moment)
        assert device.links() == {}
    assert operator.seen(device)["history"][0]["state"] == "scheduled"
    server.turn(OPENS + timedelta(days=1))
    assert window(device) == "available"


def test_an_answer_changes_with_the_hour_and_no_event(operator: Operator, server: Clocked, device: DdiDevice) -> None:
    operator.rollout(device, window=NIGHT)
    server.turn(OPENS - timedelta(minutes=30))
    idle = device.get()
    asked = {"If-None-Match": idle.headers["etag"]}
    assert device.get(headers=asked).status_code == 304
    server.turn(OPENS)
    assert device.get(headers=asked).status_code == 200
    order = device.get(f"deploymentBase/{device.action()}")
    asked = {"If-None-Match": order.headers["etag"]}
    assert device.get(f"deploymentBase/{device.action()}", headers=asked).status_code == 304
    server.turn(CLOSES)
    changed = device.get(f"deploymentBase/{device.action()}", headers=asked)
    assert changed.status_code == 200
    assert changed.json()["deployment"].pop("maintenanceWindow") == "unavailable"


def test_it_shuts_while_a_device_is_at_it(operator: Operator, server: Clocked, device: DdiDevice) -> None:
    operator.rollout(device, window=NIGHT)
    server.turn(CLOSES - 30 * SECOND)
    action = device.action()
    assert window(device) == "available"
    device.say(action, "proceeding", "none", "downloading")
    server.turn(CLOSES)
    assert device.action() == action, "it stays offered until the device closes it"
    assert window(device) == "unavailable"
    assert device.get(f"softwaremodules/{action}/artifacts/app.swu").content == b"firmware"
    server.turn(OPENS + timedelta(days=1))
    assert window(device) == "available"
    server.turn(CLOSES + timedelta(days=1))
    assert device.say(action, "closed", "success").status_code == 200
    assert operator.state(device) == "succeeded"
    assert "maintenanceWindow" not in device.get(f"installedBase/{action}").json()["deployment"]


def test_without_a_window_there_is_no_word_of_one(operator: Operator, device: DdiDevice) -> None:
    operator.rollout(device)
    assert window(device) is None


def slept(device: DdiDevice) -> timedelta:
    """How long a poll tells it to wait for the next one."""
    told = datetime.strptime(device.get().json()["config"]["polling"]["sleep"], "%H:%M:%S")  # noqa: DTZ007 - a span
    return timedelta(hours=told.hour, minutes=told.minute, seconds=told.second)


def test_who_would_sleep_through_the_opening_is_told_to_come_for_it(
    operator: Operator, server: Clocked, device: DdiDevice
) -> None:
    operator.rollout(device, window=NIGHT)
    usual = slept(operator.device())
    server.turn(OPENS - timedelta(hours=1))
    assert slept(device) == usual
    server.turn(OPENS - usual / 2)
    assert timedelta(0) < slept(device) <= usual / 2
    server.turn(OPENS)
    assert slept(device) == usual
