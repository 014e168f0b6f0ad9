"""The console's frame: logging in and out, roles, pages for what went wrong, our own files."""

import re
from collections.abc import Iterator

import httpx
import pytest

from otaru.apps.console import files
from otaru.domain.access import Role
from tests.support.api import MATRIX, OTHER, Apis, fresh, problem


@pytest.fixture
def browser(served: Apis) -> Iterator[httpx.Client]:
    """Keeps cookies and says where its requests come from, as browsers do."""
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": served.server.url}
    with httpx.Client(base_url=served.server.url, headers=headers, timeout=30) as client:
        yield client


def test_a_login_link_works_once(served: Apis, browser: httpx.Client) -> None:
    for _ in range(2):  # a program that previews links uses nothing up
        page = browser.get(served.server.login)
        assert (page.status_code, page.headers["referrer-policy"]) == (200, "no-referrer")
        assert "no-store" in page.headers["cache-control"]
    code = re.search(r'name="code" value="([^"]+)"', page.text)
    assert code is not None
    answer = browser.post("/login", data={"code": code[1]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "secure" not in cookie.lower()

    assert browser.get("/api/v1/tenant").json()["id"] == "DEFAULT"
    assert browser.post("/api/v1/devices", json={"id": fresh("dev"), "hardware": "x"}).status_code == 201
    for elsewhere in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    ):
        forged = browser.post("/api/v1/devices", json={"id": fresh("dev"), "hardware": "x"}, headers=elsewhere)
        problem(forged, 403, "forbidden")
    old = {"Cookie": f"otaru_session={browser.cookies['otaru_session']}"}
    bare = {"id": fresh("dev"), "hardware": "x"}
    without_a_word = httpx.post(f"{served.server.url}/api/v1/devices", json=bare, headers=old)
    problem(without_a_word, 403, "forbidden")
    by_origin = httpx.post(
        f"{served.server.url}/api/v1/devices", json=bare, headers={**old, "Origin": served.server.url}
    )
    assert by_origin.status_code == 201
    assert httpx.get(f"{served.server.url}/api/v1/tenant", headers=old).status_code == 200
    bearer = {"Authorization": f"Bearer {browser.cookies['otaru_session']}"}
    problem(httpx.get(f"{served.server.url}/api/v1/tenant", headers=bearer), 401, "unauthenticated")

    again = browser.post("/login", data={"code": code[1]})
    assert again.status_code == 403
    assert "used" in again.text
    assert "set-cookie" not in again.headers

    out = browser.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    problem(httpx.get(f"{served.server.url}/api/v1/tenant", headers=old), 401, "unauthenticated")


def test_a_code_that_nobody_made(browser: httpx.Client) -> None:
    for data in (
        *({"code": "guess"}, {"code": ""}, {}, {"code": "x" * 5000}, {"other": "1"}),
        *({"token": "guess"}, {"token": "x" * 5000}, {"token": "guess", "code": "guess"}),
    ):
        answer = browser.post("/login", data=data)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    page = browser.get("/login", params={"code": '"><script>alert(1)</script>'})
    assert "<script>" not in page.text
    assert browser.get("/login").status_code == 200
    assert browser.post("/logout").status_code == 303


def test_a_form_that_is_not_ours_is_refused_in_words(browser: httpx.Client) -> None:
    answer = browser.post("/login", data={f"field{n}": "x" for n in range(9)})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "this is not the login form"
    assert "set-cookie" not in answer.headers


def test_logging_in_is_for_our_own_page(served: Apis) -> None:
    answer = httpx.post(f"{served.server.url}/login", data={"code": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    problem(answer, 403, "forbidden")


def test_a_token_opens_a_session_that_ends_with_it(served: Apis, browser: httpx.Client) -> None:
    with served.client() as admin:
        made = admin.post("/tokens", json={"role": "viewer", "label": "guest"}).json()
        answer = browser.post("/login", data={"token": made["token"], "next": "/events?kind=x"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/events?kind=x")
        assert made["token"] not in answer.headers["set-cookie"]
        assert browser.get("/").status_code == 200
        assert browser.get("/api/v1/devices").status_code == 200
        problem(browser.post("/api/v1/devices", json={"id": fresh("dev"), "hardware": "x"}), 403, "forbidden")
        assert admin.delete(f"/tokens/{made['id']}").status_code == 204
    assert browser.get("/").headers["location"] == "/login"
    problem(browser.get("/api/v1/devices"), 401, "unauthenticated")


def test_a_session_is_no_longer_than_its_token(served: Apis, browser: httpx.Client) -> None:
    with served.client() as admin:
        made = admin.post("/tokens", json={"role": "viewer", "expires_in_s": 600}).json()
    cookie = browser.post("/login", data={"token": made["token"]}).headers["set-cookie"]
    age = re.search(r"Max-Age=(\d+)", cookie)
    assert age is not None
    assert 500 < int(age[1]) <= 600


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/a\r\nb"])
def test_login_leads_nowhere_else(served: Apis, browser: httpx.Client, elsewhere: str) -> None:
    token = served.secrets[MATRIX, Role.VIEWER]
    assert browser.post("/login", data={"token": token, "next": elsewhere}).headers["location"] == "/"


def test_who_is_not_logged_in_comes_back_after_login(browser: httpx.Client) -> None:
    answer = browser.get("/?a=b&c=d")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/%3Fa%3Db%26c%3Dd")
    assert 'name="next" value="/?a=b&amp;c=d"' in browser.get(answer.headers["location"]).text
    part = browser.get("/", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/login")


@pytest.mark.parametrize(
    ("page", "leads"),
    [
        ("/devices?q=tag==a#list", "/login?next=/devices%3Fq%3Dtag%3D%3Da"),
        ("/releases/a%2Fb/1", "/login?next=/releases/a%252Fb/1"),
        ("/", "/login"),
        ("//evil.example", "/login"),
        ("/\\evil.example", "/login"),
        ("/" + "a" * 2048, "/login"),
    ],
)
def test_a_page_whose_session_has_ended_leads_back_to_itself(browser: httpx.Client, page: str, leads: str) -> None:
    for host in (str(browser.base_url).rstrip("/"), "https://proxy.example"):
        part = browser.get("/", headers={"HX-Request": "true", "HX-Current-URL": f"{host}{page}"})
        assert (part.status_code, part.headers["hx-redirect"]) == (204, leads)


@pytest.mark.parametrize("page", ["http://[", "javascript:alert(1)", "x", "", "\xff"])
def test_a_page_that_is_none_leads_to_the_overview(browser: httpx.Client, page: str) -> None:
    part = browser.get("/", headers={b"HX-Request": b"true", b"HX-Current-URL": page.encode("latin-1")})
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/login")


def test_a_form_that_comes_after_the_session_is_not_led_away(browser: httpx.Client) -> None:
    answer = browser.post("/settings/halt", data={"reason": "x"}, headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert "reload this page" in answer.text
    assert '<a class="button button-primary" href="/login" target="_blank"' in answer.text
    part = browser.post("/rollouts/new/preview", headers={"HX-Request": "true"})
    assert (part.status_code, "hx-redirect" in part.headers) == (401, False)
    assert "go on here" in part.text
    assert browser.post("/settings/halt", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_what_went_wrong_is_a_page_for_people_and_a_problem_for_programs(served: Apis) -> None:
    with served.visitor() as visitor:
        page = visitor.get("/nothing/<b>here")
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no such page" in page.text or "there is no such page" in page.text
        assert "<b>here" not in page.text
        part = visitor.get("/nothing", headers={"HX-Request": "true"})
        assert part.text.startswith("there is no such page")
        problem(visitor.get("/nothing", headers={"Accept": "*/*"}), 404, "not_found")
        wrong = visitor.put("/")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
        forged = visitor.post("/logout", headers={"Sec-Fetch-Site": "cross-site"})
        assert (forged.status_code, "another site" in forged.text) == (403, True)


def test_pages_allow_no_script_or_style_but_our_files(served: Apis) -> None:
    with served.visitor(tenant=OTHER) as visitor:
        for address in ("/", "/login", "/nothing"):
            page = visitor.get(address)
            assert "unsafe" not in page.headers["content-security-policy"]
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
            assert not re.search(r"\son\w+=|<style|\sstyle=", page.text)
            for link in set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text)):
                asset = visitor.get(link)
                assert (asset.status_code, asset.headers["cache-control"]) == (200, "max-age=31536000, immutable"), link


def test_only_our_files_are_found(served: Apis, browser: httpx.Client) -> None:
    name = files.address_of("css/tokens.css")
    older = re.sub(r"/static/\w+/", "/static/0123/", name)
    assert browser.get(older).headers["cache-control"] == "no-cache"
    for wrong in ("..%2f..%2fapplication.py", "../application.py", "css", "", "css/none.css", "templates/base.html"):
        assert browser.get(f"/static/x/{wrong}").status_code == 404, wrong
    assert served.server.process.poll() is None


def test_signs_that_nobody_sees_are_shown_to_be_there(served: Apis) -> None:
    with served.client() as api, served.visitor() as visitor:
        name = fresh("dev")
        body = {"id": name, "hardware": "x", "attributes": {"file": "\u202etxt.exe", "text": "a\nb"}}
        assert api.post("/devices", json=body).status_code == 201
        page = visitor.get(f"/devices/{name}").text
        assert "\ufffdtxt.exe" in page
        assert "\u202e" not in page
        form = visitor.get(f"/devices/{name}/edit").text
        edition = re.search(r'name="edition" value="(\d+)"', form)
        assert edition is not None


def test_a_halt_is_never_refused_for_its_words(served: Apis) -> None:
    with served.visitor(tenant=MATRIX) as visitor, served.client(tenant=MATRIX) as api:
        words = "lot\u00a07 \u202f\U0001f468\u200d\U0001f469\x07\n" + "x" * 3000
        assert visitor.post("/settings/halt", data={"reason": words}).status_code == 303
        halted = api.get("/tenant").json()
        assert halted["halted"]
        assert halted["halt_reason"].startswith("lot 7 \U0001f468")
        assert api.post("/tenant/lift").status_code == 200
