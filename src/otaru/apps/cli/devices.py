"""`otaru device`: the fleet's inventory."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from otaru.apps.cli import credentials, values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, one_line, remark
from otaru.domain.drift import drifted
from otaru.errors import InvalidInputError, InvalidStateError, PreconditionFailedError

noun = group("The inventory: devices and their credentials.")

Id = Annotated[str, typer.Argument(metavar="ID")]
RolloutId = Annotated[int, typer.Argument(metavar="ROLLOUT", min=1, help="Whose update waits for consent.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="A label; may be given several times.", show_default=False)
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attr", metavar="NAME=VALUE", help="A fact; may be given several times.", show_default=False),
]
InstalledVersions = Annotated[
    list[str] | None,
    typer.Option(
        "--installed",
        metavar="COMPONENT=VERSION",
        help="What runs on it; may be given several times.",
        show_default=False,
    ),
]
DeviceToken = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="Its own token, instead of one made up.", show_default=False)
]
EDITS = 5

noun.add_typer(credentials.noun, name="credential")


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    device: Id,
    hardware: Annotated[str, typer.Option(metavar="MODEL[:REVISION]", help="Its hardware.")],
    tag: Tags = None,
    attr: Attributes = None,
    installed: InstalledVersions = None,
    device_token: DeviceToken = None,
) -> None:
    """Add a device. Its token is shown once."""
    body: dict[str, Any] = {"id": device, "hardware": hardware}
    body |= {"tags": tag} if tag else {}
    body |= {"attributes": values.pairs(attr, what="an attribute")} if attr else {}
    body |= {"installed": values.pairs(installed, what="a component and its version")} if installed else {}
    body |= {"token": device_token} if device_token else {}
    added = api.post("/devices", body)
    printer.result(added, f"{added['id']} is added. Its token (shown once): {added['token']}")


@command(noun, "list")
def devices(
    api: Api,
    printer: Printer,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="Which: 'tag==lab;state==failed'.", show_default=False)
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Say how many there are in all.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List devices."""
    page = api.pages("/devices", limit=limit, cursor=cursor, q=query, count=count or None)
    columns = (
        field("Id"),
        field("Hardware"),
        field("Lifecycle"),
        field("State"),
        ("Installed", lambda d: [f"{i['component']}={i['version']}" for i in d.get("installed", ())]),
        field("Tags"),
        ("Last contact", lambda d: moment(d.get("last_contact"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)
    if count and not printer.json:
        remark(f"{page['total']} in all")


@command(noun, "fields")
def fields(
    api: Api, printer: Printer, values: Annotated[int, typer.Option(min=1, max=100, help="Values of each.")] = 8
) -> None:
    """List what a query can ask for: fields, operators, values that there are."""
    known = api.get("/fleet/fields", values=values)
    columns = (
        field("Field"),
        ("Operators", lambda f: " ".join(f["operators"])),
        ("Values", lambda f: [*f["values"], *([] if f["complete"] or not f["values"] else ["…"])]),
        ("Is", lambda f: f["help"]),
    )
    printer.table(known, known["items"], columns)


@command(noun, "complete")
def complete(
    api: Api,
    printer: Printer,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="As far as it is written.")],
    at: Annotated[
        int | None, typer.Option(min=0, max=4096, help="Where the cursor is; else its end.", show_default=False)
    ] = None,
) -> None:
    """Say what may follow in a query: for shells and editors."""
    found = api.get("/fleet/completion", q=query, at=at, limit=100)
    head, tail = query[: found["start"]], query[len(query) if at is None else at :]
    columns = (("Query", lambda f: f"{head}{f['text']}{tail}"), field("Is", "help"))
    printer.table(found, found["items"], columns)


@command(noun, "show")
def show(api: Api, printer: Printer, device: Id) -> None:
    """Show a device: installed versions, state, history."""
    _print(printer, api.get(path("devices", device)))


@command(noun, "set")
def change(
    api: Api,
    printer: Printer,
    device: Id,
    hardware: Annotated[str | None, typer.Option(metavar="MODEL[:REVISION]", help="Its hardware.")] = None,
    tag: Tags = None,
    untag: Annotated[list[str] | None, typer.Option("--untag", help="Take a label off.", show_default=False)] = None,
    attr: Attributes = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="NAME", help="Remove an attribute.", show_default=False)
    ] = None,
    installed: InstalledVersions = None,
    assurance: Annotated[
        Literal["L1", "L2", "L3"] | None,
        typer.Option(help="How far it verifies what it installs: docs/trust.md.", show_default=False),
    ] = None,
) -> Exit | None:
    """Change what is known of a device; what is not named stays."""
    body: dict[str, Any] = {"hardware": hardware} if hardware else {}
    attributes: dict[str, Any] = {**dict.fromkeys(unset or ()), **values.pairs(attr or (), what="an attribute")}
    body |= {"attributes": attributes} if attributes else {}
    body |= {"installed": values.pairs(installed, what="a component and its version")} if installed else {}
    body |= {"assurance": assurance} if assurance else {}
    if not (body or tag or untag):
        raise InvalidInputError("nothing to change is named", hint="See otaru device set --help.")
    _print(printer, _changed(api, path("devices", device), body, set(tag or ()), set(untag or ())))
    return None


