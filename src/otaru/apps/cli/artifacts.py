"""`otaru artifact`: the bytes that releases are made of."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.bars import bar
from otaru.apps.cli.client import READ_S, Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.printer import Printer, field, moment
from otaru.apps.cli.uploads import CHUNK, Progress, read_file, upload
from otaru.errors import ChecksumMismatchError, OtaruError

noun = group("Artifacts: stored bytes, by their SHA-256.")

Digest = Annotated[str, typer.Argument(metavar="SHA256")]


@command(noun, "list")
def artifacts(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List stored artifacts."""
    page = api.pages("/artifacts", limit=limit, cursor=cursor)
    columns = (
        field("SHA-256", "sha256"),
        ("Size", lambda a: values.shown_size(a["size"])),
        ("Format", values.shown_format),
        ("Says", values.shown_claims),
        ("Signature", values.shown_verdict),
        field("Releases"),
        ("Created", lambda a: moment(a.get("created_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "add")
def add(
    api: Api,
    printer: Printer,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    filename: Annotated[str | None, typer.Option(help="Its name on devices; the file's own unless given.")] = None,
) -> None:
    """Upload a file.

    An interrupted upload goes on where it was.
    """
    with bar(file.name) as progress:
        stored = upload(api, read_file(file, name=filename, progress=progress), progress=progress)
    printer.result(stored, f"{file.name} is stored: {stored['sha256']}")


@command(noun, "show")
def show(api: Api, printer: Printer, sha256: Digest) -> None:
    """Show an artifact's digests and size, and what it says of itself."""
    found = api.get(path("artifacts", sha256))
    rows = (
        ("sha256", found["sha256"]),
        ("sha1", found["sha1"]),
        ("md5", found["md5"]),
        ("size", f"{found['size']} bytes ({values.shown_size(found['size'])})"),
        ("created", moment(found.get("created_at"))),
        *_image(found.get("image")),
    )
    printer.details(found, rows)
    image = found.get("image") or {}
    signatures = (field("Kind"), field("Verdict"), field("Signer"), field("Covers"), field("Reason"))
    printer.section("Signatures", image.get("signatures", ()), signatures)
    size = ("Size", lambda p: "" if p["size"] is None else values.shown_size(p["size"]))
    parts = (field("Name"), field("Kind"), size, field("Version"), field("Verified"))
    printer.section("Parts", image.get("payloads", ()), parts)


def _image(image: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """What an artifact says of itself."""
    if image is None:
        yield "format", "not read yet: the release that it is made part of has it read"
        return
    found = {"image": image}
    yield "format", " ".join(filter(None, (values.shown_format(found), image["format_version"])))
    yield "broken", image["broken"]
    yield "product", image["product"]
    yield "version", image["version"]
    yield "hardware", ", ".join(image["hardware"])
    yield "signature", values.shown_verdict(found)
    yield "digest", image["digest"]
    yield "counter", image["security_counter"]
    yield "requires", ", ".join(image["requires"])
    yield "beware", "; ".join(image["warnings"])


@command(noun, "remove")
def remove(api: Api, printer: Printer, sha256: Digest) -> None:
    """Remove an artifact that stands in no release."""
    api.delete(path("artifacts", sha256))
    printer.result({"sha256": sha256, "removed": True}, f"{sha256} is removed.")


@command(noun, "fetch")
def fetch(
    api: Api,
    printer: Printer,
    sha256: Digest,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to put it.")],
) -> None:
    """Download an artifact and check it.

    An interrupted download goes on where it was.
    """
    size = int(api.get(path("artifacts", sha256))["size"])
    try:
        with bar(output.name) as progress:
            fetched(api, sha256, output, size, progress)
    except OSError as error:
        raise OtaruError(f"{output} cannot be written: {error.strerror}") from None
    printer.result({"sha256": sha256, "size": size, "file": str(output)}, f"{output} is {sha256}, checked.")


def fetched(api: Api, sha256: str, output: Path, size: int, progress: Progress, where: str | None = None) -> None:
    """Download an artifact, or what else is at `where`, going on with what was interrupted, and check it.

    Raises:
        ChecksumMismatchError: other bytes arrived.
        OSError: they cannot be written.
    """
    part = unfinished(output, sha256)
    api.patiently(lambda _: _download(api, where or path("artifacts", sha256, "content"), part, size, progress))
    _verify(part, sha256)
    part.replace(output)


def unfinished(output: Path, sha256: str) -> Path:
    """Where bytes of an artifact are until all of them are there."""
    return output.with_name(f"{output.name}.{sha256[:12]}.part")


def _download(api: Api, where: str, part: Path, size: int, progress: Progress) -> None:
    """Fetch what is missing of `part`."""
    with part.open("ab") as target:
        done = target.tell()
        if done >= size:
            return
        headers: dict[str, Any] = {"Range": f"bytes={done}-"} if done else {}
        with api.stream(where, headers=headers, read_s=READ_S) as response:
            if done and response.status_code != 206:
                target.truncate(0)
                done = 0
            for chunk in response.iter_raw(CHUNK):
                done += len(chunk)
                if done > size:
                    raise ChecksumMismatchError(f"the server sent more than the {size} bytes of the artifact")
                target.write(chunk)
                progress("fetching", done, size)


def _verify(part: Path, sha256: str) -> None:
    with part.open("rb") as source:
        if hashlib.file_digest(source, "sha256").hexdigest() == sha256:
            return
    with suppress(OSError):
        part.unlink()
    raise ChecksumMismatchError(
        "the bytes that arrived are not the artifact's; they are removed", hint="Fetch it again."
    )
