"""`otaru device import` and `tell`: many devices, or what they tell, from a file, in batches that each happen once.

The file is read as it is sent, so its length does not matter; a line that is none ends the import before its batch is
sent. Tokens are shown once, so each batch's are written before the next batch is sent.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from otaru.apps.cli.client import Api
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, remark
from otaru.errors import InvalidInputError, OtaruError

BATCH = 1000
BATCH_BYTES = 900_000
"""The server takes JSON bodies up to 1 MiB."""
MAX_LINE = 256 * 1024

Device = dict[str, Any]


def bring_in(api: Api, printer: Printer, file: Path, kind: str | None, tokens: Path | None) -> Exit | None:
    """Import `file`; the exit code."""
    added: list[Any] = []
    taken: list[str] = []
    count = 0
    try:
        with ExitStack() as stack:
            source = _opened(stack, file)
            keep = _token_writer(stack, tokens, printer)
            for batch in batches(read(source, kind or _kind(file))):
                answer = api.post("/devices/batch", {"devices": batch})
                count += len(answer["added"])
                taken += answer["taken"]
                added += answer["added"] if printer.json else ()
                for device in answer["added"]:
                    keep.writerow((device["id"], device["token"]))
                keep.flush()
    except OtaruError as error:
        if not count:
            raise
        return _summed(printer, added, taken, count, error)
    return _summed(printer, added, taken, count, None)


def _summed(printer: Printer, added: list[Any], taken: list[str], count: int, error: OtaruError | None) -> Exit | None:
    if printer.json:
        document: dict[str, Any] = {"added": added, "taken": taken}
        printer.document(document | ({"error": error.message} if error else {}))
    remark(f"otaru: {count} added, {len(taken)} taken already" + (f"; then: {error.message}" if error else ""))
    if error is not None:
        return Exit.PARTLY
    if taken:
        return Exit.PARTLY if count else Exit.NOTHING_TO_DO
    return None if count else Exit.NOTHING_TO_DO


class _Writer:
    """Writes id and token of each device, where there is somewhere to write."""

    def __init__(self, out: TextIO | None) -> None:
        self._out = out
        self._csv = csv.writer(out, lineterminator="\n") if out is not None else None
        self._begun = False

    def writerow(self, row: tuple[str, str]) -> None:
        if self._csv is None:
            return
        if not self._begun:
            self._begun = True
            self._csv.writerow(("id", "token"))
        self._csv.writerow(row)

    def flush(self) -> None:
        if self._out is not None:
            self._out.flush()

    def drop_unused(self, file: Path) -> None:
        """Remove the file that was made for it, where nothing was written."""
        if not self._begun:
            file.unlink(missing_ok=True)


def _token_writer(stack: ExitStack, tokens: Path | None, printer: Printer) -> _Writer:
    if tokens is None:
        return _Writer(None if printer.json else sys.stdout)
    try:
        # Before the first device is added: tokens that cannot be written then are lost. It goes again if there are none.
        descriptor = os.open(tokens, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise InvalidInputError(
            f"the tokens cannot be written to {tokens}: it exists",
            hint="It may hold the only copy of other devices' tokens: name a new file.",
        ) from None
    except OSError as error:
        raise InvalidInputError(f"the tokens cannot be written to {tokens}: {error.strerror}") from None
    out = stack.enter_context(os.fdopen(descriptor, "w", encoding="utf-8"))
    writer = _Writer(out)
    stack.callback(writer.drop_unused, tokens)
    return writer


def _opened(stack: ExitStack, file: Path) -> TextIO:
    if str(file) == "-":
        return sys.stdin
    try:
        return stack.enter_context(file.open(encoding="utf-8-sig", newline=""))
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None


def _kind(file: Path) -> str:
    match file.suffix.lower():
        case ".csv":
            return "csv"
        case ".ndjson" | ".jsonl":
            return "ndjson"
        case _:
            raise InvalidInputError(
                f"the name {file} does not say what it is", hint="Add --format csv or --format ndjson."
            )


def batches(devices: Iterable[Device]) -> Iterator[list[Device]]:
    """Devices in batches that the server takes: by number and by bytes."""
    batch: list[Device] = []
    size = 0
    for device in devices:
        bytes_of_it = len(json.dumps(device)) + 2
        if batch and (len(batch) == BATCH or size + bytes_of_it > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(device)
        size += bytes_of_it
    if batch:
        yield batch


def read(source: TextIO, kind: str) -> Iterator[Device]:
    """The devices of a file.

    Raises:
        InvalidInputError: a line is none; it says which.
    """
    try:
        yield from from_csv(_bounded(source)) if kind == "csv" else from_ndjson(_bounded(source))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"the file is not {kind.upper()} in UTF-8: {error}") from None


def _bounded(source: TextIO) -> Iterator[str]:
    number = 0
    while line := source.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise InvalidInputError(f"line {number} is longer than {MAX_LINE} characters")
        yield line


def from_ndjson(lines: Iterable[str]) -> Iterator[Device]:
    """One JSON object on each line; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            device = json.loads(line)
        except ValueError:
            raise InvalidInputError(f"line {number} is not JSON") from None
        if not isinstance(device, dict) or not isinstance(device.get("id"), str):
            raise InvalidInputError(f'line {number} is not a device: an object with "id" and "hardware"')
        yield device


