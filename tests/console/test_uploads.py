"""Uploads in the browser: what breaks goes on, also after a reload."""

import json
import re
from pathlib import Path

from playwright.sync_api import APIResponse, Route, expect

from tests.support import images
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
    page.locator("input[data-at=picker]").set_input_files(file)
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
    page.locator("input[data-at=picker]").set_input_files(file)
    expect(page.get_by_text("On the server ·")).to_be_visible()
    assert offsets[0] == str(PART)
    page.get_by_role("button", name="Remove later.swu").click()
    expect(page.locator(".upload")).to_have_count(0)


def test_what_is_ticked_is_there_after_a_reload(at: Seat) -> None:
    page = at.go("/releases/+new")
    page.get_by_text("Who may take it", exact=True).click()
    page.get_by_label("No way back").check()
    page.reload()
    expect(page.get_by_label("No way back")).to_be_checked()
    page.get_by_label("No way back").uncheck()
    page.reload()
    expect(page.get_by_label("No way back")).not_to_be_checked()


def test_what_is_removed_while_it_is_finished_leaves_nothing(at: Seat, tmp_path: Path) -> None:
    page = at.go("/releases/+new")
    file = tmp_path / "regretted.swu"
    file.write_bytes(b"nobody wants this after all")
    finished: list[tuple[Route, APIResponse]] = []
    page.route("**/api/v1/uploads/*/finish", lambda route: finished.append((route, route.fetch())))
    with page.expect_response("**/api/v1/uploads/*"):
        page.locator("input[data-at=picker]").set_input_files(file)
    expect(page.get_by_text("comparing the SHA-256")).to_be_visible()
    while not finished:  # done at the server; the page has not heard of it
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Remove regretted.swu").click()
    route, answer = finished[0]
    with page.expect_response("**/api/v1/artifacts/*") as removed:
        route.fulfill(response=answer)
    assert (removed.value.request.method, removed.value.status) == ("DELETE", 204)


def test_a_bill_of_materials_comes_with_it(at: Seat, tmp_path: Path) -> None:
    """One that is none is told beside its field, and nothing is made; the right one is shown with the release."""
    at.forgive("status of 400")
    page = at.go("/releases/+new")
    image, none, bom = tmp_path / "papers.bin", tmp_path / "none.json", tmp_path / "bom.json"
    image.write_bytes(b"with its papers")
    none.write_text("[]")
    bom.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "papers"}))
    page.locator("input[data-at=picker]").set_input_files(image)
    page.get_by_label("Product").fill("papers")
    page.get_by_label("Version").fill("1.0.0")
    page.get_by_role("combobox", name=re.compile("^Hardware that")).fill("rpi4")
    page.get_by_text("Who may take it", exact=True).click()
    page.get_by_label("No way back").check()
    page.get_by_text("Documents", exact=True).click()
    page.get_by_label("Bill of materials").set_input_files(none)
    expect(page.get_by_text("On the server ·")).to_be_visible()
    page.get_by_role("button", name="Publish release").click()
    expect(page.locator("#w-sbom")).to_contain_text("It is no software bill of materials")
    page.get_by_label("Bill of materials").set_input_files(bom)
    page.get_by_role("button", name="Publish release").click()
    page.wait_for_url("**/releases/papers/1.0.0")
    expect(page.get_by_role("link", name=re.compile("CycloneDX"))).to_be_visible()
    expect(page.get_by_text("no rollback takes it away again")).to_be_visible()


def test_who_is_told_of_a_contradiction_may_say_that_both_are_right(at: Seat, tmp_path: Path) -> None:
    """The tick is there once the server has found something, is forgotten when something is changed, and is kept in the record."""
    at.forgive("422")
    page = at.go("/releases/+new")
    image = tmp_path / "app.swu"
    image.write_bytes(images.swu(version="9.9.9"))
    page.locator("input[data-at=picker]").set_input_files(image)
    page.get_by_label("Product").fill("contradicted")
    page.get_by_label("Version").fill("1.0.0")
    page.get_by_role("combobox", name=re.compile("^Hardware that")).fill("rpi4")
    expect(page.get_by_text("On the server ·")).to_be_visible()
    tick = page.get_by_label("Both are right")
    expect(tick).to_be_hidden()
    page.get_by_role("button", name="Publish release").click()
    expect(page.locator("#w-release")).to_contain_text("9.9.9")
    expect(tick).to_be_visible()
    expect(tick).not_to_be_checked()
    tick.check()
    page.get_by_label("Version").fill("1.0.1")
    expect(tick).to_be_hidden()
    page.get_by_role("button", name="Publish release").click()
    expect(tick).to_be_visible()
    expect(tick).not_to_be_checked()
    tick.check()
    page.get_by_role("button", name="Publish release").click()
    page.wait_for_url("**/releases/contradicted/1.0.1")
    expect(page.get_by_text("9.9.9").first).to_be_visible()


def test_files_of_several_components_are_one_release(at: Seat, tmp_path: Path) -> None:
    """What is wrong with one is told beside its file, and what was typed is there after a reload."""
    at.forgive("status of 400")
    page = at.go("/releases/+new")
    parts = {"os.img": "os", "app.tgz": "my app"}
    for name in parts:
        (tmp_path / name).write_bytes(name.encode())
    page.locator("input[data-at=picker]").set_input_files([tmp_path / name for name in parts])
    page.get_by_label("Product").fill("several")
    page.get_by_label("Version").fill("1.0.0")
    for name, component in parts.items():
        hardware = page.get_by_role("combobox", name=f"Hardware that {name}")
        hardware.fill("rpi4")
        hardware.press("Enter")
        page.get_by_label(f"Component that {name}").fill(component)
    expect(page.get_by_text("On the server ·")).to_have_count(2)
    page.get_by_role("button", name="Publish release").click()
    row = page.locator("li.upload", has_text="app.tgz")
    expect(row.locator("[data-at=wrong]")).to_contain_text("1 to 128 characters")
    page.reload()
    for name, component in parts.items():
        expect(page.get_by_label(f"Component that {name}")).to_have_value(component)
    page.get_by_label("Component that app.tgz").fill("app")
    page.get_by_role("button", name="Publish release").click()
    page.wait_for_url("**/releases/several/1.0.0")
    expect(page.get_by_text("all of them or none")).to_be_visible()
