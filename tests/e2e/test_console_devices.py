"""The console's pages of devices, as a browser without script sees them."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import httpx
import pytest

from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from tests.support.api import MATRIX, OTHER, Apis, added, fresh, planned, released

HOSTILE = "<script>alert('1')</script>\n\"&amp;"


@contextmanager
def _browsing(served: Apis, role: Role = Role.ADMIN, tenant: TenantId = DEFAULT_TENANT) -> Iterator[httpx.Client]:
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    with httpx.Client(base_url=served.server.url, headers=headers, timeout=30) as client:
        assert client.post("/login", data={"token": served.secrets[tenant, role]}).status_code == 303
        yield client


@pytest.fixture
def browser(served: Apis) -> Iterator[httpx.Client]:
    with _browsing(served) as client:
        yield client


@pytest.fixture
def viewer(served: Apis) -> Iterator[httpx.Client]:
    with _browsing(served, Role.VIEWER) as client:
        yield client


def shown(answer: httpx.Response, status: int = 200) -> str:
    """The page's text, as HTML."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in answer.text
    assert not re.search(r"\sstyle=|\son\w+=", answer.text)
    return answer.text


def _found(pattern: str, page: str) -> str:
    """What the pattern's group holds, once and as a person reads it."""
    found = re.search(pattern, page)
    assert found is not None, pattern
    return html.unescape(found[1])


def _value(page: str, name: str) -> str:
    return _found(rf'name="{name}"[^>]*?value="([^"]*)"', page)


def _pointed(page: str) -> tuple[str, str]:
    """A wrong query as it is shown, and the line beneath that points into it."""
    return _found(r"<pre>(.*)\n<span", page), _found(r"<pre>.*\n<span[^>]*>(.*)</span></pre>", page)


def _rows(page: str) -> list[str]:
    return re.findall(r'<tr id="d-([^"]+)"', page)


def test_the_list_is_read_in_pages(api: httpx.Client, browser: httpx.Client) -> None:
    tag = fresh("tag")
    names = sorted(added(api, tags=[tag]) for _ in range(53))
    page = shown(browser.get("/devices", params={"q": f"tag=={tag}"}))
    assert _rows(page) == names[:50]
    last = shown(browser.get(_found(r'href="([^"]+)" rel="next"', page)))
    assert _rows(last) == names[50:]
    assert 'rel="next"' not in last
    assert "First page" in last
    assert "53 devices match" in shown(browser.get("/devices/+count", params={"q": f"tag=={tag}"}))
    beyond = shown(browser.get("/devices", params={"q": f"tag=={tag}", "after": "~"}))
    assert "The list ends here" in beyond
    assert browser.get("/devices", params={"after": "no id"}).status_code == 400


def test_a_wrong_query_is_kept_and_pointed_at(browser: httpx.Client) -> None:
    page = shown(browser.get("/devices", params={"q": "tag==a;hardware=b"}), 422)
    assert _value(page, "q") == "tag==a;hardware=b"
    line, pointer = _pointed(page)
    assert (line, pointer) == ("tag==a;hardware=b", " " * 15 + "^")
    assert "from column 16" in page


@pytest.mark.parametrize("query", ["x" * 300 + "=='", "'\u202e\x07", HOSTILE, "a" * 5000, "tag==a;" * 3, "\0"])
def test_no_query_is_too_odd_to_be_explained(browser: httpx.Client, query: str) -> None:
    page = shown(browser.get("/devices", params={"q": query}), 422)
    line, pointer = _pointed(page)
    assert len(line) <= 36
    assert len(pointer) <= len(line) + 1


@pytest.mark.parametrize("sign", ["-", "~", ":"])
def test_a_lone_word_is_how_an_id_begins(api: httpx.Client, browser: httpx.Client, sign: str) -> None:
    name = fresh(f"gw{sign}04")
    api.post("/devices", json={"id": f"{name}{sign}9", "hardware": "rpi4"})
    answer = browser.get("/devices", params={"q": name})
    assert answer.status_code == 303
    assert f'id="d-{name}{sign}9"' in shown(browser.get(answer.headers["location"]))


