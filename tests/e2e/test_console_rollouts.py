"""Rollouts in the console: the list, one with its orders, its devices, and the form for a new one."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from otaru.apps.console.rollout_form import FIELDS, TICKS
from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from tests.support.api import OTHER, Apis, added, fresh, planned, released, uploaded
from tests.support.ddi import eventually

Login = Callable[..., httpx.Client]
HOSTILE = "<script>alert('1')</script>\"&"


@pytest.fixture
def login(served: Apis) -> Iterator[Login]:
    """A browser of somebody with this role."""
    with ExitStack() as open_ones:

        def enter(role: Role = Role.OPERATOR, tenant: TenantId = DEFAULT_TENANT) -> httpx.Client:
            browser = httpx.Client(base_url=served.server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30)
            open_ones.enter_context(browser)
            assert browser.post("/login", data={"token": served.secrets[tenant, role]}).status_code == 303
            return browser

        yield enter


@pytest.fixture
def browser(login: Login) -> httpx.Client:
    return login()


def edition(page: httpx.Response) -> str:
    found = re.search(r'name="edition" value="(\d+)"', page.text)
    assert found is not None, page.text
    return found[1]


def give(browser: httpx.Client, rollout: int, order: str, seen: str = "", **more: object) -> httpx.Response:
    """Give an order as the page does that shows edition `seen`; as it is now where nothing else is said."""
    seen = seen or edition(browser.get(f"/rollouts/{rollout}"))
    return browser.post(f"/rollouts/{rollout}/orders", data={"order": order, "edition": seen, **more})


def test_the_list_shows_each_rollout_and_filters_by_state(api: httpx.Client, browser: httpx.Client) -> None:
    name = fresh("name")
    active, stopped = planned(api, 2, name=f"{name} {HOSTILE}"), planned(api, start=True)
    api.post(f"/rollouts/{stopped['id']}/stop", json={"reason": "wrong"})
    deadline = time.monotonic() + 30
    while api.get(f"/rollouts/{stopped['id']}").json()["state"] != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.05)

    def listed(query: str) -> set[str]:
        page = browser.get(f"/rollouts{query}")
        assert page.status_code == 200
        return set(re.findall(r'href="/rollouts/(\d+)"', page.text))

    both = {str(active["id"]), str(stopped["id"])}
    assert both <= listed("")
    assert listed("?state=active") & both == {str(active["id"])}
    assert listed("?state=planned") & both == {str(active["id"])}
    assert not listed(f"?before={min(active['id'], stopped['id'])}") & both
    page = browser.get("/rollouts").text
    assert name in page
    assert HOSTILE not in page
    assert browser.get("/rollouts?state=nonsense").status_code == 400
    assert browser.get("/rollouts?before=nonsense").status_code == 404


def test_an_empty_list_leads_to_the_first_rollout(login: Login) -> None:
    assert 'href="/rollouts/new"' in login(Role.ADMIN, OTHER).get("/rollouts").text
    form = login(Role.ADMIN, OTHER).get("/rollouts/new").text
    assert 'href="/releases/+new"' in form
    assert 'button-wide" disabled' in form
    assert 'href="/rollouts/new"' not in login(Role.VIEWER, OTHER).get("/rollouts").text


def test_tenants_never_see_one_another(api: httpx.Client, login: Login) -> None:
    rollout = planned(api)
    stranger = login(Role.ADMIN, OTHER)
    for address in (f"/rollouts/{rollout['id']}", f"/rollouts/{rollout['id']}/devices"):
        assert stranger.get(address).status_code == 404
    answer = stranger.post(f"/rollouts/{rollout['id']}/orders", data={"order": "start", "edition": rollout["edition"]})
    assert answer.status_code == 404
    assert rollout["product"] not in stranger.get("/rollouts/new").text


def test_numbers_that_are_no_rollout(browser: httpx.Client) -> None:
    for number in ("0", "999999", "99999999999999999999999", "9" * 5000):
        assert browser.get(f"/rollouts/{number}").status_code == 404


def test_who_may_only_look_sees_no_orders_and_can_give_none(api: httpx.Client, login: Login) -> None:
    rollout = planned(api)
    viewer = login(Role.VIEWER)
    page = viewer.get(f"/rollouts/{rollout['id']}")
    assert page.status_code == 200
    assert "<form" not in page.text.partition("<main")[2].partition("<footer")[0]
    assert (
        "<form"
        not in viewer.get(f"/rollouts/{rollout['id']}/devices").text.partition("<main")[2].partition("<footer")[0]
    )
    assert viewer.get("/rollouts/new").status_code == 403
    assert viewer.post("/rollouts/new", data={}).status_code == 403
    answer = viewer.post(f"/rollouts/{rollout['id']}/orders", data={"order": "start", "edition": rollout["edition"]})
    assert answer.status_code == 403


def test_a_rollout_obeys_the_orders_that_its_page_offers(api: httpx.Client, browser: httpx.Client) -> None:
    rollout = planned(api, 3, waves=["1", "100%"])["id"]
    for order, state in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stop")):
        assert f'value="{order}"' in browser.get(f"/rollouts/{rollout}").text
        answer = give(browser, rollout, order, reason=f"{order} because {HOSTILE}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/rollouts/{rollout}")
        assert api.get(f"/rollouts/{rollout}").json()["state"].startswith(state)
    page = browser.get(f"/rollouts/{rollout}").text
    assert "stop because" in page
    assert HOSTILE not in page


def test_a_rollout_is_approved_from_its_page(api: httpx.Client, browser: httpx.Client) -> None:
    rollout = planned(api, 2, waves=["1"], approve="waves", priority=8, max_in_flight=5, max_per=["attr.site=2"])["id"]
    page = browser.get(f"/rollouts/{rollout}").text
    assert "Nobody is offered anything until it is approved" in page
    assert "at most 5 devices in flight; 2 devices in flight for each site" in page
    assert 'value="start"' not in page
    assert give(browser, rollout, "start").status_code == 409
    assert give(browser, rollout, "approve", reason="seen").status_code == 303
    assert api.get(f"/rollouts/{rollout}").json()["state"] == "running"
    assert 'value="approve"' not in browser.get(f"/rollouts/{rollout}").text
    assert give(browser, rollout, "approve").status_code == 409


def test_a_segment_is_held_and_released_from_its_page(api: httpx.Client, browser: httpx.Client, login: Login) -> None:
    rollout = planned(api, 2, split=["hardware", "attr.region"])
    number = rollout["id"]
    assert "Segments" not in browser.get(f"/rollouts/{number}").text.split("<h2>Plan</h2>")[0], "one segment is no news"
    odd = api.get(f"/rollouts/{number}/deployments").json()["items"][0]["device"]
    api.patch(f"/devices/{odd}", json={"attributes": {"region": HOSTILE}})
    release = f"{rollout['product']}:{rollout['version']}"
    body = {"release": release, "target": rollout["target"], "split": ["hardware", "attr.region"]}
    number = api.post("/rollouts", json=body).json()["id"]
    page = browser.get(f"/rollouts/{number}")
    assert "Hold segment 2?" in page.text
    assert HOSTILE not in page.text
    assert "region &lt;script&gt;" in page.text
    assert give(browser, number, "hold", segment=1, reason="it smells").status_code == 303
    page = browser.get(f"/rollouts/{number}")
    assert "held by hand: it smells" in page.text
    assert "holds its segment 2" in page.text.lower()
    assert "Release segment 2?" in page.text
    assert give(browser, number, "hold", segment=1).status_code == 409
    for wrong in ("x", "", "9999"):
        assert give(browser, number, "release", segment=wrong).status_code == 422
    assert give(browser, number, "release", segment=7).status_code in {404, 409}
    assert "Release…" not in login(Role.VIEWER).get(f"/rollouts/{number}").text
    assert give(browser, number, "release", segment=1).status_code == 303
    assert not any(s["held"] for s in api.get(f"/rollouts/{number}").json()["segments"])


def test_an_order_for_what_a_stale_page_shows_is_not_carried_out(api: httpx.Client, browser: httpx.Client) -> None:
    rollout = planned(api)["id"]
    seen = edition(browser.get(f"/rollouts/{rollout}"))
    assert give(browser, rollout, "start", seen).status_code == 303
    stale = give(browser, rollout, "stop", seen)
    assert stale.status_code == 412
    assert "had changed before your order" in stale.text
    assert "data-live" not in stale.text, "the words must not be renewed away"
    assert api.get(f"/rollouts/{rollout}").json()["state"] == "running"
    # The worker moves it meanwhile: its wave passes, and what was read just before is stale again.
    refused = eventually(lambda: answer if (answer := give(browser, rollout, "start")).status_code != 412 else None)
    assert refused.status_code == 409
    assert "is running" in refused.text
    for data in ({"order": "start"}, {"order": "explode", "edition": "1"}, {"order": "finish", "edition": "1"}):
        assert browser.post(f"/rollouts/{rollout}/orders", data=data).status_code == 422
    assert give(browser, rollout, "pause", reason="a\nb").status_code == 422


def fail_one(served: Apis, api: httpx.Client, words: str) -> tuple[int, str]:
    """A rollout to two devices, and the one that failed with these last words."""
    model = fresh("model")
    first = api.post("/devices", json={"id": fresh("dev"), "hardware": model}).json()
    added(api, hardware=model)
    body = {"release": released(api, hardware=model), "target": f"hardware=={model}", "start": True}
    rollout = api.post("/rollouts", json=body).json()["id"]
    device = served.device(first["id"], first["token"])
    assert device.say(device.action(), "closed", "failure", words).status_code == 200
    # The judge looks at it now: an order that is read before that and given after it would come too late.
    eventually(lambda: api.get(f"/rollouts/{rollout}").json()["waves"][0]["state"] != "open")
    return rollout, str(first["id"])


def test_failures_are_told_with_their_last_words_and_tried_again(
    served: Apis, api: httpx.Client, browser: httpx.Client
) -> None:
    rollout, device = fail_one(served, api, f"no boot {HOSTILE}")
    page = browser.get(f"/rollouts/{rollout}").text
    assert "Retry 1 failed" in page
    assert "no boot" in page
    assert HOSTILE not in page
    members = browser.get(f"/rollouts/{rollout}/devices?state=failures").text
    assert f'href="/devices/{device}"' in members
    assert members.count('id="member-') == 1
    assert "failed: no boot" in browser.get(f"/devices/{device}").text
    assert give(browser, rollout, "retry", state="succeeded").status_code == 409
    assert give(browser, rollout, "retry", state=["failed", "silent"], reason=f"mended {HOSTILE}").status_code == 303
    page = browser.get(f"/rollouts/{rollout}").text
    assert "Tries 1 device again that ended failed or silent: mended" in page
    assert HOSTILE not in page
    assert api.get(f"/rollouts/{rollout}").json()["counts"] == {"scheduled": 2}


def test_one_device_is_cancelled_from_the_list_and_the_list_is_shown_again(
    api: httpx.Client, browser: httpx.Client
) -> None:
    rollout = planned(api, 3)["id"]
    here = f"/rollouts/{rollout}/devices"
    page = browser.get(f"{here}?state=waiting").text
    device = re.findall(r'id="member-([^"]+)"', page)[1]
    assert f'data-opens="ask-cancel" data-action="{here}/{device}/cancel" data-what="{device}"' in page
    assert "<form" not in page.partition("<tbody>")[2].partition("</tbody>")[0], "a click asks first"
    answer = browser.post(f"{here}/{device}/cancel", data={"state": "waiting", "after": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{here}?state=waiting")
    assert device not in re.findall(r'id="member-([^"]+)"', browser.get(f"{here}?state=waiting").text)
    assert browser.post(f"{here}/{device}/cancel", data={}).status_code == 409
    assert browser.get(f"{here}?state=left-out").text.count('id="member-') == 1
    assert browser.get(f"{here}?state=cancelled&state=failed").text.count('id="member-') == 1
    assert browser.get(f"{here}?state=nonsense").status_code == 400
    assert browser.get(f"{here}?after=a%20b").status_code == 400


def test_a_rollout_says_whom_it_waits_for(api: httpx.Client, browser: httpx.Client) -> None:
    rollout = planned(api, 3, waves=["2", "100%"], start=True)["id"]
    page = browser.get(f"/rollouts/{rollout}").text
    assert "2 devices are still to be told at the next poll." in page
    assert "2 of them have missed three polls or never polled" in page
    assert f'href="/rollouts/{rollout}/devices?wave=2"' in page
    of_waves = [
        set(re.findall(r'id="member-([^"]+)"', browser.get(f"/rollouts/{rollout}/devices?wave={n}").text))
        for n in (1, 2)
    ]
    assert [len(members) for members in of_waves] == [2, 1]
    assert not of_waves[0] & of_waves[1]
    waits = page.partition('class="waits"')[2].partition("</p>")[0]
    assert set(re.findall(r'href="/devices/([^"]+)"', waits)) == of_waves[0]
    assert "never polled" not in browser.get(f"/rollouts/{planned(api)['id']}").text, "it does not run"
    assert browser.get(f"/rollouts/{rollout}/devices?wave=0").status_code == 400
    assert browser.get(f"/rollouts/{rollout}/devices?wave=9").status_code == 200


def test_a_simple_rollout_waits_for_polls(served: Apis, api: httpx.Client, browser: httpx.Client) -> None:
    rollout, _ = fail_one(served, api, "no boot")
    page = browser.get(f"/rollouts/{rollout}").text
    assert "Offered to everybody at once; 1 of 2 has ended, 1 waits for its next poll" in page
    assert "no rule: every device is offered it" in page
    assert "Every wave has passed" not in page


def test_members_are_read_page_by_page(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    batch = [{"id": f"{model}-{i:03}", "hardware": model} for i in range(130)]
    assert api.post("/devices/batch", json={"devices": batch}).status_code == 200
    body = {"release": released(api, hardware=model), "target": f"hardware=={model}"}
    rollout = api.post("/rollouts", json=body).json()["id"]
    seen: list[str] = []
    address = f"/rollouts/{rollout}/devices?state=waiting"
    for _ in range(3):
        page = browser.get(address).text
        seen += re.findall(r'id="member-([^"]+)"', page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        if following is None:
            break
        address = following[1].replace("&amp;", "&")
    assert seen == [device["id"] for device in batch]


def test_a_device_called_as_the_rollout_has_no_place_in_its_timeline(api: httpx.Client, browser: httpx.Client) -> None:
    rollout = planned(api)["id"]
    api.post("/devices", json={"id": str(rollout), "hardware": fresh("model")})
    timeline = browser.get(f"/rollouts/{rollout}").text.partition('class="timeline"')[2].partition("</ol>")[0]
    assert timeline.count("<li>") == 1
    assert "Was planned" in timeline


def form(page: httpx.Response) -> dict[str, str]:
    """The fields of the form as they stand."""
    found = dict(re.findall(r'<input[^>]*? name="([^"]+)"[^>]*? value="([^"]*)"', page.text))
    checked = re.findall(r'type="radio" name="([^"]+)" value="([^"]+)" checked', page.text)
    return {**{n: v for n, v in found.items() if n not in TICKS}, **dict(checked)}


def test_the_form_makes_the_rollout_it_tells_of(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    for _ in range(12):
        added(api, hardware=model)
    added(api, tags=[model])
    release = released(api, hardware=model)
    query = {"release": release, "target": f"hardware=={model},tag=={model}", "mode": "waves", "success": "75"}
    page = browser.get("/rollouts/new", params=query)
    assert page.status_code == 200
    assert f'value="{release}"' in page.text
    told = f"Brings {release.replace(':', ' ')} to 12 devices in 3 waves: 2, then 10, then all 12."
    assert told in page.text
    assert "1 other hardware" in page.text
    typed = form(page)
    part = browser.post("/rollouts/new/preview", data=typed)
    assert told in part.text
    assert "<main" not in part.text
    answer = browser.post("/rollouts/new", data=typed)
    assert answer.status_code == 303, answer.text
    made = api.get(answer.headers["location"]).json()
    assert (made["state"], made["size"]) == ("running", 12)
    assert [wave["height"] for wave in made["waves"]] == [2, 10, 12]
    assert (made["policy"]["success"], made["policy"]["error"]) == (0.75, 0.1)
    again = browser.post("/rollouts/new", data=typed)
    assert again.headers["location"] == answer.headers["location"], "the same form makes one rollout"
    changed = browser.post("/rollouts/new", data={**typed, "name": "another"})
    assert changed.status_code == 422


def test_the_plan_is_shown_in_full_when_it_is_asked_for(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    names = [added(api, hardware=f"{model}:{revision}") for revision in ("a", "a", "b")]
    typed = form(browser.get("/rollouts/new")) | {
        "release": released(api, hardware=model),
        "target": f"hardware=={model}",
    }
    assert typed["mode"] == "adaptive", "what is proposed"
    part = browser.post("/rollouts/new/plan", data=typed).text
    assert f"{model}:a, version unknown" in part
    assert all(name in part for name in names)
    assert "none of the members was ever heard of" in part
    assert "Canaries" not in browser.post("/rollouts/new/plan", data=typed | {"target": "id==nobody"}).text
    wrong = browser.post("/rollouts/new/plan", data=typed | {"split": "tag"}).text
    assert "&#39;tag&#39; splits nothing" in wrong
    made = browser.post("/rollouts/new", data=typed | {"when": "plan"})
    rollout = api.get(f"/rollouts/{made.headers['location'].rpartition('/')[2]}").json()
    assert (rollout["policy"]["split"], rollout["policy"]["judge"]) == (["hardware", "version"], "sequential")
    assert [s["size"] for s in rollout["segments"]] == [2, 1]


def said(page: httpx.Response, field: str) -> str:
    """What stands beside a field."""
    return page.text.partition(f'id="said-{field}"')[2].partition("</div>")[0]


def test_every_field_of_the_form_can_be_typed(browser: httpx.Client, login: Login) -> None:
    page = login(Role.ADMIN).get("/rollouts/new")
    assert set(form(page)) | set(TICKS) == {*FIELDS, "key", "back"}, "back: where to go once the halt is lifted"
    assert all(f'name="{tick}"' in page.text for tick in TICKS)
    assert 'name="ignore_blackout"' not in browser.get("/rollouts/new").text, "an admin's to say"


def test_a_rollout_with_everything(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    for _ in range(4):
        added(api, hardware=model)
    typed = form(browser.get("/rollouts/new")) | {
        "release": released(api, hardware=model),
        "target": f"hardware=={model}",
        "mode": "exponential",
        "first": "1",
        "factor": "3",
        "split": "",
        "on_error": "stop",
        "max_in_flight": "2",
        "max_per_minute": "9",
        "max_per": "attr.site=1",
        "priority": "7",
        "continuous": "yes",
        "urgency": "soft",
        "forced_at": "2126-01-01T00:00",
        "consent": "yes",
        "consent_deadline": "7d",
        "postponements": "1",
        "postpone_for": "2d",
        "validate": "30m",
        "validate_events": "4",
        "require": "battery>=30%",
        "window": "02:00/4h",
        "install_takes": "20m",
        "end_at": "2126-05-01T00:00",
        "approve": "waves",
        "reason": "the spring release",
    }
    told = browser.post("/rollouts/new/preview", data=typed).text
    for words in (
        "Limited to 2 devices in flight, 9 devices a minute, 1 device in flight for each site.",
        "Somebody else approves its start, and each further wave.",
        "Devices choose the moment themselves until 2126-01-01 00:00 UTC.",
        "Its priority is 7 of 0 to 9.",
        "Devices that match later join it.",
    ):
        assert words in told
    assert 'class="wrong"' not in told
    answer = browser.post("/rollouts/new", data=typed)
    made = api.get(answer.headers["location"]).json()
    assert made["state"] == "awaiting_approval"
    assert [wave["height"] for wave in made["waves"]] == [1, 3, 4]
    policy = made["policy"]
    expected = {
        "judge": "sequential",
        "on_error": "stop",
        "max_in_flight": 2,
        "max_per_minute": 9,
        "max_per": ["attr.site=1"],
        "priority": 7,
        "continuous": True,
        "urgency": "soft",
        "forced_at": "2126-01-01T00:00:00Z",
        "consent": True,
        "consent_deadline_s": 604_800,
        "postponements": 1,
        "postpone_for_s": 172_800,
        "validate_s": 1800,
        "validate_events": 4,
        "require": ["battery>=30%"],
        "window": "02:00/4h UTC",
        "install_takes_s": 1200,
        "end_at": "2126-05-01T00:00:00Z",
        "approve": "waves",
    }
    assert {name: policy[name] for name in expected} == expected
    assert "postponed at most 1 times for 2 d" in browser.get(answer.headers["location"]).text


def test_a_rate_from_the_form(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    added(api, hardware=model)
    typed = form(browser.get("/rollouts/new")) | {
        "release": released(api, hardware=model),
        "target": f"hardware=={model}",
        "mode": "rate",
        "rate": "5",
        "abort": "failed=20%@50 all=30%@10",
    }
    told = browser.post("/rollouts/new/preview", data=typed).text
    assert "5 devices a minute, times 2 for each 1,000 that were told, at most 1,000" in told
    assert "When 30% of at least 10 have failed in any way, the rollout pauses." in told
    made = api.get(browser.post("/rollouts/new", data=typed).headers["location"]).json()
    assert made["policy"]["rate"]["aborts"][0] == {"failure": "failed", "threshold": 20, "minimum": 50}


def test_blackouts_are_the_admins_to_ignore(api: httpx.Client, browser: httpx.Client, login: Login) -> None:
    model = fresh("model")
    added(api, hardware=model)
    typed = form(browser.get("/rollouts/new")) | {
        "release": released(api, hardware=model),
        "target": f"hardware=={model}",
        "ignore_blackout": "yes",
    }
    refused = browser.post("/rollouts/new", data=typed)
    assert refused.status_code == 422
    assert "may not ignore blackouts" in said(refused, "ignore_blackout")
    made = api.get(login(Role.ADMIN).post("/rollouts/new", data=typed).headers["location"]).json()
    assert made["policy"]["ignore_blackout"] is True


def test_a_rollout_after_another_one(api: httpx.Client, browser: httpx.Client) -> None:
    first, model = planned(api)["id"], fresh("model")
    added(api, hardware=model)
    typed = form(browser.get("/rollouts/new")) | {
        "release": released(api, hardware=model),
        "target": f"hardware=={model}",
        "when": "after",
        "after": "2000000000",
    }
    refused = browser.post("/rollouts/new", data=typed)
    assert refused.status_code == 422
    assert "There is no rollout 2000000000" in said(refused, "after")
    assert "There is no release" in said(
        browser.post("/rollouts/new/preview", data=typed | {"release": "x:1"}), "release"
    )
    made = api.get(browser.post("/rollouts/new", data=typed | {"after": str(first)}).headers["location"]).json()
    assert (made["state"], made["policy"]["after"]) == ("scheduled", first)
    assert f"It starts when rollout {first} has finished well" in browser.get(f"/rollouts/{made['id']}").text


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("install_takes", {"window": "02:00/10m", "install_takes": "20m"}),
        ("end_at", {"when": "at", "start_at": "2127-01-01T00:00", "end_at": "2126-01-01T00:00"}),
        ("form", {"approve": "nobody"}),
    ],
)
def test_what_only_the_fleet_makes_wrong_is_told_too(
    api: httpx.Client, browser: httpx.Client, field: str, typed: dict[str, str]
) -> None:
    what = {"release": released(api), "target": "id==*"}
    page = browser.post("/rollouts/new", data=form(browser.get("/rollouts/new")) | what | typed)
    assert page.status_code == 422, page.headers.get("location")
    assert "shape-failed" in said(page, field)


def test_a_rollout_for_later(api: httpx.Client, browser: httpx.Client) -> None:
    model = fresh("model")
    added(api, hardware=model)
    query = {"release": released(api, hardware=model), "target": f"hardware=={model}"}
    typed = form(browser.get("/rollouts/new", params=query)) | {"when": "at", "start_at": "2126-05-01T04:00"}
    made = api.get(browser.post("/rollouts/new", data=typed).headers["location"]).json()
    assert (made["state"], made["start_at"]) == ("scheduled", "2126-05-01T04:00:00Z")
    typed = form(browser.get("/rollouts/new", params=query)) | {"when": "plan", "window": "02:00/4h"}
    made = api.get(browser.post("/rollouts/new", data=typed).headers["location"]).json()
    assert (made["state"], made["policy"]["window"]) == ("planned", "02:00/4h UTC")


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("release", "nobody:1", "There is no release nobody 1"),
        ("release", HOSTILE, "names no release"),
        ("target", "tag=lab", "column 4"),
        ("target", "id==nobody-at-all", "holds no device"),
        ("success", "120", "between 0 and 1"),
        ("name", HOSTILE * 9, "at most 200"),
    ],
)
def test_what_was_typed_stays_and_what_is_wrong_is_told(
    api: httpx.Client, browser: httpx.Client, field: str, text: str, words: str
) -> None:
    typed = {"release": released(api), "target": "id==*", "mode": "waves", "name": "kept", field: text}
    page = browser.post("/rollouts/new", data=typed)
    assert page.status_code == 422
    said = page.text.partition(f'id="said-{field}"')[2].partition("</div>")[0]
    assert words in said
    assert HOSTILE not in page.text
    assert field == "name" or 'value="kept"' in page.text


def test_nothing_is_complained_of_before_it_is_typed(browser: httpx.Client) -> None:
    assert 'class="wrong"' not in browser.get("/rollouts/new").text
    part = browser.post("/rollouts/new/preview", data={"release": "", "target": "id==*"})
    assert part.status_code == 200
    assert 'class="wrong"' not in part.text
    assert "the release decides" in part.text


def test_a_sequential_rollout_shows_its_verdict(api: httpx.Client, browser: httpx.Client) -> None:
    rollout = planned(api, 3, start=True, judge="sequential", split=["hardware"])
    here = f"/rollouts/{rollout['id']}"
    eventually(lambda: api.get(f"{here}/verdicts").json()["items"] != [])
    page = browser.get(here).text
    assert "<h2>Verdict</h2>" in page
    assert "of the 200 at which the rollout is stopped" in page
    assert "Hold: no outcome yet" in page
    assert "a cautious guess: no past" in page
    assert "verdict-line" in page
    plain = planned(api, 1)
    assert "<h2>Verdict</h2>" not in browser.get(f"/rollouts/{plain['id']}").text


def test_devices_are_rolled_back_from_the_page(served: Apis, api: httpx.Client, browser: httpx.Client) -> None:
    model, product = fresh("model"), fresh("way")
    made = api.post("/devices", json={"id": fresh("dev"), "hardware": model, "installed": {product: "1.0"}}).json()
    for version in ("1.0", "2.0"):
        sha256 = uploaded(api, version.encode())
        file = {"sha256": sha256, "filename": "a.bin", "hardware": [model]}
        assert api.post("/releases", json={"product": product, "version": version, "artifacts": [file]}).is_success
    body = {"release": f"{product}:2.0", "target": f"id=={made['id']}", "start": True}
    rollout = api.post("/rollouts", json=body).json()["id"]
    here = f"/rollouts/{rollout}"
    assert "Roll back…" not in browser.get(here).text, "nobody has taken it"
    device = served.device(made["id"], made["token"])
    assert device.say(device.action(), "closed", "success").status_code == 200
    eventually(lambda: api.get(here).json()["state"] == "finished")
    assert "Roll back…" in browser.get(here).text
    assert give(browser, rollout, "rollback", reason=f"reboots {HOSTILE}").status_code == 303
    page = browser.get(here).text
    (back,) = api.get(here).json()["rolled_back_by"]
    assert f'Rolled back by</dt><dd><a href="/rollouts/{back}">' in page
    assert "Brings 1 device back: reboots" in page
    assert HOSTILE not in page
    page = browser.get(f"/rollouts/{back}").text
    assert f'Rolls back</dt><dd><a href="{here}">' in page
    assert "Roll back…" not in page
    refused = give(browser, rollout, "rollback")
    assert refused.status_code == 409
    assert "1 left out: going back" in refused.text


def test_what_was_downloaded_is_ordered_to_be_installed(
    served: Apis, api: httpx.Client, browser: httpx.Client, login: Login
) -> None:
    rollout = planned(api, 2, start=True, download_only=True, window="02:00/4h", download="any-time")
    number, here = rollout["id"], f"/rollouts/{rollout['id']}"
    member = api.get(f"{here}/deployments").json()["items"][0]["device"]
    token = api.post(f"/devices/{member}/token", json={}).json()["token"]
    with httpx.Client(base_url=served.server.url, headers={"Authorization": f"TargetToken {token}"}) as device:
        root = f"/DEFAULT/controller/v1/{member}"
        action = device.get(root).json()["_links"]["deploymentBase"]["href"].rpartition("/")[2]
        said = {"status": {"execution": "downloaded", "result": {"finished": "success"}}}
        assert device.post(f"{root}/deploymentBase/{action}/feedback", json=said).status_code == 200
    page = browser.get(here).text
    assert "1 of 2 has downloaded it; nobody installs it before that is ordered" in page
    assert "1 device has downloaded it and is told to install it." in page
    assert "1 device more has not, and installs it when its turn comes." in page
    assert 'value="withdraw"' not in page
    assert 'value="install"' not in login(Role.VIEWER).get(here).text

    assert give(browser, number, "install", when="never").status_code == 422
    assert give(browser, number, "install", when="at", at="2001-01-01T00:00").status_code == 422
    assert give(browser, number, "install", when="at", at="2036-12-01T02:00", reason="shops").status_code == 303
    page = browser.get(here).text
    assert "it is installed" in page
    assert "from 2036-12-01 02:00 UTC on" in page
    assert "what was downloaded is installed at 2036-12-01 02:00 UTC" in page
    assert give(browser, number, "withdraw", reason="open").status_code == 303
    assert give(browser, number, "withdraw").status_code == 409
    assert api.get(here).json()["install"] is None
    assert give(browser, number, "install", when="window").status_code == 303
    assert api.get(here).json()["install"]["in_window"]
    assert give(browser, number, "install", when="now").status_code == 303
    page = browser.get(here).text
    assert 'value="install"' not in page, "its moment has come"
    assert "Ordered to install" in browser.get(here).text or "was ordered to install" in page.lower()
