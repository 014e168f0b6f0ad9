"""`otaru release`: versions of products, and the files they are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import at_once, files, values
from otaru.apps.cli.bars import bar
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.keys import REQUEST, Output, waits
from otaru.apps.cli.printer import Printer, field, moment, plain, remark, several
from otaru.apps.cli.uploads import LocalFile, read_file, upload
from otaru.domain import ids
from otaru.domain.device import hardware as parse_hardware
from otaru.domain.release import filename as parse_filename
from otaru.domain.terms import DEFAULT_CHANNEL, UpdateType, requirement
from otaru.domain.terms import channel as parse_channel
from otaru.errors import InvalidInputError, InvalidStateError
from otaru.images.admission import Aspect

noun = group("Releases: versions of products, published to be rolled out.")

READING_S = 900.0
"""How long the server may take to read new images."""

Which = Annotated[str, typer.Argument(metavar="PRODUCT:VERSION")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release is made of."""

    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that devices get.")]
    name: Annotated[str, typer.Option(metavar="PRODUCT", help="The product; made on first use.")]
    version: Annotated[str, typer.Option(help="The version.")]
    hardware: Annotated[
        list[str], typer.Option(metavar="MODEL[:REVISION]", help="What it fits; may be given several times.")
    ]
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE=HARDWARE[,…]", help="One more file of this release, for other hardware.", show_default=False
        ),
    ] = None
    piece: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMPONENT=FILE[=HARDWARE,…]",
            help="A further component, which devices take together with FILE or not at all; fits what FILE fits.",
            show_default=False,
        ),
    ] = None
    component: Annotated[
        str | None, typer.Option(help="The part of the device that it updates; the product's name unless given.")
    ] = None
    filename: Annotated[str | None, typer.Option(help="FILE's name on devices; its own unless given.")] = None
    notes: Annotated[str, typer.Option(help="What is new; @FILE, or FILE.md, reads them from a file.")] = ""
    draft: Annotated[bool, typer.Option("--draft", help="Do not publish it yet.")] = False
    type_: Annotated[UpdateType, typer.Option("--type", help="What kind of update it is.")] = UpdateType.SOFTWARE
    channel: Annotated[str, typer.Option(help="The stream of releases that it belongs to.")] = DEFAULT_CHANNEL
    requires: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMPONENT>=VERSION",
            help="What a device has to run before; may be given several times.",
            show_default=False,
        ),
    ] = None
    floor: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The oldest version from which a device may come to it.", show_default=False
        ),
    ] = None
    security_floor: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="COUNTER",
            help="Burn this counter: a device that confirmed it is offered nothing lower any more.",
            show_default=False,
        ),
    ] = None
    no_way_back: Annotated[
        bool,
        typer.Option("--no-way-back", help="Devices cannot go back from it (a one-way migration): no rollback does."),
    ] = False
    support_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="The last day of its support: 2031-12-31.", show_default=False)
    ] = None
    accept_mismatch: Annotated[
        list[Aspect] | None,
        typer.Option(
            help="In what an image may say something else than is said here; may be given twice.", show_default=False
        ),
    ] = None
    sbom: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its bill of materials: CycloneDX or SPDX, JSON.", show_default=False),
    ] = None
    provenance: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How it was built: an in-toto statement, JSON.", show_default=False),
    ] = None
    sign_with: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Sign and publish it at once with this key: a file, pkcs11:… or awskms:…; may be given several times.",
            show_default=False,
        ),
    ] = None
    output: Output = REQUEST

    def read(self) -> tuple[dict[str, Any], list[LocalFile]]:
        """What the API is told, and the files that it is told of.

        Raises:
            InvalidInputError: a value is not written as it should be, or a file cannot be read.
        """
        own = {} if self.component is None else {"component": ids.name(self.component)}
        said: dict[str, Any] = {
            "product": ids.product_name(self.name),
            "version": ids.version(self.version),
            "notes": _notes(self.notes),
            "publish": not self.draft,
            "type": str(self.type_),
            "channel": parse_channel(self.channel),
            "requires": [str(requirement(wanted)) for wanted in self.requires or ()],
            "floor": None if self.floor is None else ids.version(self.floor),
            "security_floor": self.security_floor,
            "no_way_back": self.no_way_back,
            "support_until": None if self.support_until is None else values.day(self.support_until),
        }
        if self.accept_mismatch:
            said["accept_mismatch"] = [str(aspect) for aspect in self.accept_mismatch]
        first = [_part(self.file, self.hardware, self.filename), *map(_extra, self.artifact or ())]
        pieces = [_piece(given, self.hardware) for given in self.piece or ()]
        parts = [*((local, models, own) for local, models in first), *pieces]
        papers = {"sbom": self.sbom, "provenance": self.provenance}
        documents = {kind: None if paper is None else _read(paper) for kind, paper in papers.items()}
        said["artifacts"] = [_told(local, models) | named for local, models, named in parts]
        said |= {kind: None if local is None else local.sha256 for kind, local in documents.items()}
        return said, [local for local in (*(local for local, *_ in parts), *documents.values()) if local is not None]


