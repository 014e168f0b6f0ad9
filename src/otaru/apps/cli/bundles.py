"""`otaru bundle`: updates for places without a network, on a stick, and what devices there have signed."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api
from otaru.apps.cli.command import Limit, command, group
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, one_line, remark, several
from otaru.errors import InvalidInputError, NothingToDoError

noun = group("Bundles: updates on a stick, for places without a network.")

EXPORT_S = 300
"""Seconds that an export may take: each device's order is signed."""
MAX_FILES = 100_000
_MAX_RECEIPT = 256 * 1024
_MAX_BODY = 300 * 1024
"""Of receipts in one request, half of the bytes that they may be as JSON: a body has a bound."""
_SHORT = 1000
_AT_ONCE = 20
_ODD = {
    "device": "",
    "bundle": "",
    "actions": {},
    "taken": False,
    "moved": False,
    "code": "not_a_file",
    "detail": "it is a link, a pipe or a device, which are not followed",
}

Medium = Annotated[Path, typer.Argument(metavar="DIR", help="The stick.")]


@command(noun, "export")
def export(
    api: Api,
    printer: Printer,
    rollout: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Whose devices. It has to run.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The stick, or a folder on it.")],
    devices: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Which of its devices: 'attr.site==7'; all.", show_default=False),
    ] = None,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="How long it holds.")] = "30d",
    sign_with: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="A private key of targets to sign with: a file, pkcs11:… or awskms:…; may be given several times.",
            show_default=False,
        ),
    ] = None,
) -> Exit | None:
    """Tell devices of a rollout what to install, and write all that they need to a stick.

    Keys of targets have to sign how long it holds. Without --sign-with a request is written beside it (exit code 5).
    """
    from otaru.apps.cli import ceremony, medium

    signers = [ceremony.signer_at(key) for key in sign_with or ()]
    body: dict[str, Any] = {"rollout": rollout, "expires_in_s": int(values.duration_s(expires))}
    body |= {} if devices is None else {"target": devices}
    written: list[medium.Written] = []
    known: list[str] = []
    left: dict[str, int] = {}
    while True:
        try:
            made = api.post("/bundles", body, read_s=EXPORT_S)
        except NothingToDoError:
            if not written:
                raise
            break  # whoever is behind the last one cannot be told now
        written.append(medium.write(api, out, made, signers))
        known += [one["device"] for one in made["orders"]]
        left = {rule: left.get(rule, 0) + made["left_out"].get(rule, 0) for rule in {**left, **made["left_out"]}}
        if made["next"] is None:
            break
        body["after"] = made["next"]
    document = {
        "bundles": [{"id": one.id, "sealed": one.sealed, "file": str(one.where)} for one in written],
        "devices": len(known),
        "left_out": left,
        "expires_at": made["expires_at"],
    }
    text = [f"{several(len(known), 'device is', 'devices are')} on {out}, until {moment(made['expires_at'])}."]
    text += [f"{several(n, 'is', 'are')} not: {rule} (otaru device why ID)." for rule, n in sorted(left.items())]
    printer.result(document, "\n".join([*text, *_unsealed(written, out)]))
    return None if all(one.sealed for one in written) else Exit.PARTLY


@command(noun, "seal")
def seal(printer: Printer, medium: Medium) -> Exit | None:
    """Put in force what the keepers of targets have signed on a stick. No server is asked."""
    from otaru.apps.cli.medium import seal as put

    done = put(medium)
    document = {"bundles": [{"id": one.id, "sealed": one.sealed, "file": str(one.where)} for one in done]}
    text = [f"{one.id} is signed." for one in done if one.sealed]
    printer.result(document, "\n".join([*text, *_unsealed(done, medium)]))
    return None if all(one.sealed for one in done) else Exit.PARTLY


@command(noun, "list")
def bundles(
    api: Api,
    printer: Printer,
    rollout: Annotated[int | None, typer.Option(min=1, metavar="NUMBER", show_default=False, help="Of which.")] = None,
    limit: Limit = 100,
) -> None:
    """List bundles that were exported, the newest first."""
    page = api.get("/bundles", rollout=rollout, limit=limit)
    columns = (
        field("Id"),
        field("Rollout"),
        field("Devices"),
        ("By", lambda b: one_line(b["actor"])),
        ("Made", lambda b: moment(b["created_at"])),
        ("Until", lambda b: moment(b["expires_at"])),
    )
    printer.table(page, page["items"], columns)


@command(noun, "import")
def bring(
    api: Api,
    printer: Printer,
    receipts: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="Receipts, or a folder of them.")],
) -> Exit | None:
    """Bring receipts of devices without a network: each counts once, whoever brings it.

    Exit code 3 where all of it was known, 4 where all was refused, 5 where some was.
    """
    files = list(_files(receipts))
    if not files:
        raise NothingToDoError("there are no receipts", hint="otaru agent install writes them to DIR/receipts.")
    found: list[dict[str, Any]] = []
    for path in [path for path in files if _is_odd(path)]:
        files.remove(path)
        found.append({**_ODD, "file": str(path)})
    for some in _batches(files):
        told = api.post("/receipts", {"receipts": list(some.values())})["items"]
        found += [{"file": str(path), **one} for path, one in zip(some, told, strict=True)]
    columns = (
        ("File", lambda r: Path(r["file"]).name[:24]),
        field("Device"),
        ("Says", _says),
    )
    printer.table({"items": found}, found, columns)
    refused = sum(not one["taken"] for one in found)
    moved = sum(one["moved"] for one in found)
    remark(
        f"otaru: {several(len(found) - refused, 'receipt', 'receipts')} taken, {moved} of them new, {refused} refused"
    )
    if refused:
        return Exit.REFUSED if refused == len(found) else Exit.PARTLY
    return None if moved else Exit.NOTHING_TO_DO


def _says(one: Mapping[str, Any]) -> str:
    if not one["taken"]:
        return f"{one['code']}: {one_line(one['detail'])}"
    states = ", ".join(f"action {action} {state}" for action, state in one["actions"].items())
    return states if one["moved"] else f"{states} (known)"


def _unsealed(written: Any, medium: Path) -> list[str]:
    """What is to be done with what lacks signatures."""
    lacking = [one for one in written if not one.sealed]
    if not lacking:
        return []
    told = [f"{one.id} needs signatures: otaru keys sign {one.where} --key KEY" for one in lacking]
    return [*told, f"Then: otaru bundle seal {medium}. Until then no device takes it."]


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.json"))[:MAX_FILES]
        else:
            yield path


def _is_odd(path: Path) -> bool:
    """Whether it is no file: what a link leads to is none of the stick's, and a pipe is waited for without end."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False  # it is said when it is read


def _batches(files: list[Path]) -> Iterator[dict[Path, str]]:
    """Receipts as they go into requests."""
    some: dict[Path, str] = {}
    size = 0
    for path in files:
        text = _text(path)
        if some and (len(some) == _AT_ONCE or size + len(_written(text)) > 2 * _MAX_BODY):
            yield some
            some, size = {}, 0
        some[path] = text
        size += len(_written(text))
    if some:
        yield some


def _text(path: Path) -> str:
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            data = file.read(_MAX_RECEIPT)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from None
    # What is no text is no receipt, and the server says so of it alone: it must not make the others' request too large.
    text = data.decode(errors="replace") or " "
    return text if len(_written(text)) <= 2 * _MAX_BODY else text[:_SHORT]


def _written(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()
