"""Errands and alerts in the console: who may, what is shown of hostile words, what a form keeps."""

import html
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import OTHER, Apis, added, fresh

HOSTILE = "<script>alert('1')</script>\"&"


@pytest.fixture
def browsers(served: Apis) -> Iterator[dict[Role, httpx.Client]]:
    with ExitStack() as opened:
        yield {role: opened.enter_context(served.visitor(role)) for role in Role}


def shown(answer: httpx.Response, status: int = 200) -> str:
    assert answer.status_code == status, answer.text
    assert HOSTILE not in answer.text
    return html.unescape(answer.text)


def test_errands_of_a_device(api: httpx.Client, served: Apis, browsers: dict[Role, httpx.Client]) -> None:
    operator, viewer = browsers[Role.OPERATOR], browsers[Role.VIEWER]
    token = "0123456789abcdef"
    name = added(api, token=token)
    here = f"/devices/{name}"
    assert 'id="errands"' not in shown(operator.get(here)), "nobody knows that it has an agent"
    api.patch(here, json={"attributes": {"agent": "1"}})
    assert "Ask for diagnostics" in shown(operator.get(here))
    for form in ({"what": "diagnose"}, {"what": "run", "name": "restart-app"}, {"what": "reboot"}):
        assert operator.post(f"{here}/errands", data=form).headers["location"] == here
    refused = shown(operator.post(f"{here}/errands", data={"what": "run", "name": HOSTILE}), 409)
    assert "Nothing was changed" in refused
    assert operator.post(f"{here}/errands", data={"what": "format"}).status_code == 400
    assert operator.post(f"{here}/errands", data={"what": "restore", "name": "../1"}).status_code == 409
    for form in ({"what": "restore", "name": ""}, {"what": "restore", "name": "000007"}):
        assert operator.post(f"{here}/errands", data=form).headers["location"] == here
    assert "000007" in shown(operator.get(here))
    assert operator.post(f"{here}/errands/3/recall").headers["location"] == here
    assert "cancelled" in shown(operator.get(here))
    with httpx.Client(base_url=served.server.url, headers={"Authorization": f"TargetToken {token}"}) as device:
        said = {"errands": [{"number": 2, "state": "taken"}]}
        assert device.post("/device/v1/errands", params={"device": name}, json=said).is_success
        said = {"errands": [{"number": 2, "state": "failed", "code": "exit_1", "output": HOSTILE}]}
        assert device.post("/device/v1/errands", params={"device": name}, json=said).is_success
    page = shown(operator.get(here))
    assert HOSTILE in page
    assert "exit_1" in page
    assert "conflict" not in page
    assert operator.post(f"{here}/errands/2/recall").status_code == 409
    for path in ("1/diagnostics", "99/diagnostics", "x/diagnostics"):
        assert operator.get(f"{here}/errands/{path}").status_code == 404
    looked = shown(viewer.get(here))
    assert "restart-app" in looked
    assert "Ask for diagnostics" not in looked
    assert "Recall" not in looked
    assert viewer.post(f"{here}/errands", data={"what": "reboot"}).status_code == 403
    assert viewer.get(f"{here}/errands/1/diagnostics").status_code == 403
    with served.visitor(Role.ADMIN, OTHER) as stranger:
        assert stranger.post(f"{here}/errands", data={"what": "reboot"}).status_code == 404
        assert stranger.post(f"{here}/errands/1/recall").status_code == 404


def test_alerts(api: httpx.Client, browsers: dict[Role, httpx.Client]) -> None:
    operator, viewer = browsers[Role.OPERATOR], browsers[Role.VIEWER]
    name = fresh("alert")
    form = {"name": name, "when": "telemetry.battery<", "count": "2", "percent": "10", "mail": "a@b.org, c@d.org"}
    again = shown(operator.post("/settings/alerts", data=form), 422)
    assert 'value="telemetry.battery<"' in again
    assert 'value="a@b.org, c@d.org"' in again
    for wrong in ({"count": "many"}, {"percent": "-1"}, {"mail": "a@b\nBcc:x"}, {"percent": "101"}, {"count": "0"}):
        sent = {**form, "when": "id==*", **wrong}
        shown(operator.post("/settings/alerts", data=sent), 422)
    sent = {**form, "when": "telemetry.battery<20"}
    assert operator.post("/settings/alerts", data=sent).headers["location"] == "/settings#alerts"
    found = api.get(f"/alerts/{name}").json()
    assert (found["count"], found["share"], found["mail"]) == (2, 0.1, ["a@b.org", "c@d.org"])
    assert name in shown(viewer.get("/settings"))
    assert "Add alert" not in shown(viewer.get("/settings"))
    assert viewer.post("/settings/alerts", data=sent).status_code == 403
    assert viewer.post(f"/settings/alerts/{name}/remove").status_code == 403
    assert operator.post(f"/settings/alerts/{name}/remove").headers["location"] == "/settings#alerts"
    assert name not in shown(operator.get("/settings"))


def test_backups_of_a_device(api: httpx.Client, served: Apis, browsers: dict[Role, httpx.Client]) -> None:
    operator, viewer = browsers[Role.OPERATOR], browsers[Role.VIEWER]
    token = "0123456789abcdef"
    name = added(api, token=token)
    here, data = f"/devices/{name}", f"encrypted, of {name}".encode()
    digest = sha256(data).hexdigest()
    part = {"device": name, "name": "000007", "first": "0", "size": str(len(data)), "sha256": digest}
    with httpx.Client(base_url=served.server.url, headers={"Authorization": f"TargetToken {token}"}) as device:
        assert device.post("/device/v1/backups", params=part, content=data).is_success
    page = shown(operator.get(here))
    assert "000007" in page
    assert f"{here}/backups/{digest}/content" in page
    got = operator.get(f"{here}/backups/{digest}/content")
    assert (got.content, got.headers["content-disposition"]) == (data, 'attachment; filename="000007.age"')
    assert "had somebody fetch a backup" in shown(operator.get(here)).lower()
    looked = shown(viewer.get(here))
    assert "000007" in looked
    assert "/content" not in looked
    assert viewer.get(f"{here}/backups/{digest}/content").status_code == 403
    assert viewer.post(f"{here}/backups/{digest}/delete").status_code == 403
    for unknown in ("0" * 64, "x"):
        assert operator.get(f"{here}/backups/{unknown}/content").status_code == 404
        assert operator.post(f"{here}/backups/{unknown}/delete").status_code == 404
    assert operator.post(f"{here}/backups/{digest}/delete").headers["location"] == here
    assert operator.get(f"{here}/backups/{digest}/content").status_code == 404
