"""`otaru simulate`: a fleet of simulated devices against a real server."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import trusting
from otaru.apps.cli.command import Ca, Server, Token, address
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.extras import extra
from otaru.apps.cli.printer import Printer, remark

if TYPE_CHECKING:
    from otaru.apps.simulator.options import Plan
    from otaru.apps.simulator.run import Run

FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The fleet, as its options say."""

    devices: Annotated[int, typer.Option(metavar="N", help="How many devices.")] = 50
    hardware: Annotated[str, typer.Option(metavar="MODEL[:REV][=SHARE],…", help="What they are, with weights.")] = (
        "default"
    )
    fail: Annotated[str, typer.Option(metavar="SHARE", help="How many updates fail, 0.02 or 2%.")] = "2%"
    loss: Annotated[str, typer.Option(metavar="SHARE", help="How many requests get lost.")] = "0"
    flaky: Annotated[str, typer.Option(metavar="SHARE", help="How many devices are offline now and then.")] = "0"
    firmware_fails: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERSION[@HARDWARE]=SHARE", help="How many updates to this version fail.", show_default=False
        ),
    ] = None
    fail_hardware: Annotated[
        list[str] | None,
        typer.Option(metavar="REV=SHARE", help="How many updates fail on this hardware.", show_default=False),
    ] = None
    installed: Annotated[
        list[str] | None,
        typer.Option(metavar="COMPONENT=VERSION", help="What new devices come with.", show_default=False),
    ] = None
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag of new devices.", show_default=False)] = (
        None
    )
    wrong_token: Annotated[int, typer.Option(metavar="N", help="So many, the last ones, show a wrong token.")] = 0
    speed: Annotated[float, typer.Option(metavar="FACTOR", help="How much faster than real time they live.")] = 1.0
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1
    prefix: Annotated[str, typer.Option(help="Their ids: this and a number.")] = "sim-"
    connections: Annotated[int, typer.Option(help="The most connections at once; all devices share them.")] = 100
    gateway_token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="They all use it instead of tokens of their own.", show_default=False),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            metavar="finished|TIME",
            help="Until no rollout goes on by itself, or for so long. Else until Ctrl-C.",
            show_default=False,
        ),
    ] = None
    server: Server = None
    token: Token = None
    ca: Ca = None


def simulate(printer: Printer, wanted: Wanted) -> Exit | None:
    """Run simulated devices that poll, download, install, fail and report over real HTTP (DDI).

    Devices the server does not know are added with the API token; those it knows get new tokens.
    """
    with extra("simulator"):
        from otaru.apps.simulator import options
        from otaru.apps.simulator.run import run
    goal = wanted.until if wanted.until is None or wanted.until == FINISHED else values.duration_s(wanted.until)
    ran = run(options.check(_plan(wanted)), goal, lambda tally: remark(tally.line()))
    printer.result(ran.facts(), _sentence(ran))
    return None if ran.reached else Exit.FAILED


def _plan(wanted: Wanted) -> "Plan":
    from otaru.apps.simulator import options
    from otaru.apps.simulator.model import Odds

    ca = wanted.ca or os.environ.get("OTARU_CA") or None
    return options.Plan(
        server=address(wanted.server),
        devices=wanted.devices,
        hardware=options.hardware(wanted.hardware),
        odds=Odds(
            fail=values.share(wanted.fail),
            loss=values.share(wanted.loss),
            flaky=values.share(wanted.flaky),
            by_version=options.shares(wanted.firmware_fails or ()),
            by_hardware=options.shares(wanted.fail_hardware or ()),
        ),
        seed=wanted.seed,
        prefix=wanted.prefix,
        speed=wanted.speed,
        token=wanted.token or os.environ.get("OTARU_TOKEN", "").strip() or None,
        gateway_token=wanted.gateway_token,
        wrong_tokens=wanted.wrong_token,
        installed=options.components(wanted.installed or ()),
        tags=wanted.tag or (),
        connections=wanted.connections,
        trust=None if ca is None else trusting(ca),
    )


def _sentence(ran: "Run") -> str:
    return f"{ran.tally.devices} devices, {ran.took_s:.1f} s: {ran.tally.line()}. Story {ran.stories}."
