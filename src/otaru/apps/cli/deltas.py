"""`otaru delta`: bytes that turn one release into another; and patches of any two files, to try out."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.extras import extra
from otaru.apps.cli.printer import Printer, field, remark
from otaru.errors import InvalidInputError, OtaruError
from otaru.images.delta import choice, patch
from otaru.images.delta.patch import BrokenPatchError, Codec
from otaru.images.facts import Format

noun = group("Deltas: bytes that turn one release into another.")

LOOK_S = 1.0
"""So often it is asked whether deltas are made."""

Which = Annotated[str, typer.Argument(metavar="PRODUCT:VERSION")]
Old = Annotated[Path, typer.Argument(metavar="OLD", help="The file that it leads from.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="The file that it makes.")]
PatchFile = Annotated[Path, typer.Argument(metavar="PATCH", help="The patch.")]


@command(noun, "list")
def deltas(api: Api, printer: Printer, release: Which, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List the deltas that lead to a release, and why there is none."""
    page = api.pages(path("releases", *values.release(release), "deltas"), limit=limit, cursor=cursor)
    columns = (
        field("From", "from_version"),
        ("File", lambda d: d["to_sha256"][:12]),
        field("Codec"),
        field("State"),
        ("Size", lambda d: "" if d["size"] is None else values.shown_size(d["size"])),
        ("Share", lambda d: "" if d["share"] is None else f"{d['share']:.1%}"),
        ("Memory", lambda d: "" if d["memory"] is None else values.shown_size(d["memory"])),
        field("Reason"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "make")
def make(
    api: Api,
    printer: Printer,
    release: Which,
    from_: Annotated[str, typer.Option("--from", metavar="VERSION", help="The earlier release that they lead from.")],
    wait: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Wait until they are made.", show_default=False)
    ] = None,
) -> Exit | None:
    """Have the server make deltas from an earlier release, also again where there was none.

    It makes them by itself, when a release is published, from the versions that devices run. With --wait exit code 3 says
    that none helps, 1 that one could not be made, 5 that some are still to be made.
    """
    here = path("releases", *values.release(release), "deltas")
    until = None if wait is None else time.monotonic() + values.duration_s(wait)
    ordered = api.post(here, {"from": from_})
    while until is not None and _waiting(ordered["items"]) and time.monotonic() < until:
        time.sleep(LOOK_S)
        known = {_key(item): item for item in api.pages(here, limit=0, cursor=None)["items"]}
        ordered["items"] = [known.get(_key(item), item) for item in ordered["items"]]
    items = ordered["items"]
    made = sum(item["state"] == "made" for item in items)
    printer.result(ordered, f"{release}: {made} of {len(items)} deltas from {from_} are made.")
    if _waiting(items):
        return None if wait is None else Exit.PARTLY
    if any(item["state"] == "failed" for item in items):
        return Exit.FAILED
    return None if made else Exit.NOTHING_TO_DO


def _waiting(items: list[Mapping[str, Any]]) -> bool:
    return any(item["state"] in {"waiting", "making"} for item in items)


def _key(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(item[name] for name in ("from_sha256", "to_sha256", "codec"))


@command(noun, "diff")
def diff(
    printer: Printer,
    old: Old,
    new: New,
    output: PatchFile,
    codec: Annotated[
        Codec | None, typer.Option(help="How it is written; what suits the files, unless given.", show_default=False)
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Of windows, from 1MiB (zstd-patch to 32MiB, rdiff-zstd to 256MiB): smaller ones take less memory.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a patch between two files on this machine, as the server would."""
    with _opened(old) as source, _opened(new) as target, extra("delta"):
        ways = choice.ways(Format.PLAIN, source.size, target.size)
        way = ways[0] if codec is None else next((one for one in ways if one.codec is codec), choice.Way(codec))
        windows = way.window if window is None else values.size(window)
        if why := choice.unsuited(Format.PLAIN, target.read_at(0, choice.START)):
            remark(f"otaru: {new}: {why}; the server would make no delta")
        try:
            with _written(output) as out:
                for piece in patch.make(way.codec, source, target, windows):
                    out.write(piece)
        except ValueError as error:
            raise InvalidInputError(str(error)) from None
        whole = target.size
    with _opened(output) as made:
        size, memory = made.size, patch.memory(made)
    used = str(way.codec)
    share = f"{size / whole:.1%} of {values.shown_size(whole)}" if whole else "of nothing"
    printer.result(
        {"codec": used, "size": size, "of": whole, "memory": memory, "file": str(output)},
        f"{output}: {used}, {values.shown_size(size)}, {share}; applying it takes {values.shown_size(memory)} of memory.",
    )


@command(noun, "apply")
def apply(
    printer: Printer,
    old: Old,
    source_patch: PatchFile,
    new: New,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Refuse a patch that takes more memory.")] = "256MiB",
    largest: Annotated[str, typer.Option(metavar="SIZE", help="Refuse a patch that makes more.")] = "8GiB",
) -> None:
    """Apply a patch. NEW is written only where what comes out is what the patch announces."""
    with _opened(old) as source, _opened(source_patch) as made, extra("delta"):
        size = 0
        try:
            patch.check_source(made, source)
            with _written(new) as out:
                for piece in patch.apply(made, source, values.size(memory), values.size(largest)):
                    out.write(piece)
                    size += len(piece)
        except BrokenPatchError as error:
            raise OtaruError(f"{source_patch} is refused: {error}") from None
        digest = patch.read_head(made).result.sha256.hex()
    printer.result({"file": str(new), "size": size, "sha256": digest}, f"{new} is {digest}, checked.")


class _File:
    """`reading.Source` over an open file."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened
        self.size = opened.seek(0, 2)

    def read_at(self, offset: int, n: int) -> bytes:
        self._opened.seek(offset)
        return self._opened.read(n)


@contextmanager
def _opened(file: Path) -> Iterator[_File]:
    try:
        opened = file.open("rb")
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None
    with opened:
        yield _File(opened)


@contextmanager
def _written(file: Path) -> Iterator[IO[bytes]]:
    """A file that is there, under its name, only when all of it was written."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as out:
            yield out
        part.replace(file)
    except OSError as error:
        raise OtaruError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
