"""The overview and the events of the console: what they say, to whom, and what they change."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from tests.support.api import MATRIX, OTHER, Apis, added, apis, fresh, planned, released

Login = Callable[..., httpx.Client]
HOSTILE = "<script>alert(1)</script>"


@contextmanager
def logged_in(served: Apis, role: Role = Role.ADMIN, tenant: TenantId = DEFAULT_TENANT) -> Iterator[httpx.Client]:
    """A browser."""
    with httpx.Client(base_url=served.server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30) as client:
        answer = client.post("/login", data={"token": served.secrets[tenant, role]})
        assert answer.status_code == 303
        yield client


@pytest.fixture
def login(served: Apis) -> Iterator[Login]:
    """Browsers that are logged in, by role and tenant."""
    with ExitStack() as stack:
        yield lambda *who, **more: stack.enter_context(logged_in(served, *who, **more))


def page(client: httpx.Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def words(text: str) -> str:
    """What a page says, without its tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def fact(text: str, what: str) -> int:
    """A number of the strip."""
    found = re.search(rf"([\d,]+) {what}", words(text))
    assert found, what
    return int(found[1].replace(",", ""))


def test_somebody_new_is_led_to_a_first_rollout(tmp_path: Path) -> None:
    with (
        apis(tmp_path / "data") as new,
        logged_in(new) as browser,
        logged_in(new, Role.VIEWER) as viewer,
        new.client() as api,
    ):
        text = page(browser, "/")
        assert "otaru device add" in text
        assert 'href="/devices/+new"' in text
        assert 'href="/rollouts/new"' in text
        assert "Needs you" not in text
        text = page(viewer, "/")
        assert "otaru device add" in text
        assert 'href="/rollouts/new"' not in text
        added(api)
        text = page(browser, "/")
        assert "otaru device add" not in text
        assert "otaru release add" in text
        assert "Nothing needs you." in text
        assert "Nothing happened" not in page(browser, "/events")
        planned(api, 1)
        assert "otaru rollout create" not in page(browser, "/")


def test_the_strip_counts_what_the_api_counts(login: Login, api: httpx.Client) -> None:
    rollout = planned(api, 2, start=True)
    fleet = api.get("/fleet").json()
    text = page(login(), "/")
    assert fact(text, "devices?") == fleet["devices"] >= 2
    assert fact(text, "healthy") == fleet["healthy"]
    assert fact(text, "failed") == fleet["failed"]
    assert fleet["lifecycles"]["active"] >= 2
    assert f'href="/rollouts/{rollout["id"]}"' in text
    api.post(f"/rollouts/{rollout['id']}/pause", json={"reason": HOSTILE})
    text = page(login(), "/")
    assert HOSTILE not in text
    assert html.escape(HOSTILE) in text
    assert f"Rollout {rollout['id']} · " in words(text)
    api.post(f"/rollouts/{rollout['id']}/stop")


def test_the_numbers_lead_to_as_many_devices(login: Login, api: httpx.Client) -> None:
    added(api, installed={"ap.p": "1~0"})
    browser = login()
    text = page(browser, "/?component=ap.p")
    links = re.findall(r'<a[^>]*href="(/devices\?q=[^"]+)"[^>]*>(.*?)</a>', text, re.DOTALL)
    assert any("installed.ap.p" in address for address, _ in links)
    assert any("state%3Dout" in address or "state%3D%3D" in address for address, _ in links)
    assert len(links) >= 3
    for address, inside in links:
        number = re.search(r"[\d,]+", words(inside))
        assert number, inside
        query = dict(httpx.URL(html.unescape(address)).params)["q"]
        found = api.get("/devices", params={"q": query, "count": True, "limit": 1}).json()
        assert found["total"] == int(number[0].replace(",", "")), query
        assert page(browser, html.unescape(address))


