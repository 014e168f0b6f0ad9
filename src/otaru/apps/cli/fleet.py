"""`otaru fleet`: all devices at a glance."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli.client import Api
from otaru.apps.cli.command import command, group
from otaru.apps.cli.printer import Printer, field
from otaru.domain.units import measured

noun = group("All devices at a glance.")


@command(noun, "show")
def show(api: Api, printer: Printer) -> None:
    """Show how many devices are what, and which versions run."""
    fleet = api.get("/fleet")
    printer.details(
        fleet,
        (
            ("devices", fleet["devices"]),
            ("healthy", fleet["healthy"]),
            ("waiting", fleet["waiting"]),
            ("failed", fleet["failed"]),
            ("silent", fleet["silent"]),
            ("never heard of", fleet["never_heard"]),
            ("lifecycles", fleet["lifecycles"]),
            ("rollouts", fleet["rollouts"]),
        ),
    )
    printer.section("versions", fleet["versions"], (field("Component"), field("Version"), field("Devices")))


@command(noun, "versions")
def versions(
    api: Api, printer: Printer, days: Annotated[int, typer.Option(min=1, max=365, help="How far back.")] = 30
) -> None:
    """Show how many devices ran each version, then and now."""
    history = api.get("/fleet/versions", days=days)
    columns = (
        field("Component"),
        field("Version"),
        (f"{days} d ago", lambda v: v["devices"][0]),
        ("Most", lambda v: max(v["devices"])),
        ("Now", lambda v: v["devices"][-1]),
    )
    printer.table(history, history["versions"], columns)


_QUANTILES = (("Least", "least"), ("10%", "p10"), ("Half", "p50"), ("90%", "p90"), ("Most", "most"))


def _lies(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda found: measured(found[key], found["name"])


@command(noun, "telemetry")
def telemetry(api: Api, printer: Printer) -> None:
    """Show what devices measure: how many tell it, and how their last values lie."""
    page = api.get("/fleet/telemetry")
    columns = (
        field("Name"),
        field("Devices"),
        *((heading, _lies(key)) for heading, key in _QUANTILES),
    )
    printer.table(page, page["items"], columns)
