"""`otaru group monitor`: what a group's devices measure, tell and may be asked for; `otaru device monitoring`: what counts."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli import devices, groups, values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import command
from otaru.apps.cli.printer import Printer
from otaru.errors import InvalidInputError

Every = Annotated[str | None, typer.Option(metavar="DURATION", help="They measure so often: 15m.", show_default=False)]
Off = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="They do not tell it; all: nothing; none: tell all.", show_default=False),
]
Diagnostics = Annotated[
    bool | None, typer.Option(help="Whether they may be asked for their diagnostics.", show_default=False)
]
Commands = Annotated[
    bool | None,
    typer.Option(help="Whether they may be asked for commands, reboots, backups to put back.", show_default=False),
]
Priority = Annotated[
    int | None, typer.Option(help="Of several groups the one with the highest comes first (0).", show_default=False)
]


@command(groups.noun, "monitor")
def monitor(
    api: Api,
    printer: Printer,
    name: groups.Name,
    telemetry_every: Every = None,
    telemetry_off: Off = None,
    diagnostics: Diagnostics = None,
    commands: Commands = None,
    priority: Priority = None,
) -> None:
    """Say what a group's devices measure and tell, and what they may be asked for. It comes before the tenant's settings.

    Of a device in several groups the one with the highest priority is asked first, then lists before queries, then by name; for
    each of the four things the first counts that says something. What was said and is not named stays.
    """
    said: dict[str, Any] = {
        "period_s": None if telemetry_every is None else values.duration_s(telemetry_every),
        "off": None if telemetry_off is None else off(telemetry_off),
        "diagnostics": diagnostics,
        "commands": commands,
        "priority": priority,
    }
    body = {name: value for name, value in said.items() if value is not None}
    if not body:
        raise InvalidInputError("nothing is said", hint="See otaru group monitor --help.")
    made = api.patch(path("groups", name, "monitoring"), body)
    printer.result(made, f"{name}: {told(made)}.")


@command(groups.noun, "unmonitor")
def unmonitor(api: Api, printer: Printer, name: groups.Name) -> None:
    """Say nothing of a group's devices any more: what others say of them counts."""
    api.delete(path("groups", name, "monitoring"))
    printer.result({"group": name}, f"Nothing is said of the monitoring of {name}.")


@command(devices.noun, "monitoring")
def monitoring(api: Api, printer: Printer, device: devices.Id) -> None:
    """Show what counts for a device of what its tenant and its groups say of monitoring.

    What its owner says on the device, and what its agent.toml says, comes before that.
    """
    found = api.get(path("devices", device, "monitoring"))

    def by(name: str, words: str) -> str:
        group = found["said_by"].get(name)
        return f"{words} ({'tenant' if group is None else f'group {group}'})"

    facts = (
        ("measures", by("period_s", every(found["period_s"]))),
        ("not told", by("off", shown_off(found["off"]))),
        ("diagnostics", by("diagnostics", "on" if found["diagnostics"] else "off")),
        ("commands", by("commands", "on" if found["commands"] else "off")),
    )
    printer.details(found, facts)


def off(names: list[str]) -> list[str]:
    """What is off, as the API takes it: `none` is nothing, `all` is everything."""
    return [] if names == ["none"] else ["*" if name == "all" else name for name in names]


def every(period_s: int | None) -> str:
    """How often, for people."""
    return "as each device is set" if period_s is None else f"every {values.shown_duration(period_s)}"


def shown_off(names: list[str]) -> str:
    """What is off, for people."""
    return ("all" if "*" in names else ", ".join(names)) or "nothing"


def told(said: Mapping[str, Any]) -> str:
    """What is said of a group, in one line."""
    found = [every(said["period_s"])] if said["period_s"] is not None else []
    found += [f"not told: {shown_off(said['off'])}"] if said["off"] is not None else []
    found += [
        f"{name} {'on' if said[name] else 'off'}" for name in ("diagnostics", "commands") if said[name] is not None
    ]
    return "; ".join(found) + (f" (priority {said['priority']})" if said["priority"] else "")
