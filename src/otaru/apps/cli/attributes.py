"""`otaru attribute`: the types of attributes."""

from typing import Annotated, Literal

import typer

from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import command, group
from otaru.apps.cli.printer import Printer, field, moment

noun = group("Types of attributes: what is declared is compared by its type, attr.NAME=lt=20.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
READ_S = 600.0


@command(noun, "declare")
def declare(
    api: Api,
    printer: Printer,
    name: Name,
    kind: Annotated[Literal["string", "number", "version", "time", "boolean"], typer.Argument(metavar="TYPE")],
) -> None:
    """Declare a type: string, number, version, time or boolean.

    Values that are none of it stay the text that they are, and compare with nothing.
    """
    made = api.post("/attributes", {"name": name, "kind": kind}, read_s=READ_S)
    printer.result(made, f"{name} is a {kind}.")


@command(noun, "list")
def attributes(api: Api, printer: Printer) -> None:
    """List declared attributes."""
    page = api.get("/attributes")
    columns = (
        field("Name"),
        field("Type", "kind"),
        field("Ready"),
        field("Unreadable"),
        ("Declared", lambda a: moment(a.get("created_at"))),
    )
    printer.table(page, page["items"], columns)


@command(noun, "drop")
def drop(api: Api, printer: Printer, name: Name) -> None:
    """Declare no type of it any more; its values stay, as text."""
    api.delete(path("attributes", name))
    printer.result({"name": name}, f"{name} has no type any more.")
