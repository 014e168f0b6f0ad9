"""`otaru demo`: a server, real firmware, 50 simulated devices and a staged rollout, on this machine alone."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from otaru.apps.cli import values
from otaru.apps.cli.extras import extra


def demo(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Everything of the demo is in this folder; delete it to begin anew.")
    ] = Path("otaru-demo"),
    bad_firmware: Annotated[
        str, typer.Option(metavar="SHARE", help="How many devices of revision r2 the new firmware breaks.")
    ] = "25%",
) -> None:
    """Show a staged rollout of real firmware to 50 simulated devices. Run again, it goes on where it was.

    With OTARU_DEMO_EXIT=1 it needs no terminal and ends when the rollout has finished, stopped or paused.
    """
    with extra("simulator"):
        import aiohttp  # noqa: F401 - said now rather than in the middle
    with extra("server"):
        import uvicorn  # noqa: F401
    from otaru.apps.cli.demo.folder import Folder
    from otaru.apps.cli.demo.play import Wish, run
    from otaru.apps.cli.demo.screen import screen

    ends = os.environ.get("OTARU_DEMO_EXIT", "") not in {"", "0"}
    wish = Wish(Folder(data), values.share(bad_firmware), ends)
    with screen(live=sys.stdout.isatty() and not ends) as shown:
        run(wish, shown)
