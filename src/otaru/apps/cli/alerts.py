"""`otaru alert`: when people are told of the fleet."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.printer import Printer, field, moment, several

noun = group("Alerts: people are told when so many devices are as a query says.")

Name = Annotated[str, typer.Argument(metavar="NAME")]


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    name: Name,
    when: Annotated[str, typer.Option(metavar="TARGET", help="The devices that are counted: 'telemetry.battery<20'.")],
    of: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Those that they are a share of; all.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Raised where at least so many match …")] = 1,
    share: Annotated[str, typer.Option(metavar="SHARE", help="… and such a share: 10%.")] = "0%",
    mail: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Who is written to; may be given several times.", show_default=False),
    ] = None,
) -> None:
    """Add an alert. It is raised and closed by itself: docs/diagnostics.md."""
    body: dict[str, Any] = {"name": name, "when": when, "count": count, "share": values.share(share)}
    body |= {"of": of} if of else {}
    body |= {"mail": mail} if mail else {}
    added = api.post("/alerts", body)
    printer.result(added, f"Alert {added['name']} is added.")


@command(noun, "list")
def alerts(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List alerts, and how they stand."""
    page = api.pages("/alerts", limit=limit, cursor=cursor)
    columns = (
        field("Name"),
        ("Stands", lambda a: "raised" if a.get("raised_at") else "quiet"),
        ("Since", lambda a: moment(a.get("changed_at"))),
        ("Devices", _found),
        field("When"),
        field("Trouble"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "show")
def show(api: Api, printer: Printer, name: Name) -> None:
    """Show an alert."""
    found = api.get(path("alerts", name))
    printer.details(
        found,
        (
            ("name", found["name"]),
            ("stands", "raised" if found["raised_at"] else "quiet"),
            ("since", moment(found["changed_at"])),
            ("devices", _found(found)),
            ("when", found["when"]),
            ("of", found["of"]),
            ("from", f"{several(found['count'], 'device', 'devices')} and {found['share']:.3g} of them"),
            ("mail", found["mail"]),
            ("looked", moment(found["looked_at"])),
            ("trouble", found["trouble"]),
        ),
    )


@command(noun, "remove")
def remove(api: Api, printer: Printer, name: Name) -> None:
    """Remove an alert."""
    api.delete(path("alerts", name))
    printer.result({"name": name, "removed": True}, f"Alert {name} is removed.")


def _found(alert: Mapping[str, Any]) -> str:
    return f"{alert['devices']} of {alert['among']}"
