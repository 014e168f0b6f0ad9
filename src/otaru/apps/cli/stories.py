"""`otaru device history`, `attributes`, `reports`, `events`, `telemetry`, `tell`: what devices have said."""

from pathlib import Path
from typing import Annotated

import typer

from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, more
from otaru.apps.cli.devices import HISTORY, Id, noun
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, one_line
from otaru.domain.units import measured
from otaru.errors import InvalidInputError

__all__ = ["noun"]


@command(noun, "history")
def history(
    api: Api,
    printer: Printer,
    device: Id,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="What became of its attributes, instead.", show_default=False)
    ] = False,
    purge: Annotated[bool, typer.Option("--purge", help="With --attributes: forget that.", show_default=False)] = False,
) -> None:
    """List every update it was to get, the newest first."""
    if purge and not attributes:
        raise InvalidInputError("updates are not forgotten", hint="otaru device history ID --attributes --purge")
    if attributes:
        _changes(api, printer, device, limit, purge=purge)
        return
    page = api.get("/deployments", device=device, limit=limit)
    printer.table(page, page["items"], HISTORY)


def _changes(api: Api, printer: Printer, device: str, limit: int, *, purge: bool) -> None:
    here = path("devices", device, "attributes", "history")
    if purge:
        api.delete(here)
        printer.result({"id": device}, f"What became of the attributes of {device} is forgotten.")
        return
    page = api.get(here, limit=limit)
    columns = (
        ("At", lambda c: moment(c.get("at"))),
        field("Attribute", "name"),
        ("Before", lambda c: "—" if c["before"] is None else one_line(c["before"])),
        ("After", lambda c: "—" if c["after"] is None else one_line(c["after"])),
    )
    printer.table(page, page["items"], columns)


@command(noun, "attributes")
def attributes_of(api: Api, printer: Printer, device: Id) -> None:
    """List its attributes, with their types."""
    page = api.get(path("devices", device, "attributes"))
    columns = (
        field("Name"),
        ("Value", lambda a: one_line(a["value"])),
        ("Type", lambda a: a["kind"] or ""),
        ("Readable", lambda a: {None: "", True: "yes", False: f"no: not a {a['kind']}"}[a["readable"]]),
    )
    printer.table(page, page["items"], columns)


@command(noun, "reports")
def reports(
    api: Api,
    printer: Printer,
    device: Id,
    action: Annotated[int, typer.Argument(metavar="ACTION", min=1, help="The running number of one of its updates.")],
) -> None:
    """List what it said of one update, word for word, the newest first."""
    page = api.get(path("devices", device, "actions", action, "reports"), limit=1000)
    columns = (
        ("Received", lambda r: moment(r.get("received_at"))),
        field("Execution"),
        field("Result"),
        field("Event"),
        ("Messages", lambda r: one_line(" / ".join(r.get("messages", ())))),
    )
    printer.table(page, page["items"], columns)


@command(noun, "events")
def events(api: Api, printer: Printer, device: Id, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List what it told of its health, the newest first."""
    page = api.pages(path("devices", device, "events"), limit=limit, cursor=cursor)
    columns = (
        ("Received", lambda e: moment(e.get("received_at"))),
        field("Kind"),
        (
            "Says",
            lambda e: one_line(e["text"]) if e["name"] is None else f"{e['name']} {measured(e['value'], e['name'])}",
        ),
        ("Its clock", lambda e: one_line(e.get("at") or "")),
        field("Id"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "telemetry")
def telemetry(api: Api, printer: Printer, device: Id) -> None:
    """List its last telemetry."""
    page = api.get(path("devices", device, "telemetry"))
    columns = (
        field("Name"),
        ("Value", lambda m: measured(m["value"], m["name"])),
        ("Since", lambda m: moment(m.get("since"))),
    )
    printer.table(page, page["items"], columns)


@command(noun, "tell")
def tell(
    api: Api,
    printer: Printer,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="NDJSON; - for stdin.")],
) -> Exit | None:
    """Bring what devices tell of their health, as a gateway does.

    One event on a line, as the REST API takes it. Exit 5 when something was left out: docs/health.md.
    """
    from otaru.apps.cli.imports import tell as told

    return told(api, printer, file)
