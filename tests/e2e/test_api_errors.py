"""Bad input and its answers, each in the one form."""

import httpx
import pytest

from tests.support.api import Apis, added, fresh, planned, problem, released, uploaded

JSON = {"Content-Type": "application/json"}


def test_an_unknown_address(served: Apis, api: httpx.Client) -> None:
    problem(api.get("/nonsense"), 404, "not_found")
    problem(httpx.get(f"{served.server.url}/nonsense"), 404, "not_found")
    problem(httpx.get(f"{served.server.url}/api/docs/../../etc/passwd"), 404, "not_found")


def test_a_method_that_an_address_does_not_know(api: httpx.Client) -> None:
    answer = api.put("/devices")
    assert problem(answer, 405, "method_not_allowed")["allowed"] == ["GET", "POST"]
    assert answer.headers["allow"] == "GET, POST"
    assert api.request("PUT", f"/devices/{fresh('dev')}").headers["allow"] == "DELETE, GET, PATCH"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"id": "a", ', "at character 12"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'"text"', "dictionary"),
        (b"[]", "dictionary"),
        (b"null", "dictionary"),
        (b"", "required"),
        (b'{"id": "a", "hardware": "x", "tags": [1' + b"0" * 5000 + b"]}", "not JSON"),
    ],
)
def test_a_body_that_is_no_json_object_says_what_was_expected(api: httpx.Client, content: bytes, says: str) -> None:
    told = problem(api.post("/devices", content=content, headers=JSON), 400, "invalid_input")
    assert says in told["detail"]
    assert "JSON" in told["hint"]


def test_a_body_of_another_type(api: httpx.Client) -> None:
    told = problem(
        api.post("/devices", content=b"id=a", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        400,
        "invalid_input",
    )
    assert "Content-Type: application/json" in told["hint"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/devices", {"id": "a b", "hardware": "x"}, "id"),
        ("/devices", {"id": "..", "hardware": "x"}, "id"),
        ("/devices", {"id": "a" * 129, "hardware": "x"}, "id"),
        ("/devices", {"id": "a"}, "hardware"),
        ("/devices", {"id": "a", "hardware": "x", "hardwear": "y"}, "hardwear"),
        ("/devices", {"id": "a", "hardware": "x:"}, "hardware"),
        ("/devices", {"id": "a", "hardware": "x", "attributes": {"a": "\u0000"}}, "attributes.a"),
        ("/devices", {"id": "a", "hardware": "x", "attributes": {"a": "b" * 2049}}, "attributes.a"),
        ("/devices", {"id": "a", "hardware": "x", "token": "short"}, "token"),
        ("/devices", {"id": "a", "hardware": "x", "token": "sixteen spaces  "}, "token"),
        ("/devices", {"id": "a", "hardware": "x", "tags": ["t"] * 51}, "tags"),
        ("/devices/batch", {"devices": [{"id": "a", "hardware": "x"}, {"id": "b"}]}, "devices.1.hardware"),
        ("/devices/batch", {"devices": [{"id": "a", "hardware": "x"}] * 1001}, "devices"),
        ("/tokens", {"role": "king"}, "role"),
        ("/tokens", {"role": "viewer", "expires_in_s": 0}, "expires_in_s"),
        ("/tokens", {"role": "viewer", "label": "a\nb"}, "label"),
        ("/releases", {"product": "a", "version": "1", "artifacts": []}, "artifacts"),
        ("/rollouts", {"release": "app", "target": "id==*"}, "release"),
        ("/rollouts", {"release": "app:1", "target": "id==*", "waves": ["-1"]}, "waves.0"),
        ("/rollouts", {"release": "app:1", "target": "id==*", "success": 1.5}, "success"),
        ("/rollouts", {"release": "app:1", "target": "id==*", "observe_s": -1}, "observe_s"),
        ("/rollouts", {"release": "app:1", "target": "id==*", "start_at": "2020-01-01T00:00:00"}, "start_at"),
        ("/uploads", {"filename": "../etc/passwd"}, "filename"),
    ],
)
def test_a_field_that_does_not_fit_is_named(api: httpx.Client, path: str, body: dict[str, object], field: str) -> None:
    told = problem(api.post(path, json=body), 400, "invalid_input")
    assert [e["field"] for e in told["errors"]] == [field]
    assert field in told["detail"]


@pytest.mark.parametrize(
    "content", [b'{"release":"app:1","target":"id==*","quorum":NaN}', b'{"id":"a","hardware":"\\ud800"}']
)
def test_numbers_and_texts_that_are_none(api: httpx.Client, content: bytes) -> None:
    path = "/rollouts" if b"release" in content else "/devices"
    problem(api.post(path, content=content, headers=JSON), 400, "invalid_input")


def test_secrets_are_not_told_back(api: httpx.Client) -> None:
    answer = api.post("/devices", json={"id": "a", "hardware": "x", "token": "secret with spaces"})
    assert "secret with spaces" not in answer.text


def test_a_target_that_makes_no_sense_says_where(api: httpx.Client) -> None:
    told = problem(api.get("/devices", params={"q": "id==a;colour==red"}), 400, "invalid_query")
    assert told["column"] == 7
    body = {"release": released(api), "target": "id="}
    assert problem(api.post("/rollouts", json=body), 400, "invalid_query")["column"] == 3
    problem(api.get("/devices", params={"q": "id==\x00"}), 400, "invalid_input")


