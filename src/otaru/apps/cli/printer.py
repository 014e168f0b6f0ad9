"""What a command says: one JSON document on stdout with `--json`, else text for people; remarks go to stderr.

What devices and other people wrote may hold control characters, and a terminal obeys those. They are made visible
before anything is printed: in text as `�`, in JSON as its own escapes, which any reader turns back.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# C0 but tab and newline, DEL, C1, and what reverses the direction of text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` with nothing in it that a terminal would obey."""
    return _UNSAFE.sub("�", text)


def one_line(text: str, limit: int = 200) -> str:
    """`text` on one line, shortened to `limit` characters, safe to print."""
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def as_json(document: Any, *, indent: int | None = 2) -> str:
    """JSON that keeps readable text readable and control characters escaped."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return plain(value)
        case Mapping():
            return " ".join(f"{plain(str(k))}={cell(v)}" for k, v in value.items())
        case Sequence():
            return " ".join(cell(v) for v in value)
        case _:
            return plain(str(value))


def moment(text: str | None) -> str:
    """A time of the API to the second, as people read it."""
    if not text:
        return ""
    return plain(re.sub(r"\.\d+", "", text).replace("T", " ").replace("+00:00", "Z"))


def several(count: int, one: str, many: str) -> str:
    """A number with its word: `1 device`, `3 devices`."""
    return f"{count} {one if count == 1 else many}"


def remark(text: str) -> None:
    """Say something beside the result: on stderr, so that stdout stays what was asked for."""
    print(plain(text), file=sys.stderr, flush=True)


Column = tuple[str, Callable[[Mapping[str, Any]], Any]]
"""A heading and what stands under it for an item."""


def field(heading: str, key: str | None = None) -> Column:
    """The column of a plain field; the key is the heading in lower case unless it is given."""
    name = key or heading.lower()
    return heading, lambda item: item.get(name)


class Printer:
    """How one command prints: `json` is whether `--json` was given."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def document(self, document: Any) -> None:
        """The one JSON document of a command."""
        print(as_json(document))

    def result(self, document: Any, text: str) -> None:
        """A result with one sentence for people."""
        if self.json:
            self.document(document)
        else:
            print(plain(text))

    def table(self, document: Any, items: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> None:
        """A list: `document` with `--json`, else a row for each item."""
        if self.json:
            self.document(document)
            return
        console().print(rows(items, columns))

    def details(self, document: Any, facts: Iterable[tuple[str, Any]]) -> None:
        """One thing: `document` with `--json`, else its named facts; empty ones are left out."""
        if self.json:
            self.document(document)
            return
        console().print(grid(facts))

    def section(self, title: str, items: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
        """A titled table below `details`, for people only; nothing where there are no items."""
        if self.json or not items:
            return
        print(f"\n{title}")
        self.table(None, items, columns)


def rows(items: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> "Table":
    """Items as a table."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, _ in columns:
        table.add_column(heading, overflow="fold")
    for item in items:
        table.add_row(*(_text(read(item)) for _, read in columns))
    return table


def grid(facts: Iterable[tuple[str, Any]]) -> "Table":
    """Named facts; empty ones are left out."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if (shown := cell(value)) != "":
            table.add_row(name, _text(shown))
    return table


def _text(value: Any) -> Any:
    from rich.text import Text

    return Text(cell(value))


def console(*, stderr: bool = False) -> "Console":
    """A rich console that colours only for a terminal and never folds what goes to a file or a pipe."""
    from rich.console import Console

    out = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    return (
        out
        if out.is_terminal
        else Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=10_000, color_system=None)
    )
