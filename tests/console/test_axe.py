"""axe-core finds nothing wrong: every page, light and dark, empty and with data, on a wide screen and on a phone."""

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.support.axe import SOURCE, violations
from tests.support.browser import PHONE, WIDE, Seat, Sit
from tests.support.staged import Stage

pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="no axe-core here: make setup")

EMPTY = (
    *("/login", "/login?code=x", "/nothing", "/", "/devices", "/devices/+new", "/devices/none"),
    *("/releases", "/releases/+new", "/rollouts", "/rollouts/new", "/settings", "/events", "/events?kind=devices"),
)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOOKS = [(scheme, size) for size in (WIDE, PHONE) for scheme in SCHEMES]


def judged(me: Seat, where: str) -> list[str]:
    """What is wrong with the page that is open, in every look."""
    found = []
    for scheme, size in LOOKS:
        me.page.emulate_media(color_scheme=scheme)
        me.resize(size)
        found += [f"{where} {scheme} {size[0]}: {wrong}" for wrong in violations(me.page) + me.sticks_out()]
    return found


def test_empty_pages(at: Seat) -> None:
    at.forgive("status of 4")
    wrong = []
    for path in EMPTY:
        at.go(path)
        wrong += judged(at, path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(3))
def test_pages_with_data(sit: Sit, stage: Stage, part: int) -> None:
    me = sit(server=stage.server)
    me.forgive("status of 4")
    wrong = []
    for path in stage.pages[part::3]:
        me.go(path)
        wrong += judged(me, path)
    assert not wrong, "\n".join(wrong)


def test_what_opens(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    page, wrong = me.page, []
    for path in (f"/rollouts/{stage.paused}", f"/devices/{stage.devices[0]}", stage.release, "/", "/rollouts/new"):
        me.go(path)
        page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        expect(page.get_by_text("Asking for its reports")).to_have_count(0)
        wrong += judged(me, f"{path} opened")
        for name in page.locator("dialog").evaluate_all("all => all.map((one) => one.id)"):
            page.locator(f"#{name}").evaluate("node => node.showModal()")
            expect(page.get_by_role("dialog")).to_be_visible()
            wrong += judged(me, f"{path}#{name}")
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
    assert not wrong, "\n".join(wrong)


def test_a_form_that_was_wrong(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    me.forgive("status of 422")
    page = me.go("/devices/+new")
    page.get_by_label("Id", exact=True).fill("a b")
    page.get_by_label("Hardware", exact=True).fill("?")
    me.click("Add device")
    expect(page.locator("[aria-invalid=true]")).to_have_count(2)
    wrong = violations(page)
    me.go("/rollouts/new")
    page.get_by_label("Target").fill("id==")
    expect(page.locator("#said-target .wrong")).to_be_visible()
    wrong += violations(page)
    me.click("Start rollout")
    expect(page.locator("#said-release .wrong")).to_be_visible()
    wrong += violations(page)
    assert not wrong, "\n".join(wrong)


def test_a_viewer_sees_no_button_that_would_be_refused(sit: Sit, stage: Stage) -> None:
    me = sit(logged_in=False, server=stage.server)
    me.log_in(stage.viewer)
    me.forgive("status of 422")
    for path in stage.pages:
        if "+new" in path or "/new" in path or path.endswith(("/edit", "/update")):
            continue
        me.go(path)
        posts = me.page.locator("form[method=post]").evaluate_all("all => all.map((one) => one.getAttribute('action'))")
        assert posts == ["/logout", "/logout"], f"{path}: more than the ways out, in the rail and at the foot"
        assert me.page.locator("a[href*='/+new'], a[href^='/rollouts/new']").count() == 0, path
    wrong = violations(me.page)
    assert not wrong, "\n".join(wrong)