def from_csv(lines: Iterable[str]) -> Iterator[Device]:
    """A heading line, then one device on each; empty cells are left out."""
    rows = csv.DictReader(lines, strict=True)
    headings = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = headings
    _check(headings)
    for row in rows:
        if None in row:
            raise InvalidInputError(f"line {rows.line_num} has more cells than the heading")
        yield _device({name: (cell or "").strip() for name, cell in row.items()}, rows.line_num)


def _check(headings: list[str]) -> None:
    if not {"id", "hardware"} <= set(headings):
        raise InvalidInputError(
            "the heading line has no id and hardware", hint="Its columns: id,hardware,tags,attr.NAME,…"
        )
    if len(set(headings)) < len(headings):
        raise InvalidInputError("a column of the heading line stands there twice")
    for name in headings:
        prefix, _, rest = name.partition(".")
        if name not in {"id", "hardware", "tags", "token"} and not (prefix in {"attr", "installed"} and rest):
            raise InvalidInputError(
                f"there is no column {name!r}",
                hint="Columns: id, hardware, tags, token, attr.NAME, installed.COMPONENT.",
            )


def _device(row: dict[str, str], line: int) -> Device:
    if not row["id"] or not row["hardware"]:
        raise InvalidInputError(f"line {line} has no id or no hardware")
    device: Device = {"id": row["id"], "hardware": row["hardware"]}
    if row.get("token"):
        device["token"] = row["token"]
    if tags := row.get("tags", "").replace(",", " ").replace(";", " ").split():
        device["tags"] = tags
    for prefix, key in (("attr.", "attributes"), ("installed.", "installed")):
        if facts := {name.removeprefix(prefix): cell for name, cell in row.items() if name.startswith(prefix) and cell}:
            device[key] = facts
    return device


def tell(api: Api, printer: Printer, file: Path) -> Exit | None:
    """Bring what devices tell of their health; the exit code."""
    kept = known = 0
    left_out: dict[str, list[str]] = {"refused": [], "unknown": []}
    with ExitStack() as stack:
        for batch in batches(_lines(_bounded(_opened(stack, file)))):
            answer = api.post("/devices/events", {"events": batch})
            kept, known = kept + answer["kept"], known + answer["known"]
            for why, devices in left_out.items():
                devices += [device for device in answer[why] if device not in devices]
    if printer.json:
        printer.document({"kept": kept, "known": known} | left_out)
    remark(f"otaru: {kept} kept, {known} known already")
    for why, devices in left_out.items():
        if devices:
            remark(f"otaru: {why}: {', '.join(devices[:20])}{' …' if len(devices) > 20 else ''}")
    if any(left_out.values()):
        return Exit.PARTLY
    return None if kept else Exit.NOTHING_TO_DO


def _lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One JSON object on each line; empty lines are passed over."""
    try:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                raise InvalidInputError(f"line {number} is not JSON") from None
            if not isinstance(found, dict):
                raise InvalidInputError(f"line {number} is not an object")
            yield found
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"the file is not UTF-8: {error}") from None


def ids(file: Path) -> Iterator[str]:
    """The ids in a file: one on each line, or the column `id` of CSV with a heading line.

    Raises:
        InvalidInputError: it cannot be read, or a heading line has no such column.
    """
    with ExitStack() as stack:
        lines = _bounded(_opened(stack, file))
        try:
            first = next(lines, "").strip()
            if "," not in first and first != "id":
                yield from filter(None, map(str.strip, chain([first], lines)))
                return
            headings = [name.strip() for name in next(csv.reader([first], strict=True))]
            if "id" not in headings:
                raise InvalidInputError("the heading line has no id", hint="Its columns: id,…")
            place = headings.index("id")
            for row in csv.reader(lines, strict=True):
                if len(row) > place and row[place].strip():
                    yield row[place].strip()
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidInputError(f"the file is not a list of ids in UTF-8: {error}") from None
