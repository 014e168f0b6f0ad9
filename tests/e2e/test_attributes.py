"""Types of attributes over the REST API."""

import httpx

from tests.support.api import added, fresh, problem


def test_a_declared_attribute_is_compared_and_lies_are_marked(api: httpx.Client) -> None:
    name, tag = fresh("level"), fresh("tag")
    low, high, odd = (added(api, tags=[tag], attributes={name: value}) for value in ("9", "10.5", "odd"))
    query = f"tag=={tag};attr.{name}=lt=10"
    assert problem(api.get("/devices", params={"q": query}), 400, "invalid_query")["column"] == query.index(name) + 1
    made = api.post("/attributes", json={"name": name, "kind": "number"}).json()
    assert (made["kind"], made["ready"]) == ("number", True)
    assert [device["id"] for device in api.get("/devices", params={"q": query}).json()["items"]] == [low]
    seen = next(one for one in api.get("/attributes").json()["items"] if one["name"] == name)
    assert seen["unreadable"] == 1
    (fact,) = api.get(f"/devices/{odd}/attributes").json()["items"]
    assert fact == {"name": name, "value": "odd", "kind": "number", "readable": False}
    fields = api.get("/fleet/fields", params={"values": 1}).json()["items"]
    assert next((one["declared"] for one in fields if one["field"] == f"attr.{name}"), None) == "number"
    api.patch(f"/devices/{high}", json={"attributes": {name: "1"}}).raise_for_status()
    api.patch(f"/devices/{high}", json={"attributes": {name: None}}).raise_for_status()
    here = f"/devices/{high}/attributes/history"
    first = api.get(here, params={"limit": 1}).json()
    rest = api.get(here, params={"cursor": first["next"]}).json()
    assert [(c["before"], c["after"]) for c in first["items"] + rest["items"]] == [("1", None), ("10.5", "1")]
    assert api.delete(here).status_code == 204
    assert api.get(here).json()["items"] == []
    assert [api.delete(f"/attributes/{name}").status_code for _ in range(2)] == [204, 404]
    problem(api.get("/devices", params={"q": query}), 400, "invalid_query")
    problem(api.post("/attributes", json={"name": name, "kind": "colour"}), 400, "invalid_input")


def test_a_rollout_takes_a_comparison_for_its_target(api: httpx.Client) -> None:
    tag = fresh("tag")
    added(api, tags=[tag], installed={tag: "1.9"})
    added(api, tags=[tag], installed={tag: "1.10"})
    assert api.get("/devices", params={"q": f"installed.{tag}<1.10", "count": True}).json()["total"] == 1
