"""The console's page of settings: blackouts, types of attributes, four eyes."""

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import MATRIX, OTHER, Apis, added, fresh

HOSTILE = "<script>alert('1')</script>\"&"


@pytest.fixture
def admin(served: Apis) -> Iterator[httpx.Client]:
    with served.visitor(Role.ADMIN, MATRIX) as browser:
        yield browser


@pytest.fixture
def rest(served: Apis) -> Iterator[httpx.Client]:
    with served.client(Role.ADMIN, MATRIX) as client:
        yield client


def shown(answer: httpx.Response, status: int = 200) -> str:
    assert answer.status_code == status, answer.text
    assert HOSTILE not in answer.text
    return html.unescape(answer.text)


@pytest.fixture
def elsewhere(rest: httpx.Client) -> list[dict[str, object]]:
    """The blackouts that other tests have left in the tenant."""
    found: list[dict[str, object]] = rest.get("/blackouts").json()["items"]
    return found


def test_a_blackout_is_added_shown_and_removed(
    admin: httpx.Client, rest: httpx.Client, elsewhere: list[dict[str, object]]
) -> None:
    assert ("None." in shown(admin.get("/settings"))) == (not elsewhere)
    typed = {"often": "once", "reason": f"fair {HOSTILE}", "start": "", "end": "2126-01-01T06:00"}
    assert admin.post("/settings/blackouts", data=typed).headers["location"] == "/settings"
    (made,) = [one for one in rest.get("/blackouts").json()["items"] if one not in elsewhere]
    assert made["end"] == "2126-01-01T06:00:00Z"
    page = shown(admin.get("/settings"))
    assert "all day: fair" in page
    assert 'class="day day-whole"' in page
    assert "A blackout lasts" in page
    again = {"often": "again", "reason": "market", "window": "08:00/10h device FREQ=WEEKLY;BYDAY=MO"}
    assert admin.post("/settings/blackouts", data=again).status_code == 303
    assert "08:00 to 18:00: market" in shown(admin.get("/settings"))
    for one in [one for one in rest.get("/blackouts").json()["items"] if one not in elsewhere]:
        assert admin.post(f"/settings/blackouts/{one['id']}/remove").status_code == 303
        assert admin.post(f"/settings/blackouts/{one['id']}/remove").status_code == 404
    assert rest.get("/blackouts").json()["items"] == elsewhere
    assert admin.post("/settings/blackouts/x/remove").status_code == 404
    assert admin.post(f"/settings/blackouts/{'9' * 5000}/remove").status_code == 404


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("reason", {"often": "once", "reason": ""}),
        ("reason", {"often": "once", "reason": "x" * 201}),
        ("start", {"often": "once", "reason": "fair", "start": "soon"}),
        ("end", {"often": "once", "reason": "fair", "start": "2126-01-02T00:00", "end": "2126-01-01T00:00"}),
        ("end", {"often": "once", "reason": "fair", "start": "2020-01-02T00:00", "end": "2020-01-03T00:00"}),
        ("window", {"often": "again", "reason": "fair", "window": HOSTILE}),
        ("window", {"often": "again", "reason": "fair", "window": ""}),
    ],
)
def test_what_is_wrong_with_a_blackout_stands_beside_its_field(
    admin: httpx.Client,
    rest: httpx.Client,
    elsewhere: list[dict[str, object]],
    field: str,
    typed: dict[str, str],
) -> None:
    page = shown(admin.post("/settings/blackouts", data=typed), 422) if HOSTILE not in typed.values() else ""
    if not page:
        answer = admin.post("/settings/blackouts", data=typed)
        assert (answer.status_code, HOSTILE in answer.text) == (422, False)
        page = answer.text
    assert f'id="w-{field}"' in page
    assert page.count('class="wrong"') == 1
    assert f'value="{typed["reason"]}"' in page
    assert rest.get("/blackouts").json()["items"] == elsewhere


def test_attributes_are_declared_and_dropped(admin: httpx.Client, rest: httpx.Client) -> None:
    name = fresh("rack")
    added(rest, attributes={name: "not a number"})
    assert admin.post("/settings/attributes", data={"attribute": name, "kind": "number"}).status_code == 303
    page = shown(admin.get("/settings"))
    assert "1 device has another value" in page
    for wrong in ({"attribute": "a b", "kind": "number"}, {"attribute": "rack", "kind": "colour"}, {}):
        refused = shown(admin.post("/settings/attributes", data=wrong), 422)
        assert 'id="w-attribute"' in refused
    assert 'value="a b"' in shown(admin.post("/settings/attributes", data={"attribute": "a b"}), 422)
    assert admin.post(f"/settings/attributes/{name}/drop").status_code == 303
    assert admin.post(f"/settings/attributes/{name}/drop").status_code == 404
    assert name not in [one["name"] for one in rest.get("/attributes").json()["items"]]


