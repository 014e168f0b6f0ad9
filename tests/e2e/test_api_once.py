"""Idempotency-Key: done once, answered the same, whatever is sent twice, at once, or after a crash."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import MATRIX, Apis, added, apis, fresh, planned, problem, released, uploaded


def key() -> dict[str, str]:
    return {"Idempotency-Key": fresh("key")}


def test_sent_twice_it_is_done_once_and_answered_the_same(api: httpx.Client) -> None:
    named, body = key(), {"id": fresh("dev"), "hardware": "x"}
    first = api.post("/devices", json=body, headers=named)
    second = api.post("/devices", json=body, headers=named)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.json()["token"]
    assert second.headers["etag"] == first.headers["etag"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(api.get("/events", params={"subject": body["id"]}).json()["items"]) == 1


def test_the_same_key_for_something_else_is_a_conflict(api: httpx.Client) -> None:
    named = key()
    api.post("/devices", json={"id": fresh("dev"), "hardware": "x"}, headers=named)
    other = {"id": fresh("dev"), "hardware": "x"}
    problem(api.post("/devices", json=other, headers=named), 409, "idempotency_conflict")
    problem(api.post("/tokens", json={"role": "viewer"}, headers=named), 409, "idempotency_conflict")
    problem(api.get(f"/devices/{other['id']}"), 404, "not_found")


def test_what_failed_may_be_tried_again(api: httpx.Client) -> None:
    named, release = key(), released(api)
    model = fresh("model")
    body = {"release": release, "target": f"tag=={model}"}
    problem(api.post("/rollouts", json=body, headers=named), 422, "nothing_to_do")
    added(api, tags=[model])
    assert api.post("/rollouts", json=body, headers=named).status_code == 201


def test_a_key_is_its_callers_own(served: Apis, api: httpx.Client) -> None:
    named = key()
    mine = api.post("/tokens", json={"role": "viewer"}, headers=named).json()
    with served.client(Role.ADMIN, MATRIX) as elsewhere:
        theirs = elsewhere.post("/tokens", json={"role": "viewer"}, headers=named).json()
    assert mine["id"] != theirs["id"]
    assert mine["token"] != theirs["token"]


def test_twins_at_the_same_moment_do_it_once(api: httpx.Client) -> None:
    rollout = planned(api, 2)
    before = len(api.get("/rollouts", params={"limit": 1000}).json()["items"])
    body = {"release": f"{rollout['product']}:{rollout['version']}", "target": rollout["target"]}
    for _ in range(5):
        named = key()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _, n=named: api.post("/rollouts", json=body, headers=n), range(8)))
        assert {a.status_code for a in answers} == {201}
        assert len({a.content for a in answers}) == 1
        assert sum("idempotency-replayed" not in a.headers for a in answers) == 1
    assert len(api.get("/rollouts", params={"limit": 1000}).json()["items"]) == before + 5


def test_every_post_takes_a_key(api: httpx.Client) -> None:
    """Where the second time would be an error or another effect, the key makes it the first answer again."""
    model, device = fresh("model"), fresh("dev")
    rollout = planned(api)
    here = f"/rollouts/{rollout['id']}"
    member = api.get(f"{here}/deployments").json()["items"][0]["device"]
    product, version = released(api, publish=False).split(":")
    upload = api.post("/uploads", json={"filename": "a"}).json()["id"]
    api.patch(f"/uploads/{upload}", content=model.encode(), headers={"Upload-Offset": "0"})
    calls: list[tuple[str, object]] = [
        ("/devices/batch", {"devices": [{"id": device, "hardware": model}]}),
        (f"/devices/{device}/token", {}),
        (f"/devices/{device}/lifecycle", {"event": "quarantine"}),
        (f"/releases/{product}/{version}/publish", None),
        (f"/releases/{product}/{version}/deprecate", None),
        (f"/releases/{product}/{version}/withdraw", None),
        (f"{here}/start", None),
        (f"{here}/pause", {"reason": "lunch"}),
        (f"{here}/resume", None),
        (f"{here}/deployments/{member}/cancel", {"force": True}),
        (f"{here}/retry", {"states": ["cancelled"]}),
        (f"{here}/stop", None),
        (f"/uploads/{upload}/finish", {}),
        ("/uploads", {"filename": "b"}),
        ("/tenant/gateway-token", None),
        ("/tenant/lift", None),
    ]
    for path, body in calls:
        named = key()
        first, second = (api.post(path, json=body, headers=named) for _ in range(2))
        assert first.is_success, (path, first.text)
        assert (second.status_code, second.content) == (first.status_code, first.content), path
        assert second.headers["idempotency-replayed"] == "true", path
    api.delete("/tenant/gateway-token")


@pytest.mark.parametrize("bad", ["", "a" * 256, "a\tb"])
def test_keys_are_short_and_printable(api: httpx.Client, bad: str) -> None:
    body = {"id": fresh("dev"), "hardware": "x"}
    told = problem(api.post("/devices", json=body, headers={"Idempotency-Key": bad}), 400, "invalid_input")
    assert told["errors"][0]["field"] == "Idempotency-Key"


def test_the_database_holds_no_secret_in_clear(served: Apis, api: httpx.Client) -> None:
    device = api.post("/devices", json={"id": fresh("dev"), "hardware": "x"}, headers=key()).json()["token"]
    token = api.post("/tokens", json={"role": "viewer"}, headers=key()).json()["token"]
    gateway = api.post("/tenant/gateway-token", headers=key()).json()["token"]
    api.delete("/tenant/gateway-token")
    with sqlite3.connect(served.server.data / "otaru.db") as database:
        dump = "\n".join(database.iterdump())
        bodies = b"".join(row[0] for row in database.execute("SELECT body FROM idempotency"))
    database.close()
    assert len(bodies) > 100
    for secret in (device, token, gateway, *served.secrets.values()):
        assert secret not in dump
        assert secret.encode().hex().upper() not in dump.upper()
        assert secret.encode() not in bodies


def test_an_answer_is_given_again_after_a_power_cut(tmp_path: Path) -> None:
    named, body = key(), {"id": "dev-1", "hardware": "x"}
    with apis(tmp_path / "data") as running, running.client() as api:
        first = api.post("/devices", json=body, headers=named)
        secrets = running.secrets
        running.server.kill()
    with apis(tmp_path / "data") as running:
        running.secrets = secrets
        with running.client() as api:
            second = api.post("/devices", json=body, headers=named)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"


def test_bytes_sent_twice_are_stored_once_whatever_the_key(api: httpx.Client) -> None:
    content = fresh("bytes").encode()
    uploaded(api, content)
    again = api.post("/artifacts", content=content, headers=key())
    assert again.status_code == 200
