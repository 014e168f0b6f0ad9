"""Devices tell of their health over real HTTP: on the native road, in DDI feedback, by a gateway."""

import gzip
import json
from typing import Any

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import OTHER, Apis, fresh, problem
from tests.support.ddi import eventually

ROAD = "/device/v1/events"


@pytest.fixture
def device(api: httpx.Client) -> tuple[str, dict[str, str]]:
    """A device's id, and the header that it shows."""
    made = api.post("/devices", json={"id": fresh("dev"), "hardware": "rpi4"}).json()
    return made["id"], {"Authorization": f"TargetToken {made['token']}"}


def crash(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "kind": "crash"} | more


def test_a_device_tells(served: Apis, api: httpx.Client, device: tuple[str, dict[str, str]]) -> None:
    name, header = device
    battery = {"id": "2", "kind": "sample", "name": "battery", "value": 81.53}
    body = {"events": [crash("1", text="<script>", at="2026-01-01"), battery]}
    road = f"{ROAD}?device={name}"
    answer = served.devices.post(road, json=body, headers=header)
    assert (answer.status_code, answer.json()) == (200, {"kept": 2, "known": 0})
    packed = gzip.compress(json.dumps({"events": [crash("1"), crash("3")]}).encode())
    answer = served.devices.post(road, content=packed, headers=header | {"Content-Encoding": "gzip"})
    assert answer.json() == {"kept": 1, "known": 1}
    first = api.get(f"/devices/{name}/events", params={"limit": 1}).json()
    rest = api.get(f"/devices/{name}/events", params={"cursor": first["next"]}).json()
    found = first["items"] + rest["items"]
    assert [event["id"] for event in found] == ["3", "2", "1"]
    assert rest["next"] is None
    assert (found[1]["name"], found[1]["value"], found[2]["text"], found[2]["at"]) == (
        "battery",
        81.53,
        "<script>",
        "2026-01-01",
    )
    (last,) = api.get(f"/devices/{name}/telemetry").json()["items"]
    assert (last["name"], last["value"]) == ("battery", 81.5)
    assert eventually(lambda: api.get(f"/devices/{name}").json()["last_contact"])


def test_only_itself(served: Apis, api: httpx.Client, device: tuple[str, dict[str, str]]) -> None:
    name, header = device
    other = api.post("/devices", json={"id": fresh("dev"), "hardware": "rpi4"}).json()["id"]
    body = {"events": [crash("1")]}
    for address, headers in (
        (f"{ROAD}?device={name}", {}),
        (f"{ROAD}?device={other}", header),
        (f"{ROAD}?device={fresh('none')}", header),
    ):
        problem(served.devices.post(address, json=body, headers=headers), 401, "unauthenticated")
    problem(served.devices.post(f"{ROAD}?device={name}&tenant=none", json=body, headers=header), 404, "not_found")
    problem(served.devices.post(ROAD, json=body, headers=header), 400, "invalid_input")
    problem(served.devices.post(f"{ROAD}?device={name}&more=1", json=body, headers=header), 400, "invalid_input")
    problem(served.devices.get(f"{ROAD}?device={name}", headers=header), 405, "method_not_allowed")
    assert api.get(f"/devices/{name}/events").json()["items"] == []


def test_bad_batches_keep_nothing(served: Apis, api: httpx.Client, device: tuple[str, dict[str, str]]) -> None:
    name, header = device
    road = f"{ROAD}?device={name}"
    body: Any
    for body in ({"events": [crash("1"), {"id": "2"}]}, {}, [], {"events": [crash("a b")]}):
        problem(served.devices.post(road, json=body, headers=header), 400, "invalid_input")
    bomb = gzip.compress(b" " * 10_000_000)
    answer = served.devices.post(road, content=bomb, headers=header | {"Content-Encoding": "gzip"})
    problem(answer, 413, "too_large")
    problem(served.devices.post(road, content=b" " * 300_000, headers=header), 413, "too_large")
    assert api.get(f"/devices/{name}/events").json()["items"] == []


def test_a_flood_is_answered_429(served: Apis, device: tuple[str, dict[str, str]]) -> None:
    name, header = device
    for batch in range(3):
        body = {"events": [crash(f"{batch}-{number}") for number in range(1000)]}
        answer = served.devices.post(f"{ROAD}?device={name}", json=body, headers=header)
        if batch < 2:
            assert answer.status_code == 200
        else:
            problem(answer, 429, "rate_limited")
            assert int(answer.headers["retry-after"]) > 0


def test_a_gateway_tells_for_devices(served: Apis, api: httpx.Client, device: tuple[str, dict[str, str]]) -> None:
    name, _ = device
    events = [crash("1", device=name), crash("1", device=name), crash("1", device="nobody")]
    answer = api.post("/devices/events", json={"events": events})
    assert answer.json() == {"kept": 1, "known": 1, "refused": [], "unknown": ["nobody"]}
    wrong = {"device": name, "id": "2", "kind": "sample", "name": "battery"}
    problem(api.post("/devices/events", json={"events": [wrong]}), 400, "invalid_input")
    with served.client(Role.ADMIN, OTHER) as stranger:
        answer = stranger.post("/devices/events", json={"events": events[:1]})
        assert answer.json()["unknown"] == [name]
        problem(stranger.get(f"/devices/{name}/events"), 404, "not_found")
        problem(stranger.get(f"/devices/{name}/telemetry"), 404, "not_found")
