"""What a device writes down of its errands, so that each is done once however often it is asked and whatever goes off.

An errand is entered before it is begun. Its number is then used up: numbers only rise, so one number remembers all that were
done before, and a page stays only until the server has heard how its errand went.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from otaru.domain.errand import Asked, Went, What


@dataclass(frozen=True, slots=True)
class Page:
    """An errand that was begun; with `went` it is over, and waits to be told."""

    number: int
    what: What
    name: str = ""
    boot: str = ""
    """Which start of the device it was begun in."""
    went: Went | None = None
    size: int = 0
    """Bytes of its diagnostics, once they are collected; 0 before."""
    sha256: str = ""
    tries: int = 0
    """How often putting a backup back was begun."""


@dataclass(frozen=True, slots=True)
class Book:
    """All of it."""

    highest: int = 0
    """Of every errand that was ever begun here."""
    pages: tuple[Page, ...] = ()

    def page(self, number: int) -> Page | None:
        """An errand's page; None: it was never begun, or is told."""
        return next((page for page in self.pages if page.number == number), None)

    def begun(self, asked: Asked, boot: str) -> "Book":
        """With an errand entered, right before it is begun."""
        page = Page(asked.number, asked.what, asked.name, boot)
        return Book(max(self.highest, asked.number), (*self.pages, page))

    def put(self, page: Page) -> "Book":
        """With a page as it is now."""
        return replace(self, pages=tuple(page if one.number == page.number else one for one in self.pages))

    def told(self, numbers: Sequence[int]) -> "Book":
        """Without what the server has heard."""
        return replace(self, pages=tuple(page for page in self.pages if page.number not in numbers))
