"""`otaru backup`: the key of the devices' owner, and what it opens; `otaru device backups`: what devices have sent."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.artifacts import fetched
from otaru.apps.cli.bars import bar
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.devices import Id
from otaru.apps.cli.devices import noun as devices
from otaru.apps.cli.files import text
from otaru.apps.cli.printer import Printer, field, moment, remark
from otaru.errors import InvalidInputError, NotFoundError, OtaruError

Which = Annotated[str, typer.Argument(metavar="BACKUP", help="Its name, 000007, or its SHA-256.")]

noun = group("Backups of devices: the key that opens all of them, and how it does.")


@command(noun, "key")
def key(
    printer: Printer,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the private key goes.")],
) -> None:
    """Make a key: the private one for a safe place, the public one for `backup.tenant` of devices."""
    from otaru.adapters.age import Identity

    made = Identity.new()
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInputError(f"{output} cannot be made: {error.strerror}") from None
    with os.fdopen(file, "w") as opened:
        opened.write(f"# public key: {made.recipient}\n{made}\n")
    printer.result({"public": str(made.recipient), "file": str(output)}, str(made.recipient))


@command(noun, "open")
def open_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup: 000001.age.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="What `otaru backup key` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The tar to write.")],
) -> None:
    """Decrypt a backup to a tar: `backup.json` says what is in it. Nothing is left of one that is not whole."""
    from otaru.adapters.age import Identity, opened

    identity, part = Identity.parse(text(key)), output.with_name(f"{output.name}.part")
    try:
        with file.open("rb") as source, part.open("wb") as tar:
            part.chmod(0o600)
            for chunk in opened(source.read, identity):
                tar.write(chunk)
        part.replace(output)
    except OSError as error:
        raise InvalidInputError(f"{error.filename or output}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    remark(f"otaru: {output} has {output.stat().st_size} bytes")


@command(devices, "backups")
def backups(api: Api, printer: Printer, device: Id, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List the backups that a device has sent, the newest first: fetch-backup gets one, otaru backup open opens it."""
    page = api.pages(path("devices", device, "backups"), limit=limit, cursor=cursor)
    columns = (
        field("Name"),
        ("Size", lambda one: values.shown_size(one["size"])),
        ("Sent", lambda one: moment(one["finished_at"])),
        field("SHA-256", "sha256"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(devices, "fetch-backup")
def fetch_backup(
    api: Api,
    printer: Printer,
    device: Id,
    backup: Which,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to put it.")],
) -> None:
    """Download a backup that a device has sent, and check it. Who does stands in the audit log."""
    found = _found(api, device, backup)
    sha256, size = str(found["sha256"]), int(found["size"])
    try:
        with bar(output.name) as progress:
            fetched(api, sha256, output, size, progress, path("devices", device, "backups", sha256, "content"))
    except OSError as error:
        raise OtaruError(f"{output} cannot be written: {error.strerror}") from None
    printer.result(
        {"sha256": sha256, "size": size, "file": str(output)}, f"{output} is backup {found['name']}, checked."
    )


@command(devices, "drop-backup")
def drop_backup(api: Api, printer: Printer, device: Id, backup: Which) -> None:
    """Delete a backup at the server; what the device has stays there. Who does stands in the audit log."""
    found = _found(api, device, backup)
    api.delete(path("devices", device, "backups", found["sha256"]))
    printer.result({"sha256": found["sha256"], "removed": True}, f"Backup {found['name']} is deleted here.")


def _found(api: Api, device: str, backup: str) -> Mapping[str, Any]:
    """The newest one of that name, or the one of that digest."""
    for one in api.get(path("devices", device, "backups"))["items"]:
        if backup in {one["name"], one["sha256"]}:
            found: Mapping[str, Any] = one
            return found
    raise NotFoundError(f"{device} has sent no backup {backup[:64]}", hint="See otaru device backups.")
