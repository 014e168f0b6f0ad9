"""`otaru ca`: the tenant's certificate authority, which signs for its devices."""

from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import files
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import command, group
from otaru.apps.cli.printer import Printer, moment
from otaru.errors import InvalidInputError, NotFoundError

noun = group("The certificate authority that signs for devices.")

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id or the beginning of it.")]


@command(noun, "init")
def init(
    api: Api,
    printer: Printer,
    below: Annotated[
        bool, typer.Option("--below", help="Below a root of your own: prints the request that it is to sign.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="A key that the server holds (otaru ca key), not a new one.", show_default=False
        ),
    ] = None,
) -> None:
    """Make it. Its key is made on the server and stays there."""
    made = api.post("/authorities", {"below": below} | ({"key": key} if key else {}))
    printer.result(made, (made["request"] or made["certificate"]).rstrip())


@command(noun, "import")
def bring(
    api: Api,
    printer: Printer,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM: its certificate, then those above it.")],
) -> None:
    """Bring the certificate that your root has given it."""
    waiting = [one for one in api.get("/authorities")["items"] if one["own"] and not one["retired_at"]]
    if not waiting:
        raise NotFoundError("there is no authority that waits", hint="Make one: otaru ca init --below")
    made = api.post(path("authorities", waiting[-1]["id"], "certificate"), {"pem": files.text(file)})
    printer.result(made, f"{made['id'][:16]} signs for devices until {moment(made['expires_at'])}.")


@command(noun, "show")
def show(api: Api, printer: Printer) -> None:
    """Print its certificate and those above it, as PEM; with --json all authorities that are known."""
    page = api.get("/authorities")
    signing = [one for one in page["items"] if one["signs"]]
    if not signing and not printer.json:
        raise NotFoundError("this tenant has no certificate authority", hint="Make one: otaru ca init")
    printer.result(page, "".join(f"{one['certificate']}{one['chain']}" for one in signing[-1:]).rstrip())


@command(noun, "retire")
def retire(api: Api, printer: Printer, authority: Id) -> None:
    """Have it sign nothing new; what it has signed stays good."""
    found: list[Any] = [one for one in api.get("/authorities")["items"] if one["id"].startswith(authority)]
    if len(found) != 1:
        raise InvalidInputError(f"{'several authorities are' if found else 'no authority is'} {authority!r}")
    made = api.post(path("authorities", found[0]["id"], "retire"), {})
    printer.result(made, f"{made['id'][:16]} is retired.")


@command(noun, "key")
def key(
    printer: Printer,
    uri: Annotated[str, typer.Argument(metavar="URI", help="pkcs11:token=…;object=…?module-path=…")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="The data folder of the server on this machine.")],
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "DEFAULT",
) -> None:
    """Let the server on this machine sign with a key in a token (PKCS#11).

    The PIN is asked for, or read from OTARU_PIN; the server reads OTARU_PIN when it starts.
    """
    from otaru.adapters.signers.file import FolderKeyring
    from otaru.apps.cli.ceremony import secret
    from otaru.domain.ids import tenant_id

    if not data.is_dir():
        raise InvalidInputError(f"there is no data folder {data}")
    keyring = FolderKeyring(data / "keys", pin=secret("OTARU_PIN", "PIN of the token"))
    name = keyring.adopt(tenant_id(tenant), uri)
    printer.result({"key": name}, f"The server holds the key {name} now: otaru ca init --key {name}")
