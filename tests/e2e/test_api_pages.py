"""Pages for people: the description, the login link, the session's cookie."""

import re
from collections.abc import Iterator

import httpx
import pytest

from otaru.apps.server.api.openapi import in_older_words
from tests.support.api import Apis, fresh, problem
from tests.support.server import otaru


@pytest.fixture
def browser(served: Apis) -> Iterator[httpx.Client]:
    """Keeps cookies and says where its requests come from, as browsers do."""
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": served.server.url}
    with httpx.Client(base_url=served.server.url, headers=headers, timeout=30) as client:
        yield client


def test_the_description_is_public_and_complete(served: Apis) -> None:
    document = httpx.get(f"{served.server.url}/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["description"], where
            assert operation["tags"], where
            assert {"400", "401", "403", "500", "503"} <= operation["responses"].keys(), where
            assert ("404" in operation["responses"]) or "{" not in path, where
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (where, status)
            if method == "post" and not path.endswith(("/preview", "/artifacts")):
                assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}, where
    assert "HTTPValidationError" not in str(document)
    bodies = [name for name in document["components"]["schemas"] if name.endswith("In")]
    assert len(bodies) >= 8


def test_the_page_reads_the_description_in_the_words_of_3_0(served: Apis) -> None:
    older = httpx.get(f"{served.server.url}/api/docs/openapi.json").json()
    assert older["openapi"] == "3.0.3"
    assert older == in_older_words(httpx.get(f"{served.server.url}/api/openapi.json").json())
    text = str(older)
    assert "'type': 'null'" not in text
    assert "'exclusiveMinimum': 0" not in text


def test_pages_run_no_script_but_our_files(served: Apis) -> None:
    page = httpx.get(f"{served.server.url}/api/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
    assert not re.search(r"\son\w+=|<style|\sstyle=", page.text)
    for link in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        asset = httpx.get(f"{served.server.url}{link}")
        assert asset.status_code == 200, link
        assert asset.headers["x-content-type-options"] == "nosniff"
    for name in ("index.html", "..%2Fapplication.py", "swagger-ui.css.map"):
        problem(httpx.get(f"{served.server.url}/api/docs/{name}"), 404, "not_found")


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


def test_the_admin_socket_needs_no_token(served: Apis) -> None:
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(served.server.data / "admin.sock")), base_url="http://localhost/api/v1"
    ) as admin:
        device = fresh("dev")
        assert admin.post("/devices", json={"id": device, "hardware": "x"}).status_code == 201
        assert admin.get("/events", params={"subject": device}).json()["items"][0]["actor"] == "user:local"
        named = {"Idempotency-Key": fresh("key")}
        first, second = (admin.post("/tokens", json={"role": "viewer"}, headers=named) for _ in range(2))
        assert first.content == second.content
    assert otaru("token", "create", "--data", str(served.server.data), "--role", "viewer").returncode == 0
