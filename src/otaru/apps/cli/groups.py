"""`otaru group`: saved queries, and lists of devices."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Column, Printer, field, moment, one_line, remark
from otaru.errors import AlreadyExistsError, InvalidInputError

noun = group("Groups of devices: saved queries, and lists. In a query group==NAME stands for one.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Devices.", show_default=False)]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Devices: an id on each line, or CSV with a column id; - for stdin.",
        show_default=False,
    ),
]
Asked = Annotated[
    str | None, typer.Option("--query", "-q", help="Who is in it: 'tag==lab;hardware==rpi4'.", show_default=False)
]
Description = Annotated[str | None, typer.Option(help="What it is for.", show_default=False)]
FOLLOWS: Sequence[Column] = (
    ("Channel", lambda f: f"{f['product']} {f['channel']}"),
    field("Newest"),
    ("Rollout", lambda f: f["rollout"] and f["rollout"]["id"]),
    ("Version", lambda f: f["rollout"] and f["rollout"]["version"]),
    ("State", lambda f: f["rollout"] and f["rollout"]["state"]),
    ("Waits", lambda f: ("see to it: " if f["stuck"] else "") + one_line(f["waits"])),
)
"""What groups follow, and how that stands."""

BATCH = 1000
SHOWN = 20


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    name: Name,
    devices: Ids = None,
    query: Asked = None,
    file: From = None,
    description: Description = None,
) -> Exit | None:
    """Make a group, or put devices on the list of one that is there.

    With --query it is whoever matches, at each moment; else a list. Exit 5 when some of the devices are unknown.
    """
    if query is not None and (devices or file):
        raise InvalidInputError("a group is a query or a list", hint="Leave out the query, or the devices.")
    body = {"name": name} | ({"query": query} if query is not None else {})
    body |= {"description": description} if description else {}
    try:
        made = api.post("/groups", body)
    except AlreadyExistsError:
        if query is not None or description is not None or not (devices or file):
            raise
        made = None
    if not (devices or file):
        printer.result(made, f"The group {name} is made.")
        return None
    return _listed(api, printer, path("groups", name, "members"), name, _ids(devices, file), "put on")


@command(noun, "list")
def groups(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List groups."""
    page = api.pages("/groups", limit=limit, cursor=cursor)
    columns = (
        field("Name"),
        ("Of", lambda g: "a list" if g["query"] is None else one_line(g["query"])),
        ("For", lambda g: one_line(g["description"])),
        ("Changed", lambda g: moment(g.get("updated_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "show")
def show(api: Api, printer: Printer, name: Name) -> None:
    """Show a group: its query, how many are in it, and the first of them."""
    found = api.get(path("groups", name))
    facts = (
        ("group", found["name"]),
        ("query", found["query"] if found["query"] is not None else "none: a list"),
        ("for", found["description"]),
        ("devices", found["devices"]),
        ("made", moment(found.get("created_at"))),
        ("changed", moment(found.get("updated_at"))),
    )
    first = api.get("/devices", q=f"group=='{name}'", limit=SHOWN)["items"] if found["devices"] else []
    follows = api.get("/follows", group=name)["items"]
    printer.details(found | {"first": [device["id"] for device in first], "follows": follows}, facts)
    printer.section("Follows", follows, FOLLOWS)
    columns = (field("Id"), field("Hardware"), field("Lifecycle"), field("State"))
    printer.section(f"The first {SHOWN}" if found["devices"] > SHOWN else "Devices", first, columns)


@command(noun, "set")
def change(api: Api, printer: Printer, name: Name, query: Asked = None, description: Description = None) -> None:
    """Change a group's query, or what it is for.

    Rollouts that were planned keep their members.
    """
    body: dict[str, Any] = {"query": query} if query is not None else {}
    body |= {"description": description} if description is not None else {}
    if not body:
        raise InvalidInputError("nothing to change is named", hint="See otaru group set --help.")
    printer.result(api.patch(path("groups", name), body), f"The group {name} is changed.")


@command(noun, "remove")
def remove(api: Api, printer: Printer, name: Name, devices: Ids = None, file: From = None) -> Exit | None:
    """Take devices off its list."""
    if not (devices or file):
        raise InvalidInputError("no device is named", hint="The group itself: otaru group delete.")
    return _listed(api, printer, path("groups", name, "members", "remove"), name, _ids(devices, file), "taken off")


@command(noun, "delete")
def delete(api: Api, printer: Printer, name: Name) -> None:
    """Delete a group; its devices stay."""
    api.delete(path("groups", name))
    printer.result({"name": name}, f"The group {name} is deleted.")


def _ids(devices: list[str] | None, file: Path | None) -> Iterator[str]:
    from otaru.apps.cli.imports import ids

    yield from devices or ()
    if file is not None:
        yield from ids(file)


def _listed(api: Api, printer: Printer, where: str, name: str, devices: Iterator[str], words: str) -> Exit | None:
    changed = unchanged = 0
    unknown: list[str] = []
    batch: list[str] = []

    def send() -> None:
        nonlocal changed, unchanged
        answer = api.post(where, {"devices": batch})
        changed, unchanged = changed + answer["changed"], unchanged + answer["unchanged"]
        unknown.extend(answer["unknown"])
        batch.clear()

    for device in devices:
        batch.append(device)
        if len(batch) == BATCH:
            send()
    if batch:
        send()
    if printer.json:
        printer.document({"name": name, "changed": changed, "unchanged": unchanged, "unknown": unknown})
    remark(f"otaru: {changed} {words} the list of {name}, {unchanged} unchanged, {len(unknown)} unknown")
    if unknown:
        return Exit.PARTLY
    return None if changed else Exit.NOTHING_TO_DO
