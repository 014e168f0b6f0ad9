"""Who may do what: every operation of the description, with every role, without a token, and from another tenant."""

from typing import Any, NamedTuple

import httpx
import pytest

from otaru.domain.access import Permission, Role, may
from otaru.domain.ids import DEFAULT_TENANT
from tests.support.api import MATRIX, OTHER, Apis, added, planned, problem, released, uploaded
from tests.support.images import anchor


class Operation(NamedTuple):
    method: str
    path: str
    permission: Permission

    def filled(self, **names: object) -> str:
        return self.path.removeprefix("/api/v1").format(**names)


BODIES: dict[str, Any] = {
    "/api/v1/tokens": {"role": "viewer"},
    "/api/v1/devices": {"id": "stranger", "hardware": "x"},
    "/api/v1/devices/batch": {"devices": []},
    "/api/v1/devices/events": {"events": []},
    "/api/v1/devices/{device}": {"tags": ["stolen"]},
    "/api/v1/devices/{device}/lifecycle": {"event": "decommission"},
    "/api/v1/devices/{device}/credentials": {"kind": "token"},
    "/api/v1/authorities/{authority}/certificate": {"pem": "x"},
    "/api/v1/attributes": {"name": "stranger", "kind": "number"},
    "/api/v1/groups": {"name": "strangers"},
    "/api/v1/devices/{device}/errands": {"what": "reboot"},
    "/api/v1/alerts": {"name": "strangers", "when": "id==*"},
    "/api/v1/groups/{group}/members": {"devices": []},
    "/api/v1/groups/{group}/members/remove": {"devices": []},
    "/api/v1/groups/{group}/follows": {"product": "app", "channel": "stable"},
    "/api/v1/groups/{group}/follows/preview": {"product": "app", "channel": "stable"},
    "/api/v1/enrollments": {"label": "l", "quota": 1},
    "/api/v1/enrollments/{enrollment}/serials": {"serials": []},
    "/api/v1/tenant": {"settings": {}},
    "/api/v1/uploads": {"filename": "a"},
    "/api/v1/devices/{device}/deployments/{rollout}/postpone": {"until": "2035-01-01T00:00:00Z"},
    "/api/v1/blackouts": {"reason": "r", "window": "03:00/1m"},
    "/api/v1/log/{log}/cosignatures": {"note": "n", "witness": "w"},
    "/api/v1/releases/{product}/{version}/deltas": {"from": "0"},
    "/api/v1/products/{product}": {"order": "dotted"},
    "/api/v1/trust-anchors": {"format": "swu", "pem": "none"},
    "/api/v1/keys/changes": {"change": {"order": "replace", "key": "0" * 64}},
    "/api/v1/keys/requests": {"role": "root"},
    "/api/v1/keys/permits": {"permit": {}},
    "/api/v1/bundles": {"rollout": 2**31 - 1},
    "/api/v1/receipts": {"receipts": ["none"]},
    "/api/v1/keys/metadata": {"metadata": {"root": {}}},
}
NOWHERE = {
    "token": "0123",
    "device": "nobody",
    "enrollment": "0123",
    "blackout": 2**31 - 1,
    "group": "nothing",
    "channel": "stable",
    "attribute": "nothing",
    "action": 1,
    "segment": 0,
    "sha256": "0" * 64,
    "upload": "0123",
    "product": "nothing",
    "version": "1",
    "rollout": 2**31 - 1,
    "log": "release",
    "errand": 2**31 - 1,
    "alert": "nothing",
    "index": 2**31 - 1,
    "format": "swu",
    "anchor": "0" * 64,
    "credential": "0123",
    "authority": "0" * 64,
}


@pytest.fixture(scope="session")
def operations(served: Apis) -> list[Operation]:
    document = httpx.get(f"{served.server.url}/api/openapi.json").json()
    found = [
        Operation(method.upper(), path, Permission(operation["x-permission"]))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not path.endswith("/stream")  # it answers without an end; see test_api_stream
    ]
    assert len(found) >= 50
    return found


def send(client: httpx.Client, operation: Operation, **names: object) -> httpx.Response:
    headers = {"Upload-Offset": "0"} if "/uploads/" in operation.path else {}
    body = BODIES.get(operation.path, {}) if operation.method in {"POST", "PATCH"} else None
    if operation.path == "/api/v1/artifacts":
        body = None
    return client.request(operation.method, operation.filled(**names), json=body, headers=headers)


@pytest.mark.parametrize("role", Role)
def test_every_operation_asks_for_its_permission(served: Apis, operations: list[Operation], role: Role) -> None:
    with served.client(role, MATRIX) as client:
        for operation in operations:
            answer = send(client, operation, **NOWHERE)
            allowed = may(role, operation.permission)
            assert (answer.status_code != 403) == allowed, (operation, answer.status_code, answer.text)
            assert answer.status_code not in {401, 405, 500}, (operation, answer.text)
            if not allowed and operation.method != "HEAD":
                assert problem(answer, 403, "forbidden")["needs"] == operation.permission
    with served.client(Role.ADMIN, MATRIX) as admin:
        admin.post("/tenant/lift")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic b3RhcnU6b3RhcnU="},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 2000},
        {"Cookie": "otaru_session=wrong"},
        {"Cookie": "otaru_session="},
        {"Cookie": ";;;=,"},
    ],
)
def test_no_operation_does_without_a_credential(
    served: Apis, operations: list[Operation], headers: dict[str, str]
) -> None:
    with httpx.Client(base_url=f"{served.server.url}/api/v1", headers=headers) as nobody:
        for operation in operations if len(headers) == 0 else operations[:3]:
            answer = send(nobody, operation, **NOWHERE)
            assert answer.status_code == 401, (operation, answer.text)
            assert answer.headers["www-authenticate"] == 'Bearer realm="otaru"'


