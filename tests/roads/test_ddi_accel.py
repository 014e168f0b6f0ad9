"""Files that nginx sends: what we tell it, at once where memory knows, and the usual way elsewhere. Both say the same."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ddi import DdiDevice, Operator, eventually
from tests.support.server import serving

# Another tag than the file's, so that its bytes are asked for; conditions are answered the usual way.
LONG = {"If-None-Match": '"another"'}


CLIENT = "203.0.113.9"
"""Who comes by way of a proxy."""


@pytest.fixture(scope="module", params=[False, True], ids=["", "by a proxy"])
def proxied(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def operator(proxied: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    data: Path = tmp_path_factory.mktemp("accel") / "data"
    trusted = ("--trusted-proxies", "127.0.0.1") if proxied else ()
    headers = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    with (
        serving(data, "--x-accel", "/_otaru/", *trusted) as server,
        server.api() as api,
        httpx.Client(base_url=server.url, timeout=30, headers=headers) as devices,
    ):
        yield Operator(server, api, devices)


@pytest.fixture(params=["app.swu", "größe #1 100%?.swu"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def offered(operator: Operator, name: str) -> tuple[DdiDevice, str, int]:
    """A device with an open action, the address of its file, and the rollout."""
    device, action, rollout = operator.offered(operator.release(b"firmware", filename=name))
    href = device.get(f"softwaremodules/{action}/artifacts").json()[0]["_links"]["download"]["href"]
    return device, f"/{href.split('/', 3)[3]}", rollout


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_short_way_says_what_the_long_way_says(offered: tuple[DdiDevice, str, int], method: str) -> None:
    device, file, _ = offered
    long, short = device.request(method, file, headers=LONG), device.request(method, file)
    assert (short.status_code, short.content) == (long.status_code, long.content) == (200, b"")
    assert {**short.headers, "date": ""} == {**long.headers, "date": ""}
    assert short.headers["x-accel-redirect"].startswith("/_otaru/blobs/")
    assert short.headers["content-length"] == "0"
    assert device.request(method, file, headers={"Range": "bytes=1-2"}).headers["x-accel-redirect"]


def test_conditions_are_held(offered: tuple[DdiDevice, str, int]) -> None:
    device, file, _ = offered
    tag = device.get(file).headers["etag"]
    assert device.get(file, headers={"If-None-Match": tag}).status_code == 304
    assert device.get(file, headers={"If-Match": tag}).status_code == 200
    assert device.get(file, headers={"If-Match": '"another"'}).status_code == 412


def test_only_for_whom_it_is_meant(operator: Operator, offered: tuple[DdiDevice, str, int]) -> None:
    device, file, _ = offered
    assert device.get(file).status_code == 200
    assert operator.devices.get(file).status_code == 401
    other = operator.device()
    assert other.get(file).status_code == 401
    assert other.get(file.replace(f"/{device.id}/", f"/{other.id}/")).status_code == 404


def test_no_other_file(offered: tuple[DdiDevice, str, int]) -> None:
    device, file, _ = offered
    assert device.get(f"{file}2").status_code == 404
    assert device.get(file.replace("softwaremodules/1/", "softwaremodules/2/")).status_code == 404
    assert device.get(file.replace("softwaremodules/", "firmware/")).status_code == 404
    assert device.get(f"{file}.MD5SUM").headers["content-type"].startswith("text/plain")
    assert device.request("PUT", file).status_code == 405


def test_the_contact_is_noted(operator: Operator, offered: tuple[DdiDevice, str, int], proxied: bool) -> None:
    device, file, _ = offered
    before = eventually(lambda: operator.seen(device)["last_contact"])
    assert device.get(file).status_code == 200
    eventually(lambda: operator.seen(device)["last_contact"] != before)
    assert operator.seen(device)["address"] == (CLIENT if proxied else "127.0.0.1")


@pytest.mark.parametrize("event", ["quarantine", "decommission"])
def test_not_for_devices_out_of_service(operator: Operator, offered: tuple[DdiDevice, str, int], event: str) -> None:
    device, file, _ = offered
    assert device.get(file).status_code == 200
    operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": event})
    assert device.get(file).status_code == {"quarantine": 404, "decommission": 401}[event]


def test_not_once_it_has_been_cancelled(operator: Operator, offered: tuple[DdiDevice, str, int]) -> None:
    device, file, rollout = offered
    assert device.get(file).status_code == 200
    path = f"/rollouts/{rollout}/deployments/{device.id}/cancel"
    operator.ok("POST", path, json={"force": True})
    assert device.get(file).status_code == 404
