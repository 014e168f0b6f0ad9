"""Without JavaScript: pages show, lists are paged and filtered, forms do what they say."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import Seat, Sit
from tests.support.staged import Stage


@pytest.fixture
def plain(sit: Sit, stage: Stage) -> Seat:
    """A browser that runs no script, before the login page."""
    return sit(java_script_enabled=False, logged_in=False, server=stage.server)


def test_one_logs_in_finds_a_device_and_leaves(plain: Seat, stage: Stage) -> None:
    page = plain.page
    page.goto(stage.server.login)
    plain.click("Log in")
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Rollout 2")).first).to_be_visible()
    plain.visit("Devices")
    page.get_by_label("Which devices").fill("attr.uplink==lte")
    plain.click("Find")
    expect(page.locator("#list tbody tr")).to_have_count(10)
    page.locator("#list tbody tr a").first.click()
    expect(page.get_by_role("heading", name="Why not updated?")).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("Was added")
    for name in ("Releases", "Rollouts", "Events"):
        plain.visit(name)
        expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
    plain.click("Log out")
    expect(page).to_have_url(re.compile(r"/login$"))


def test_one_adds_a_device_and_rolls_out_to_it(plain: Seat, stage: Stage) -> None:
    plain.log_in()
    plain.forgive("status of 422")
    page = plain.go("/devices/+new")
    page.get_by_label("Id", exact=True).fill("plain-1")
    page.get_by_label("Hardware", exact=True).fill(f"{stage.words.model}:r0")
    plain.click("Add device")
    expect(page.get_by_role("heading", name="plain-1 is added")).to_be_visible()

    plain.go("/rollouts/new")
    page.get_by_label("Release", exact=True).fill(f"{stage.words.product}:{stage.words.versions[1]}")
    page.get_by_label("Target").fill("id==nobody-")
    page.get_by_label("Name", exact=True).fill("by hand")
    plain.click("Start rollout")
    expect(page.locator("#said-target")).not_to_be_empty()
    expect(page.get_by_label("Name", exact=True)).to_have_value("by hand")
    page.get_by_label("Target").fill("id==plain-1")
    plain.click("Start rollout")
    expect(page.locator(".title .state")).to_have_text("running")
    expect(page.get_by_text("by hand", exact=True)).to_be_visible()

    plain.forgive("status of 412")
    for order, verb, state in (("Pause rollout", "Pause rollout", "paused"), ("Stop…", "Stop rollout", "stopp")):
        plain.click(order)
        asked = page.get_by_role("dialog")
        expect(asked).to_be_visible()
        asked.get_by_role("button", name="Keep it as it is").click()
        expect(asked).to_be_hidden()
        for _ in range(5):
            plain.click(order)
            asked.get_by_label("Reason").fill("without script")
            asked.get_by_role("button", name=verb, exact=True).click()
            expect(asked).to_be_hidden()
            if not (again := page.get_by_role("link", name="Look again")).is_visible():
                break
            again.click()  # the rollout took a step after the page was made, which no script told it
        expect(page.locator(".title .state")).to_have_text(re.compile(state))
        expect(page.locator(".why")).to_contain_text("without script")


def test_a_release_says_how_to_do_without_script(plain: Seat) -> None:
    plain.log_in()
    plain.go("/releases/+new")
    # Playwright switches off the running of scripts after the page was read: its browser does not show <noscript>.
    assert "otaru release add" in plain.page.content().partition("<noscript>")[2]
    expect(plain.page.locator("form#release")).to_be_hidden()
