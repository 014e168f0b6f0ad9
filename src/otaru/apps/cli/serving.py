"""`otaru serve`, `otaru db`, `otaru blobs`: what runs on the server's own machine."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from otaru.apps.cli import values
from otaru.apps.cli.command import group
from otaru.apps.cli.extras import extra

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


def serve(
    data: Data = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="127.0.0.1:8080; port 0 takes a free one.", show_default=False),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain (PEM): serve HTTPS only.", show_default=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).", show_default=False)
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The address under which devices reach it.", show_default=False)
    ] = None,
    trusted_proxies: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORKS", help="Whose X-Forwarded-… are believed, with commas between.", show_default=False
        ),
    ] = None,
    x_accel: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="nginx serves the artifacts (X-Accel-Redirect).", show_default=False),
    ] = None,
    database: Database = None,
    blobs: Blobs = None,
    poll_interval: Annotated[
        str | None, typer.Option(metavar="TIME", help="Between polls, for devices of a new tenant.", show_default=False)
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="What is logged.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Run the server. On an empty data folder it makes what is missing and prints a one-time admin link."""
    interval = None if poll_interval is None else values.duration_s(poll_interval)
    settings = _settings(
        config,
        data=data,
        listen=listen,
        tls_cert=tls_cert,
        tls_key=tls_key,
        public_url=public_url,
        trusted_proxies=trusted_proxies,
        x_accel=x_accel,
        database=database,
        blobs=blobs,
        poll_interval_s=interval,
        log_level=log_level,
    )
    with extra("server"):
        from otaru.apps.server.serve import run
    if code := run(settings):
        raise typer.Exit(code)


def _settings(config: Path | None, **flags: Any) -> Any:
    with extra("server"):
        from otaru.apps.server.settings import load
    return load(config, **flags)
