"""The console's pages of groups, as a browser without script sees them."""

from collections.abc import Iterator

import httpx
import pytest

from otaru.domain.access import Role
from tests.e2e.test_console_devices import HOSTILE, _browsing, shown
from tests.support.api import MATRIX, OTHER, Apis, added, fresh


@pytest.fixture
def browser(served: Apis) -> Iterator[httpx.Client]:
    with _browsing(served) as client:
        yield client


def test_a_query_is_saved_as_a_group(browser: httpx.Client, api: httpx.Client) -> None:
    tag, name = fresh("tag"), fresh("group")
    device = added(api, tags=[tag])
    page = shown(browser.get("/devices", params={"q": f"tag=={tag}"}))
    assert f'href="/groups/+new?q=tag%3D%3D{tag}"' in page
    assert f'value="tag=={tag}"' in shown(browser.get("/groups/+new", params={"q": f"tag=={tag}"}))
    made = browser.post("/groups/+new", data={"name": name, "query": f"tag=={tag}", "description": HOSTILE[:20]})
    assert (made.status_code, made.headers["location"]) == (303, f"/groups/{name}")
    page = shown(browser.get(f"/groups/{name}"))
    assert f'href="/devices/{device}"' in page
    assert "1 device" in page
    assert device in shown(browser.get("/devices", params={"q": f"group=={name}"}))
    assert f'href="/groups/{name}"' in shown(browser.get("/groups"))
    assert name in shown(browser.get("/events"))
    browser.post(f"/groups/{name}/edit", data={"query": "tag==nobody", "description": "x"})
    assert "Nobody is in it now" in shown(browser.get(f"/groups/{name}"))
    assert browser.post(f"/groups/{name}/delete").headers["location"] == "/groups"
    shown(browser.get(f"/groups/{name}"), 404)


def test_a_list_is_kept_by_hand(browser: httpx.Client, api: httpx.Client) -> None:
    name, one, two = fresh("group"), added(api), added(api)
    browser.post("/groups/+new", data={"name": name, "kind": "list"})
    put = browser.post(f"/groups/{name}/members", data={"order": "enter", "devices": f"{one},\n {two}"})
    assert put.status_code == 303
    assert api.get("/devices", params={"q": f"group=={name}", "count": True}).json()["total"] == 2
    page = shown(browser.post(f"/groups/{name}/members", data={"order": "enter", "devices": "nobody-1"}), 422)
    assert "nobody-1</textarea>" in page
    shown(browser.post(f"/groups/{name}/members", data={"order": "enter", "devices": "<b>"}), 422)
    browser.post(f"/groups/{name}/members", data={"order": "leave", "devices": one})
    assert [d["id"] for d in api.get("/devices", params={"q": f"group=={name}"}).json()["items"]] == [two]


def test_what_is_wrong_stays_typed(browser: httpx.Client, api: httpx.Client) -> None:
    name = fresh("group")
    for typed, place in (
        ({"name": "a b", "query": "id==x"}, "w-name"),
        ({"name": name, "query": "tag=="}, "w-query"),
        ({"name": name, "query": "group==none"}, "w-query"),
    ):
        page = shown(browser.post("/groups/+new", data=typed), 422)
        assert f'id="{place}"' in page
        assert f'value="{typed["query"]}"' in page
    assert api.post("/groups", json={"name": name, "query": "id==x"}).status_code == 201
    assert "w-name" in shown(browser.post("/groups/+new", data={"name": name, "query": "id==x"}), 422)
    page = shown(browser.post(f"/groups/{name}/edit", data={"query": f"group=={name}", "description": ""}), 422)
    assert f"{name} → {name}" in page
    api.post("/groups", json={"name": f"{name}-outer", "query": f"group=={name}"})
    assert f"{name}-outer" in shown(browser.post(f"/groups/{name}/delete"), 409)


def test_a_viewer_only_looks_and_tenants_see_their_own(served: Apis, api: httpx.Client) -> None:
    name = fresh("group")
    api.post("/groups", json={"name": name, "query": "id==x"})
    with _browsing(served, Role.VIEWER) as viewer:
        page = shown(viewer.get(f"/groups/{name}"))
        assert 'action="/groups' not in page
        shown(viewer.get("/groups/+new"), 403)
        shown(viewer.post(f"/groups/{name}/delete"), 403)
    for tenant in (OTHER, MATRIX):
        with _browsing(served, tenant=tenant) as stranger:
            shown(stranger.get(f"/groups/{name}"), 404)
            assert name not in shown(stranger.get("/groups"))
