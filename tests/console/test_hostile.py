"""What devices and people write is text on every page, whatever it is; and the page keeps its shape."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from otaru.apps.console import rendering
from tests.support.browser import PHONE, WIDE, Sit
from tests.support.server import serving
from tests.support.staged import Stage, Words, staged

SCRIPT = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
QUOTES = "\"'`><svg/onload=window.hacked=1>{{7*7}}${7*7}&lt;b&gt;%3Cb%3E"
BIDI = "\u202eabc\u202c\u2066\u200f\u200bשלום مرحبا"  # noqa: RUF001 - that is what it is about
EMOJI = "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿🔥" * 3
ZALGO = "Z" + "\u0300\u0489\u036f" * 20
LONG = "W" * 4000
CONTROLS = "\x1b[31mred\x07 \x00 tab\t end\r\nline"

WORDS = Words(
    prefix="-" + "~." * 60,
    model="M" * 120,
    product="p" * 128,
    versions=("0" * 128, "1~:+" + "1" * 120, "2" * 128),
    tag="t" * 128,
    attribute=(SCRIPT + QUOTES + BIDI + EMOJI + ZALGO + "\n\t" + LONG)[:2048],
    filename=("<script>window.hacked=1<" + "\"'&\u0436🔥" + "W" * 255).encode()[:250].decode(errors="ignore"),
    notes=f"{SCRIPT}\n{QUOTES}\n{EMOJI}\n{ZALGO}\n{'N' * 10_000}",
    name=(SCRIPT + QUOTES + LONG)[:200],
    reason=(SCRIPT + QUOTES + EMOJI + LONG)[:4096],
    last_words=f"{CONTROLS}{BIDI}{ZALGO}{QUOTES}{LONG}{LONG}{LONG}",
    label=(SCRIPT + QUOTES)[:128],
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with serving(tmp_path_factory.mktemp("hostile") / "data") as running:
        yield staged(running, WORDS)


# What stands in a page as it was written, not as a text. An element of ours has neither of these.
_ALIVE = """() => ({
  hacked: "hacked" in window,
  scripts: [...document.scripts].filter((one) => !one.src.includes("/static/")).length,
  foreign: document.querySelectorAll("[onerror], [onload], img, svg[onload], main script, main style").length,
})"""


def test_nothing_that_was_written_comes_alive(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server, size=PHONE)
    me.forgive("status of 422")
    wide = []
    for path in stage.pages:
        page = me.go(path)
        page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        for size in (PHONE, WIDE):
            me.resize(size)
            wide += [f"{path}: {told}" for told in me.sticks_out()]
        assert page.evaluate(_ALIVE) == {"hacked": False, "scripts": 0, "foreign": 0}, path
    assert not wide, "\n".join(wide)


def test_it_is_shown_as_it_was_written(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    shown = me.go(f"/devices/{stage.devices[0]}").locator("#page")
    text = shown.evaluate("node => node.textContent")
    assert SCRIPT in text
    assert QUOTES in text
    assert rendering._UNSEEN.sub("\ufffd", BIDI) in text, (
        "signs that turn what stands beside them are shown to be there"
    )
    assert EMOJI in text
    text = me.go(f"/rollouts/{stage.paused}").locator("#page").evaluate("node => node.textContent")
    assert SCRIPT in text
    assert WORDS.name in text
    text = me.go(stage.release).locator("#page").evaluate("node => node.textContent")
    assert WORDS.notes in text
    assert WORDS.filename in text
    fields = me.go(f"/devices/{stage.devices[0]}/edit").locator("textarea")
    assert WORDS.attribute in fields.evaluate_all("all => all.map((one) => one.value)")


def test_a_label_is_text_too(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server, logged_in=False)
    me.log_in(stage.viewer)
    button = me.go("/").get_by_role("button", name="Log out")
    assert button.get_attribute("title") == f"{WORDS.label} (viewer)"


# Texts with signs that turn the direction, which stand beside other words and are kept apart from them by nothing.
_TURNED = """() => {
  const wrong = [];
  const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (!/[\\u202a-\\u202e\\u2066-\\u2069]/.test(node.data)) continue;
    let box = node.parentElement;
    const inline = () => getComputedStyle(box).display === "inline";
    while (inline() && getComputedStyle(box).unicodeBidi === "normal") box = box.parentElement;
    if (!inline() && box.textContent.trim() !== node.data.trim()) wrong.push(box.outerHTML.slice(0, 160));
  }
  return wrong;
}"""


def test_text_from_right_to_left_turns_nothing_around_it(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    me.forgive("status of 422")
    turned = {path: found for path in stage.pages if (found := me.go(path).evaluate(_TURNED))}
    assert not turned


def test_a_device_of_any_name_is_updated_from_its_page(sit: Sit, stage: Stage) -> None:
    me = sit(server=stage.server)
    page = me.go(f"/devices/{stage.devices[-2]}")
    me.click("Update now…", "link")
    me.click("With waves, a window, consent …", "link")
    page.get_by_label("Release", exact=True).fill(f"{WORDS.product}:{WORDS.versions[1]}")
    expect(page.get_by_text("1 device will be a member")).to_be_visible()
