"""The REST API over PostgreSQL: the same answers, and twins that meet in the database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.api import Apis, added, fresh, planned, problem, released, uploaded
from tests.support.databases import PostgresDatabases
from tests.support.ddi import eventually
from tests.support.server import serving


@pytest.fixture(scope="module")
def running(postgres_databases: PostgresDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    data = tmp_path_factory.mktemp("postgres") / "data"
    with (
        serving(data, OTARU_DATABASE=postgres_databases.empty()) as server,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        yield Apis(server, {}, devices)


@pytest.fixture
def api(running: Apis) -> Iterator[httpx.Client]:
    with running.server.api() as client:
        yield client


def test_a_rollout_from_upload_to_report(running: Apis, api: httpx.Client) -> None:
    model, device = fresh("model"), fresh("dev")
    body = {"id": device, "hardware": model, "tags": ["lab"], "attributes": {"a": "b"}, "installed": {"os": "12"}}
    token = api.post("/devices", json=body).json()["token"]
    rollout = api.post(
        "/rollouts", json={"release": released(api, hardware=model), "target": f"id=={device}", "start": True}
    ).json()
    road = running.device(device, token)
    action = road.action()
    assert api.get("/devices", params={"q": f"hardware=={model}", "count": True}).json()["total"] == 1
    assert api.get(f"/devices/{device}/why").json()["answers"][0]["rule"] == "offer"
    road.say(action, "closed", "failure", "no space left")
    assert api.get(f"/devices/{device}").json()["state"] == "failed"
    done = eventually(lambda: (r := api.get(f"/rollouts/{rollout['id']}").json())["state"] == "finished" and r)
    assert done["failures"] == [{"state": "failed", "reason": "no space left", "devices": 1}]
    again = api.post(f"/rollouts/{rollout['id']}/retry").json()
    assert (again["state"], again["counts"]) == ("running", {"scheduled": 1})
    assert api.delete(f"/devices/{device}").status_code == 204
    assert api.get(f"/devices/{device}").json()["state"] == "skipped"


def test_changes_lists_and_the_record(api: httpx.Client) -> None:
    devices = sorted(added(api, attributes={"n": str(n)}) for n in range(3))
    assert api.patch(f"/devices/{devices[0]}", json={"attributes": {"n": None}}).json()["attributes"] == {}
    planned(api, 2, waves=["1"])
    for path in ("/devices", "/rollouts", "/releases", "/products", "/artifacts", "/tokens", "/events"):
        page = api.get(path, params={"limit": 1}).json()
        assert len(page["items"]) == 1, path
    events = api.get("/events", params={"subject": devices[0]}).json()["items"]
    assert [e["kind"] for e in events] == ["device.added", "device.changed"]
    after = api.get("/events", params={"subject": devices[0], "after": events[0]["id"]}).json()["items"]
    assert after == events[1:]
    sha256 = uploaded(api, b"bytes")
    assert api.delete(f"/artifacts/{sha256}").status_code == 204
    problem(api.get("/devices", params={"q": "id==\x00"}), 400, "invalid_input")


def test_twins_do_it_once(api: httpx.Client) -> None:
    named = {"Idempotency-Key": fresh("key")}
    body = {"id": fresh("dev"), "hardware": "x"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("/devices", json=body, headers=named), range(8)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1


def test_two_servers_on_one_database_do_it_once(tmp_path: Path, postgres_databases: PostgresDatabases) -> None:
    """Twins at two servers, which share nothing but the database."""
    url = postgres_databases.empty()
    with (
        serving(tmp_path / "one", OTARU_DATABASE=url) as one,
        serving(tmp_path / "two", OTARU_DATABASE=url) as two,
        one.api() as first,
        two.api() as second,
    ):
        for _ in range(10):
            named, body = {"Idempotency-Key": fresh("key")}, {"id": fresh("dev"), "hardware": "x"}
            first.headers["Authorization"] = second.headers["Authorization"]
            with ThreadPoolExecutor(2) as pool:
                sent = [pool.submit(a.post, "/devices", json=body, headers=named) for a in (first, second)]
            answers = [s.result() for s in sent]
            assert {a.status_code for a in answers} == {201}, [a.text for a in answers]
            assert len({a.content for a in answers}) == 1
        # A token that one server revokes is dead at the other at once.
        made = first.post("/tokens", json={"role": "viewer"}).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert httpx.get(f"{two.url}/api/v1/devices", headers=bearer).status_code == 200
        first.delete(f"/tokens/{made['id']}")
        assert httpx.get(f"{two.url}/api/v1/devices", headers=bearer).status_code == 401
