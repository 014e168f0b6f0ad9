"""Groups over the REST API: what they are in a query, and what a rollout makes of them."""

import httpx

from tests.support.api import added, fresh, problem, released


def test_a_rollout_keeps_the_members_that_its_group_had(api: httpx.Client) -> None:
    name, one, two, late = fresh("group"), added(api), added(api), added(api)
    api.post("/groups", json={"name": name}).raise_for_status()
    put = api.post(f"/groups/{name}/members", json={"devices": [one, two, "nobody"]}).json()
    assert put == {"changed": 2, "unchanged": 0, "unknown": ["nobody"]}
    body = {"release": released(api), "target": f"group=={name}"}
    assert api.post("/rollouts/preview", json=body).json()["members"] == 2
    rollout = api.post("/rollouts", json=body).json()
    assert rollout["size"] == 2
    api.post(f"/groups/{name}/members/remove", json={"devices": [one]}).raise_for_status()
    api.post(f"/groups/{name}/members", json={"devices": [late]}).raise_for_status()
    api.post(f"/rollouts/{rollout['id']}/start").raise_for_status()
    members = api.get(f"/rollouts/{rollout['id']}/deployments").json()["items"]
    assert {member["device"] for member in members} == {one, two}
    api.delete(f"/groups/{name}").raise_for_status()
    assert api.get(f"/rollouts/{rollout['id']}").json()["size"] == 2


def test_a_group_is_made_changed_and_deleted(api: httpx.Client) -> None:
    name, tag = fresh("group"), fresh("tag")
    device = added(api, tags=[tag])
    made = api.post("/groups", json={"name": name, "query": f"tag=={tag}", "description": "ü"})
    assert made.status_code == 201
    shown = api.get(f"/groups/{name}")
    assert shown.json() == made.json() | {"devices": 1}
    assert shown.headers["etag"] == '"1"'
    problem(api.post("/groups", json={"name": name, "query": "id==x"}), 409, "already_exists")
    problem(
        api.patch(f"/groups/{name}", json={"query": "id==x"}, headers={"If-Match": '"7"'}), 412, "precondition_failed"
    )
    problem(api.patch(f"/groups/{name}", json={"query": "id=="}), 400, "invalid_query")
    problem(api.post(f"/groups/{name}/members", json={"devices": [device]}), 409, "invalid_state")
    assert api.patch(f"/groups/{name}", json={"query": f"tag=={tag};id!={device}"}).json()["edition"] == 2
    assert api.get(f"/groups/{name}").json()["devices"] == 0
    outer = fresh("group")
    assert api.post("/groups", json={"name": outer, "query": f"not(group=={name})"}).status_code == 201
    assert problem(api.delete(f"/groups/{name}"), 409, "invalid_state")["used_by"] == [outer]
    names = [group["name"] for group in api.get("/groups", params={"limit": 1000}).json()["items"]]
    assert {name, outer} <= set(names)
    assert names == sorted(names)
    fields = api.get("/fleet/fields", params={"values": 100}).json()["items"]
    assert name in next(one["values"] for one in fields if one["field"] == "group")
    assert [api.delete(f"/groups/{one}").status_code for one in (outer, name, name)] == [204, 204, 404]


def test_what_names_no_group_is_told_where(api: httpx.Client) -> None:
    wrong = problem(api.get("/devices", params={"q": "tag==a,group==nothing"}), 400, "invalid_query")
    assert (wrong["column"], wrong["detail"]) == (15, "there is no group 'nothing'")
