"""A page without its stream: it says since when it is not live, and comes back by itself."""

import re
import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Route, expect

from tests.support.browser import Seat, Sit
from tests.support.server import Serving, serving

STREAM = "**/api/v1/events/stream*"
NOT_LIVE = re.compile(r"^not live since \d\d:\d\d:\d\d")


def broken(route: Route) -> None:
    route.abort("connectionrefused")


def test_without_a_stream_the_page_says_since_when(at: Seat) -> None:
    at.forgive("ERR_CONNECTION_REFUSED")
    at.context.route(STREAM, broken)
    page = at.go("/")
    expect(page.locator("#live")).to_have_attribute("data-state", "gone")
    expect(page.locator("#live")).to_have_text(NOT_LIVE)
    expect(page.locator("#page")).to_have_css("opacity", "0.55")
    since = page.locator("#live").inner_text()
    with page.expect_request(STREAM, timeout=60_000):  # it has tried again, and still counts from the first time
        pass
    expect(page.locator("#live")).to_have_text(since)

    at.context.unroute(STREAM, broken)
    expect(page.locator("#live")).to_have_attribute("data-state", "on", timeout=60_000)
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#page")).to_have_css("opacity", "1")


def test_a_page_is_told_of_what_happened_while_it_was_not_live(at: Seat, server: Serving) -> None:
    at.forgive("ERR_CONNECTION_REFUSED")
    at.context.route(STREAM, broken)
    page = at.go("/")
    expect(page.locator("#live")).to_have_attribute("data-state", "gone")
    with server.api() as api:
        api.post("/tenant/halt", json={"reason": "nobody heard it"}).raise_for_status()
        try:
            at.context.unroute(STREAM, broken)
            expect(page.get_by_role("alert")).to_contain_text("nobody heard it", timeout=60_000)
        finally:
            api.post("/tenant/lift").raise_for_status()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_two_seats_see_the_same_at_once(sit: Sit, server: Serving) -> None:
    seats = [sit(), sit()]
    for one in seats:
        one.go("/")
        one.live()
    with server.api() as api:
        api.post("/tenant/halt", json={"reason": "smoke in Lyon"}).raise_for_status()
        try:
            for one in seats:
                expect(one.page.get_by_role("alert")).to_contain_text("smoke in Lyon")
        finally:
            api.post("/tenant/lift").raise_for_status()
    for one in seats:
        expect(one.page.get_by_role("alert")).to_have_count(0)


def test_a_page_asks_for_itself_at_most_once_a_second(at: Seat, server: Serving) -> None:
    page = at.go("/")
    at.live()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url == f"{server.url}/" else None)
    begun = time.monotonic()
    with server.api() as api:
        for number in range(60):
            api.post("/tenant/halt", json={"reason": f"storm {number}"}).raise_for_status()
            api.post("/tenant/lift").raise_for_status()
        api.post("/tenant/halt", json={"reason": "the last"}).raise_for_status()
        expect(page.get_by_role("alert")).to_contain_text("the last")
        api.post("/tenant/lift").raise_for_status()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert 2 <= len(asked) <= time.monotonic() - begun + 2


def test_a_server_that_went_away_and_came_back(sit: Sit, tmp_path: Path) -> None:
    with serving(tmp_path / "data") as first:
        me = sit(server=first)
        me.forgive("Failed to load resource")
        page = me.go("/")
        me.live()
        first.stop()
        expect(page.locator("#live")).to_have_text(NOT_LIVE)
    with serving(tmp_path / "data", listen=urlsplit(first.url).netloc) as second:
        expect(page.locator("#live")).to_have_attribute("data-state", "on", timeout=60_000)
        with second.api() as api:
            api.post("/tenant/halt", json={"reason": "after the restart"}).raise_for_status()
        expect(page.get_by_role("alert")).to_contain_text("after the restart")
