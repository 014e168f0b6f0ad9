"""`otaru release`: versions of products, and the files they are made of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import files, values
from otaru.apps.cli.bars import bar
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.keys import waits
from otaru.apps.cli.printer import Printer, field, moment, plain, remark
from otaru.apps.cli.uploads import read_file, upload
from otaru.domain.terms import DEFAULT_CHANNEL, UpdateType, requirement
from otaru.errors import InvalidInputError, InvalidStateError

noun = group("Releases: versions of products, published to be rolled out.")

Which = Annotated[str, typer.Argument(metavar="PRODUCT:VERSION")]


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that devices get.")],
    name: Annotated[str, typer.Option(metavar="PRODUCT", help="The product; made on first use.")],
    version: Annotated[str, typer.Option(help="The version.")],
    hardware: Annotated[
        list[str], typer.Option(metavar="MODEL[:REVISION]", help="What it fits; may be given several times.")
    ],
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE=HARDWARE[,…]", help="One more file of this release, for other hardware.", show_default=False
        ),
    ] = None,
    component: Annotated[
        str | None, typer.Option(help="The part of the device that it updates; the product's name unless given.")
    ] = None,
    filename: Annotated[str | None, typer.Option(help="FILE's name on devices; its own unless given.")] = None,
    notes: Annotated[str, typer.Option(help="What is new; @FILE, or FILE.md, reads them from a file.")] = "",
    draft: Annotated[bool, typer.Option("--draft", help="Do not publish it yet.")] = False,
    type_: Annotated[UpdateType, typer.Option("--type", help="What kind of update it is.")] = UpdateType.SOFTWARE,
    channel: Annotated[str, typer.Option(help="The stream of releases that it belongs to.")] = DEFAULT_CHANNEL,
    requires: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMPONENT>=VERSION",
            help="What a device has to run before; may be given several times.",
            show_default=False,
        ),
    ] = None,
    floor: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The oldest version from which a device may come to it.", show_default=False
        ),
    ] = None,
    security_floor: Annotated[
        int | None,
        typer.Option(
            metavar="COUNTER",
            help="Burn this counter: a device that confirmed it is offered nothing lower any more.",
            show_default=False,
        ),
    ] = None,
    support_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="The last day of its support: 2031-12-31.", show_default=False)
    ] = None,
) -> Exit | None:
    """Upload files and make a release of them. Run again after an interruption, it goes on where it was.

    Where it needs signatures that the server cannot give, it stays a draft, and this says whose (exit code 5).
    """
    text = _notes(notes)
    terms = {
        "type": str(type_),
        "channel": channel,
        "requires": [str(requirement(wanted)) for wanted in requires or ()],
        "floor": floor,
        "security_floor": security_floor,
        "support_until": None if support_until is None else values.day(support_until),
    }
    parts = [_uploaded(api, file, hardware, filename), *(_extra(api, more) for more in artifact or ())]
    if component is not None:
        parts = [part | {"component": component} for part in parts]
    body = {"product": name, "version": version, "artifacts": parts, "notes": text, "publish": not draft, **terms}
    made = api.post("/releases", body)
    printer.result(made, f"{made['product']}:{made['version']} is {made['state']}.")
    return Exit.PARTLY if not draft and waits(made) else None


def _notes(given: str) -> str:
    named = given.endswith(".md") and not any(map(str.isspace, given))
    if not (named or given.startswith("@")):
        return given
    return files.text(Path(given.removeprefix("@")))


def _extra(api: Api, given: str) -> dict[str, Any]:
    file, equals, hardware = given.rpartition("=")
    if not equals or not file or not hardware:
        raise InvalidInputError(
            f"{given!r} is not a file and its hardware", hint="Write --artifact other.swu=model-b,model-c."
        )
    return _uploaded(api, Path(file), hardware.split(","), None)


def _uploaded(api: Api, file: Path, hardware: list[str], filename: str | None) -> dict[str, Any]:
    with bar(file.name) as progress:
        local = read_file(file, name=filename, progress=progress)
        upload(api, local, progress=progress)
    return {"sha256": local.sha256, "filename": local.name, "hardware": [model.strip() for model in hardware]}


@command(noun, "list")
def releases(
    api: Api,
    printer: Printer,
    product: Annotated[str | None, typer.Option(help="Only this product's.", show_default=False)] = None,
    channel: Annotated[str | None, typer.Option(help="Only those in this channel.", show_default=False)] = None,
    type_: Annotated[
        UpdateType | None, typer.Option("--type", help="Only those of this type.", show_default=False)
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List releases by product, newest version first."""
    kind = None if type_ is None else str(type_)
    filters = {"product": product, "channel": channel, "type": kind, "newest": True}
    page = api.pages("/releases", limit=limit, cursor=cursor, **filters)
    columns = (
        ("Release", lambda r: f"{r['product']}:{r['version']}"),
        field("State"),
        field("Channel"),
        field("Type"),
        ("Hardware", lambda r: [a["hardware"] for a in r.get("artifacts", ())]),
        ("Published", lambda r: moment(r.get("published_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "show")
def show(api: Api, printer: Printer, release: Which) -> None:
    """Show a release, its artifacts and how many devices run it."""
    found = api.get(path("releases", *values.release(release)))
    artifacts = found.get("artifacts", ())
    runs = f"installed.{artifacts[0]['component']}=='{found['version']}'" if artifacts else ""
    on = api.get("/devices", q=runs, count=True, limit=1)["total"] if runs and not printer.json else 0
    rows = (
        ("release", f"{found['product']}:{found['version']}"),
        ("state", found["state"]),
        ("created", moment(found.get("created_at"))),
        ("published", moment(found.get("published_at"))),
        ("type", found.get("type")),
        ("channel", found.get("channel")),
        ("requires", ", ".join(found.get("requires", ()))),
        ("floor", found.get("floor")),
        ("security", _security(found)),
        ("support until", found.get("support_until")),
        ("runs on", f'{on} {"device" if on == 1 else "devices"}: otaru device list -q "{runs}"' if on else ""),
        ("notes", plain(found.get("notes") or "")),
    )
    printer.details(found, rows)
    columns = (
        field("Component"),
        field("Hardware"),
        field("File", "filename"),
        ("Size", lambda a: values.shown_size(a["size"])),
        field("SHA-256", "sha256"),
    )
    printer.section("Artifacts", artifacts, columns)


def _security(release: Mapping[str, Any]) -> str:
    """The counter that a release has, and whether it burns it itself."""
    burns, counter = release.get("security_floor"), release.get("security_counter") or 0
    return f"burns counter {burns}" if burns else f"counter {counter}" if counter else ""


@command(noun, "publish")
def publish(api: Api, printer: Printer, release: Which) -> Exit | None:
    """Publish a draft: from now on it may be rolled out."""
    return _move(api, printer, release, "publish", "published")


@command(noun, "deprecate")
def deprecate(api: Api, printer: Printer, release: Which) -> Exit | None:
    """Say that nobody should begin to use it any more."""
    return _move(api, printer, release, "deprecate", "deprecated")


@command(noun, "withdraw")
def withdraw(api: Api, printer: Printer, release: Which) -> Exit | None:
    """Take it back for good: it is never offered again."""
    return _move(api, printer, release, "withdraw", "withdrawn")


def _move(api: Api, printer: Printer, release: str, order: str, goal: str) -> Exit | None:
    here = path("releases", *values.release(release))
    try:
        moved: Mapping[str, Any] = api.post(f"{here}/{order}")
    except InvalidStateError:
        if api.get(here)["state"] != goal:
            raise
        remark(f"otaru: {release} is {goal} already")
        return Exit.NOTHING_TO_DO
    printer.result(moved, f"{release} is {moved['state']}.")
    return None
