"""A device on trial as DDI tells it: for the device its deployment is closed, and what it installed is its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.clocked import Clocked, clocked
from tests.support.databases import SqliteDatabases
from tests.support.ddi import DdiDevice, Operator

NOON = datetime(2031, 1, 15, 12, tzinfo=UTC)


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


def tried(operator: Operator) -> tuple[DdiDevice, str]:
    device, action, _ = operator.offered(validate_s=90, validate_events=2)
    device.configure({})
    assert device.say(action, "closed", "success").status_code == 200
    device.configure({})
    return device, action


def test_it_is_closed_for_the_device_and_it_is_asked_to_come(operator: Operator) -> None:
    device, action = tried(operator)
    assert operator.state(device) == "on_trial"
    assert [i["confirmed"] for i in operator.seen(device)["installed"]] == [False]
    links = device.links()
    assert list(links) == ["installedBase"]
    assert links["installedBase"].endswith(f"/installedBase/{action}")
    assert device.get().json()["config"]["polling"]["sleep"] == "00:00:30"
    assert device.get(f"installedBase/{action}").json()["id"] == action
    assert device.get(f"deploymentBase/{action}").status_code == 200, "as after its end"
    assert device.get(f"cancelAction/{action}").status_code == 404


def test_said_again_changes_nothing_and_crashes_fail_it(operator: Operator) -> None:
    device, action = tried(operator)
    assert device.say(action, "closed", "success", "again").status_code == 200
    assert operator.state(device) == "on_trial"
    told = [{"device": device.id, "id": str(n), "kind": "crash"} for n in range(2)]
    operator.ok("POST", "/devices/events", json={"events": told})
    seen = operator.seen(device)
    assert (seen["state"], seen["history"][0]["reason"]) == (
        "failed",
        "2 bad health events in its health window: crash",
    )
    assert device.say(action, "closed", "success", "late").status_code == 410


def test_a_cancelled_trial_asks_nothing_of_the_device(operator: Operator) -> None:
    device, _ = tried(operator)
    operator.cancel(device, operator.seen(device)["history"][0]["rollout"])
    assert operator.state(device) == "cancelled"
    assert device.links() == {}
