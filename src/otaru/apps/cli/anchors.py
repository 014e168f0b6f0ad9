"""`otaru keys anchor`: whom to trust to sign images."""

from pathlib import Path
from typing import Annotated

import typer

from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import command, group
from otaru.apps.cli.printer import Printer, field, moment
from otaru.errors import InvalidInputError
from otaru.images.facts import SIGNED

noun = group("Trust anchors: whom to trust to sign images, by format.")

Form = Annotated[
    str,
    typer.Argument(metavar="FORMAT", help=f"The format whose images it signs: {', '.join(sorted(SIGNED))}."),
]
_LARGEST = 64 * 1024


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    form: Form,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Certificates or one public key (PEM).")],
) -> None:
    """Trust certificates, of signers or of authorities, or a public key. Verdicts on images follow in a moment."""
    added = api.post("/trust-anchors", {"format": form, "pem": _pem(file)})
    printer.result(added, f"{added['name']} is trusted to sign {form}: {added['id']}")


@command(noun, "list")
def anchors(api: Api, printer: Printer) -> None:
    """List whom you trust to sign images."""
    found = api.get("/trust-anchors")
    columns = (
        field("Format"),
        ("Anchor", lambda a: a["id"][:16]),
        field("Name"),
        ("Ends", lambda a: moment(a.get("ends_at"))),
        ("Added", lambda a: moment(a.get("created_at"))),
    )
    printer.table(found, found["items"], columns)


@command(noun, "remove")
def remove(
    api: Api,
    printer: Printer,
    form: Form,
    anchor: Annotated[str, typer.Argument(metavar="ANCHOR", help="Its id, its beginning, or its file.")],
) -> None:
    """Trust it no more. Verdicts on images follow in a moment."""
    there = [one for one in api.get("/trust-anchors")["items"] if one["format"] == form]
    given = Path(anchor)
    if given.is_file():
        text = _pem(given).strip()
        found = [one for one in there if one["pem"].strip() == text]
    else:
        found = [one for one in there if one["id"].startswith(anchor)]
    if len(found) != 1:
        told = "several trust anchors are" if found else "no trust anchor is"
        raise InvalidInputError(f"{told} {anchor!r} for {form}", hint="otaru keys anchor list shows them.")
    api.delete(path("trust-anchors", form, found[0]["id"]))
    printer.result({**found[0], "removed": True}, f"{found[0]['name']} is trusted no more to sign {form}.")


def _pem(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST + 1).decode("ascii")
    except OSError as error:
        raise InvalidInputError(f"the trust anchor {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(
            f"{file} is not PEM",
            hint="openssl x509 -inform DER, or openssl pkey -pubin -inform DER, turns DER into it.",
        ) from None
    if "PRIVATE KEY-----" in text:
        raise InvalidInputError(f"{file} is a private key: it stays where it is", hint="Give its public part.")
    return text
