"""`otaru event`: what happened, and what happens."""

import math
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, as_json, cell, field, moment, one_line
from otaru.apps.cli.stream import Feed

LONGEST_WAIT_S = 60.0

noun = group("The record of what happened.")

Subject = Annotated[str | None, typer.Option(help="Only of this device, rollout, …: its id.", show_default=False)]


@command(noun, "list")
def events(
    api: Api,
    printer: Printer,
    subject: Subject = None,
    after: Annotated[
        str | None, typer.Option(help="Only what happened after this position.", show_default=False)
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List events, the oldest first."""
    page = api.pages("/events", limit=limit, cursor=cursor, after=after, subject=subject, newest=newest or None)
    columns = (
        ("Time", lambda e: moment(e.get("at"))),
        field("Kind"),
        field("Subject"),
        field("Actor"),
        ("Data", lambda e: one_line(cell(e.get("data")))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "follow")
def following(
    api: Api,
    printer: Printer,
    subject: Subject = None,
    after: Annotated[
        str | None, typer.Option(help="Begin after this position, not with what happens now.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many events; 0 for never.")] = 0,
    timeout: Annotated[str | None, typer.Option(help="End after this time.", show_default=False)] = None,
) -> Exit | None:
    """Print events as they happen.

    One on a line; with --json, one JSON document on a line.
    """
    until = math.inf if timeout is None else time.monotonic() + values.duration_s(timeout)
    feed, seen = Feed(api, after=after, subject=subject), 0
    while (left := until - time.monotonic()) > 0:
        if (event := feed.next(min(left, LONGEST_WAIT_S))) is None:
            continue
        print(as_json(event, indent=None) if printer.json else _line(event), flush=True)
        seen += 1
        if seen == count:
            return None
    return Exit.FAILED if count else None


def _line(event: Mapping[str, Any]) -> str:
    data = one_line(cell(event.get("data")))
    return f"{moment(event.get('at'))}  {cell(event.get('kind'))}  {cell(event.get('subject'))}  {cell(event.get('actor'))}  {data}"
