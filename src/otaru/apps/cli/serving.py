"""`otaru serve`, `otaru db`, `otaru blobs`: what runs on the server's own machine."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from otaru.apps.cli import values
from otaru.apps.cli.command import command, group
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.extras import extra
from otaru.apps.cli.printer import Printer
from otaru.errors import DataFolderError, InvalidInputError

db = group("The database: its schema and its health.")
blobs = group("The bytes of artifacts on the server's disk.")

Data = Annotated[Path | None, typer.Option(metavar="DIR", help="The data folder.", show_default=False)]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings; ./otaru.toml where there is one.", show_default=False)
]
Database = Annotated[
    str | None, typer.Option(metavar="URL", help="postgresql://… or sqlite:///PATH; DIR/otaru.db.", show_default=False)
]
Blobs = Annotated[
    str | None, typer.Option(metavar="URL", help="file:///PATH of the artifacts; DIR/artifacts.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Flags:
    """The settings that the command line may overrule; None leaves one as it is."""

    data: Data = None
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="127.0.0.1:8080; port 0 takes a free one.", show_default=False),
    ] = None
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain (PEM): serve HTTPS only.", show_default=False)
    ] = None
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).", show_default=False)] = (
        None
    )
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The address under which devices reach it.", show_default=False)
    ] = None
    trusted_proxies: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORKS", help="Whose X-Forwarded-… are believed, with commas between.", show_default=False
        ),
    ] = None
    client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who signs devices' client certificates (PEM).", show_default=False),
    ] = None
    device_listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where devices show a client certificate.", show_default=False),
    ] = None
    client_cert_header: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where trusted proxies hand on client certificates.", show_default=False),
    ] = None
    x_accel: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="nginx serves the artifacts (X-Accel-Redirect).", show_default=False),
    ] = None
    mirrors: Annotated[
        str | None,
        typer.Option(metavar="URLS", help="Where devices find files first: https://…/{sha256}.", show_default=False),
    ] = None
    database: Database = None
    blobs: Blobs = None
    poll_interval: Annotated[
        str | None, typer.Option(metavar="TIME", help="Between polls, for devices of a new tenant.", show_default=False)
    ] = None
    events_retention: Annotated[
        int | None, typer.Option(metavar="DAYS", help="How long events are kept.", show_default=False)
    ] = None
    production: Annotated[
        bool | None, typer.Option("--production", help="Refuse development keys.", show_default=False)
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="What is logged.", show_default=False)
    ] = None


def serve(flags: Flags, config: Config = None) -> None:
    """Run the server. On an empty data folder it makes what is missing and prints a one-time admin link."""
    given = asdict(flags)
    interval, retention = given.pop("poll_interval"), given.pop("events_retention")
    given["poll_interval_s"] = None if interval is None else values.duration_s(interval)
    settings = _settings(config, events_retention_days=retention, **given)
    with extra("server"):
        from otaru.apps.server.serve import run
    if code := run(settings):
        raise typer.Exit(code)


def _settings(config: Path | None, **flags: Any) -> Any:
    with extra("server"):
        from otaru.apps.server.settings import load
    return load(config, **flags)


@command(db, "upgrade")
def upgrade(printer: Printer, data: Data = None, database: Database = None, config: Config = None) -> None:
    """Bring the database to this program's schema, making it where there is none."""
    settings = _settings(config, data=data, database=database)
    with extra("server"):
        from otaru.adapters.sql.migrate import upgrade as bring_up
    _make(settings)
    applied = bring_up(settings.database_url)
    said = f"The database is current; applied: {', '.join(applied)}." if applied else "The database is current already."
    printer.result({"applied": applied}, said)


def _make(settings: Any) -> None:
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataFolderError(f"the data folder {settings.data} cannot be used: {error.strerror}") from None


@command(db, "check")
def check(printer: Printer, data: Data = None, database: Database = None, config: Config = None) -> Exit | None:
    """Say whether the schema is current and the database sound; change nothing."""
    settings = _settings(config, data=data, database=database)
    with extra("server"):
        from otaru.adapters.sql.migrate import check as look
    state = look(settings.database_url)
    document = {
        "ok": state.ok,
        "current": state.current,
        "head": state.head,
        "pending": list(state.pending),
        "problems": list(state.problems),
    }
    if state.ok:
        printer.result(document, f"The database is ok (revision {state.current}).")
        return None
    wrong = [*state.problems, *(f"revision {name} is pending: otaru db upgrade" for name in state.pending)]
    printer.result(document, "\n".join(wrong))
    return Exit.FAILED


@command(blobs, "sweep")
def sweep(
    printer: Printer,
    data: Data = None,
    older_than: Annotated[str, typer.Option(metavar="TIME", help="Leave alone what is younger.")] = "24h",
    database: Database = None,
    blobs: Blobs = None,
    config: Config = None,
) -> None:
    """Remove unfinished uploads and bytes that belong to nobody. The server may run meanwhile."""
    import asyncio
    from datetime import timedelta

    after = timedelta(seconds=values.duration_s(older_than))
    settings = _settings(config, data=data, database=database, blobs=blobs)
    if not settings.data.is_dir():
        raise InvalidInputError(f"there is no data folder {settings.data}")
    with extra("server"):
        from otaru.apps.server.admin import beside
        from otaru.services.control import artifacts

    async def run() -> tuple[int, int]:
        async with beside(settings) as world:
            return await artifacts.sweep(world, after)

    removed, freed = asyncio.run(run())
    printer.result({"removed": removed, "freed": freed}, f"{removed} removed, {values.shown_size(freed)} freed.")
