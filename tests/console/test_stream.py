"""A page without its stream: it says since when it is not live, and comes back by itself."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, expect

from otaru.domain.ids import DEFAULT_TENANT
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


TABS = 8
"""A browser opens six connections to a host."""


def tabs(me: Seat, count: int) -> list[Page]:
    """So many live pages of one browser."""
    pages = [me.page, *(me.context.new_page() for _ in range(count - 1))]
    for page in pages:
        page.goto(f"{me.server.url}/")
        is_live(page)
    return pages


def is_live(page: Page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator("#live")).to_have_text("live")


@contextmanager
def halted(server: Serving, pages: list[Page], reason: str) -> Iterator[None]:
    """Something that changes, of which all pages hear: while it lasts, and that it ended."""
    with server.api() as api:
        api.post("/tenant/halt", json={"reason": reason}).raise_for_status()
        try:
            for page in pages:
                expect(page.get_by_role("alert")).to_contain_text(reason)
            yield
        finally:
            api.post("/tenant/lift").raise_for_status()
    for page in pages:
        expect(page.get_by_role("alert")).to_have_count(0)


def test_tabs_share_one_stream(at: Seat, server: Serving) -> None:
    asked: list[Page] = []
    at.context.on("request", lambda r: asked.append(r.frame.page) if "/events/stream" in r.url else None)
    pages = tabs(at, TABS)
    assert asked == pages[:1]
    with halted(server, pages, "all tabs hear it"):
        pass

    pages[0].close()
    with halted(server, pages[1:], "another has the stream"):
        for page in pages[1:]:
            is_live(page)
    assert len(asked) == 2
    assert asked[1] in pages[1:]


def test_tabs_agree_on_since_when_they_are_not_live(at: Seat, server: Serving) -> None:
    at.forgive("ERR_CONNECTION_REFUSED")
    at.context.route(STREAM, broken)
    first = at.go("/")
    expect(first.locator("#live")).to_have_text(NOT_LIVE)
    since = first.locator("#live").inner_text()
    second = at.context.new_page()
    second.goto(f"{server.url}/")
    expect(second.locator("#live")).to_have_text(since)
    with server.api() as api:
        api.post("/tenant/halt", json={"reason": "no tab heard it"}).raise_for_status()
        try:
            at.context.unroute(STREAM, broken)
            for page in (first, second):
                expect(page.get_by_role("alert")).to_contain_text("no tab heard it", timeout=60_000)
                is_live(page)
        finally:
            api.post("/tenant/lift").raise_for_status()


def test_a_stream_that_no_tab_took_over_in_time(at: Seat, server: Serving) -> None:
    """What happened while none had the stream is asked for by all."""
    at.forgive("ERR_CONNECTION_REFUSED")
    pages = tabs(at, 3)
    at.context.route(STREAM, broken)
    pages[0].close()
    for page in pages[1:]:
        expect(page.locator("#live")).to_have_text(NOT_LIVE)
    with server.api() as api:
        api.post("/tenant/halt", json={"reason": "between two"}).raise_for_status()
        try:
            at.context.unroute(STREAM, broken)
            for page in pages[1:]:
                expect(page.get_by_role("alert")).to_contain_text("between two", timeout=60_000)
        finally:
            api.post("/tenant/lift").raise_for_status()


def test_without_locks_a_tab_out_of_view_has_no_stream(at: Seat, server: Serving) -> None:
    at.context.add_init_script(
        """Object.defineProperty(navigator, "locks", { value: undefined });
        let hidden = false;
        Object.defineProperty(document, "hidden", { get: () => hidden });
        window.hide = (now) => { hidden = now; document.dispatchEvent(new Event("visibilitychange")); };"""
    )
    first, second = tabs(at, 2)
    with halted(server, [first, second], "each by itself"):
        pass
    with second.expect_event("requestfailed", lambda request: "/events/stream" in request.url):  # it was given up
        second.evaluate("hide(true)")
    with halted(server, [first], "out of view"):
        expect(second.get_by_role("alert")).to_have_count(0)
        second.evaluate("hide(false)")
        expect(second.get_by_role("alert")).to_contain_text("out of view")
        is_live(second)


def test_a_list_of_devices_is_live_with_and_without_a_query(sit: Sit, fresh: Serving) -> None:
    me = sit(server=fresh)
    with fresh.api() as api:
        api.post("/devices", json={"id": "first", "hardware": "rpi4"}).raise_for_status()
        for address, name in (("/devices", "second"), ("/devices?q=hardware==rpi*", "third")):
            page = me.go(address)
            me.live()
            expect(page.locator("#d-first")).to_be_visible()
            expect(page.locator(f"#d-{name}")).to_have_count(0)
            api.post("/devices", json={"id": name, "hardware": "rpi4"}).raise_for_status()
            expect(page.locator(f"#d-{name}")).to_be_visible()


def test_a_tab_that_sleeps_does_not_keep_the_stream(at: Seat, server: Serving) -> None:
    """Some browsers put a tab to sleep with all it holds."""
    asleep = at.go("/rollouts/new")  # not live; here it stands for one that holds the lock and says nothing
    asleep.evaluate(
        """(tenant) => new Promise((held) => {
          const never = () => { held(); return new Promise(() => {}); };
          navigator.locks.request(`otaru-stream:${tenant}`, never).catch(() => {});
        })""",
        DEFAULT_TENANT,
    )
    page = at.context.new_page()
    page.clock.install()
    page.goto(f"{server.url}/")
    expect(page.locator("#live")).to_have_text("connecting")
    page.clock.fast_forward(41_000)
    with halted(server, [page], "it was woken"):
        is_live(page)