def test_chips_add_to_what_is_asked_and_take_from_it(api: httpx.Client, browser: httpx.Client) -> None:
    added(api, tags=["0"])  # sorts before all others, so it has a chip

    def chip(page: str, words: str) -> str:
        return _found(rf'<a class="chip" href="([^"]*)"[^>]*>{words}<', page)

    def asked(page: str) -> str:
        return _value(page, "q")

    page = shown(browser.get("/devices?q=attr.x==y"))
    page = shown(browser.get(chip(page, "Quarantined")))
    assert asked(page) == "attr.x==y;lifecycle==quarantined"
    page = shown(browser.get(chip(page, "Waiting to be accepted")))
    assert asked(page) == "attr.x==y;lifecycle==pending"
    page = shown(browser.get(chip(page, "0")))
    assert asked(page) == "attr.x==y;lifecycle==pending;tag==0"
    page = shown(browser.get(chip(page, "Waiting to be accepted")))
    assert asked(page) == "attr.x==y;tag==0"
    either = shown(browser.get("/devices", params={"q": "tag==a,tag==b"}))
    assert asked(shown(browser.get(chip(either, "0")))) == "(tag==a,tag==b);tag==0"


@pytest.mark.parametrize("name", ["new", "-", "~", "edit", "count", "a:b.c~d"])
def test_no_name_of_a_device_hides_a_page(api: httpx.Client, browser: httpx.Client, name: str) -> None:
    api.post("/devices", json={"id": name, "hardware": "rpi4"})
    page = shown(browser.get(f"/devices/{name}"))
    assert f"<title>{name} · Otaru</title>" in page
    assert shown(browser.get(f"/devices/{name}/edit"))


def test_a_device_is_added_and_its_token_shown_once(api: httpx.Client, browser: httpx.Client, served: Apis) -> None:
    name = fresh("gw")
    form = {"id": name, "hardware": "board:c", "tags": "lab, beta  x", "name": ["a", "", "b"], "value": ["1", "", "2 "]}
    page = shown(browser.post("/devices/+new", data=form))
    token = _found(r'id="token">([^<]+)<', page)
    assert page.count(token) >= 4
    assert page.count('class="button button-small copy-words"') == 4, "`copy` alone is a small square without words"
    assert f'url = "{served.server.url}"' in html.unescape(page)
    assert served.server.url.removeprefix("http://") in page
    assert served.device(name, token).get().status_code == 200
    known = api.get(f"/devices/{name}").json()
    assert (known["hardware"], known["tags"]) == ("board:c", ["beta", "lab", "x"])
    assert known["attributes"] == {"a": "1", "b": "2 "}
    assert token not in shown(browser.get(f"/devices/{name}"))
    again = shown(browser.post("/devices/+new", data=form), 422)
    assert "ids are never given twice" in again
    assert (_value(again, "id"), _value(again, "hardware")) == (name, "board:c")


def test_what_is_wrong_stands_beside_its_field(browser: httpx.Client) -> None:
    form: dict[str, Any] = {
        "id": "a b",
        "hardware": ":",
        "tags": "ok <b>",
        "name": ["x", "x", "", "<i>"],
        "value": [HOSTILE, "2", "3", "\x07"],
    }
    page = html.unescape(shown(browser.post("/devices/+new", data=form), 422))
    for words in (
        "'a b' is not a device id",
        "'' is not a hardware name",
        "'<b>' is not a name",
        "There are two of the name x.",
        "An attribute needs a name.",
        "The value holds a control character.",
    ):
        assert words in page, words
    assert (_value(page, "id"), _value(page, "tags")) == ("a b", "ok <b>")
    assert "alert('1')</script>\n\"&amp;</textarea>" in page


