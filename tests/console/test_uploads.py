"""Uploads in the browser: what breaks goes on, also after a reload."""

from pathlib import Path

from playwright.sync_api import Route, expect

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
    expect(page.get_by_text("SHA-256")).to_be_visible()
    assert offsets[0] == str(PART)
    page.get_by_role("button", name="Remove later.swu").click()
    expect(page.locator(".upload")).to_have_count(0)
