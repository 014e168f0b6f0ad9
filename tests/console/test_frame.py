"""The console's frame: logging in and out, pages for what went wrong, themes, the way about, the live stream."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import PHONE, Seat, Sit
from tests.support.server import Serving
from tests.support.staged import Stage

OVERVIEW = re.compile(r"^http://[^/]+/$")


def test_a_login_link_works_once(sit: Sit, server: Serving) -> None:
    me = sit(logged_in=False)
    me.page.goto(server.login)
    expect(me.page.get_by_role("heading", name="You have a login link")).to_be_visible()
    me.click("Log in")
    expect(me.page).to_have_url(OVERVIEW)
    expect(me.page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()

    late = sit(logged_in=False)
    late.forgive("status of 403")
    late.page.goto(server.login)
    late.click("Log in")
    expect(late.page.get_by_role("alert")).to_contain_text("was used before")
    late.go("/")
    expect(late.page).to_have_url(re.compile(r"/login$"))


def test_a_token_logs_in_and_the_visitor_comes_where_she_wanted(sit: Sit, server: Serving) -> None:
    me = sit(logged_in=False)
    me.forgive("status of 403")
    me.go("/?from=mail")
    expect(me.page.get_by_label("API token")).to_be_focused()
    me.page.keyboard.type("otaru_wrong")
    me.page.keyboard.press("Enter")
    expect(me.page.get_by_label("API token")).to_have_attribute("aria-invalid", "true")
    expect(me.page.get_by_text("The token is unknown, expired or revoked.")).to_be_visible()
    me.page.get_by_label("API token").fill(server.token)
    me.page.keyboard.press("Enter")
    expect(me.page).to_have_url(re.compile(r"/\?from=mail$"))
    assert server.token not in me.page.content()

    me.click("Log out")
    expect(me.page).to_have_url(re.compile(r"/login$"))
    me.page.go_back()
    expect(me.page.get_by_role("heading", name="Log in")).to_be_visible()  # nothing was kept of the page


def test_what_is_not_there_says_so_and_leads_back(at: Seat) -> None:
    at.forgive("status of 404")
    at.go("/nothing/here")
    expect(at.page.get_by_text("there is no such page", exact=False)).to_be_visible()
    at.click("To the overview", "link")
    expect(at.page).to_have_url(OVERVIEW)


def test_the_theme_is_kept(sit: Sit) -> None:
    me = sit(color_scheme="light")
    shown = me.go("/").locator("html")
    expect(shown).to_have_attribute("data-shown", "light")
    light = me.page.evaluate("getComputedStyle(document.body).color")
    switch = me.page.locator(".rail [data-theme-switch]")
    switch.click()
    expect(shown).to_have_attribute("data-theme", "light")
    switch.click()
    expect(shown).to_have_attribute("data-theme", "dark")
    assert me.page.evaluate("getComputedStyle(document.body).color") != light
    me.page.reload()
    expect(shown).to_have_attribute("data-shown", "dark")
    switch.click()
    expect(shown).to_have_attribute("data-theme", "auto")


def colours(me: Seat) -> list[str]:
    """Of text and ground."""
    return [str(me.page.evaluate(f"getComputedStyle(document.body).{name}")) for name in ("color", "backgroundColor")]


def test_each_theme_is_the_same_whoever_chose_it(sit: Sit) -> None:
    """The system, the visitor, and the system without a script to ask it."""
    told = {}
    for scheme in ("light", "dark"):
        me = sit(color_scheme=scheme)
        me.go("/")
        told[scheme] = colours(me)
        plain = sit(color_scheme=scheme, java_script_enabled=False)
        plain.go("/")
        assert colours(plain) == told[scheme]
    assert told["light"] != told["dark"]
    for theme, scheme in (("light", "dark"), ("dark", "light")):
        me = sit(color_scheme=scheme)
        me.go("/")
        me.page.evaluate("theme => localStorage.theme = theme", theme)
        me.page.reload()
        assert colours(me) == told[theme]


def test_how_long_ago_something_was_grows_with_the_time(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    me.page.clock.install()
    me.go("/devices")
    times = me.page.locator("#page time[datetime]")
    assert "d ago" not in times.first.inner_text()
    me.page.clock.fast_forward(49 * 3600 * 1000)
    expect(times.first).to_have_text("2 d ago")
    assert {words.split(" ", 1)[1] for words in times.all_inner_texts()} == {"d ago"}


@pytest.mark.parametrize("size", [(1440, 900), (768, 1024), PHONE])
def test_every_list_is_one_step_away_at_every_width(at: Seat, size: tuple[int, int]) -> None:
    at.resize(size)
    at.go("/")
    for name in ("Devices", "Releases", "Rollouts", "Events", "Overview"):
        at.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
        expect(at.page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
        expect(at.page.get_by_role("link", name=name, exact=True).first).to_have_attribute("aria-current", "page")
        at.fits()


def test_the_first_tab_skips_to_the_content(at: Seat) -> None:
    at.go("/")
    at.page.keyboard.press("Tab")
    assert "Skip to content" in at.focus()
    at.page.keyboard.press("Enter")
    expect(at.page.locator("main")).to_be_focused()


def test_a_form_sent_after_the_session_is_not_lost(sit: Sit, server: Serving) -> None:
    me = sit()
    me.forgive("status of 401")
    page = me.go("/devices/+new")
    page.get_by_label("Id", exact=True).fill("typed-before")
    page.get_by_label("Hardware", exact=True).fill("rpi4")
    me.context.clear_cookies()
    me.click("Add device")
    expect(page.get_by_text("reload this page")).to_be_visible()
    with me.context.expect_page() as opened:
        me.click("Log in in a new tab", "link")
    opened.value.get_by_label("API token").fill(server.token)
    opened.value.keyboard.press("Enter")
    expect(opened.value.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="typed-before is added")).to_be_visible()
    with server.api() as api:
        api.delete("/devices/typed-before").raise_for_status()


def test_a_live_page_comes_back_after_login(sit: Sit, server: Serving) -> None:
    me = sit()
    me.forgive("status of 401")
    page = me.go("/events?kind=devices")
    me.live()
    me.context.clear_cookies()
    with server.api() as api:
        api.post("/tenant/halt", json={"reason": "who sees it"}).raise_for_status()
        api.post("/tenant/lift").raise_for_status()
    expect(page.get_by_label("API token")).to_be_visible()
    page.get_by_label("API token").fill(server.token)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/events\?kind=devices$"))