def test_a_device_token_or_a_login_code_is_no_api_token(served: Apis, api: httpx.Client) -> None:
    token = api.post("/devices", json={"id": "dev-with-token", "hardware": "x"}).json()["token"]
    code = served.server.login.partition("code=")[2]
    for secret in (token, code):
        answer = httpx.get(f"{served.server.url}/api/v1/devices", headers={"Authorization": f"Bearer {secret}"})
        problem(answer, 401, "unauthenticated")


def own_authority(api: httpx.Client) -> str:
    api.post("/authorities", json={})
    return next(str(one["id"]) for one in api.get("/authorities").json()["items"] if one["signs"])


def test_a_tenant_sees_nothing_of_another(operations: list[Operation], api: httpx.Client, other: httpx.Client) -> None:
    """Every operation on a thing of one tenant is, for another tenant's admin, about nothing at all."""
    rollout = planned(api)  # not started: nothing moves it by itself
    here = f"/rollouts/{rollout['id']}"
    device = api.get(f"{here}/deployments").json()["items"][0]["device"]
    ours = {
        "rollout": rollout["id"],
        "device": device,
        "product": rollout["product"],
        "version": rollout["version"],
        "sha256": uploaded(api, b"ours alone"),
        "upload": api.post("/uploads", json={"filename": "a"}).json()["id"],
        "token": api.post("/tokens", json={"role": "viewer"}).json()["id"],
        "enrollment": api.post("/enrollments", json={"label": "l", "quota": 1, "listed": True}).json()["id"],
        "action": 1,
        "segment": 0,
        "format": "swu",
        "anchor": api.post("/trust-anchors", json={"format": "swu", "pem": anchor()}).json()["id"],
        "credential": api.post(f"/devices/{device}/credentials", json={"kind": "token"}).json()["id"],
        "authority": own_authority(api),
        "blackout": api.post("/blackouts", json={"reason": "r", "window": "03:00/1m"}).json()["id"],
        "errand": api.post(f"/devices/{device}/errands", json={"what": "reboot"}).json()["number"],
        "alert": api.post("/alerts", json={"name": "ours", "when": "id==nobody"}).json()["name"],
        "group": api.post("/groups", json={"name": "ours"}).json()["name"],
        "channel": "stable",
        "attribute": api.post("/attributes", json={"name": "ours", "kind": "number"}).json()["name"],
    }
    follows = {"product": rollout["product"], "channel": "stable", "approve": "start"}
    assert api.post("/groups/ours/follows", json=follows).json()["waits"].startswith("no device of ours needs")
    before = {path: api.get(path).json() for path in (here, f"/devices/{device}", f"/artifacts/{ours['sha256']}")}
    tried = 0
    for operation in operations:
        if "{" not in operation.path or "/log/" in operation.path:
            continue  # every tenant has logs of the same names: test_log
        tried += 1
        answer = send(other, operation, **ours)
        assert answer.status_code == 404, (operation, answer.status_code, answer.text)
    assert tried >= 25
    after = {path: api.get(path).json() for path in before}
    assert after == before
    assert api.get(f"/uploads/{ours['upload']}").json()["offset"] == 0


def test_lists_hold_nothing_of_another_tenant(api: httpx.Client, other: httpx.Client) -> None:
    added(api)
    planned(api)
    released(api)
    for path in (
        "/devices",
        "/devices?q=id==*",
        "/rollouts",
        "/releases",
        "/products",
        "/artifacts",
        "/trust-anchors",
        "/blackouts",
        "/groups",
        "/follows",
    ):
        assert other.get(path, params={"limit": 1000} if "?" not in path else None).json()["items"] == [], path
    labels = {token["label"] for token in other.get("/tokens").json()["items"]}
    assert labels == {f"other {role}" for role in Role}
    subjects = {e["kind"] for e in other.get("/events", params={"limit": 1000}).json()["items"]}
    assert subjects == {"tenant.created", "token.created"}
    assert other.get("/devices", params={"count": True}).json()["total"] == 0


def test_names_are_free_again_in_another_tenant(served: Apis, api: httpx.Client) -> None:
    device = added(api)
    with served.client(Role.OPERATOR, MATRIX) as elsewhere:
        assert elsewhere.post("/devices", json={"id": device, "hardware": "x"}).status_code == 201
        assert elsewhere.get(f"/devices/{device}").json()["hardware"] == "x"
    assert api.get(f"/devices/{device}").json()["hardware"] == "rpi4"


def test_bytes_of_another_tenant_make_no_release(api: httpx.Client, other: httpx.Client) -> None:
    sha256 = uploaded(api, b"not theirs")
    body = {"product": "thief", "version": "1", "artifacts": [{"sha256": sha256, "filename": "a", "hardware": ["x"]}]}
    problem(other.post("/releases", json=body), 404, "not_found")


def test_the_tenant_is_the_tokens_whatever_the_request_says(served: Apis) -> None:
    for tenant in (DEFAULT_TENANT, OTHER):
        with served.client(Role.VIEWER, tenant) as client:
            assert client.get("/tenant").json()["id"] == tenant
            problem(client.get("/tenant", params={"tenant": "DEFAULT"}), 400, "invalid_input")
