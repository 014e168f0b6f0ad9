"""Lists come in pages; a cursor is where the next one begins."""

import base64
from typing import Any

import httpx
import pytest

from tests.support.api import added, fresh, planned, problem, released, uploaded
from tests.support.images import anchor, signer


def walk(api: httpx.Client, path: str, limit: int, **params: Any) -> list[dict[str, Any]]:
    """All items, page by page; every page but the last is full."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get(path, params={"limit": limit, **params, **({"cursor": cursor} if cursor else {})}).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
        assert len(page["items"]) == limit
        assert len(items) < 10_000


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages_of_devices_are_the_list(api: httpx.Client, limit: int) -> None:
    model = fresh("model")
    devices = sorted(added(api, hardware=model) for _ in range(6))
    found = walk(api, "/devices", limit, q=f"hardware=={model}")
    assert [d["id"] for d in found] == devices


def test_a_page_that_is_just_full_is_the_last(api: httpx.Client) -> None:
    model = fresh("model")
    for _ in range(2):
        added(api, hardware=model)
    page = api.get("/devices", params={"q": f"hardware=={model}", "limit": 2, "count": True}).json()
    assert (len(page["items"]), page["next"], page["total"]) == (2, None, 2)


def test_every_list_comes_in_pages(api: httpx.Client) -> None:
    rollout = planned(api, 3)
    for _ in range(2):
        planned(api)
        api.post("/tokens", json={"role": "viewer"})
        api.post("/trust-anchors", json={"format": "suit", "pem": anchor(signer(fresh("signer")))})
    for path, params in (
        ("/devices", {}),
        ("/rollouts", {}),
        ("/releases", {}),
        ("/products", {}),
        ("/artifacts", {}),
        ("/tokens", {}),
        ("/trust-anchors", {}),
        ("/events", {}),
        ("/events", {"newest": True}),
        ("/events", {"subject": str(rollout["id"])}),
        (f"/rollouts/{rollout['id']}/deployments", {}),
        (f"/rollouts/{rollout['id']}/deployments", {"state": "scheduled"}),
    ):
        whole = walk(api, path, 1000, **params)
        # What others do meanwhile comes at the end of most lists, and at the start of those that are newest first.
        assert [i for i in walk(api, path, 2, **params) if i in whole] == whole, path
        assert len(whole) >= (2 if "subject" not in params else 1), path


def test_lists_filter(api: httpx.Client) -> None:
    rollout = planned(api)
    running = planned(api, start=True)
    states = {r["id"]: r["state"] for r in walk(api, "/rollouts", 100, state=["running", "paused"])}
    assert running["id"] in states
    assert rollout["id"] not in states
    assert set(states.values()) <= {"running", "paused"}
    problem(api.get("/rollouts", params={"state": "flying"}), 400, "invalid_input")
    problem(api.get(f"/rollouts/{rollout['id']}/deployments", params={"state": "flying"}), 400, "invalid_input")


def forged(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "!",
        "é",
        "a",
        "====",
        forged(b"[]"),
        forged(b"{}"),
        forged(b'["a", "b"]'),
        forged(b'["a b"]'),
        forged(b'["\x00"]'),
        forged(b"[1]"),
        forged(b"[null]"),
        forged(b"[" * 500),
        forged(b'["dev-1"'),
        forged(b"\xff\xff"),
    ],
)
def test_a_cursor_that_is_none_of_ours(api: httpx.Client, cursor: str) -> None:
    problem(api.get("/devices", params={"cursor": cursor}), 400, "invalid_input")


def test_a_cursor_of_another_list(api: httpx.Client) -> None:
    for _ in range(2):
        planned(api)
    numbers = api.get("/rollouts", params={"limit": 1}).json()["next"]
    problem(api.get("/devices", params={"cursor": numbers}), 400, "invalid_input")
    names = api.get("/devices", params={"limit": 1}).json()["next"]
    problem(api.get("/rollouts", params={"cursor": names}), 400, "invalid_input")
    problem(api.get("/events", params={"cursor": names}), 400, "invalid_input")
    problem(api.get("/artifacts", params={"cursor": names}), 400, "invalid_input")
    problem(api.get("/releases", params={"cursor": names}), 400, "invalid_input")
    problem(api.get("/rollouts", params={"cursor": forged(b"[-1]")}), 400, "invalid_input")


def test_positions_that_are_none(api: httpx.Client) -> None:
    for position in ("1", "a-b", "1-", "-1-2", "9" * 39 + "-1", "²-1"):
        problem(api.get("/events", params={"after": position}), 400, "invalid_input")
    assert api.get("/events", params={"after": "0-9000000000000000000"}).json() == {"items": [], "next": None}


def test_single_things_carry_their_edition(api: httpx.Client) -> None:
    rollout = planned(api)
    product, version = released(api).split(":")
    for path in (f"/rollouts/{rollout['id']}", f"/releases/{product}/{version}", f"/devices/{added(api)}", "/tenant"):
        answer = api.get(path)
        assert answer.headers["etag"] == f'"{answer.json()["edition"]}"'
        assert answer.headers["cache-control"] == "no-store"
    assert uploaded(api, b"x")


PAGES: list[dict[str, str]] = [
    {},
    {"limit": "2"},
    {"limit": "1000"},
    {"q": "id==*"},
    {"q": "id==* and tag!=none", "limit": "3"},
    # Refused, each by whoever notices.
    *({"limit": text} for text in ("0", "1001", "01", "two", "", "٢")),
    *({"q": text} for text in ("", "id==", "tag==\u0085", "tag==\n", "x" * 4097)),
    *({"cursor": text} for text in ("", "none", "A" * 2000, forged(b"[1]"), forged(b'[".."]'))),
]


@pytest.mark.parametrize("params", PAGES, ids=repr)
def test_a_page_beside_the_framework_is_the_frameworks(api: httpx.Client, params: dict[str, str]) -> None:
    """Whatever names `count` goes through it."""
    added(api)
    found, through = api.get("/devices", params=params), api.get("/devices", params={**params, "count": "false"})
    assert found.status_code == through.status_code
    for name in ("content-type", "cache-control"):
        assert found.headers.get(name) == through.headers.get(name), name
    assert steady(found.json()) == steady(through.json())


def steady(page: dict[str, Any]) -> dict[str, Any]:
    """Without what may be written behind meanwhile."""
    items = [{**item, "last_contact": None, "address": None} for item in page.get("items", ())]
    return {**page, "items": items}


def test_a_page_is_asked_for_once_and_in_known_words(api: httpx.Client) -> None:
    problem(api.get("/devices?limit=1&limti=2"), 400, "invalid_input")
    assert len(api.get("/devices?limit=1&limit=2").json()["items"]) <= 2
