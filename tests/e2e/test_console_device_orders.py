"""What one orders of a single device in the console: to stay where it is, to be updated now; what its attributes were."""

import html
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import MATRIX, OTHER, Apis, added, fresh, released

HOSTILE = "<script>alert('1')</script>\"&"


@pytest.fixture
def browsers(served: Apis) -> Iterator[dict[Role, httpx.Client]]:
    with ExitStack() as opened:
        yield {role: opened.enter_context(served.visitor(role)) for role in Role}


@pytest.fixture
def browser(browsers: dict[Role, httpx.Client]) -> httpx.Client:
    return browsers[Role.OPERATOR]


def shown(answer: httpx.Response, status: int = 200) -> str:
    assert answer.status_code == status, answer.text
    assert HOSTILE not in answer.text
    return html.unescape(answer.text)


def test_a_device_is_pinned_and_unpinned_with_a_reason(api: httpx.Client, browser: httpx.Client) -> None:
    name = added(api, installed={"app": "1", "os": "2"})
    here = f"/devices/{name}"

    def order(which: str, **more: str) -> frozenset[str]:
        assert browser.post(f"{here}/pins", data={"order": which, **more}).status_code == 303
        return frozenset(api.get(here).json()["pins"])

    assert 'data-opens="unpin"' not in shown(browser.get(here))
    assert order("pin", component="app", reason=f"the customer asked {HOSTILE}") == {"app"}
    page = shown(browser.get(here))
    assert "Was pinned: app stays as it is: " in page.replace('<span class="line-reason">', "").replace(
        '<span class="pre">', ""
    )
    assert "the customer asked" in page
    assert order("pin", component="os") == {"app", "os"}
    assert order("unpin", component="app") == {"os"}
    assert order("pin") == {"*"}
    assert 'data-opens="pin"' not in shown(browser.get(here))
    assert order("unpin") == frozenset()
    assert "Is pinned no more" in shown(browser.get(here))
    assert browser.post(f"{here}/pins", data={"order": "pin", "reason": "x" * 501}).status_code == 400
    assert browser.post(f"{here}/pins", data={"order": "pin", "component": "a b"}).status_code == 400


def test_a_device_is_updated_now(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    name = added(api, hardware=model)
    fits, other = released(api, hardware=model), released(api)
    form = f"/devices/{name}/update"
    assert f'href="{form}"' in shown(browser.get(f"/devices/{name}"))
    page = shown(browser.get(form))
    assert f'<option value="{fits}">' in page
    assert f'<option value="{other}">' not in page
    refused = shown(browser.post(form, data={"release": other, "reason": HOSTILE}), 422)
    assert "holds no device that this release is for" in refused
    assert f'value="{other}"' in refused
    assert HOSTILE in refused, "what was typed stays"
    for wrong in ("", "nobody:1", HOSTILE):
        assert 'id="w-release"' in shown(browser.post(form, data={"release": wrong}), 422)
    sent = {"release": fits, "reason": "it stands in the lab", "key": "once"}
    first, again = browser.post(form, data=sent), browser.post(form, data=sent)
    assert first.status_code == 303
    assert again.headers["location"] == first.headers["location"], "twice sent, once made"
    made = api.get(first.headers["location"]).json()
    assert (made["size"], made["state"], made["name"]) == (1, "running", f"{name} now")
    assert made["policy"]["priority"] == 9


def test_where_four_eyes_are_asked_for_an_update_now_waits_for_them(served: Apis) -> None:
    with served.client(Role.ADMIN, MATRIX) as admin, served.visitor(Role.OPERATOR, MATRIX) as operator:
        model = fresh("model")
        name, release = added(admin, hardware=model), released(admin, hardware=model)
        assert admin.patch("/tenant", json={"settings": {"four_eyes": True}}).is_success
        try:
            assert "once somebody else has approved it" in shown(operator.get(f"/devices/{name}/update"))
            made = operator.post(f"/devices/{name}/update", data={"release": release}).headers["location"]
            assert admin.get(made).json()["state"] == "awaiting_approval"
            own = shown(operator.get(made))
            assert "You planned it: somebody else approves it." in own
            assert 'data-opens="ask-approve"' not in own
            assert "waits for approval by somebody else of its start, 1 device" in shown(operator.get("/"))
            with served.visitor(Role.ADMIN, MATRIX) as other:
                assert "waits for approval of its start, 1 device" in shown(other.get("/"))
                page = shown(other.get(made))
                assert 'data-opens="ask-approve"' in page
                assert "Refuse…" in page
                edition = page.partition('name="edition" value="')[2].partition('"')[0]
                order = {"order": "stop", "edition": edition, "reason": "not now"}
                assert other.post(f"{made}/orders", data=order).status_code == 303
                assert "not now" in shown(other.get(made))
        finally:
            assert admin.patch("/tenant", json={"settings": {"four_eyes": False}}).is_success


def test_what_became_of_its_attributes(
    api: httpx.Client, browser: httpx.Client, browsers: dict[Role, httpx.Client]
) -> None:
    name = added(api, attributes={"site": "lyon"})
    here = f"/devices/{name}/attributes"
    assert f'href="{here}"' in shown(browser.get(f"/devices/{name}"))
    assert api.patch(f"/devices/{name}", json={"attributes": {"site": HOSTILE}}).is_success
    page = shown(browser.get(here))
    assert "lyon" in page
    assert HOSTILE in page
    assert "Forget them…" not in shown(browsers[Role.VIEWER].get(here))
    assert browser.post(here).headers["location"] == here
    assert "No change is kept" in shown(browser.get(here))
    assert api.get(f"/devices/{name}").json()["attributes"] == {"site": HOSTILE}


def test_who_may_not_and_who_is_of_another_tenant(
    api: httpx.Client, served: Apis, browsers: dict[Role, httpx.Client]
) -> None:
    name = added(api)
    viewer = browsers[Role.VIEWER]
    page = shown(viewer.get(f"/devices/{name}"))
    assert "Update now" not in page
    assert "Pin…" not in page
    for path in ("pins", "update", "attributes"):
        assert viewer.post(f"/devices/{name}/{path}", data={}).status_code == 403
    assert viewer.get(f"/devices/{name}/update").status_code == 403
    with served.visitor(Role.ADMIN, OTHER) as stranger:
        for path in ("update", "attributes"):
            assert stranger.get(f"/devices/{name}/{path}").status_code == 404
            assert stranger.post(f"/devices/{name}/{path}", data={"release": "a:1"}).status_code == 404
        assert stranger.post(f"/devices/{name}/pins", data={"order": "pin"}).status_code == 404
