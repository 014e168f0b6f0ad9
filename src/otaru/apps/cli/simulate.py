"""`otaru simulate`: a fleet of simulated devices against a real server."""

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import trusting
from otaru.apps.cli.command import Ca, Server, Token, address
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.extras import extra
from otaru.apps.cli.printer import Printer, remark, several
from otaru.errors import InvalidInputError

if TYPE_CHECKING:
    from otaru.apps.simulator.options import Plan
    from otaru.apps.simulator.run import Run
    from otaru.apps.simulator.scenario.script import Scenario

FINISHED = "finished"
TOLD = frozenset({"devices", "hardware", "fail", "loss", "flaky", "firmware_fails", "fail_hardware", "seed", "prefix"})
"""What a scenario says."""


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
    road: Annotated[Literal["ddi", "native"], typer.Option(help="How they speak.")] = "ddi"
    scenario: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A scenario (TOML): it says who they are and what happens.", show_default=False
        ),
    ] = None
    virtual: Annotated[
        bool,
        typer.Option("--virtual", help="Tell the scenario inside this process, at virtual time, without a server."),
    ] = False
    served: Annotated[
        bool,
        typer.Option(
            "--served", help="Tell the scenario over HTTP, to a server of its own whose clock runs at --speed, too."
        ),
    ] = False
    report: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the story's facts and plot go.", show_default=False),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the virtual story's data: otaru serve --data FOLDER shows it.",
            show_default=False,
        ),
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
    """Run simulated devices that poll, download, install, fail and report over real HTTP (DDI, or the native road).

    Devices the server does not know are added with the API token; those it knows get new tokens.
    """
    if wanted.scenario is not None:
        _check_scenario(wanted)
    if wanted.virtual or wanted.served:
        return _story(printer, wanted)
    if wanted.report is not None or wanted.data is not None:
        what = "--report goes with --virtual or --served" if wanted.report is not None else "--data goes with --virtual"
        raise InvalidInputError(what)
    with extra("simulator"):
        from otaru.apps.simulator import options
        from otaru.apps.simulator.run import run
    goal = wanted.until if wanted.until is None or wanted.until == FINISHED else values.duration_s(wanted.until)
    ran = run(options.check(_plan(wanted)), goal, lambda tally: remark(tally.line()))
    printer.result(ran.facts(), _sentence(ran))
    return None if ran.reached else Exit.FAILED


def _check_scenario(wanted: Wanted) -> None:
    """Refuse what a scenario says itself: it would be without effect, and nobody would notice."""
    given = [one.name for one in fields(wanted) if one.name in TOLD and getattr(wanted, one.name) != one.default]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InvalidInputError(f"with --scenario the file says it, not {options}", hint="Write it into the file.")


def _story(printer: Printer, wanted: Wanted) -> Exit | None:
    """Tell the scenario to a server of its own: inside this process, or over HTTP."""
    with extra("server"):
        from otaru.apps.simulator.scenario import horizon, plot
    if wanted.scenario is None or wanted.virtual == wanted.served:
        raise InvalidInputError("--virtual or --served needs --scenario FILE, and excludes the other")
    if wanted.virtual:
        scenario, folder = _scenario(wanted.scenario), None if wanted.data is None else _empty(wanted.data)
        account = horizon.tell(scenario, lambda account: remark(account.line()), folder)
    elif wanted.data is not None:
        raise InvalidInputError("--data goes with --virtual")
    else:
        with extra("simulator"):
            from otaru.apps.simulator.scenario import served
        account = served.tell(
            _scenario(wanted.scenario), wanted.speed, wanted.connections, lambda account: remark(account.line())
        )
    if wanted.report is not None:
        _written(wanted.report, {"story.json": json.dumps(account.facts(), indent=1), "story.svg": plot.svg(account)})
    printer.result(account.facts(), account.summary())
    return None


def _scenario(path: Path) -> "Scenario":
    from otaru.apps.simulator.scenario import script

    try:
        return script.read(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the scenario {path} cannot be read: {error}") from None


def _empty(folder: Path) -> Path:
    """A folder for a story's data, which holds nothing else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInputError(f"{folder} is not empty", hint="Name a new folder.")
    except OSError as error:
        raise InvalidInputError(f"the data cannot be kept: {error}") from None
    return folder


def _written(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise InvalidInputError(f"the report cannot be written: {error}") from None


def _plan(wanted: Wanted) -> "Plan":
    from otaru.apps.simulator import options
    from otaru.apps.simulator.model import Odds

    scenario = None if wanted.scenario is None else _scenario(wanted.scenario)
    if scenario is not None and scenario.ails:
        raise InvalidInputError("crashes and telemetry are told at virtual time only", hint="Give --virtual.")
    ca = wanted.ca or os.environ.get("OTARU_CA") or None
    told = {} if scenario is None else {scenario.product: scenario.installed}
    return options.Plan(
        server=address(wanted.server),
        devices=wanted.devices if scenario is None else scenario.devices,
        hardware=options.hardware(wanted.hardware) if scenario is None else scenario.hardware,
        odds=Odds(
            fail=values.share(wanted.fail),
            loss=values.share(wanted.loss),
            flaky=values.share(wanted.flaky),
            by_version=options.shares(wanted.firmware_fails or ()),
            by_hardware=options.shares(wanted.fail_hardware or ()),
        ),
        seed=wanted.seed if scenario is None else scenario.seed,
        prefix=wanted.prefix if scenario is None else scenario.prefix,
        road=options.Road(wanted.road),
        speed=wanted.speed,
        token=wanted.token or os.environ.get("OTARU_TOKEN", "").strip() or None,
        gateway_token=wanted.gateway_token,
        wrong_tokens=wanted.wrong_token,
        installed=options.components(wanted.installed or ()) or told,
        tags=wanted.tag or (),
        connections=wanted.connections,
        trust=None if ca is None else trusting(ca),
        scenario=scenario,
    )


def _sentence(ran: "Run") -> str:
    return f"{several(ran.tally.devices, 'device', 'devices')}, {ran.took_s:.1f} s: {ran.tally.line()}. Story {ran.stories}."
