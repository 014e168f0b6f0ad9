"""`otaru device diagnose`, `run`, `reboot`, `restore`: what a device is asked to do beside updates."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import API, Api, path
from otaru.apps.cli.command import Cursor, Limit, command, more
from otaru.apps.cli.devices import Id
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, one_line, plain, remark
from otaru.apps.cli.stories import noun
from otaru.errors import OtaruError

__all__ = ["noun"]

Number = Annotated[int, typer.Argument(metavar="ERRAND", min=1, help="The errand's number.")]
Expires = Annotated[
    str | None, typer.Option(metavar="DURATION", help="How long it waits for the device (1d).", show_default=False)
]
Wait = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Wait so long for its end, and show it.", show_default=False)
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to put them.", show_default=False)
]
LOOK_S = 0.5
OPEN = frozenset({"waiting", "taken"})


@command(noun, "diagnose")
def diagnose(
    api: Api, printer: Printer, device: Id, expires: Expires = None, wait: Wait = None, output: Output = None
) -> Exit | None:
    """Ask a device for its diagnostics: logs, status, what its maker chose. It is asked with its next poll.

    With --output they are waited for (an hour, unless --wait says otherwise) and fetched.
    """
    errand = _asked(api, device, {"what": "diagnose"}, expires)
    if wait is not None or output is not None:
        errand = _ended(api, errand, wait or "1h")
    if output is not None and errand["state"] == "done":
        return _fetched(api, printer, errand, output)
    return _told(printer, errand)


@command(noun, "run")
def run(
    api: Api,
    printer: Printer,
    device: Id,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of those that its agent.toml allows.")],
    expires: Expires = None,
    wait: Wait = None,
) -> Exit | None:
    """Have a device run one of the commands that its maker allows, once. It is asked with its next poll."""
    errand = _asked(api, device, {"what": "run", "name": name}, expires)
    return _told(printer, errand if wait is None else _ended(api, errand, wait))


@command(noun, "reboot")
def reboot(api: Api, printer: Printer, device: Id, expires: Expires = None, wait: Wait = None) -> Exit | None:
    """Have a device reboot, where it allows that. It is asked with its next poll."""
    errand = _asked(api, device, {"what": "reboot"}, expires)
    return _told(printer, errand if wait is None else _ended(api, errand, wait))


@command(noun, "restore")
def restore(
    api: Api,
    printer: Printer,
    device: Id,
    backup: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which one of those it has; else the newest.", show_default=False)
    ] = None,
    expires: Expires = None,
    wait: Wait = None,
) -> Exit | None:
    """Have a device put back what one of its backups holds, over what is there, where it allows that. otaru device backups."""
    errand = _asked(api, device, {"what": "restore"} | ({} if backup is None else {"name": backup}), expires)
    return _told(printer, errand if wait is None else _ended(api, errand, wait))


@command(noun, "errands")
def errands(api: Api, printer: Printer, device: Id, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List what it was asked to do, the newest first."""
    page = api.pages(path("devices", device, "errands"), limit=limit, cursor=cursor)
    columns = (
        field("Errand", "number"),
        ("Asked for", lambda e: f"{e['what']} {e['name']}" if e.get("name") else e["what"]),
        field("State"),
        ("Why", lambda e: one_line(e.get("code") or "")),
        ("Changed", lambda e: moment(e.get("changed_at"))),
        field("By"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "errand")
def errand(api: Api, printer: Printer, device: Id, number: Number) -> None:
    """Show what it was asked to do, how it went, and what the command printed."""
    _told(printer, api.get(path("devices", device, "errands", number)))


@command(noun, "recall")
def recall(api: Api, printer: Printer, device: Id, number: Number) -> None:
    """Call off an errand that the device has not taken yet: then it is never run."""
    _told(printer, api.post(path("devices", device, "errands", number, "cancel")))


@command(noun, "diagnostics")
def diagnostics(
    api: Api,
    printer: Printer,
    device: Id,
    number: Number,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to put them.")],
) -> Exit | None:
    """Fetch the diagnostics that it sent, a .tar.gz. Who does stands in the audit log."""
    return _fetched(api, printer, {"device": device, "number": number}, output)


def _asked(api: Api, device: str, body: dict[str, Any], expires: str | None) -> dict[str, Any]:
    body |= {} if expires is None else {"expires_in_s": values.duration_s(expires)}
    made: dict[str, Any] = api.post(path("devices", device, "errands"), body)
    return made


def _ended(api: Api, errand: dict[str, Any], wait: str) -> dict[str, Any]:
    """The errand when it has ended, or the time is over."""
    until = time.monotonic() + values.duration_s(wait)
    while errand["state"] in OPEN and time.monotonic() < until:
        api.sleep(LOOK_S)
        errand = api.get(path("devices", errand["device"], "errands", errand["number"]))
    if errand["state"] in OPEN:
        remark(f"otaru: errand {errand['number']} has not ended yet: otaru device errand shows it")
    return errand


def _fetched(api: Api, printer: Printer, errand: Mapping[str, Any], output: Path) -> Exit | None:
    there = path("devices", errand["device"], "errands", errand["number"], "diagnostics")
    found = api.fetch(f"{API}{there}")
    try:
        output.write_bytes(found)
    except OSError as error:
        raise OtaruError(f"{output} cannot be written: {error.strerror}") from None
    told = {"device": errand["device"], "number": errand["number"], "size": len(found), "file": str(output)}
    printer.result(told, f"The diagnostics of {errand['device']} are in {output}.")
    return None


def _told(printer: Printer, errand: Mapping[str, Any]) -> Exit | None:
    about = f"{errand['what']} {errand['name']}" if errand.get("name") else errand["what"]
    facts = (
        ("errand", errand["number"]),
        ("device", errand["device"]),
        ("asked for", about),
        ("state", errand["state"]),
        ("why", errand.get("code")),
        ("by", errand["by"]),
        ("expires", moment(errand["expires_at"])),
        ("changed", moment(errand["changed_at"])),
        ("diagnostics", None if errand.get("size") is None else values.shown_size(errand["size"])),
    )
    printer.details(errand, facts)
    if errand.get("output") and not printer.json:
        print(plain(errand["output"]))
    return {"failed": Exit.FAILED, "expired": Exit.FAILED, "refused": Exit.REFUSED}.get(errand["state"])
