"""The console's enrollment pages: claims made, shown once and revoked; devices that wait, accepted and rejected."""

import html
import re
from typing import Any

import httpx

from otaru.domain.access import Role
from tests.support.api import OTHER, Apis, fresh

HOSTILE = "<script>alert(1)</script>"


def claimed(api: httpx.Client, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.post("/enrollments", json={"label": fresh("line"), "quota": 5} | more).json()
    return made


def waits(served: Apis, claim: str) -> str:
    name = fresh("sn")
    answer = served.devices.post("/device/v1/enroll", json={"id": name}, headers={"Authorization": f"Bearer {claim}"})
    assert answer.status_code == 202
    return name


def test_a_claim_is_made_shown_once_and_revoked(served: Apis, api: httpx.Client) -> None:
    with served.visitor() as browser:
        assert 'action="/enrollments/+new"' in browser.get("/enrollments/+new").text
        form = {
            "label": HOSTILE,
            "quota": "3",
            "expires": "2d",
            "hardware": "rpi4",
            "tags": "a, b",
            "approval": "manual",
        }
        made = browser.post("/enrollments/+new", data=form)
        assert made.status_code == 200
        assert HOSTILE not in made.text
        found = re.search(r'id="token">(otaru-claim-[^<]+)<', made.text)
        assert found is not None
        name = waits(served, html.unescape(found[1]))
        (claim,) = [e for e in api.get("/enrollments").json()["items"] if e["label"] == HOSTILE]
        assert (claim["quota"], claim["used"], claim["tags"], claim["approval"]) == (3, 1, ["a", "b"], "manual")
        here = f"/enrollments/{claim['id']}"
        for page in ("/enrollments", here, "/events", f"/devices/{name}"):
            shown = browser.get(page)
            assert shown.status_code == 200
            assert HOSTILE not in shown.text
            assert found[1] not in shown.text
        assert "Revoke claim" in browser.get(here).text
        assert browser.post(f"{here}/revoke").headers["location"] == here
        assert "revoked" in browser.get(here).text
        assert "Revoke claim" not in browser.get(here).text


def test_what_was_typed_stays(served: Apis) -> None:
    with served.visitor() as browser:
        bad = {"label": "", "quota": "many", "expires": "soon", "hardware": ":", "tags": "a/b", "approval": "perhaps"}
        answer = browser.post("/enrollments/+new", data=bad)
        assert answer.status_code == 422
        assert answer.text.count('class="wrong"') == 6
        for value in ("many", "soon", "a/b"):
            assert f'value="{value}"' in answer.text
        fixed = bad | {"label": "l", "quota": "99999999999999999999", "expires": "1d", "hardware": "", "tags": ""}
        assert browser.post("/enrollments/+new", data=fixed).text.count('class="wrong"') == 2


def test_devices_that_wait_are_accepted_and_rejected(served: Apis, api: httpx.Client) -> None:
    made = claimed(api, approval="manual")
    good, bad = waits(served, made["claim"]), waits(served, made["claim"])
    with served.visitor() as browser:
        page = browser.get("/enrollments").text
        assert good in page
        assert bad in page
        assert "/enrollments" in browser.get("/").text
        answer = browser.post("/enrollments/+decide", data={"device": good, "event": "accept"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/enrollments")
        assert "Reject device" in browser.get("/enrollments/+reject", params={"device": bad}).text
        assert browser.post("/enrollments/+decide", data={"device": bad, "event": "reject"}).status_code == 303
        assert "decided already" in browser.get("/enrollments/+reject", params={"device": bad}).text
        again = browser.post("/enrollments/+decide", data={"device": bad, "event": "accept"})
        assert again.status_code == 409
        assert "Nothing was changed" in again.text
        assert browser.post("/enrollments/+decide", data={"device": good, "event": "decommission"}).status_code == 400
        assert browser.get("/enrollments/+reject", params={"device": "nobody"}).status_code == 404
    assert api.get(f"/devices/{good}").json()["lifecycle"] == "active"
    assert api.get(f"/devices/{bad}").json()["lifecycle"] == "decommissioned"


def test_a_viewer_sees_and_does_nothing(served: Apis, api: httpx.Client) -> None:
    made = claimed(api, approval="manual")
    name = waits(served, made["claim"])
    with served.visitor(Role.VIEWER) as browser:
        page = browser.get("/enrollments").text
        assert name in page
        assert "+decide" not in page
        assert "+new" not in page
        assert "Revoke claim" not in browser.get(f"/enrollments/{made['id']}").text
        assert browser.get("/enrollments/+new").status_code == 403
        assert browser.post(f"/enrollments/{made['id']}/revoke").status_code == 403
        assert browser.post("/enrollments/+decide", data={"device": name, "event": "accept"}).status_code == 403
    assert api.get(f"/devices/{name}").json()["lifecycle"] == "pending"


def test_tenants_never_see_one_another(served: Apis, api: httpx.Client) -> None:
    made = claimed(api, approval="manual")
    name = waits(served, made["claim"])
    with served.visitor(Role.ADMIN, OTHER) as browser:
        page = browser.get("/enrollments").text
        assert made["label"] not in page
        assert name not in page
        assert browser.get(f"/enrollments/{made['id']}").status_code == 404
        assert browser.post(f"/enrollments/{made['id']}/revoke").status_code == 404
        assert browser.post("/enrollments/+decide", data={"device": name, "event": "accept"}).status_code == 404