@command(noun, "add")
def add(api: Api, printer: Printer, wanted: Wanted) -> Exit | None:
    """Upload files and make a release of them. Run again after an interruption, it goes on where it was.

    What the images say of themselves is read (docs/images.md): one that is broken, is signed wrongly, or says another
    version or other hardware is refused (exit code 4).

    Where it needs signatures that the server cannot give, it stays a draft, and this says whose (exit code 5). With
    --sign-with the keys at hand give them, and the release is published; the request for those still missing is written.
    """
    if wanted.draft and wanted.sign_with:
        raise InvalidInputError("a draft is not signed yet", hint="Leave out --draft or --sign-with.")
    hands = (
        at_once.ready(api, wanted.name, wanted.channel, wanted.sign_with, wanted.output) if wanted.sign_with else None
    )
    body, local = wanted.read()  # what was mistyped, or cannot be read, is told before anything is uploaded
    for one in local:
        _send(api, one)
    made = api.post("/releases", body, read_s=READING_S)
    if hands is not None:
        made = _signed(api, hands, body, made, wanted.output)
    printer.result(made, f"{made['product']}:{made['version']} is {made['state']}.")
    return Exit.PARTLY if not wanted.draft and made["missing"] and (hands is not None or waits(made)) else None


def _signed(
    api: Api, hands: at_once.Hands, body: Mapping[str, Any], made: dict[str, Any], output: Path
) -> dict[str, Any]:
    """The release after the keys at hand have signed it."""
    if not made["missing"]:
        remark(f"otaru: the server holds the keys of {hands.role} and has signed by itself")
        return made
    if not at_once.publish(api, hands, body, output):
        remark(f"otaru: {hands.role} needs more signatures: otaru keys sign {output}, then otaru keys import {output}")
    found: dict[str, Any] = api.get(path("releases", made["product"], made["version"]))
    return found


def _notes(given: str) -> str:
    named = given.endswith(".md") and not any(map(str.isspace, given))
    if not (named or given.startswith("@")):
        return given
    return files.text(Path(given.removeprefix("@")))


def _extra(given: str) -> tuple[LocalFile, list[str]]:
    file, equals, hardware = given.rpartition("=")
    if not equals or not file or not hardware:
        raise InvalidInputError(
            f"{given!r} is not a file and its hardware", hint="Write --artifact other.swu=model-b,model-c."
        )
    return _part(Path(file), hardware.split(","), None)


def _piece(given: str, hardware: list[str]) -> tuple[LocalFile, list[str], dict[str, str]]:
    component, equals, rest = given.partition("=")
    file, own, models = rest.rpartition("=")
    if not equals or not rest or (own and not (file and models)):
        raise InvalidInputError(
            f"{given!r} is not a component and its file",
            hint="Write --piece app=app.tar.gz, or app=app.tar.gz=model-b.",
        )
    named = {"component": ids.name(component)}
    return (*_part(Path(file or rest), models.split(",") if own else hardware, None), named)


def _part(file: Path, hardware: list[str], filename: str | None) -> tuple[LocalFile, list[str]]:
    models = [str(parse_hardware(model.strip())) for model in hardware]
    return _read(file, None if filename is None else parse_filename(filename)), models


def _told(local: LocalFile, models: list[str]) -> dict[str, Any]:
    return {"sha256": local.sha256, "filename": local.name, "hardware": models}


def _read(file: Path, filename: str | None = None) -> LocalFile:
    with bar(file.name) as progress:
        return read_file(file, name=filename, progress=progress)


def _send(api: Api, local: LocalFile) -> None:
    with bar(local.path.name) as progress:
        upload(api, local, progress=progress)


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
        ("created", _when(found, "created")),
        ("published", _when(found, "published")),
        ("signed", _signature(found)),
        ("log", _log(found)),
        ("type", found.get("type")),
        ("channel", found.get("channel")),
        ("requires", ", ".join(found.get("requires", ()))),
        ("floor", found.get("floor")),
        ("security", _security(found)),
        ("way back", "none" if found.get("no_way_back") else None),
        ("support until", found.get("support_until")),
        ("runs on", f'{several(on, "device", "devices")}: otaru device list -q "{runs}"' if on else ""),
        *((d["kind"], f"{d['form']}: otaru artifact fetch {d['sha256']} -o FILE") for d in found.get("documents", ())),
        ("notes", plain(found.get("notes") or "")),
    )
    printer.details(found, rows)
    columns = (
        field("Component"),
        field("Hardware"),
        field("File", "filename"),
        ("Size", lambda a: values.shown_size(a["size"])),
        ("Format", values.shown_format),
        ("Says", values.shown_claims),
        ("Signature", values.shown_verdict),
        field("SHA-256", "sha256"),
    )
    printer.section("Artifacts", artifacts, columns)


def _when(release: Mapping[str, Any], what: str) -> str:
    """When something was done, and by whom, as far as that is known."""
    at, who = moment(release.get(f"{what}_at")), release.get(f"{what}_by")
    return f"{at} by {who}" if at and who else at


def _signature(release: Mapping[str, Any]) -> str:
    """The role that signs it, and whose keys have."""
    keys = ", ".join(key[:16] for key in release.get("signed_by", ()))
    return f"as {release['role']} {release['signed_version']} by {keys}" if keys else f"not yet, as {release['role']}"


def _log(release: Mapping[str, Any]) -> str:
    """Where the release log has its publication."""
    index = release.get("log_index")
    name = f"{release['product']}:{release['version']}"
    return "" if index is None else f"entry {index} of the release log: otaru log prove {name}"


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
        moved: Mapping[str, Any] = api.post(f"{here}/{order}", read_s=READING_S)
    except InvalidStateError:
        if api.get(here)["state"] != goal:
            raise
        remark(f"otaru: {release} is {goal} already")
        return Exit.NOTHING_TO_DO
    printer.result(moved, f"{release} is {moved['state']}.")
    return None
