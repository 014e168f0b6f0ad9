"""`otaru enrollment`: claims that let devices come by themselves.

A list of serials is read twice: once to see that all of it is well before a claim is made, and once to send it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import files, values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, remark, several
from otaru.domain.enrollment import MAX_SERIALS, Approval
from otaru.domain.ids import device_id
from otaru.errors import InvalidInputError, OtaruError

noun = group("Claims: how devices come by themselves.")

Id = Annotated[str, typer.Argument(metavar="ID")]
BATCH = 5000
MAX_LINE = 1024


@command(noun, "create")
def create(
    api: Api,
    printer: Printer,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Whose it is: a line, a batch, a customer.")],
    quota: Annotated[int, typer.Option(metavar="N", min=1, help="How many devices may come by it.")],
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it is good.")] = "30d",
    serials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only these serials may come, one on a line.", show_default=False),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL[:REVISION]", help="What comes by it; other hardware is refused.", show_default=False
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", "--tags", help="A label of the devices; may be given several times.", show_default=False),
    ] = None,
    approve: Annotated[
        Approval, typer.Option(help="manual: devices wait until somebody accepts them.")
    ] = Approval.AUTO,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The claim is this client certificate (PEM), its authority's after it.",
            show_default=False,
        ),
    ] = None,
) -> Exit | None:
    """Make a claim: devices that show it may enroll. Its token is shown once, as the last word."""
    body: dict[str, Any] = {
        "label": label,
        "quota": quota,
        "expires_in_s": values.duration_s(expires),
        "approval": str(approve),
        "listed": serials is not None,
    }
    body |= {"hardware": hardware} if hardware else {}
    body |= {"tags": tags} if tags else {}
    body |= {"certificate": files.text(certificate)} if certificate is not None else {}
    if serials is not None:
        _look_through(serials)
    made = api.post("/enrollments", body)
    refused = None
    if serials is not None:
        try:
            made["serials"] = _send(api, made["id"], serials)["serials"]
        except OtaruError as error:  # the claim is made, and this is the only time that it is seen
            refused = error
    claim = f"shown once: {made['claim']}" if made["claim"] else "its certificate"
    printer.result(
        made, f"Enrollment {made['id']} ({made['label']}, {several(made['quota'], 'device', 'devices')}), {claim}"
    )
    if refused is not None:
        remark(f"otaru: the serials were not all listed: {refused.message}")
        remark(f"Go on with: otaru enrollment serials {made['id']} {serials}")
        return Exit.PARTLY
    return None


@command(noun, "list")
def listed(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List claims, never their tokens."""
    page = api.pages("/enrollments", limit=limit, cursor=cursor)
    columns = (
        field("Id"),
        field("Label"),
        ("Used", lambda e: f"{e['used']}/{e['quota']}"),
        field("Approval"),
        field("Hardware"),
        ("Serials", lambda e: e["serials"] if e["listed"] else ""),
        ("Expires", lambda e: moment(e.get("expires_at"))),
        ("Revoked", lambda e: moment(e.get("revoked_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "show")
def show(api: Api, printer: Printer, enrollment: Id) -> None:
    """Show a claim: what it is good for, and how many devices have come by it."""
    found = api.get(path("enrollments", enrollment))
    facts = (
        ("enrollment", found["id"]),
        ("label", found["label"]),
        ("used", f"{found['used']} of {found['quota']}"),
        ("approval", found["approval"]),
        ("claim", "a certificate" if found["by_certificate"] else "a token"),
        ("hardware", found["hardware"]),
        ("tags", found["tags"]),
        ("serials", found["serials"] if found["listed"] else None),
        ("made", moment(found["created_at"])),
        ("expires", moment(found["expires_at"])),
        ("revoked", moment(found["revoked_at"])),
    )
    printer.details(found, facts)


@command(noun, "serials")
def serials(
    api: Api,
    printer: Printer,
    enrollment: Id,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One serial on a line.")],
) -> None:
    """List more serials that may come by a claim."""
    _look_through(file)
    done = _send(api, enrollment, file)
    printer.result(done, f"{done['added']} serials are listed, {done['serials']} in all.")


@command(noun, "revoke")
def revoke(api: Api, printer: Printer, enrollment: Id) -> None:
    """Revoke a claim: nobody comes by it any more.

    Devices that came by it stay.
    """
    api.delete(path("enrollments", enrollment))
    printer.result({"id": enrollment, "revoked": True}, f"Enrollment {enrollment} is revoked.")


def _send(api: Api, enrollment: str, file: Path) -> dict[str, int]:
    """List the serials of a file, batch by batch; listing one twice changes nothing, so it may be done again."""
    done = {"added": 0, "serials": 0}
    for batch in _batches(_read(file)):
        answer = api.post(path("enrollments", enrollment, "serials"), {"serials": batch})
        done = {"added": done["added"] + answer["added"], "serials": answer["serials"]}
    return done


def _look_through(file: Path) -> None:
    """Read the whole list, to say what is wrong with it before anything is done.

    Raises:
        InvalidInputError: it is none.
    """
    count = sum(1 for _ in _read(file))
    if not count:
        raise InvalidInputError(f"{file} lists no serials")
    if count > MAX_SERIALS:
        raise InvalidInputError(f"{file} lists {count} serials, {MAX_SERIALS} are allowed")


def _batches(found: Iterable[str]) -> Iterator[list[str]]:
    left = iter(found)
    while batch := list(islice(left, BATCH)):
        yield batch


def _read(file: Path) -> Iterator[str]:
    """The serials of a file, one on a line; empty lines, and those that begin with #, are passed over.

    Raises:
        InvalidInputError: it cannot be read, or a line is none.
    """
    try:
        with file.open(encoding="utf-8-sig") as source:
            number = 0
            while line := source.readline(MAX_LINE):
                number += 1
                if (serial := line.strip()) and not serial.startswith("#"):
                    yield _checked(serial, number)
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file} is not UTF-8") from None
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None


def _checked(serial: str, number: int) -> str:
    try:
        return device_id(serial)
    except InvalidInputError as error:
        raise InvalidInputError(f"line {number}: {error.message}", hint=error.hint) from None
