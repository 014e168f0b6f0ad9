"""`otaru blackout`: times in which no rollout offers anything new."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.printer import Printer, field, moment

noun = group("Blackouts: times in which nothing new is offered.")


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    reason: Annotated[str, typer.Option(help="Why: devices that ask why they are not updated are told.")],
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="When it begins: 2026-12-18T00:00:00Z.", show_default=False),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="When it ends (when it is removed).", show_default=False)
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW",
            help="Or again and again: '08:00/10h device FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR'.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Add a blackout.

    While it lasts no device is offered anything new, or asked for consent; who has been told goes on.
    """
    body = {
        "reason": reason,
        "start": None if start is None else values.moment(start),
        "end": None if end is None else values.moment(end),
        "window": window,
    }
    added = api.post("/blackouts", {name: value for name, value in body.items() if value is not None})
    printer.result(added, f"Blackout {added['id']}: {_when(added)}.")


@command(noun, "list")
def blackouts(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List blackouts, also those that are over."""
    page = api.pages("/blackouts", limit=limit, cursor=cursor)
    columns = (
        field("Id"),
        ("When", _when),
        ("Now", lambda b: "lasts" if b.get("lasts") else ""),
        field("Reason"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "remove")
def remove(api: Api, printer: Printer, blackout: Annotated[int, typer.Argument(metavar="ID", min=1)]) -> None:
    """Remove a blackout, whether it lasts or not."""
    api.delete(path("blackouts", blackout))
    printer.result({"id": blackout, "removed": True}, f"Blackout {blackout} is removed.")


def _when(blackout: Mapping[str, Any]) -> str:
    if blackout.get("window"):
        return str(blackout["window"])
    end = moment(blackout.get("end")) if blackout.get("end") else "it is removed"
    return f"{moment(blackout.get('start'))} until {end}"
