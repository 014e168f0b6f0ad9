"""The whole story in a browser: from the login link to a finished rollout, and one that pauses. By mouse."""

import re
from pathlib import Path

from playwright.sync_api import FilePayload, Locator, Page, Request, Route, expect

from tests.support.browser import Seat, Sit
from tests.support.ddi import eventually
from tests.support.server import Serving
from tests.support.simulated import simulated

DEVICES = 12
PART = 4 * 1024 * 1024  # what static/js/transfer.js sends at once
SMALL = b"plain" + bytes(range(256)) * 1200
LARGE = bytes(range(251)) * 40_000  # three parts
FLEET = (
    *("--devices", str(DEVICES), "--hardware", "board:r0,board:r1", "--speed", "120", "--seed", "7"),
    *("--fail", "0", "--firmware-fails", "1.1.0@r0=1"),
)


def payload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def fact(page: Page, words: str) -> Locator:
    return page.locator(".fact").filter(has=page.get_by_text(words, exact=True)).locator(".fact-value")


def stays(page: Page) -> None:
    page.evaluate("window.otaruStays = true")


def stayed(page: Page) -> None:
    assert page.evaluate("window.otaruStays === true"), "the page was loaded anew"


def upload(me: Seat, version: str, hardware: tuple[str, ...] = ("board:r0", "board:r1")) -> None:
    """What is asked for beside the file."""
    me.page.get_by_label("Product").fill("app")
    me.page.get_by_label("Version").fill(version)
    field = me.page.get_by_label(re.compile("Hardware that .* is for"))
    for name in hardware:
        field.fill(name)
        field.press("Enter")
    me.page.get_by_label("Notes").fill(f"What is new in {version}")


def test_by_mouse(sit: Sit, fresh: Serving) -> None:
    me = sit(server=fresh, logged_in=False)
    with fresh.api() as api:
        api.patch("/tenant", json={"settings": {"polling_s": 60}}).raise_for_status()
    log_in(me)
    add_a_device(me)
    release_by_the_file_chooser(me)
    release_that_breaks_and_goes_on(me)
    with simulated(fresh, *FLEET):
        roll_out(me)
        roll_out_what_fails(me)


def log_in(me: Seat) -> None:
    page = me.page
    page.goto(me.server.login)
    me.click("Log in")
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()