def test_a_device_is_edited_and_only_what_was_touched_changes(api: httpx.Client, browser: httpx.Client) -> None:
    name = added(api, tags=["lab"], attributes={"gone": "1", "kept": "a\nb", "told": "old"})
    page = shown(browser.get(f"/devices/{name}/edit"))
    edition = _value(page, "edition")
    form: dict[str, Any] = {
        "edition": edition,
        "hardware": "rpi5",
        "tags": "lab prod",
        "name": ["", "kept", "told", "fresh", ""],
        "value": ["1", "a\r\nb", "old", HOSTILE, ""],
        "was_name": ["gone", "kept", "told", "", ""],
        "was_value": ["1", "a\r\nb", "old", "", ""],
    }
    answer = browser.post(f"/devices/{name}/edit", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/devices/{name}")
    known = api.get(f"/devices/{name}").json()
    assert (known["hardware"], known["tags"]) == ("rpi5", ["lab", "prod"])
    assert known["attributes"] == {"kept": "a\nb", "told": "old", "fresh": HOSTILE}
    assert html.escape(HOSTILE, quote=False)[:20] in shown(browser.get(f"/devices/{name}"))

    assert known["assurance"] == "L1"  # a form without it leaves it as it is

    late = shown(browser.post(f"/devices/{name}/edit", data={**form, "tags": "mine"}), 412)
    assert "Somebody else has changed this device" in late
    assert (_value(late, "tags"), _value(late, "edition")) == ("mine", edition)
    assert api.get(f"/devices/{name}").json()["tags"] == ["lab", "prod"]
    assert browser.post(f"/devices/{name}/edit", data={**form, "edition": "x"}).status_code == 400


def test_how_far_a_device_verifies_is_said_by_who_may(
    api: httpx.Client, browser: httpx.Client, viewer: httpx.Client
) -> None:
    name = added(api)
    page = shown(browser.get(f"/devices/{name}/edit"))
    assert '<option value="L1" selected>' in page
    form = {"edition": _value(page, "edition"), "hardware": "rpi4", "tags": "", "assurance": "L3"}
    assert viewer.post(f"/devices/{name}/edit", data=form).status_code == 403
    assert "is not a level" in shown(browser.post(f"/devices/{name}/edit", data={**form, "assurance": "L9"}), 422)
    assert api.get(f"/devices/{name}").json()["assurance"] == "L1"
    assert browser.post(f"/devices/{name}/edit", data=form).status_code == 303
    assert api.get(f"/devices/{name}").json()["assurance"] == "L3"
    shown_ = shown(browser.get(f"/devices/{name}"))
    assert "L3</a> declared" in shown_
    assert "not seen yet" in shown_


def test_a_device_goes_through_its_lifecycle(api: httpx.Client, browser: httpx.Client) -> None:
    name = added(api)
    page = shown(browser.get(f"/devices/{name}"))
    assert "This cannot be undone" in page
    assert 'value="release"' not in page
    for event, word in (("quarantine", "quarantined"), ("release", "active"), ("decommission", "decommissioned")):
        answer = browser.post(f"/devices/{name}/lifecycle", data={"event": event})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/devices/{name}")
        assert api.get(f"/devices/{name}").json()["lifecycle"] == word
    page = shown(browser.post(f"/devices/{name}/lifecycle", data={"event": "release"}), 409)
    assert "Nothing was changed" in page
    assert re.findall(r'<dialog id="([^"]+)"', page) == ["lift"], "nothing to be asked of the device"
    assert browser.post(f"/devices/{name}/lifecycle", data={"event": "explode"}).status_code == 400
    assert "Nothing was changed" in shown(browser.post(f"/devices/{name}/token"), 409)
    closed = {"edition": "4", "hardware": "rpi4", "tags": "x"}
    assert "is decommissioned" in shown(browser.post(f"/devices/{name}/edit", data=closed), 409)


def test_a_new_token_kills_the_old_one(api: httpx.Client, browser: httpx.Client, served: Apis) -> None:
    name = fresh("gw")
    old = api.post("/devices", json={"id": name, "hardware": "rpi4"}).json()["token"]
    page = shown(browser.post(f"/devices/{name}/token"))
    assert served.device(name, _found(r'id="token">([^<]+)<', page)).get().status_code == 200
    assert served.device(name, old).get().status_code == 401


def test_long_last_words_are_folded(api: httpx.Client, browser: httpx.Client, served: Apis) -> None:
    rollout = planned(api, start=True)["id"]
    name = api.get(f"/rollouts/{rollout}/deployments").json()["items"][0]["device"]
    device = served.device(name, api.post(f"/devices/{name}/token").json()["token"])
    assert device.say(device.action(), "closed", "failure", "word " * 100).status_code == 200
    for address in (f"/devices/{name}", f"/rollouts/{rollout}", f"/rollouts/{rollout}/devices", "/events"):
        page = shown(browser.get(address))
        assert '<details class="folded"' in page, address
        assert "499 characters" in page or "500 characters" in page, address


def test_why_and_what_happened_and_how_to_cancel(api: httpx.Client, browser: httpx.Client, served: Apis) -> None:
    rollout = planned(api, start=True)
    name = api.get(f"/rollouts/{rollout['id']}/deployments").json()["items"][0]["device"]
    token = api.post(f"/devices/{name}/token").json()["token"]
    page = shown(browser.get(f"/devices/{name}"))
    assert f'href="/rollouts/{rollout["id"]}"' in page
    assert "On its way" in page
    assert f'waits its turn in <a href="/rollouts/{rollout["id"]}">' in page
    assert f'href="/devices/{name}/update"' in page
    device = served.device(name, token)
    device.links()
    assert device.say("1", "proceeding", "none", HOSTILE).status_code == 200
    page = shown(browser.get(f"/devices/{name}"))
    assert html.escape("<script>alert") in page
    assert "Cancel update" in page
    said = shown(browser.get(f"/devices/{name}/reports/1"))
    assert "proceeding" in said
    assert "<html" not in said
    for odd in ("2", "x", "9" * 30):
        assert browser.get(f"/devices/{name}/reports/{odd}").status_code == 404

    order = {"rollout": str(rollout["id"])}
    assert browser.post(f"/devices/{name}/cancel", data=order).status_code == 303
    page = shown(browser.get(f"/devices/{name}"))
    assert "Give up waiting" in page
    assert "Nothing was changed" in shown(browser.post(f"/devices/{name}/cancel", data=order), 409)
    assert browser.post(f"/devices/{name}/cancel", data={**order, "force": "yes"}).status_code == 303
    assert api.get(f"/devices/{name}").json()["state"] == "cancelled"
    assert browser.post(f"/devices/{name}/cancel", data={"rollout": "x"}).status_code == 400


def test_a_viewer_sees_no_buttons_and_may_do_nothing(api: httpx.Client, viewer: httpx.Client) -> None:
    name = added(api)
    for address in ("/devices", f"/devices/{name}"):
        page = shown(viewer.get(address))
        assert "Add device" not in page
        assert 'method="post" action="/devices' not in page
        assert "/edit" not in page
        assert "/rollouts/new" not in page
    for address in ("/devices/+new", f"/devices/{name}/edit"):
        assert viewer.get(address).status_code == 403
        assert viewer.post(address).status_code == 403
    for action in ("lifecycle", "token", "cancel"):
        assert viewer.post(f"/devices/{name}/{action}").status_code == 403


def test_tenants_never_see_one_another(api: httpx.Client, served: Apis) -> None:
    name = added(api, tags=[fresh("secret")])
    with _browsing(served, Role.ADMIN, OTHER) as stranger:
        assert name not in shown(stranger.get("/devices"))
        assert "No device matches" in shown(stranger.get("/devices", params={"q": f"id=={name}"}))
        for path in ("", "/edit", "/reports/1"):
            assert stranger.get(f"/devices/{name}{path}").status_code == 404
        assert stranger.post(f"/devices/{name}/token").status_code == 404
        assert stranger.post(f"/devices/{name}/lifecycle", data={"event": "quarantine"}).status_code == 404
        assert stranger.post(f"/devices/{name}/cancel", data={"rollout": "1"}).status_code == 404


def test_who_is_not_logged_in_is_led_to_the_login(served: Apis) -> None:
    answer = httpx.get(f"{served.server.url}/devices?q=tag==a", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/devices%3Fq%3Dtag%3D%3Da")


def test_who_registered_itself_waits_to_be_accepted(matrix: httpx.Client, served: Apis) -> None:
    assert matrix.patch("/tenant", json={"settings": {"self_registration": True}}).status_code == 200
    gateway = matrix.post("/tenant/gateway-token").json()["token"]
    name = fresh("self")
    poll = {"Authorization": f"GatewayToken {gateway}"}
    assert served.devices.get(f"/{MATRIX}/controller/v1/{name}", headers=poll).status_code == 200
    with _browsing(served, Role.ADMIN, MATRIX) as browser:
        assert name in _rows(shown(browser.get("/devices?q=lifecycle==pending")))
        page = shown(browser.get(f"/devices/{name}"))
        assert "came by itself" in page
        assert "say it</a>" in page
        assert browser.post(f"/devices/{name}/lifecycle", data={"event": "accept"}).status_code == 303
        page = shown(browser.get(f"/devices/{name}"))
        assert "say it</a>" not in page
        assert name not in _rows(shown(browser.get("/devices?q=lifecycle==pending")))


def test_credentials_are_listed_and_revoked(api: httpx.Client, browser: httpx.Client, viewer: httpx.Client) -> None:
    device = added(api)
    here = f"/devices/{device}"
    assert "Target token" in shown(browser.get(here))
    body = {"kind": "token", "label": "<script>alert(1)</script>", "expires_in_s": 86_400}
    made = api.post(f"{here}/credentials", json=body).json()
    page = shown(browser.get(here))
    assert made["id"] in page
    assert made["token"] not in page
    assert made["expires_at"][:10] in page
    revoke = f"{here}/credentials/{made['id']}/revoke"
    assert f'action="{revoke}"' in page
    assert revoke not in shown(viewer.get(here))
    assert viewer.post(revoke).status_code == 403
    answer = browser.post(revoke)
    assert (answer.status_code, answer.headers["location"]) == (303, here)
    page = shown(browser.get(here))
    assert f'action="{revoke}"' not in page
    assert "1 more was revoked or has ended." in page
    assert "lost a credential" in page.lower()
    assert browser.post(f"{here}/credentials/nothing/revoke").status_code == 404


def test_an_owners_answer(api: httpx.Client, browser: httpx.Client, viewer: httpx.Client, served: Apis) -> None:
    name = added(api, token="owned" * 8)
    release = released(api)
    body = {"release": release, "target": f"id=='{name}'", "consent": True, "start": True, "postponements": 1}
    rollout = api.post("/rollouts", json=body).json()["id"]
    assert "confirmationBase" in served.device(name, "owned" * 8).links()
    page = shown(browser.get(f"/devices/{name}"))
    assert "Its owner is asked first." in page
    assert "Postpone 1 day" not in shown(viewer.get(f"/devices/{name}"))

    def answer(said: str, who: httpx.Client = browser) -> httpx.Response:
        return who.post(f"/devices/{name}/consent", data={"rollout": str(rollout), "answer": said})

    assert answer("approve", viewer).status_code == 403
    assert answer("perhaps").status_code == 400
    assert answer("3d").status_code == 303
    assert "<strong>Postponed until " in shown(browser.get(f"/devices/{name}"))
    assert "has been postponed once" in shown(answer("1d"), 409)
    assert answer("approve").status_code == 303
    assert api.get(f"/devices/{name}").json()["state"] == "offered"
    assert "does not wait for consent" in shown(answer("reject"), 409)


def test_a_devices_health_is_on_its_page(browser: httpx.Client, api: httpx.Client) -> None:
    name = added(api)
    assert "<h2>Health</h2>" not in shown(browser.get(f"/devices/{name}"))
    events = [
        {"device": name, "id": "'\"<1>", "kind": "comm_failure", "text": HOSTILE},
        {"device": name, "id": "2", "kind": "sample", "name": "battery", "value": 81.5},
    ]
    assert api.post("/devices/events", json={"events": events}).json()["kept"] == 2
    page = shown(browser.get(f"/devices/{name}"))
    assert "Comm failure" in page
    assert _found(r"<dt>battery</dt><dd class=\"mono\">([\d.]+) ", page) == "81.5"


def test_a_query_is_completed_as_it_is_written(browser: httpx.Client, api: httpx.Client) -> None:
    tag = fresh("tag")
    added(api, tags=[tag], attributes={"note": HOSTILE})
    page = shown(browser.get("/devices"))
    assert 'list="q-choices"' in page
    assert f'value="tag=={tag}"' in shown(browser.get("/devices/+completion", params={"q": f"tag=={tag[:-1]}"}))
    assert "<option" in shown(browser.get("/devices/+completion", params={"q": "attr.note=="}))
    assert "<option" not in shown(browser.get("/devices/+completion", params={"q": "tag==a))"}))
    found = api.get("/fleet/completion", params={"q": f"tag=={tag};id==x", "at": 5 + len(tag)}).json()
    assert (found["start"], found["slot"], found["items"][0]["text"]) == (5, "value", tag)


def test_a_blackout_is_said_on_every_page(served: Apis) -> None:
    with served.client(Role.ADMIN, MATRIX) as admin, _browsing(served, Role.VIEWER, MATRIX) as viewer:
        body = {"reason": HOSTILE.replace("\n", " "), "start": "2020-01-01T00:00:00Z"}
        made = admin.post("/blackouts", json=body)
        assert made.status_code == 201, made.text
        page = shown(viewer.get("/devices"))
        assert "A blackout lasts until it is removed." in page
        assert html.escape("<script>alert") in page
        assert admin.delete(f"/blackouts/{made.json()['id']}").status_code == 204
        assert "A blackout lasts" not in shown(viewer.get("/devices"))


def test_drift_and_backups_stand_on_the_page(api: httpx.Client, browser: httpx.Client, served: Apis) -> None:
    attributes = {"drift.settings": "app.toml,<b>motd</b>", "drift.other": "none"}
    body = {"id": "drifts", "hardware": "default", "installed": {"settings": "3"}, "attributes": attributes}
    token = api.post("/devices", json=body).json()["token"]
    page = browser.get("/devices/drifts").text
    assert "changed on the device" in page
    assert "app.toml,&lt;b&gt;motd&lt;/b&gt;" in page
    assert "<h2>Backups</h2>" not in page
    asked = {"device": "drifts", "name": "000007", "first": "0", "size": "3", "sha256": sha256(b"age").hexdigest()}
    said = {"Authorization": f"TargetToken {token}"}
    sent = httpx.post(f"{served.server.url}/device/v1/backups", params=asked, headers=said, content=b"age")
    assert sent.json() == {"received": 3}
    page = browser.get("/devices/drifts").text
    assert "<h2>Backups</h2>" in page
    assert "000007" in page