def test_four_eyes_are_asked_for_and_no_more(admin: httpx.Client, rest: httpx.Client) -> None:
    for word, wanted in (("yes", True), ("", False)):
        assert admin.post("/settings/four-eyes", data={"four_eyes": word}).status_code == 303
        assert rest.get("/tenant").json()["settings"]["four_eyes"] is wanted
        assert ("Four eyes:" in shown(admin.get("/settings"))) is wanted


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.PUBLISHER])
def test_only_admins_change_settings(served: Apis, role: Role) -> None:
    with served.visitor(role, OTHER) as visitor:
        page = shown(visitor.get("/settings")).partition("<main")[2].partition("<footer")[0]
        forms = set(re.findall('<form[^>]*action="([^"]*)"', page))
        assert forms == ({"/settings/alerts"} if role is Role.OPERATOR else set())
        for path in ("blackouts", "blackouts/1/remove", "attributes", "attributes/a/drop", "four-eyes"):
            assert visitor.post(f"/settings/{path}", data={}).status_code == 403


def test_backups_are_switched_off_and_have_room(admin: httpx.Client, rest: httpx.Client) -> None:
    assert 'value="50"' in shown(admin.get("/settings"))
    assert "A whole number" in shown(admin.post("/settings/backups", data={"room": HOSTILE}), 422)
    assert admin.post("/settings/backups", data={"room": "7"}).status_code == 303
    settings = rest.get("/tenant").json()["settings"]
    assert (settings["backups"], settings["backup_quota"]) == (False, 7 * 1024**3)
    assert "None are taken." in shown(admin.get("/settings"))
    assert admin.post("/settings/backups", data={"room": "50", "backups": "yes"}).status_code == 303
    assert rest.get("/tenant").json()["settings"]["backups"] is True


def test_monitoring_is_settled_for_all_and_for_groups(admin: httpx.Client, rest: httpx.Client) -> None:
    name = fresh("monitored")
    rest.post("/groups", json={"name": name})
    typed = {
        "group": name,
        "minutes": "15",
        "off": "signal, load",
        "diagnostics": "off",
        "commands": "",
        "priority": "2",
    }
    for wrong in ({"group": "nobody"}, {"minutes": HOSTILE}, {"off": HOSTILE}, {"priority": "x"}, {"commands": "x"}):
        page = shown(admin.post("/settings/monitoring/groups", data=typed | wrong), 422)
        assert "signal, load" in page or "off" in wrong, "what was typed stays"
    assert admin.post("/settings/monitoring/groups", data=typed).status_code == 303
    assert rest.get("/tenant").json()["settings"]["group_monitoring"] == [
        {
            "group": name,
            "period_s": 900,
            "off": ["signal", "load"],
            "diagnostics": False,
            "commands": None,
            "priority": 2,
        }
    ]
    assert "15 min" in shown(admin.get("/settings"))
    assert admin.post("/settings/monitoring/groups", data={"group": name, "off": "none"}).status_code == 303
    (only,) = rest.get("/tenant").json()["settings"]["group_monitoring"]
    assert (only["period_s"], only["off"], only["diagnostics"], only["priority"]) == (None, [], None, 0)
    assert "no number" in shown(admin.post("/settings/monitoring", data={"minutes": HOSTILE}), 422)
    assert (
        admin.post("/settings/monitoring", data={"minutes": "60", "off": "all", "commands": "yes"}).status_code == 303
    )
    settings = rest.get("/tenant").json()["settings"]
    assert settings["monitoring"] == {"period_s": 3600, "off": ["*"]}
    assert (settings["diagnostics"], settings["commands"]) == (False, True)
    both = {"diagnostics": "yes", "commands": "yes"}
    assert admin.post("/settings/monitoring", data=both).status_code == 303
    assert rest.get("/tenant").json()["settings"]["monitoring"] == {"period_s": None, "off": []}
    assert admin.post(f"/settings/monitoring/groups/{name}/remove").status_code == 303
    assert admin.post(f"/settings/monitoring/groups/{name}/remove").status_code == 404


def test_models_that_take_several_components(admin: httpx.Client, rest: httpx.Client) -> None:
    assert "No model of DDI clients" in shown(admin.get("/settings"))
    assert admin.post("/settings/several", data={"several": f"panel, {HOSTILE}, panel,"}).status_code == 303
    assert rest.get("/tenant").json()["settings"]["several"] == sorted(["panel", HOSTILE])
    assert HOSTILE in shown(admin.get("/settings"))
    for wrong in ("x" * 129, ",".join(f"m{number}" for number in range(201))):
        assert "at most" in shown(admin.post("/settings/several", data={"several": wrong}), 422) or "more than" in wrong
    assert admin.post("/settings/several", data={"several": ""}).status_code == 303
    assert rest.get("/tenant").json()["settings"]["several"] == []
