"""What the device's maker allows from afar, of `agent.toml`: telemetry, diagnostics, commands, a reboot."""

import re
import warnings
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from otaru.apps.agent.forms import Folder, Name, Seconds, Words
from otaru.domain.errand import MAX_OUTPUT
from otaru.errors import InvalidInputError

MEASURED = ("battery", "signal", "uptime", "disk", "memory", "load")
"""What every device measures where it can (`adapters.board.gauges`); commands add to it."""


class Monitor(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the device tells of its health."""

    on: bool = True
    period_s: Annotated[float, Meta(ge=1, le=86_400)] = 900
    send_s: Annotated[float, Meta(ge=1, le=86_400)] = 3600
    off: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()
    commands: Annotated[dict[Name, Words], Meta(max_length=50)] = {}
    timeout_s: Seconds = 10
    reason: tuple[str, ...] = ()


class Diagnostics(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it sends when it is asked for its diagnostics."""

    on: bool = True
    commands: Annotated[dict[Name, Words], Meta(max_length=50)] = {}
    files: Annotated[tuple[Folder, ...], Meta(max_length=50)] = ()
    most_bytes: Annotated[int, Meta(ge=1000, le=16_000_000)] = 1_000_000
    timeout_s: Seconds = 30
    redact: Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(max_length=50)] = ()


class Command(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command that may be run from afar."""

    name: Name
    run: Words
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 60
    output: Annotated[int, Meta(ge=0, le=MAX_OUTPUT)] = 4096


class Remote(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What else may be asked of it."""

    reboot: bool = False
    restore: bool = False
    per_hour: Annotated[int, Meta(ge=0, le=1000)] = 12
    least_uptime_s: Annotated[float, Meta(ge=0, le=86_400)] = 600


def check(path: Path, monitor: Monitor, diagnostics: Diagnostics, commands: tuple[Command, ...]) -> None:
    """What belongs together. Raises InvalidInputError."""
    for number, name in enumerate(monitor.off):
        # A slip here would tell what somebody wanted to keep to the device.
        if name not in MEASURED and name not in monitor.commands:
            hint = ", ".join([*MEASURED, *monitor.commands])
            raise InvalidInputError(f"{path}: monitor.off[{number}]: {name} is not measured", hint=hint)
    for name in MEASURED:
        if name in monitor.commands:
            raise InvalidInputError(f"{path}: monitor.commands.{name}: the agent measures {name} itself")
    names = [command.name for command in commands]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"{path}: command: two have the same name")
    for number, text in enumerate(diagnostics.redact):
        where = f"{path}: diagnostics.redact[{number}]"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)  # it will find something else with a newer Python
                found = re.compile(text).search("")
        except (re.error, OverflowError, RecursionError, FutureWarning) as error:
            raise InvalidInputError(f"{where}: {error}") from None
        if found is not None:
            raise InvalidInputError(f"{where}: it finds a secret between any two characters")