def test_versions_are_counted_and_drawn(login: Login, api: httpx.Client) -> None:
    component = fresh("engine")
    for version in ("1.0", "1.0", "2.0"):
        added(api, installed={component: version})
    versions = [v for v in api.get("/fleet").json()["versions"] if v["component"] == component]
    assert [(v["version"], v["devices"]) for v in versions] == [("1.0", 2), ("2.0", 1)]
    history = api.get("/fleet/versions?days=7").json()
    (drawn,) = [v for v in history["versions"] if (v["component"], v["version"]) == (component, "1.0")]
    assert len(drawn["devices"]) == len(history["times"])
    assert drawn["devices"][0] == 0
    assert drawn["devices"][-1] == 2
    text = words(page(login(), f"/?component={component}"))
    assert "1.0 67% 2" in text.replace("\u00a0", " ")
    assert api.get("/fleet/versions?days=366").status_code == 400


def test_a_halt_stands_on_every_page_until_it_is_lifted(login: Login, matrix: httpx.Client) -> None:
    planned(matrix, 1, start=True)
    browser, viewer = login(tenant=MATRIX), login(Role.VIEWER, MATRIX)
    text = page(browser, "/")
    assert 'action="/settings/halt"' in text
    assert re.search(r"[1-9]\d* running rollouts?", words(text))
    assert 'action="/settings/halt"' not in page(viewer, "/")
    assert viewer.post("/settings/halt", data={"reason": "x"}).status_code == 403
    answer = browser.post("/settings/halt", data={"reason": HOSTILE})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert matrix.get("/tenant").json()["halted"]
    for address in ("/", "/events"):
        text = page(browser, address)
        assert "Everything is halted" in text
        assert html.escape(HOSTILE) in text
        assert HOSTILE not in text
        assert 'action="/settings/lift"' in text
        assert 'action="/settings/lift"' not in page(viewer, address)
    assert "Nothing needs you" not in page(browser, "/")
    assert viewer.post("/settings/lift").status_code == 403
    assert browser.post("/settings/lift", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert matrix.get("/tenant").json()["halted"]
    assert 'name="back" value="/events?kind=access"' in page(browser, "/events?kind=access")
    for back, leads in (("/events?kind=access", "/events?kind=access"), ("//elsewhere.example", "/")):
        answer = browser.post("/settings/lift", data={"back": back})
        assert (answer.status_code, answer.headers["location"]) == (303, leads)
    assert not matrix.get("/tenant").json()["halted"]


def test_events_are_told_in_words_and_filtered(login: Login, api: httpx.Client) -> None:
    browser = login()
    device = added(api)
    release = released(api)
    text = words(page(browser, "/events"))
    assert f"{device} was added rpi4" in text
    assert f"Release {release.replace(':', ' ')} was published" in text
    only = page(browser, f"/events?subject={device}")
    assert "was published" not in only
    assert f'href="/devices/{device}"' in only
    assert f'value="{device}"' in only
    releases = page(browser, "/events?kind=releases")
    assert "was published" in releases
    assert "was added" not in releases
    assert "Nothing like that happened" in page(browser, f"/events?kind=releases&subject={device}")


def test_events_lead_back_page_by_page(login: Login, api: httpx.Client) -> None:
    browser = login()
    names = [added(api) for _ in range(55)]
    first = page(browser, "/events?kind=devices")
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following
    second = page(browser, html.unescape(following[1]))
    assert f">{names[-1]}<" in first
    assert f">{names[0]}<" not in first
    assert f">{names[0]}<" in second
    assert f">{names[-1]}<" not in second
    assert 'href="/events?kind=devices"' in second


@pytest.mark.parametrize("query", ["kind=nonsense", "before=x", f"kind={HOSTILE}", "before=0-99999999999999999999"])
def test_an_address_that_means_nothing_is_told_so(login: Login, query: str) -> None:
    text = page(login(), f"/events?{query}", 422)
    assert 'role="alert"' in text
    assert HOSTILE not in text


def test_what_others_do_is_not_seen(login: Login, api: httpx.Client) -> None:
    component, device = fresh("secret"), added(api)
    added(api, installed={component: "9.9"})
    theirs = login(tenant=OTHER)
    assert component not in page(theirs, "/")
    assert component not in page(theirs, f"/?component={component}").replace(f"component={component}", "")
    assert device not in page(theirs, "/events")
    assert f">{device}<" not in page(theirs, f"/events?subject={device}")


def test_who_is_not_logged_in_sees_neither(served: Apis) -> None:
    for address in ("/", "/events"):
        answer = httpx.get(f"{served.server.url}{address}")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