def test_policies_that_make_no_sense(api: httpx.Client) -> None:
    release = released(api)
    for wrong in (
        {"waves": ["0"]},
        {"waves": ["101%"]},
        {"waves": ["0%"]},
        {"start": True, "start_at": "2030-01-01T00:00:00Z"},
    ):
        problem(api.post("/rollouts", json={"release": release, "target": "id==*", **wrong}), 400, "invalid_input")


def test_an_unknown_query_parameter_is_named(api: httpx.Client) -> None:
    told = problem(api.get("/devices", params={"targt": "id==a"}), 400, "invalid_input")
    assert "'targt'" in told["detail"]
    assert told["hint"] == "It knows count, cursor, limit, q."
    assert told["errors"][0]["field"] == "targt"
    assert problem(api.get("/tenant", params={"q": ""}), 400, "invalid_input")["hint"] == "It knows none."
    problem(api.post("/devices", params={"dry": "1"}, json={"id": fresh("dev"), "hardware": "x"}), 400, "invalid_input")
    problem(api.get(f"/artifacts/{'0' * 64}/content", params={"as": "x"}), 400, "invalid_input")


def test_what_is_not_there(api: httpx.Client) -> None:
    for path in (
        "/devices/nobody",
        "/devices/nobody/why",
        "/rollouts/2147483647",
        "/rollouts/2147483647/deployments",
        "/releases/nothing/1",
        f"/artifacts/{'0' * 64}",
        f"/artifacts/{'0' * 64}/content",
        "/uploads/0123456789abcdef",
        "/deployments?device=nobody",
    ):
        problem(api.get(path), 404, "not_found")
    problem(api.post("/rollouts", json={"release": "nothing:1", "target": "id==*"}), 404, "not_found")


def test_a_body_above_the_limit(api: httpx.Client) -> None:
    told = problem(api.post("/devices", content=b" " * (1024 * 1024 + 1), headers=JSON), 413, "too_large")
    assert told["limit"] == 1024 * 1024


def test_signed_metadata_may_be_as_long_as_clients_read_it(api: httpx.Client) -> None:
    """Half as many files as a product may have are more than other bodies may hold."""
    told = {"signatures": [], "signed": {"_type": "targets", "files": "x" * 3_000_000}}
    problem(api.post("/keys/metadata", json={"metadata": {"product.app.stable": told}}), 422, "metadata_form")
    over = problem(api.post("/keys/metadata", content=b" " * (8 * 1024 * 1024 + 1), headers=JSON), 413, "too_large")
    assert over["limit"] == 8 * 1024 * 1024


def test_if_match_guards_changes_and_orders(api: httpx.Client) -> None:
    device = added(api)
    here = f"/devices/{device}"
    etag = api.get(here).headers["etag"]
    first = api.patch(here, json={"tags": ["a"]}, headers={"If-Match": etag})
    assert first.headers["etag"] != etag
    problem(api.patch(here, json={"tags": ["b"]}, headers={"If-Match": etag}), 412, "precondition_failed")
    problem(api.patch(here, json={"tags": ["b"]}, headers={"If-Match": '"abc"'}), 412, "precondition_failed")
    problem(api.patch(here, json={"tags": ["b"]}, headers={"If-Match": 'W/"2"'}), 412, "precondition_failed")
    problem(api.patch(here, json={"tags": ["b"]}, headers={"If-Match": "2"}), 400, "invalid_input")
    assert api.patch(here, json={"tags": ["b"]}, headers={"If-Match": "*"}).status_code == 200
    stale = {"If-Match": '"77"'}
    problem(api.post(f"{here}/lifecycle", json={"event": "quarantine"}, headers=stale), 412, "precondition_failed")
    rollout = planned(api)
    problem(api.post(f"/rollouts/{rollout['id']}/start", headers=stale), 412, "precondition_failed")
    product, version = released(api).split(":")
    problem(api.post(f"/releases/{product}/{version}/withdraw", headers=stale), 412, "precondition_failed")
    problem(api.patch("/tenant", json={"settings": {}}, headers=stale), 412, "precondition_failed")
    assert api.post(f"/rollouts/{rollout['id']}/start", headers={"If-Match": f'"{rollout["edition"]}"'}).is_success


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0"])
def test_a_range_outside_the_file(api: httpx.Client, header: str) -> None:
    sha256 = uploaded(api, b"0123456789")
    answer = api.get(f"/artifacts/{sha256}/content", headers={"Range": header})
    problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */10"


def test_bytes_that_are_not_the_announced_ones_leave_nothing(api: httpx.Client) -> None:
    answer = api.post("/artifacts", params={"sha256": "0" * 64}, content=b"something else")
    problem(answer, 422, "checksum_mismatch")


def test_numbers_of_pages_are_bounded(api: httpx.Client) -> None:
    for limit in ("0", "1001", "-1", "many", "", "1_0", "+5", " 5", "5 ", "5.0", "1e1", "0x1", "\u0665", "\uff15"):
        told = problem(api.get("/devices", params={"limit": limit}), 400, "invalid_input")
        assert told["errors"][0]["field"] == "limit"


def test_a_number_that_no_rollout_can_have(api: httpx.Client) -> None:
    for way in ("", "/deployments"):
        problem(api.get(f"/rollouts/{'9' * 5000}{way}"), 404, "not_found")
    problem(api.post(f"/rollouts/{'9' * 5000}/start", json={}), 404, "not_found")
