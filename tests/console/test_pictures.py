"""Pictures of the console for the docs. `make pictures` renews docs/pictures; a test run only looks whether they are any."""

import os
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import PHONE, Seat, Sit
from tests.support.judged import judged
from tests.support.server import serving
from tests.support.staged import Stage

DOCS = Path(__file__).parents[2] / "docs/pictures"
SIZE = (1280, 800)
MAX_SIZE = 200_000
MIN_COLOURS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.environ.get("OTARU_PICTURES") != "1":
        return tmp_path_factory.mktemp("pictures")
    DOCS.mkdir(exist_ok=True)
    return DOCS


def take(me: Seat, path: Path) -> None:
    """One picture of what the window shows."""
    me.page.evaluate("document.fonts.ready")
    me.page.screenshot(path=path, animations="disabled", caret="hide")
    data = path.read_bytes()
    assert len(data) <= MAX_SIZE, f"{path.name} has {len(data)} bytes"
    assert colours(data) >= MIN_COLOURS, f"{path.name} shows nothing"


def colours(png: bytes) -> int:
    """How many different rows a picture has: a blank one has one."""
    at, packed, width = 8, b"", 0
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width = int.from_bytes(body[:4], "big") * (4 if body[9] == 6 else 3)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    rows = zlib.decompress(packed)
    return len({rows[start + 1 : start + 1 + width] for start in range(0, len(rows), width + 1)})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_that_the_docs_show(sit: Sit, stage: Stage, folder: Path, tmp_path: Path, scheme: str) -> None:
    folder = folder if scheme == "light" else tmp_path  # the docs are light
    me = sit(server=stage.server, size=SIZE, color_scheme=scheme)
    names = {
        "overview": "/",
        "devices": "/devices",
        "device": f"/devices/{stage.devices[0]}",
        "rollout": f"/rollouts/{stage.paused}",
        "release": stage.release,
        "events": "/events",
    }
    for name, path in names.items():
        me.go(path)
        expect(me.page.locator("#live")).not_to_have_text("connecting")
        take(me, folder / f"{name}-{scheme}.png")


def test_the_wizard(sit: Sit, stage: Stage, folder: Path) -> None:
    me = sit(server=stage.server, size=SIZE, color_scheme="light")
    release = f"{stage.words.product}:{stage.words.versions[1]}"
    page = me.go(f"/rollouts/new?release={release}&target=tag==lab&mode=waves&waves=2,8,100%25")
    expect(page.get_by_text("will be members")).to_be_visible()
    take(me, folder / "wizard-light.png")


def test_a_verdict(sit: Sit, folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "judged") as server:
        me = sit(server=server, size=(1280, 1000), color_scheme="light")
        page = me.go(f"/rollouts/{judged(server)}")
        expect(page.get_by_text("1 of 3 segments is held")).to_be_visible()
        expect(page.get_by_role("heading", name="Verdict")).to_be_visible()
        me.live()
        take(me, folder / "verdict-light.png")


def test_a_phone(sit: Sit, stage: Stage, folder: Path) -> None:
    me = sit(server=stage.server, size=PHONE, color_scheme="dark")
    me.go(f"/rollouts/{stage.paused}")
    me.live()
    take(me, folder / "phone-dark.png")
