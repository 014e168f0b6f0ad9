"""The same story by keyboard alone: Tab, Enter, Space, arrows. One always sees where the focus is, and never loses it."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.support.browser import Seat, Sit
from tests.support.ddi import eventually
from tests.support.server import Serving
from tests.support.simulated import simulated
from tests.support.staged import Stage

DEVICES = 8
FLEET = ("--devices", str(DEVICES), "--hardware", "board", "--speed", "120", "--seed", "7", "--fail", "0")


def test_by_keyboard(sit: Sit, fresh: Serving, tmp_path: Path) -> None:
    me = sit(server=fresh, logged_in=False)
    with fresh.api() as api:
        api.patch("/tenant", json={"settings": {"polling_s": 60}}).raise_for_status()
    log_in(me)
    add_a_device(me)
    upload(me, tmp_path)
    with simulated(fresh, *FLEET):
        roll_out(me)


def log_in(me: Seat) -> None:
    me.page.goto(me.server.login)
    expect(me.page.get_by_role("button", name="Log in")).to_be_focused()
    me.focus()
    me.page.keyboard.press("Enter")
    expect(me.page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()


def add_a_device(me: Seat) -> None:
    page = me.page
    page.keyboard.press("Tab")
    assert "Skip to content" in me.focus()
    page.keyboard.press("Enter")
    me.hit(page.get_by_role("link", name="Add a device"))
    expect(page.get_by_label("Id", exact=True)).to_be_focused()
    me.focus()
    page.keyboard.type("sim-1")
    me.type_into(page.get_by_label("Hardware", exact=True), "board")
    me.type_into(page.get_by_label("Tags"), "lab")
    me.type_into(page.get_by_label("Name of an attribute").first, "site")
    me.type_into(page.get_by_label("Value").first, "Lyon")
    me.hit(page.get_by_role("button", name="Add device"))
    expect(page.get_by_role("heading", name="sim-1 is added")).to_be_visible()
    me.hit(page.get_by_role("link", name="To the device"))
    expect(page.get_by_role("heading", name="sim-1", exact=True)).to_be_visible()

    # A menu opens by Enter and closes by Escape; a dialog keeps the focus in it and gives it back.
    more = page.locator("summary").and_(page.get_by_label("More actions"))
    me.hit(more)
    me.hit(page.get_by_role("button", name="Decommission…"))
    traps(me)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(more).to_be_focused()
    me.focus()
    expect(page.get_by_role("heading", name="sim-1", exact=True)).to_be_visible()


def traps(me: Seat) -> None:
    """Tab leads round and round in the dialog that is open."""
    expect(me.page.get_by_role("dialog")).to_be_visible()
    for key in ("Tab",) * 6 + ("Shift+Tab",) * 6:
        me.page.keyboard.press(key)
        at = "document.activeElement === document.body || !!document.activeElement.closest('dialog[open]')"
        assert me.page.evaluate(at), me.focus()


def upload(me: Seat, folder: Path) -> None:
    page = me.page
    # Listened to from here on: asked for just before the key, the chooser may come before the browser knows of it.
    page.on("filechooser", lambda _: None)
    me.hit(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Releases"))
    me.hit(page.get_by_role("link", name="Upload the first one"))
    (folder / "app-1.0.0.swu").write_bytes(b"app" * 50_000)
    me.tab_to(page.locator("input[data-at=picker]"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(folder / "app-1.0.0.swu")
    expect(page.get_by_text("On the server ·")).to_be_visible()
    me.type_into(page.get_by_label(re.compile("Hardware that .* is for")), "board")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove board")).to_be_visible()
    me.type_into(page.get_by_label("Product"), "app")
    me.type_into(page.get_by_label("Version"), "1.0.0")
    me.tab_to(page.get_by_label(re.compile("^Publish it")))
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Create draft")).to_be_enabled()
    me.focus()
    page.keyboard.press("ArrowUp")
    me.hit(page.get_by_role("button", name="Publish release"))
    expect(page.get_by_role("heading", name="app 1.0.0", exact=True)).to_be_visible()


def roll_out(me: Seat) -> None:
    page = me.page
    with me.server.api() as api:
        eventually(lambda: len(api.get("/devices").json()["items"]) == DEVICES)
    me.hit(page.get_by_role("link", name="Roll out"))
    me.type_into(page.get_by_label("Target"), "id==sim-*")
    expect(page.get_by_text(f"{DEVICES} devices will be members")).to_be_visible()
    assert "target" in me.focus()  # what is told while one types takes the focus from nobody
    me.tab_to(page.get_by_label(re.compile("^Canaries first")))
    expect(page.get_by_label(re.compile("^evidence"))).to_be_checked()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label(re.compile("^In waves"))).to_be_checked()
    expect(page.get_by_label(re.compile("^thresholds"))).to_be_checked()  # as the shape proposes
    me.type_into(page.get_by_label("Waves", exact=True), "3, 100%")
    expect(page.get_by_text("Wave 2")).to_be_visible()
    me.tab_to(page.get_by_label("At once", exact=True))
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Only plan it")).to_be_checked()
    me.focus()
    me.hit(page.get_by_role("button", name="Plan rollout"))

    state = page.locator(".title .state")
    expect(state).to_have_text("planned")
    me.live()
    start = page.get_by_role("button", name="Start rollout")
    me.hit(start)
    traps(me)
    page.keyboard.press("Escape")
    expect(start).to_be_focused()
    page.keyboard.press("Enter")
    me.tab_to(page.get_by_role("dialog").get_by_role("button", name="Start rollout"))
    page.keyboard.press("Space")
    expect(state).to_have_text("running")

    # The page is renewed again and again; the focus stays where it was put.
    me.live()
    crumb = page.locator(".crumb")
    me.tab_to(crumb)
    expect(state).to_have_text("finished", timeout=90_000)
    expect(crumb).to_be_focused()
    me.focus()
    me.tab_to(page.get_by_role("link", name=re.compile("done$")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="sim-1", exact=True)).to_be_visible()
    me.hit(page.get_by_role("link", name="sim-1", exact=True))
    expect(page.get_by_text("Nothing is planned")).to_be_visible()


def test_every_stop_of_every_page_is_seen(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    me.forgive("status of 422")
    for path in stage.pages:
        page = me.go(path)
        page.evaluate("document.activeElement.blur()")
        page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement === document.body"):
                break
            me.focus()


def test_the_focus_outlives_a_renewal(sit: Sit, stage: Stage) -> None:
    """What has the focus when the page is renewed has it afterwards, though what is around it came or went."""
    me = sit(server=stage.server)
    places = {
        "/": ".needs a",
        "/rollouts": f"#rollout-{stage.finished} a",
        f"/rollouts/{stage.paused}": ".last-words",
        f"/rollouts/{stage.paused}/devices": "tbody tr:last-child a",
        f"/devices/{stage.devices[0]}": ".history a",
        "/releases": "#page a[href^='/releases/f']",
        "/events": ".happening a",
    }
    with stage.server.api() as api:
        for path, place in places.items():
            page = me.go(path)
            me.live()
            link = page.locator(place).first
            if path == f"/rollouts/{stage.paused}":
                link = page.get_by_role("row").filter(has=link).get_by_role("link").first
            me.tab_to(link)
            told = me.focus()
            for reason in ("one", "two"):
                api.post("/tenant/halt", json={"reason": reason}).raise_for_status()
                expect(page.get_by_role("alert").filter(has_text=reason)).to_be_visible()
                assert me.focus(in_view=False) == told, path  # what came in above may have moved it down
            api.post("/tenant/lift").raise_for_status()
            expect(page.get_by_role("alert")).to_have_count(0)
            assert me.focus(in_view=False) == told, path  # what came in above may have moved it down
