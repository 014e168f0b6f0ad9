"""A form that foretells, while nobody answers it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browser import Sit
from tests.support.staged import Stage

PREVIEW = "**/rollouts/new/preview"
NOT_KNOWN = "The server does not answer; what will happen is not known."


def refused(route: Route) -> None:
    route.abort("connectionrefused")


def silent(route: Route) -> None:
    del route  # no answer ever


def soon(page: Page) -> None:
    """The browser waits for an answer, but not as long as for people."""
    page.evaluate("htmx.config.timeout = 300")


@pytest.mark.parametrize(("answer", "prepare"), [(refused, None), (silent, soon)])
def test_what_will_happen_is_not_known(
    sit: Sit, stage: Stage, answer: Callable[[Route], None], prepare: Callable[[Page], None] | None
) -> None:
    at = sit(server=stage.server)
    at.forgive("ERR_CONNECTION_REFUSED|^console error: htmx:(afterRequest|sendError|timeout)|/rollouts/new/preview")
    page = at.go("/rollouts/new")
    if prepare:
        prepare(page)
    at.context.route(PREVIEW, answer)
    target = page.get_by_label("Target", exact=True)
    target.fill("id==a*")
    summary = page.locator("#said-summary")
    expect(summary).to_have_text(NOT_KNOWN)
    expect(page.locator("#toasts")).to_have_text("The server does not answer.")
    start = page.get_by_role("button", name="Start rollout")
    expect(start).to_be_enabled()

    at.context.unroute(PREVIEW, answer)
    if prepare:
        page.evaluate("htmx.config.timeout = 20000")
    target.fill("id==b*")
    expect(summary).not_to_contain_text("does not answer")
    expect(summary).not_to_be_empty()
    expect(start).to_be_enabled()
