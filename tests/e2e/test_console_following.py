"""The console's part in standing orders, as a browser without script sees it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from otaru.domain.access import Role
from tests.e2e.test_console_devices import _browsing, shown
from tests.support.api import MATRIX, Apis, added, fresh, released
from tests.support.ddi import eventually


@pytest.fixture
def browser(served: Apis) -> Iterator[httpx.Client]:
    with _browsing(served) as client:
        yield client


def a_group(api: httpx.Client) -> tuple[str, str]:
    """A group of one device, and a product with a release 1.1.0 for it."""
    name, product, device = fresh("group"), fresh("product"), added(api)
    api.post("/groups", json={"name": name, "query": f"id=={device}"}).raise_for_status()
    released(api, product=product)
    return name, product


def orders(api: httpx.Client, group: str) -> list[Any]:
    return list(api.get("/follows", params={"group": group}).json()["items"])


def test_a_group_follows_a_channel_and_ends_it(browser: httpx.Client, api: httpx.Client) -> None:
    name, product = a_group(api)
    page = shown(browser.get(f"/groups/{name}"))
    assert "It follows no channel" in page
    assert f'href="/groups/{name}/+follow"' in page
    form = shown(browser.get(f"/groups/{name}/+follow"))
    assert f'<option value="{product}">' in form
    assert 'name="continuous"' not in form
    assert 'name="split"' not in form
    wanted = {"product": product, "channel": "stable", "mode": "waves", "waves": "1, 100%", "on_error": "stop"}
    looked = shown(browser.post(f"/groups/{name}/+follow", data={**wanted, "look": "yes"}))
    assert f"Now: {product} 1.1.0 to 1 device." in looked
    assert 'value="1, 100%"' in looked, "what was typed stays"
    assert orders(api, name) == []
    sent = browser.post(f"/groups/{name}/+follow", data=wanted)
    assert (sent.status_code, sent.headers["location"]) == (303, f"/groups/{name}")
    (order,) = orders(api, name)
    assert (order["policy"]["waves"], order["policy"]["on_error"]) == (["1", "100%"], "stop")
    made = order["rollout"]["id"]
    again = shown(browser.post(f"/groups/{name}/+follow", data={**wanted, "look": "yes"}))
    assert "Nothing would be done now: the newest release is on its way already" in again
    page = shown(browser.get(f"/groups/{name}"))
    assert f'href="/rollouts/{made}"' in page
    assert f"Follows {product} stable" in page
    assert f'<a href="/groups/{name}">{name}</a>' in shown(browser.get(f"/releases/{product}/1.1.0"))
    assert "on the channel" in shown(browser.get(f"/rollouts/{made}"))
    released(api, product=product, version="9.0")
    eventually(lambda: orders(api, name)[0]["rollout"]["version"] == "9.0")
    superseded = shown(browser.get(f"/rollouts/{made}"))
    assert f'Superseded by</dt><dd><a href="/rollouts/{made + 1}">' in superseded
    assert "cut short" in superseded
    assert [wave["state"] for wave in api.get(f"/rollouts/{made}").json()["waves"]] == ["cut_short"]
    api.post(f"/rollouts/{made + 1}/stop", json={"reason": "<b>enough</b>"}).raise_for_status()
    eventually(lambda: orders(api, name)[0]["stuck"])
    page = shown(browser.get(f"/groups/{name}"))
    assert "&lt;b&gt;enough&lt;/b&gt;. It is not made again" in page
    assert f'<a href="/groups/{name}">{name}</a> waits with {product} stable' in shown(browser.get("/groups"))
    ended = browser.post(f"/groups/{name}/follows/{product}/stable/end")
    assert ended.headers["location"] == f"/groups/{name}"
    assert orders(api, name) == []
    assert "waits with" not in shown(browser.get("/groups"))
    shown(browser.post(f"/groups/{name}/follows/{product}/stable/end"), 404)


def test_what_is_wrong_stays_typed(browser: httpx.Client, api: httpx.Client) -> None:
    name, product = a_group(api)
    right = {"product": product, "channel": "stable", "mode": "waves", "waves": "1, 100%"}
    for wrong, said in (
        ({"product": "a b"}, "w-product"),
        ({"product": "none"}, "there is no product none"),
        ({"channel": "No"}, "w-channel"),
        ({"waves": "10, 2"}, "Waves are heights that rise"),
        ({"mode": "rate", "rate": "0"}, "said-rate"),
        ({"window": "soon"}, "said-window"),
    ):
        page = shown(browser.post(f"/groups/{name}/+follow", data=right | wrong), 422)
        assert said.lower() in page.lower()
        assert f'value="{next(iter(wrong.values()))}"' in page
    assert orders(api, name) == []
    shown(browser.get("/groups/nothing/+follow"), 404)
    shown(browser.post("/groups/nothing/+follow", data=right), 404)


def test_a_viewer_sees_and_changes_nothing(served: Apis, api: httpx.Client) -> None:
    name, product = a_group(api)
    api.post(f"/groups/{name}/follows", json={"product": product, "channel": "stable"}).raise_for_status()
    with _browsing(served, Role.VIEWER) as viewer:
        page = shown(viewer.get(f"/groups/{name}"))
        assert f'<span class="strong">{product}</span> stable' in page
        assert "+follow" not in page
        assert "End…" not in page
        shown(viewer.get(f"/groups/{name}/+follow"), 403)
        shown(viewer.post(f"/groups/{name}/follows/{product}/stable/end"), 403)
    with _browsing(served, Role.ADMIN, MATRIX) as stranger:
        shown(stranger.get(f"/groups/{name}/+follow"), 404)
        shown(stranger.post(f"/groups/{name}/follows/{product}/stable/end"), 404)
    assert len(orders(api, name)) == 1
