"""Conditions of a rollout as a device meets them over DDI: told with the update, refused with words; Zephyr is spared."""

from collections.abc import Callable
from typing import Any

from tests.support.ddi import DdiDevice, Operator

WANTED = ["battery>=30%", "unmetered"]


def chunk(device: DdiDevice, action: str) -> dict[str, Any]:
    found: dict[str, Any] = device.get(f"deploymentBase/{action}").json()["deployment"]["chunks"][0]
    return found


def test_they_are_told_with_the_update(operator: Operator) -> None:
    device, action, _ = operator.offered(require=WANTED)
    said = [{"key": "otaru.require", "value": one} for one in WANTED]
    assert chunk(device, action)["metadata"] == said
    device, action, _ = operator.offered()
    assert "metadata" not in chunk(device, action)


def test_what_a_device_last_told_holds_it_back(operator: Operator) -> None:
    device = operator.device()
    assert device.configure({"battery": "12"}).status_code == 200
    operator.rollout(device, require=WANTED)
    assert "deploymentBase" not in device.links()
    (answer,) = operator.ok("GET", f"/devices/{device.id}/why")["answers"]
    assert answer["rule"] == "conditions"
    assert device.configure({"battery": "77", "metered": "false"}).status_code == 200
    assert "deploymentBase" in device.links()


def test_a_refusal_is_a_reason_and_no_failure(operator: Operator) -> None:
    device, action, rollout = operator.offered(require=WANTED)
    assert device.say(action, "rejected", "none", "battery at 12 %").status_code == 200
    assert operator.state(device) == "offered"
    (share,) = operator.ok("GET", f"/rollouts/{rollout}/deployments")["items"]
    assert (share["state"], share["reason"]) == ("offered", "battery at 12 %")
    assert operator.ok("GET", f"/rollouts/{rollout}")["failures"] == []
    assert "deploymentBase" in device.links(), "it may go on later"
    assert device.say(action, "closed", "success").status_code == 200
    assert operator.state(device) == "succeeded"


def test_zephyr_is_not_shown_what_it_cannot_read(operator: Operator, settings: Callable[..., None]) -> None:
    settings(chunk_parts={"default": "bApp"})
    device, action, _ = operator.offered(require=WANTED)
    assert chunk(device, action)["part"] == "bApp"
    assert "metadata" not in chunk(device, action)
