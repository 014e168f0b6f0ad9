"""`otaru tenant`: the tenant's settings, its halt, its gateway token."""

from typing import Annotated, Any

import typer

from otaru.apps.cli import monitoring, values
from otaru.apps.cli.client import Api
from otaru.apps.cli.command import command, group
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, remark
from otaru.errors import InvalidInputError

noun = group("The tenant: its settings, its halt.")


@command(noun, "show")
def show(api: Api, printer: Printer) -> None:
    """Show the tenant's settings and what it uses."""
    _print(printer, api.get("/tenant"))


@command(noun, "set")
def change(
    api: Api,
    printer: Printer,
    poll_interval: Annotated[str | None, typer.Option(help="What devices wait between polls: 30s, 5m, 1h.")] = None,
    self_registration: Annotated[
        bool | None, typer.Option(help="Whether a device with the gateway token may register itself.")
    ] = None,
    download_anonymous: Annotated[
        bool | None, typer.Option(help="Whether published artifacts may be fetched without a credential.")
    ] = None,
    chunk_part: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=PART", help="The DDI part of a hardware model (Zephyr: bApp); MODEL= removes it."),
    ] = None,
    several: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL,MODEL",
            help="Models whose DDI clients take several files in one deployment, as a whole; '' for none.",
        ),
    ] = None,
    max_artifact: Annotated[str | None, typer.Option(help="The largest artifact: 4GiB.")] = None,
    quota: Annotated[str | None, typer.Option(help="What all artifacts may take: 100GiB.")] = None,
    backups: Annotated[
        bool | None, typer.Option(help="Whether backups of devices are taken; else they stay there.")
    ] = None,
    backup_quota: Annotated[
        str | None, typer.Option(help="What they may take together: 50GiB; half of the quota at most.")
    ] = None,
    health_kept: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long events of devices are kept: 30d.")
    ] = None,
    telemetry_every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Agents measure so often: 15m; 0s: as each is set.")
    ] = None,
    telemetry_off: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Agents do not tell it; all: nothing; none: tell all.")
    ] = None,
    diagnostics: Annotated[
        bool | None, typer.Option(help="Whether devices may be asked for their diagnostics.")
    ] = None,
    commands: Annotated[
        bool | None, typer.Option(help="Whether they may be asked for commands, reboots, backups to put back.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="The time zone of devices whose own is not known: Europe/Paris.")
    ] = None,
    four_eyes: Annotated[
        bool | None, typer.Option(help="Whether every rollout waits for approval by somebody else than its author.")
    ] = None,
) -> None:
    """Change settings; those that are not named stay."""
    settings: dict[str, Any] = {
        "polling_s": None if poll_interval is None else values.duration_s(poll_interval),
        "self_registration": self_registration,
        "download_anonymous": download_anonymous,
        "chunk_parts": values.pairs(chunk_part, what="a part of a model") if chunk_part else None,
        "several": None if several is None else [model.strip() for model in several.split(",") if model.strip()],
        "max_artifact": None if max_artifact is None else values.size(max_artifact),
        "quota": None if quota is None else values.size(quota),
        "backups": backups,
        "backup_quota": None if backup_quota is None else values.size(backup_quota),
        "health_kept_s": None if health_kept is None else values.duration_s(health_kept),
        "monitoring": _monitoring(telemetry_every, telemetry_off),
        "diagnostics": diagnostics,
        "commands": commands,
        "zone": zone,
        "four_eyes": four_eyes,
    }
    named = {name: value for name, value in settings.items() if value is not None}
    if not named:
        raise InvalidInputError("no setting is named", hint="See otaru tenant set --help.")
    _print(printer, _changed(api, named))


def _monitoring(every: str | None, off: list[str] | None) -> dict[str, Any] | None:
    """What is said of telemetry; None: nothing."""
    found: dict[str, Any] = {} if every is None else {"period_s": values.duration_s(every) or None}
    if off is not None:
        found["off"] = monitoring.off(off)
    return found or None


