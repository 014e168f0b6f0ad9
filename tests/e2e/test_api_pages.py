"""The description of the API, as a document and as a page."""

import re

import httpx

from otaru.apps.server.api.openapi import in_older_words
from tests.support.api import Apis, fresh, problem
from tests.support.server import otaru

ONCE_BY_NATURE = ("/devices/events", "/receipts", "/attributes", "/members", "/members/remove")
"""What is a set, or carries ids of its own, happens once however often it is asked for: it needs no key."""


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
            if method == "post" and not path.endswith(("/preview", "/artifacts", *ONCE_BY_NATURE)):
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
