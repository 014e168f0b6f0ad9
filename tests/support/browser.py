"""Somebody at a browser: Debian's Chromium before a running server, with an eye on everything that should not happen."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.support.server import Serving

PROGRAM = shutil.which("chromium")

WIDE = (1440, 900)
PHONE = (390, 844)
PATIENCE_MS = 15_000
MAX_TABS = 150

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# Whether one sees where the focus is: the element is in view, and it or what is drawn for it (a label around a hidden
# box) has an outline or a ring.
_FOCUS = """() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  if (!at || at === document.body || at === document.documentElement) return { lost: true };
  const rect = at.getBoundingClientRect();
  const drawn = [at, at.parentElement, at.closest("label"), ...(at.labels ?? [])].filter(Boolean);
  const ringed = drawn.some((node) => {
    const style = getComputedStyle(node);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== "none";
  });
  const words = (at.getAttribute("aria-label") ?? at.innerText ?? "").trim().slice(0, 60);
  const inside = rect.bottom > 0 && rect.right > 0 && rect.top < innerHeight && rect.left < innerWidth;
  const told = [at.tagName.toLowerCase(), at.id && `#${at.id}`, at.name && `[name=${at.name}]`, words && `“${words}”`];
  return { lost: false, ringed, inside, told: told.filter(Boolean).join(" ") };
}"""

_TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 8).map((node) => `${node.tagName.toLowerCase()}.${node.getAttribute("class") ?? ""}`)"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, that finds no host but this one."""
    assert PROGRAM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seat:
    """A browser context with one page. What it complains of makes its test fail, unless it was forgiven."""

    server: Serving
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    def forgive(self, pattern: str) -> None:
        """Say which complaints belong to the test: `status of 422` where a wrong form is shown again."""
        self.forgiven.append(pattern)

    def check(self) -> None:
        """Fail for what was complained of."""
        left = [said for said in self.complaints if not any(re.search(known, said) for known in self.forgiven)]
        assert not left, "the browser complained:\n" + "\n".join(left)

    def log_in(self, token: str = "") -> None:
        """Be logged in, without the page for it."""
        answer = self.context.request.post(
            f"{self.server.url}/login",
            form={"token": token or self.server.token},
            headers={"Origin": self.server.url},
            max_redirects=0,
        )
        assert answer.status == 303, answer.text()

    def go(self, path: str) -> Page:
        """Open a page of the console."""
        self.page.goto(f"{self.server.url}{path}")
        return self.page

    def resize(self, size: tuple[int, int]) -> None:
        """Change the size of the window."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def live(self) -> None:
        """Wait until the page hears the stream."""
        expect(self.page.locator("#live")).to_have_attribute("data-state", "on")

    def click(self, name: str, role: Literal["button", "link"] = "button") -> None:
        """Click the button or link of this exact name."""
        self.page.get_by_role(role, name=name, exact=True).click()

    def visit(self, name: str) -> None:
        """Click one of the rail's links."""
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()

    def focus(self, *, in_view: bool = True) -> str:
        """What has the focus, in words; one has to see it."""
        found: dict[str, Any] = self.page.evaluate(_FOCUS)
        assert not found["lost"], f"nothing has the focus on {self.page.url}"
        assert found["ringed"], f"one does not see that {found['told']} has the focus on {self.page.url}"
        assert found["inside"] or not in_view, f"{found['told']} has the focus and is out of view on {self.page.url}"
        return str(found["told"])

    def tab_to(self, target: Locator, key: str = "Tab") -> None:
        """Press Tab until the target has the focus; each stop on the way has to be seen."""
        expect(target).to_be_visible()
        passed = []
        for _ in range(MAX_TABS):
            if target.evaluate("node => node === document.activeElement"):
                return
            self.page.keyboard.press(key)
            if not self.page.evaluate("document.activeElement === document.body"):  # round the end of the page
                passed.append(self.focus())
        raise AssertionError(f"Tab never came to {target}; it passed {passed}")

    def hit(self, target: Locator, key: str = "Enter") -> None:
        """Go to the target by Tab, and press a key there."""
        self.tab_to(target)
        self.page.keyboard.press(key)

    def type_into(self, target: Locator, words: str) -> None:
        """Go to a field by Tab, and replace what it holds."""
        self.tab_to(target)
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(words)

    def sticks_out(self) -> list[str]:
        """What makes the page wider than its window."""
        wide: list[str] = self.page.evaluate(_TOO_WIDE)
        return [f"wider than {self.page.evaluate('innerWidth')} px: {', '.join(wide)}"] if wide else []

    def fits(self) -> None:
        """The page is no wider than its window."""
        assert not self.sticks_out(), f"{self.page.url}: {self.sticks_out()}"


@contextmanager
def seat(browser: Browser, server: Serving, *, size: tuple[int, int] = WIDE, **options: Any) -> Iterator[Seat]:
    """A fresh context: no cookies, nothing stored. Options are those of `Browser.new_context`."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    context.set_default_timeout(PATIENCE_MS)
    context.set_default_navigation_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    made = Seat(server, context, context.new_page())
    _watch(made)
    try:
        yield made
    finally:
        context.close()


def _watch(seat: Seat) -> None:
    ours = urlsplit(seat.server.url).netloc

    def heard(message: ConsoleMessage) -> None:
        # A broken Content-Security-Policy is told as an error here, too.
        if message.type in {"error", "warning"}:
            seat.complaints.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def asked(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")) and urlsplit(request.url).netloc != ours:
            seat.complaints.append(f"request to another host: {request.url}")

    def interrupted(dialog: Dialog) -> None:
        seat.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    seat.context.on("console", heard)
    seat.context.on("weberror", lambda error: seat.complaints.append(f"page error: {error.error}"))
    seat.context.on("request", asked)
    seat.context.on("dialog", interrupted)


def pictures(seats: list[Seat], folder: Path, name: str) -> list[Path]:
    """What is on the screens of a test that failed."""
    made = []
    for number, one in enumerate(seats):
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')[:80]}-{number}.png"
        folder.mkdir(parents=True, exist_ok=True)
        one.page.screenshot(path=path, full_page=True)
        made.append(path)
    return made


Sit = Callable[..., Seat]
"""Takes the options of `seat`; who sits there is logged in unless `logged_in=False`."""