def _changed(api: Api, here: str, body: dict[str, Any], tag: set[str], untag: set[str]) -> Any:
    """The device after the change. Tags are set as a whole, so they are read first, and again if somebody was faster."""
    if not (tag or untag):
        return api.patch(here, body)
    for _ in range(EDITS):
        now = api.get(here)
        tags = sorted((set(now["tags"]) | tag) - untag)
        try:
            return api.patch(here, body | {"tags": tags}, edition=now["edition"])
        except PreconditionFailedError:
            continue
    raise PreconditionFailedError("somebody else changes this device all the time", hint="Try again.")


@command(noun, "why")
def why(api: Api, printer: Printer, device: Id) -> None:
    """Say why it is not updated.

    For each rollout: the first rule that holds it back.
    """
    found = api.get(path("devices", device, "why"))
    printer.table(found, found["answers"], (field("Rollout"), field("Rule"), field("Because")))


@command(noun, "token")
def token(api: Api, printer: Printer, device: Id, device_token: DeviceToken = None) -> None:
    """Give it a new token; the old one dies. The new one is shown once."""
    made = api.post(path("devices", device, "token"), {"token": device_token} if device_token else {})
    printer.result(made, f"New token of {made['id']} (shown once): {made['token']}")


@command(noun, "accept")
def accept(api: Api, printer: Printer, device: Id) -> Exit | None:
    """Let a pending device in."""
    return _lifecycle(api, printer, device, "accept", "active")


@command(noun, "reject")
def reject(
    api: Api,
    printer: Printer,
    device: Id,
    rollout: Annotated[
        int | None,
        typer.Argument(metavar="[ROLLOUT]", min=1, help="Whose update it shall not get.", show_default=False),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it shall not get this update.")] = "",
) -> Exit | None:
    """Turn a pending device away for good; or, with a rollout, say no to its update for its owner."""
    if rollout is None:
        return _lifecycle(api, printer, device, "reject", "decommissioned")
    after = api.post(path("devices", device, "deployments", rollout, "reject"), {"reason": reason})
    printer.result(after, f"{device} does not get the update of rollout {rollout}.")
    return None


@command(noun, "approve")
def approve(api: Api, printer: Printer, device: Id, rollout: RolloutId) -> None:
    """Say yes for its owner to an update that waits for consent."""
    after = api.post(path("devices", device, "deployments", rollout, "approve"))
    printer.result(after, f"{device} is told to begin at its next poll.")


@command(noun, "postpone")
def postpone(
    api: Api,
    printer: Printer,
    device: Id,
    rollout: RolloutId,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: 2026-05-03T18:00:00Z.", show_default=False)
    ] = None,
    span: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Or for so long: 2d.", show_default=False)
    ] = None,
) -> None:
    """Put off an update that waits for consent.

    Nobody is asked before. How often and how far the rollout says; it counts as no failure.
    """
    if (until is None) == (span is None):
        raise InvalidInputError("an update is postponed until a moment, or for so long", hint="Give --until or --for.")
    body = {"until": values.moment(until)} if until is not None else {"for_s": values.duration_s(span or "")}
    after = api.post(path("devices", device, "deployments", rollout, "postpone"), body)
    printer.result(after, f"{device}: {after['reason']}.")


@command(noun, "update")
def update(
    api: Api,
    printer: Printer,
    device: Id,
    release: Annotated[str, typer.Option(metavar="PRODUCT:VERSION", help="What to bring.")],
) -> None:
    """Update it now: a rollout of one, before all others.

    It is told at its next poll, unless another update is under way on it.
    """
    values.release(release)
    api.get(path("devices", device))  # A target that holds nobody does not say that there is no such device.
    body = {"release": release, "target": f"id=='{device}'", "name": f"{device} now", "priority": 9, "start": True}
    made = api.post("/rollouts", body)
    told = "It is told at its next poll." if made["started_at"] else "It waits for approval."
    printer.result(made, f"Rollout {made['id']}: {made['product']}:{made['version']} for {device}. {told}")


Component = Annotated[
    str | None, typer.Option(help="Only this component; without it everything.", metavar="NAME", show_default=False)
]


Why = Annotated[str, typer.Option(help="Why; the record keeps it.")]


@command(noun, "pin")
def pin(api: Api, printer: Printer, device: Id, component: Component = None, reason: Why = "") -> Exit | None:
    """Keep it where it is: rollouts leave it out."""
    wanted = {component or "*"}
    return _pinned(api, printer, device, reason, lambda pins: {"*"} if "*" in pins | wanted else pins | wanted)


@command(noun, "unpin")
def unpin(api: Api, printer: Printer, device: Id, component: Component = None, reason: Why = "") -> Exit | None:
    """End a pin; without a component all of them."""
    if component and "*" in api.get(path("devices", device))["pins"]:
        raise InvalidInputError("everything is pinned, not one component", hint="Leave out --component.")
    return _pinned(api, printer, device, reason, lambda pins: pins - {component} if component else set())


