"""Uploads in the browser: what breaks goes on, also after a reload."""

from pathlib import Path

from playwright.sync_api import APIResponse, Route, expect

from tests.support.browser import Seat

PART = 4 * 1024 * 1024  # what static/js/transfer.js sends at once
LARGE = bytes(range(251)) * 40_000  # three parts


def test_an_upload_goes_on_after_a_reload(at: Seat, tmp_path: Path) -> None:
    at.forgive("ERR_CONNECTION_RESET")
    page = at.go("/releases/+new")
    file = tmp_path / "later.swu"
    file.write_bytes(LARGE)

    def break_second(route: Route) -> None:
        if route.request.method == "PATCH" and route.request.headers["upload-offset"] != "0":
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*", break_second)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("tries again")).to_be_visible()
    page.get_by_label("Product").fill("later")
    page.get_by_role("button", name="Pause later.swu").click()
    expect(page.get_by_text("Paused at")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Product")).to_have_value("later")
    expect(page.get_by_text("Choose the file again to go on.")).to_be_visible()
    page.unroute("**/api/v1/uploads/*", break_second)
    offsets: list[str] = []
    page.on("request", lambda it: offsets.append(it.headers["upload-offset"]) if it.method == "PATCH" else None)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("On the server ·")).to_be_visible()
    assert offsets[0] == str(PART)
    page.get_by_role("button", name="Remove later.swu").click()
    expect(page.locator(".upload")).to_have_count(0)


def test_what_is_removed_while_it_is_finished_leaves_nothing(at: Seat, tmp_path: Path) -> None:
    page = at.go("/releases/+new")
    file = tmp_path / "regretted.swu"
    file.write_bytes(b"nobody wants this after all")
    finished: list[tuple[Route, APIResponse]] = []
    page.route("**/api/v1/uploads/*/finish", lambda route: finished.append((route, route.fetch())))
    with page.expect_response("**/api/v1/uploads/*"):
        page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("comparing the SHA-256")).to_be_visible()
    while not finished:  # done at the server; the page has not heard of it
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Remove regretted.swu").click()
    route, answer = finished[0]
    with page.expect_response("**/api/v1/artifacts/*") as removed:
        route.fulfill(response=answer)
    assert (removed.value.request.method, removed.value.status) == ("DELETE", 204)
