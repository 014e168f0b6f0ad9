"""Download first, install later, as a device meets it over real HTTP and under a clock that is set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.clocked import Clocked, clocked
from tests.support.databases import SqliteDatabases
from tests.support.ddi import DdiDevice, Operator

NOON = datetime(2031, 1, 15, 12, tzinfo=UTC)
OPENS = datetime(2031, 1, 16, 2, tzinfo=UTC)
NIGHT = "02:00/4h"


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


def handling(device: DdiDevice, action: str) -> tuple[str, str, str | None]:
    """What it is told: download, update, maintenanceWindow."""
    order = device.get(f"deploymentBase/{action}").json()["deployment"]
    return order["download"], order["update"], order.get("maintenanceWindow")


def test_as_rauc_hawkbit_updater_goes_about_it(operator: Operator, device: DdiDevice) -> None:
    """It tells the download as `proceeding`, then `downloaded` with success, and waits for the same action again."""
    rollout = operator.rollout(device, download_only=True)
    action = device.action()
    assert handling(device, action) == ("forced", "skip", None)
    assert device.get(f"softwaremodules/{action}/artifacts/app.swu").content == b"firmware"
    device.say(action, "proceeding", "none", "Download complete. 10.61 MB/s")
    assert operator.state(device) == "downloading"
    device.say(action, "downloaded", "success", "File checksum OK.")
    assert operator.state(device) == "downloaded"
    assert device.links() == {}
    shown = operator.ok("GET", f"/rollouts/{rollout}")
    assert (shown["holding"], shown["install"], "install" in shown["allowed"]) == (1, None, True)
    operator.ok("POST", f"/rollouts/{rollout}/install", json={})
    assert device.action() == action
    assert handling(device, action) == ("forced", "forced", None)
    assert device.get(f"softwaremodules/{action}/artifacts/app.swu").status_code == 200, "who lost it fetches it again"
    device.say(action, "proceeding", "none", "installing")
    assert operator.state(device) == "installing"
    device.say(action, "closed", "success", "Software bundle installed successfully.")
    assert operator.state(device) == "succeeded"
    assert operator.ok("GET", f"/rollouts/{rollout}")["holding"] == 0


def test_soft_is_an_attempt_once_it_is_ordered(operator: Operator, device: DdiDevice) -> None:
    rollout = operator.rollout(device, download_only=True, urgency="soft")
    action = device.action()
    assert handling(device, action) == ("attempt", "skip", None)
    device.say(action, "downloaded")
    operator.ok("POST", f"/rollouts/{rollout}/install", json={})
    assert device.action() == action
    assert handling(device, action) == ("attempt", "attempt", None)


def test_at_any_time_downloaded_and_installed_in_the_window(
    operator: Operator, server: Clocked, device: DdiDevice
) -> None:
    operator.rollout(device, window=NIGHT, download="any-time")
    action = device.action()
    # hawkBit would say `unavailable` here: then rauc-hawkbit-updater never tells that it has downloaded.
    assert handling(device, action) == ("forced", "skip", None)
    device.say(action, "downloaded", "success")
    assert device.links() == {}
    server.turn(OPENS - timedelta(minutes=1))
    asleep = device.get().json()["config"]["polling"]["sleep"]
    assert asleep <= "00:01:00", "it is woken for the window"
    server.turn(OPENS)
    assert device.action() == action
    assert handling(device, action) == ("forced", "forced", "available")
    server.turn(OPENS + timedelta(hours=4))
    assert handling(device, action) == ("forced", "forced", "unavailable")


def test_consent_comes_before_the_download(operator: Operator, device: DdiDevice) -> None:
    rollout = operator.rollout(device, download_only=True, consent=True)
    action = device.action("confirmationBase")
    assert device.get(f"confirmationBase/{action}").json()["confirmation"]["update"] == "skip"
    device.answer(action, "confirmed")
    assert device.action() == action
    device.say(action, "downloaded")
    operator.ok("POST", f"/rollouts/{rollout}/install", json={})
    assert device.action() == action, "nobody is asked twice"


def test_a_condition_that_does_not_hold_when_it_is_to_install(operator: Operator, device: DdiDevice) -> None:
    rollout = operator.rollout(device, download_only=True, require=["battery>=30%"])
    action = device.action()
    device.say(action, "downloaded")
    device.configure({"battery": "10"})
    operator.ok("POST", f"/rollouts/{rollout}/install", json={})
    assert "deploymentBase" not in device.links()
    (answer,) = operator.ok("GET", f"/devices/{device.id}/why")["answers"]
    assert answer["rule"] == "conditions"
    device.configure({"battery": "80"})
    assert device.action() == action
    device.say(action, "rejected", "none", "the battery is at 20 %")
    seen = operator.seen(device)
    assert (seen["state"], seen["history"][0]["reason"]) == ("installing", "the battery is at 20 %")


def test_called_off_while_it_waits(operator: Operator, device: DdiDevice) -> None:
    rollout = operator.rollout(device, download_only=True)
    action = device.action()
    device.say(action, "downloaded")
    operator.ok("POST", f"/rollouts/{rollout}/stop", json={})
    assert device.action("cancelAction") == action
    device.say(action, "closed", "success", on="cancelAction")
    assert operator.state(device) == "cancelled"


def test_zephyr_is_told_nothing_before_it_is_to_install(operator: Operator) -> None:
    """It reads `skip` and installs all the same: so it is told once, to download and install in one."""
    operator.ok("PATCH", "/tenant", json={"settings": {"chunk_parts": {"frdm": "bApp"}}})
    device = operator.device("frdm")
    device.configure({})
    rollout = operator.rollout(device, operator.release(hardware="frdm", filename="app.bin"), download_only=True)
    assert device.links() == {}
    (answer,) = operator.ok("GET", f"/devices/{device.id}/why")["answers"]
    assert answer["rule"] == "install_order"
    assert answer["because"].startswith(
        "Its client downloads and installs in one, so it is told nothing yet, and waits"
    )
    operator.ok("POST", f"/rollouts/{rollout}/install", json={})
    action = device.action()
    assert handling(device, action) == ("forced", "forced", None)
    device.say(action, "closed", "success")
    assert operator.state(device) == "succeeded"
