"""`otaru device credential`: what opens the door for a device beside its target token."""

from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import files, values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import command, group
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, remark
from otaru.errors import InvalidInputError

noun = group("What opens the door for it beside its target token: tokens, certificates, keys.")

Id = Annotated[str, typer.Argument(metavar="ID")]


@command(noun, "list")
def listed(api: Api, printer: Printer, device: Id) -> None:
    """List them, with those that were revoked or have ended of late."""
    page = api.get(path("devices", device, "credentials"))
    columns = (
        field("Id"),
        field("Kind"),
        field("Label"),
        ("Key", lambda c: (c.get("key") or "")[:16]),
        ("Added", lambda c: moment(c.get("created_at"))),
        ("Expires", lambda c: moment(c.get("expires_at"))),
        ("Revoked", lambda c: moment(c.get("revoked_at"))),
    )
    printer.table(page, page["items"], columns)


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    device: Id,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A certificate that somebody else has issued (PEM), then its authority's.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A public key (PEM) that it signs with.", show_default=False)
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it is good: 30d.", show_default=False)
    ] = None,
    device_token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Its own token, instead of one made up.", show_default=False)
    ] = None,
) -> None:
    """Give it another token, or a certificate or a public key. What it has stays good. A token is shown once."""
    if certificate and key:
        raise InvalidInputError("--certificate and --key are two credentials", hint="Add one after the other.")
    file = certificate or key
    body: dict[str, Any] = {"kind": "certificate" if certificate else "key" if key else "token", "label": label}
    body |= {"pem": files.text(file)} if file else {}
    body |= {"expires_in_s": values.duration_s(expires)} if expires else {}
    body |= {"token": device_token} if device_token else {}
    made = api.post(path("devices", device, "credentials"), body)
    shown = f" (shown once): {made['token']}" if made.get("token") else "."
    printer.result(made, f"{device} has the {made['kind']} {made['id']} now{shown}")


@command(noun, "revoke")
def revoke(
    api: Api, printer: Printer, device: Id, credential: Annotated[str, typer.Argument(metavar="CREDENTIAL")]
) -> Exit | None:
    """Revoke one, at once and on every road. Its key or token never comes back."""
    here = path("devices", device, "credentials")
    known = next((one for one in api.get(here)["items"] if one["id"] == credential), None)
    if known is not None and known["revoked_at"]:
        remark(f"otaru: {credential} is revoked already")
        return Exit.NOTHING_TO_DO
    api.delete(path("devices", device, "credentials", credential))
    printer.result({"device": device, "id": credential}, f"{credential} of {device} is revoked.")
    return None