def _pinned(
    api: Api, printer: Printer, device: str, reason: str, change: Callable[[set[str]], set[str]]
) -> Exit | None:
    here = path("devices", device)
    for _ in range(EDITS):
        now = api.get(here)
        pins = change(set(now["pins"]))
        if pins == set(now["pins"]):
            remark(f"otaru: {device} is so already")
            return Exit.NOTHING_TO_DO
        try:
            why = {"reason": reason} if reason else {}
            after = api.patch(here, {"pins": sorted(pins), **why}, edition=now["edition"])
        except PreconditionFailedError:
            continue
        left = "everything" if "*" in after["pins"] else ", ".join(after["pins"]) or "nothing"
        printer.result(after, f"{device}: {left} is pinned.")
        return None
    raise PreconditionFailedError("somebody else changes this device all the time", hint="Try again.")


@command(noun, "quarantine")
def quarantine(api: Api, printer: Printer, device: Id) -> Exit | None:
    """Offer it nothing until it is released."""
    return _lifecycle(api, printer, device, "quarantine", "quarantined")


@command(noun, "release")
def release(api: Api, printer: Printer, device: Id) -> Exit | None:
    """End its quarantine."""
    return _lifecycle(api, printer, device, "release", "active")


def _lifecycle(api: Api, printer: Printer, device: str, event: str, goal: str) -> Exit | None:
    here = path("devices", device)
    try:
        moved = api.post(f"{here}/lifecycle", {"event": event})
    except InvalidStateError:
        if api.get(here)["lifecycle"] != goal:
            raise
        remark(f"otaru: {device} is {goal} already")
        return Exit.NOTHING_TO_DO
    printer.result(moved, f"{device} is {'rejected' if event == 'reject' else moved['lifecycle']}.")
    return None


@command(noun, "decommission")
def decommission(
    api: Api,
    printer: Printer,
    device: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Exit | None:
    """Take it out of service for good.

    Its credential dies at once. On a terminal it asks first.
    """
    import sys

    here = path("devices", device)
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Decommission {device} for good?", err=True):
        return Exit.FAILED
    if api.get(here)["lifecycle"] == "decommissioned":
        remark(f"otaru: {device} is decommissioned already")
        return Exit.NOTHING_TO_DO
    api.delete(here)
    printer.result({"id": device, "lifecycle": "decommissioned"}, f"{device} is decommissioned.")
    return None


@command(noun, "import")
def bring_in(
    api: Api,
    printer: Printer,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a heading line, or NDJSON; - for stdin.")],
    kind: Annotated[
        Literal["csv", "ndjson"] | None,
        typer.Option("--format", help="What it is, where its name does not say.", show_default=False),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the devices' tokens go (CSV, readable by you alone); else to stdout.",
            show_default=False,
        ),
    ] = None,
) -> Exit | None:
    """Add many devices.

    CSV columns: id, hardware, tags (separated by spaces), token, attr.NAME, installed.COMPONENT. NDJSON: one device on a
    line, as the REST API takes it. Exit 5 when some of the ids were taken, 3 when all were.
    """
    from otaru.apps.cli.imports import bring_in as imported

    return imported(api, printer, file, kind, tokens)


HISTORY = (
    field("Rollout"),
    ("Release", lambda h: f"{h['product']}:{h['version']}"),
    field("Attempt"),
    field("Action"),
    field("State"),
    ("Changed", lambda h: moment(h.get("changed_at"))),
    ("Reason", lambda h: one_line(h.get("reason") or "")),
)


def _assurance(device: Any) -> str:
    """What is said of it, and what was seen."""
    said, at = device.get("assurance", "L1"), device.get("directed_at")
    if at:
        return f"{said}, fetched the director's metadata {moment(at)}"
    return said if said == "L1" else f"{said} declared, has not fetched the director's metadata yet"


def _print(printer: Printer, device: Any) -> None:
    facts = (
        ("device", device["id"]),
        ("hardware", device["hardware"]),
        ("lifecycle", device["lifecycle"]),
        ("state", device.get("state")),
        ("tags", device.get("tags")),
        ("attributes", device.get("attributes")),
        ("drift", [f"{component}: {said}" for component, said in drifted(device.get("attributes") or {}).items()]),
        ("last contact", moment(device.get("last_contact"))),
        ("address", device.get("address")),
        ("assurance", _assurance(device)),
        ("pinned", "everything" if "*" in device.get("pins", ()) else device.get("pins")),
        ("added", moment(device.get("created_at"))),
    )
    printer.details(device, facts)
    columns = (
        field("Component"),
        field("Version"),
        field("Source"),
        field("Confirmed"),
        ("Security", lambda i: i.get("security_counter") or ""),
        ("Since", lambda i: moment(i.get("at"))),
    )
    printer.section("Installed", device.get("installed", ()), columns)
    printer.section("History", device.get("history", ()), HISTORY)