def add_a_device(me: Seat) -> None:
    page = me.page
    me.visit("Devices")
    expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()
    page.get_by_role("link", name="Add device").first.click()

    # What is wrong is said beside its field, and nothing that was typed is lost.
    me.forgive("status of 422")
    page.get_by_label("Id", exact=True).fill("sim 1")
    page.get_by_label("Hardware", exact=True).fill("board:r0")
    page.get_by_label("Tags").fill("lab, bench")
    page.get_by_label("Name of an attribute").first.fill("site")
    page.get_by_label("Value").first.fill("Lyon")
    me.click("Add device")
    expect(page.get_by_label("Id", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Tags")).to_have_value("lab, bench")
    expect(page.get_by_label("Value").first).to_have_value("Lyon")

    page.get_by_label("Id", exact=True).fill("sim-1")
    me.click("Add device")
    expect(page.get_by_role("heading", name="sim-1 is added")).to_be_visible()
    token = page.locator("#token").inner_text()
    assert len(token) > 20
    expect(page.locator("pre", has_text="suricatta")).to_contain_text(token)
    page.reload()  # shown once: this posts nothing again
    expect(page.get_by_role("heading", name="sim-1", exact=True)).to_be_visible()
    expect(page.get_by_text("Lyon", exact=True)).to_be_visible()
    assert token not in page.content()
    me.visit("Devices")
    expect(page.get_by_role("link", name="sim-1")).to_be_visible()
    expect(page.locator("#d-sim-1").get_by_role("link", name="bench", exact=True)).to_be_visible()


def release_by_the_file_chooser(me: Seat) -> None:
    page = me.go("/releases")
    expect(page.get_by_role("heading", name=re.compile("No releases yet"))).to_be_visible()
    me.click("Upload the first one", "link")
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose files", exact=True).click()
    chooser.value.set_files(payload("app-1.0.0.swu", SMALL))
    expect(page.get_by_text("On the server ·")).to_be_visible()
    upload(me, "1.0.0")
    me.click("Publish release")
    expect(page.get_by_role("heading", name="app 1.0.0", exact=True)).to_be_visible()
    expect(page.get_by_text("app-1.0.0.swu")).to_be_visible()
    expect(page.locator(".state").first).to_have_text("published")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == SMALL


def release_that_breaks_and_goes_on(me: Seat) -> None:
    me.forgive("ERR_CONNECTION_RESET")
    page = me.go("/releases/+new")
    offsets: list[int] = []

    def count(request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))

    def break_second(route: Route) -> None:
        if route.request.method == "PATCH" and route.request.headers["upload-offset"] != "0":
            route.abort("connectionreset")
        else:
            route.continue_()

    page.on("request", count)
    page.route("**/api/v1/uploads/*", break_second)
    drop = page.locator(".drop")
    drop.drop({"files": payload("app-1.1.0.swu", LARGE)})
    expect(page.get_by_text("tries again")).to_be_visible()
    expect(page.get_by_text(re.compile(r"4\.2 MB of 10\.0 MB"))).to_be_visible()
    upload(me, "1.1.0")
    expect(page.get_by_role("button", name="Publish release")).to_be_disabled()

    page.unroute("**/api/v1/uploads/*", break_second)
    expect(page.get_by_role("button", name="Publish release")).to_be_enabled(timeout=60_000)
    assert offsets.count(0) == 1  # what was there was never sent again
    assert offsets[-1] == 2 * PART
    me.click("Publish release")
    expect(page.get_by_role("heading", name="app 1.1.0", exact=True)).to_be_visible()
    expect(page.get_by_text("What is new in 1.1.0")).to_be_visible()
    me.click("app", "link")
    for version in ("1.0.0", "1.1.0"):
        expect(page.get_by_role("link", name=re.compile(rf"\b{re.escape(version)}$"))).to_be_visible()


def roll_out(me: Seat) -> None:
    with me.server.api() as api:
        eventually(lambda: len(api.get("/devices").json()["items"]) == DEVICES)
    page = me.go("/devices")
    expect(page.get_by_text(f"{DEVICES} devices")).to_be_visible(timeout=60_000)
    page.goto(f"{me.server.url}/releases/app/1.0.0")
    me.click("Roll out", "link")
    expect(page.get_by_label("Release", exact=True)).to_have_value("app:1.0.0")

    # The count is told while one types.
    target = page.get_by_label("Target")
    target.press_sequentially("tag==lab")
    expect(page.get_by_text("1 device will be a member")).to_be_visible()
    target.fill("id==sim-*;")
    expect(page.locator("#said-target .wrong")).to_be_visible()
    target.fill("id==sim-*")
    expect(page.get_by_text(f"{DEVICES} devices will be members")).to_be_visible()
    page.get_by_text("In waves", exact=True).click()
    page.get_by_label("Waves", exact=True).fill("2, 100%")
    expect(page.get_by_text("Wave 2")).to_be_visible()
    page.get_by_text("Only plan it").click()
    me.click("Plan rollout")

    expect(page.get_by_role("heading", name=re.compile(r"^Rollout \d+ · app 1\.0\.0$"))).to_be_visible()
    me.live()
    stays(page)
    me.click("Start rollout")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 devices of wave 1 are offered")
    dialog.get_by_role("button", name="Start rollout").click()
    expect(page.locator(".title .state")).to_have_text("running")
    me.live()
    stays(page)
    expect(page.locator(".title .state")).to_have_text("finished", timeout=90_000)
    expect(fact(page, "done")).to_have_text(str(DEVICES))
    expect(page.locator(".waves .state", has_text="passed")).to_have_count(2)
    stayed(page)

    fact(page, "done").click()
    expect(page.get_by_role("link", name="sim-1", exact=True)).to_be_visible()
    page.get_by_role("link", name="sim-1", exact=True).click()
    expect(page.get_by_text("Nothing is planned")).to_be_visible()
    expect(page.get_by_role("table").filter(has_text="Component")).to_contain_text("1.0.0")


def roll_out_what_fails(me: Seat) -> None:
    page = me.go("/rollouts/new?release=app:1.1.0&target=id==sim-*&mode=waves&waves=4,100%25")
    expect(page.get_by_text(f"{DEVICES} devices will be members")).to_be_visible()
    me.click("Start rollout")
    me.live()
    stays(page)
    state = page.locator(".title .state")
    expect(state).to_have_text("paused", timeout=90_000)
    expect(page.get_by_role("heading", name="Why devices failed")).to_be_visible()
    expect(page.locator(".last-words").first).not_to_be_empty()
    stayed(page)

    me.click("Resume rollout")
    page.get_by_role("dialog").get_by_label("Reason").fill("only r0 fails <b>")
    page.get_by_role("dialog").get_by_role("button", name="Resume rollout").click()
    expect(page.get_by_text("only r0 fails <b>").first).to_be_visible()
    expect(state).to_have_text("paused", timeout=90_000)

    look_at_a_device_that_failed(me)
    me.live()
    page.get_by_role("button", name=re.compile("^Retry")).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry devices").click()
    expect(state).to_have_text("paused")
    expect(page.get_by_role("dialog")).to_have_count(0)

    # A dialog stays open, and what is typed in it stays, while the page is renewed below it.
    page.get_by_role("button", name="Stop…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("wrong release")
    with me.server.api() as api:
        api.post("/tenant/halt", json={"reason": "meanwhile"}).raise_for_status()
        expect(page.get_by_text("meanwhile")).to_be_attached()
        api.post("/tenant/lift").raise_for_status()
    expect(dialog.get_by_label("Reason")).to_have_value("wrong release")
    dialog.get_by_role("button", name="Stop rollout").click()
    expect(state).to_have_text("stopped", timeout=60_000)
    expect(page.get_by_text("wrong release").first).to_be_visible()


def look_at_a_device_that_failed(me: Seat) -> None:
    page = me.page
    page.get_by_role("row").filter(has=page.locator(".last-words")).get_by_role("link").first.click()
    page.locator("tbody tr").first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Why not updated?")).to_be_visible()
    expect(page.locator(".reason-first")).to_be_visible()
    expect(page.locator(".history .state", has_text="failed")).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("Failed in")
    page.locator(".history details summary").first.click()
    expect(page.locator(".history-said").first).to_contain_text("closed")
    page.locator(".history").get_by_role("link", name="rollout 2").first.click()
    expect(page.get_by_role("heading", name=re.compile("^Rollout 2"))).to_be_visible()