def _changed(api: Api, named: dict[str, Any]) -> Any:
    """The tenant after the change. The parts of all models are set as a whole, so they are read first."""
    if not named.keys() & {"chunk_parts", "monitoring"}:
        return api.patch("/tenant", {"settings": named})
    now = api.get("/tenant")
    if "monitoring" in named:
        named = named | {"monitoring": {**now["settings"]["monitoring"], **named["monitoring"]}}
    if "chunk_parts" not in named:
        return api.patch("/tenant", {"settings": named}, edition=now["edition"])
    parts = now["settings"]["chunk_parts"] | named["chunk_parts"]
    wanted = named | {"chunk_parts": {model: part for model, part in parts.items() if part}}
    return api.patch("/tenant", {"settings": wanted}, edition=now["edition"])


@command(noun, "halt")
def halt(
    api: Api, printer: Printer, reason: Annotated[str, typer.Option(help="Why: kept in the record.")] = ""
) -> Exit | None:
    """Hold every rollout at once.

    No device is offered anything until the halt is lifted.
    """
    if api.get("/tenant")["halted"]:
        remark("otaru: the tenant is halted already")
        return Exit.NOTHING_TO_DO
    printer.result(
        api.post("/tenant/halt", {"reason": reason}),
        "Halted: no device is offered anything. otaru tenant lift ends it.",
    )
    return None


@command(noun, "lift")
def lift(api: Api, printer: Printer) -> Exit | None:
    """End a halt."""
    if not api.get("/tenant")["halted"]:
        remark("otaru: the tenant is not halted")
        return Exit.NOTHING_TO_DO
    printer.result(api.post("/tenant/lift"), "The halt is lifted.")
    return None


@command(noun, "gateway-token")
def gateway_token(
    api: Api, printer: Printer, remove: Annotated[bool, typer.Option("--remove", help="There shall be none.")] = False
) -> None:
    """Make or remove the gateway token.

    It acts for every device. A new one is shown once, and an older one dies.
    """
    if remove:
        api.delete("/tenant/gateway-token")
        printer.result({"token": None}, "There is no gateway token now.")
        return
    made = api.post("/tenant/gateway-token")
    printer.result(made, f"Gateway token (shown once): {made['token']}")


def _print(printer: Printer, tenant: dict[str, Any]) -> None:
    settings = tenant["settings"]
    printer.details(
        tenant,
        (
            ("tenant", tenant["id"]),
            ("halted", tenant["halted"]),
            ("why", tenant.get("halt_reason")),
            ("polling", values.shown_duration(settings["polling_s"])),
            ("self-registration", settings["self_registration"]),
            ("anonymous download", settings["download_anonymous"]),
            ("gateway token", settings["gateway_token"]),
            ("chunk parts", settings["chunk_parts"]),
            ("several", settings["several"]),
            ("largest artifact", values.shown_size(settings["max_artifact"])),
            ("quota", values.shown_size(settings["quota"])),
            ("backups", _backups(tenant)),
            ("events kept", values.shown_duration(settings["health_kept_s"])),
            ("telemetry", _telemetry(settings["monitoring"])),
            ("diagnostics", settings["diagnostics"]),
            ("commands", settings["commands"]),
            *((f"group {one['group']}", monitoring.told(one)) for one in settings["group_monitoring"]),
            ("time zone", settings["zone"]),
            ("four eyes", settings["four_eyes"]),
            ("used", values.shown_size(tenant["used"])),
        ),
    )


def _backups(tenant: dict[str, Any]) -> str:
    settings = tenant["settings"]
    most = min(settings["backup_quota"], settings["quota"] // 2)
    used = f"{values.shown_size(tenant['backups_used'])} of {values.shown_size(most)}"
    return used if settings["backups"] else f"not taken, {used}"


def _telemetry(said: dict[str, Any]) -> str:
    return monitoring.every(said["period_s"]) + (f", off: {monitoring.shown_off(said['off'])}" if said["off"] else "")
