"""A bad release, and the way back of the device that took it, over real HTTP; the page of the console is in tests/e2e."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.clocked import Clocked, clocked
from tests.support.databases import SqliteDatabases
from tests.support.ddi import DdiDevice, Operator


@pytest.fixture(scope="module")
def server(sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    folder: Path = tmp_path_factory.mktemp("clocked")
    with clocked(sqlite_databases.fresh(), folder) as running:
        yield running


@pytest.fixture
def operator(server: Clocked) -> Iterator[Operator]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with (
        httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        yield Operator(server, api, devices)


def take(operator: Operator, device: DdiDevice, release: str) -> int:
    rollout = operator.rollout(device, release)
    assert device.say(device.action(), "closed", "success").status_code == 200
    return rollout


def test_it_goes_back_to_what_it_ran(operator: Operator) -> None:
    device = operator.device()
    device.configure({})
    good = operator.release(b"good", product="way", version="1.0")
    bad = operator.release(b"bad", product="way", version="2.0")
    take(operator, device, good)
    rollout = take(operator, device, bad)
    here = f"/rollouts/{rollout}"
    plan = operator.ok("GET", f"{here}/rollback")
    way = {"version": "1.0", "devices": 1, "members": 1, "why_not": "", "left_out": {}, "rollout": None}
    assert plan == {"members": 1, "left_out": {}, "ways": [way]}
    made = operator.ok("POST", f"{here}/rollback", json={"reason": "it reboots"})
    back = made["ways"][0]["rollout"]
    assert operator.ok("GET", here)["rolled_back_by"] == [back]
    shown = operator.ok("GET", f"/rollouts/{back}")
    assert (shown["rolls_back"], shown["state"], shown["version"]) == (rollout, "running", "1.0")
    action = device.action()
    (chunk,) = device.get(f"deploymentBase/{action}").json()["deployment"]["chunks"]
    assert (chunk["name"], chunk["version"]) == ("way", "1.0")
    assert device.say(action, "closed", "success").status_code == 200
    assert [i["version"] for i in operator.seen(device)["installed"]] == ["1.0"]
    again = operator.http.post(f"{here}/rollback", json={})
    assert (again.status_code, again.json()["code"]) == (422, "nothing_to_do")
