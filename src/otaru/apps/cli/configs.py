"""`otaru config`: the files that configuration comes to devices in. Releases and rollouts bring them, as they bring all else."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.command import command, group
from otaru.apps.cli.files import text, write
from otaru.apps.cli.printer import Printer, field, remark, several
from otaru.errors import InvalidInputError

noun = group(
    "Configuration documents: checked by their schemas, and packed into the one file that a release is made of."
)


@command(noun, "pack")
def pack(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The documents, named as on the device.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    schema: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE", help="The JSON Schema of a document; may be given several times.", show_default=False
        ),
    ] = None,
) -> None:
    """Check documents by their schemas, and pack them into a file: otaru release add makes a release of it."""
    from otaru.images.configuration import Document
    from otaru.images.configuration import pack as packed
    from otaru.images.reading import BrokenImageError

    schemas = {
        name: _schema(Path(path)) for name, path in values.pairs(schema or (), what="a document and its schema").items()
    }
    if strange := sorted(schemas.keys() - {file.name for file in files}):
        raise InvalidInputError(f"there is a schema for {strange[0]}, and no such document")
    try:
        made = packed(Document(file.name, text(file), schemas.get(file.name)) for file in files)
    except BrokenImageError as error:
        raise InvalidInputError(str(error)) from None
    write(output, made.decode())
    remark(f"otaru: {output} has {several(len(files), 'document', 'documents')}, {len(made)} bytes")


@command(noun, "show")
def show(
    printer: Printer,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What pack wrote.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this document.", show_default=False)
    ] = None,
) -> None:
    """Check a packed file, and list its documents or print one."""
    from otaru.images.configuration import unpack
    from otaru.images.reading import BrokenImageError

    try:
        found = unpack(text(file).encode())
    except BrokenImageError as error:
        raise InvalidInputError(f"{file}: {error}") from None
    if name is not None:
        one = next((one for one in found if one.name == name), None)
        if one is None:
            raise InvalidInputError(f"{file} has no document {name}")
        typer.echo(one.text, nl=False)
        return
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "form": one.form,
            "schema": one.schema is not None,
            "size": len(one.data),
            "sha256": one.sha256,
        }
        for one in found
    ]
    columns = (
        field("Name"),
        field("Form"),
        ("Schema", lambda row: "yes" if row["schema"] else "no"),
        field("Size"),
        field("SHA-256", "sha256"),
    )
    printer.table(rows, rows, columns)


def _schema(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text(path))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInputError(f"{path} is no schema, which is an object")
    return found
