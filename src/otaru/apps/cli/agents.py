"""`otaru agent`: the device's own side."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otaru.apps.cli import lean
from otaru.apps.cli.command import address, command, group
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.files import text
from otaru.apps.cli.printer import Printer, field, remark
from otaru.apps.cli.values import moment
from otaru.domain.duration import duration
from otaru.errors import InvalidInputError

if TYPE_CHECKING:
    from otaru.apps.agent.install import Installed

noun = group("The agent of a Linux device: it installs what its server says, and no power cut harms it.")

Config = Annotated[Path, typer.Option(metavar="FILE", help="The device's configuration.")]
_CONFIG = lean.CONFIG


@command(noun, "enroll")
def enroll(
    printer: Printer,
    device: Annotated[str, typer.Option(metavar="ID", help="The device's id: its serial number.")],
    hardware: Annotated[str, typer.Option(metavar="MODEL[:REVISION]", help="What it is.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where the agent keeps what it knows.")] = Path(
        "/var/lib/otaru"
    ),
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="The server (OTARU_SERVER).", show_default=False)
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="CLAIM", help="A claim (otaru enrollment create).", show_default=False)
    ] = None,
    device_token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Instead: the token of a device that was added.", show_default=False),
    ] = None,
    tenant: Annotated[str, typer.Option(metavar="TENANT", help="Whose device it is.")] = "DEFAULT",
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who signed the server's certificate, PEM.", show_default=False)
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="Make the key in a token, or use the one there: pkcs11:token=…;object=…?module-path=…"
            "[&pin-source=FILE] (else the PIN of OTARU_PIN).",
            show_default=False,
        ),
    ] = "",
    director_root: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The director's root that is trusted; the one it shows.", show_default=False),
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The image repository's; the one it shows.", show_default=False),
    ] = None,
) -> None:
    """Make this device one of the server's: with a key that is made here, and the roots that it trusts from now on.

    Without --director-root and --image-root the server is believed this once. Compare the digests that are printed.
    """
    from otaru.apps.agent.enroll import Roots
    from otaru.apps.agent.enroll import enroll as begin
    from otaru.apps.agent.identity import Identity

    if key and device_token is not None:
        raise InvalidInputError("a device with a token of its own has no key", hint="Leave out --key.")
    if (token is None) == (device_token is None):
        raise InvalidInputError("a device enrolls by a claim, or by its own token", hint="--token or --device-token")
    me = Identity(
        server=address(server),
        tenant=tenant,
        device=device,
        hardware=hardware,
        ca="" if ca is None else text(ca),
        by_token=device_token is not None,
        key=key,
    )
    roots = Roots(
        None if director_root is None else text(director_root).encode(),
        None if image_root is None else text(image_root).encode(),
    )
    found = begin(data.absolute(), me, token or device_token or "", roots)
    printer.details(found, found.items())


@command(noun, "run")
def run(config: Config = _CONFIG) -> None:
    """Keep this device up to date until SIGTERM."""
    lean.run(config)


@command(noun, "status")
def status(printer: Printer, config: Config = _CONFIG) -> None:
    """Say where this device is in an update."""
    from otaru.apps.agent import settings, show

    found = show.status(settings.read(config))
    printer.details(found, found.items())


@command(noun, "history")
def history(printer: Printer, config: Config = _CONFIG) -> None:
    """List the last updates of this device, the newest first."""
    from otaru.apps.agent import settings, show

    columns = [field(name) for name in ("At", "Release", "Outcome", "Code", "Reason")]
    found = show.history(settings.read(config))
    printer.table(found, found, columns)


@command(noun, "check")
def check(printer: Printer, config: Config = _CONFIG) -> Exit | None:
    """Ask the server what is due, without doing it; exit code 3 where nothing is."""
    from otaru.apps.agent import settings, show

    due = show.check(settings.read(config))
    if due is None:
        remark("Nothing is due.")
        return Exit.NOTHING_TO_DO
    printer.details(due, due.items())
    return None


@command(noun, "install")
def install(
    printer: Printer,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder of `otaru bundle export`: a stick.")],
    receipts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the receipt goes; BUNDLE/receipts.", show_default=False),
    ] = None,
    config: Config = _CONFIG,
) -> Exit | None:
    """Install what a stick has for this device, without a network. Stop the agent first; after a restart it goes on."""
    from otaru.apps.agent import install as medium
    from otaru.apps.agent import settings

    done = medium.install(settings.read(config), bundle, receipts)
    told = done.told()
    printer.details(told, told.items())
    if done.unwritten:
        remark(f"No receipt: {done.unwritten}.")
    if done.restarts:
        remark("The device restarts; run this again afterwards for the receipt.")
        return Exit.PARTLY
    return _left(done)


def _left(done: "Installed") -> Exit | None:
    """With which exit code it leaves."""
    from otaru.domain.update import Outcome
    from otaru.trust.verify.refusals import REFUSALS

    past = done.past
    if past is None:
        return Exit.REFUSED
    if not done.new:
        return Exit.NOTHING_TO_DO
    if past.outcome is Outcome.SUCCEEDED:
        return None
    return Exit.REFUSED if past.outcome is Outcome.REJECTED or past.code in REFUSALS else Exit.FAILED


@command(noun, "approve")
def approve(printer: Printer, config: Config = _CONFIG) -> None:
    """Say yes to the update that waits for this device's owner; exit code 3 where none does."""
    from otaru.apps.agent import settings, show
    from otaru.domain.link import Answer

    due = show.decide(settings.read(config), Answer.APPROVE)
    printer.details(due, due.items())


@command(noun, "postpone")
def postpone(
    printer: Printer,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Ask again in 30m, 2h, 7d.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Ask again then.", show_default=False)] = None,
    config: Config = _CONFIG,
) -> None:
    """Put off the update that waits for this device's owner; exit code 3 where none does, 4 where it may not be put off."""
    from otaru.apps.agent import settings, show
    from otaru.domain.link import Answer

    if (for_ is None) == (until is None):
        raise InvalidInputError("an update is postponed until a moment, or for so long", hint="Give --until or --for.")
    later = duration(for_) if for_ is not None else datetime.fromisoformat(moment(until or ""))
    due = show.decide(settings.read(config), Answer.POSTPONE, later)
    printer.details(due, due.items())


@command(noun, "reject")
def reject(
    printer: Printer,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why: it is shown to the operator.")] = "",
    config: Config = _CONFIG,
) -> None:
    """Say no, for good, to the update that waits for this device's owner; exit code 3 where none does."""
    from otaru.apps.agent import settings, show
    from otaru.domain.link import Answer

    due = show.decide(settings.read(config), Answer.REJECT, reason=_written(reason))
    printer.details(due, due.items())


@command(noun, "rollback")
def rollback(
    printer: Printer,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why: the server is told.")] = "a person at the device",
    config: Config = _CONFIG,
) -> None:
    """Go back to the version before the last update. Stop the agent first, and start it again afterwards.

    Exit code 3 where there is none to go back to, 4 where a security counter forbids it.
    """
    from otaru.apps.agent import settings, show

    found = show.roll_back(settings.read(config), _written(reason))
    printer.details(found, found.items())


@command(noun, "doctor")
def doctor(printer: Printer, config: Config = _CONFIG) -> Exit | None:
    """Look at all that an update of this device needs; exit code 1 where something keeps updates from going through."""
    from otaru.apps.agent import doctor as room
    from otaru.apps.agent import settings

    found = room.examine(settings.read(config))
    shown = [one.told() for one in found]
    columns = [field("What"), field("", "grade"), field("", "said")]
    printer.table({"good": not room.is_bad(found), "findings": shown}, shown, columns)
    return Exit.FAILED if room.is_bad(found) else None


@command(noun, "lift")
def lift(config: Config = _CONFIG) -> Exit | None:
    """Try releases again that have failed on this device too often. Stop the agent first."""
    from otaru.apps.agent import settings, show

    if show.lift(settings.read(config)):
        return None
    remark("No release is quarantined here.")
    return Exit.NOTHING_TO_DO


@command(noun, "backups")
def backups(printer: Printer, config: Config = _CONFIG) -> None:
    """List the backups that are on this device, the newest first."""
    from otaru.apps.agent import saving, settings

    told = settings.read(config)
    found = saving.backups(told)
    columns = (
        field("Name"),
        field("At"),
        ("Before", lambda row: row["release"]),
        ("Of", lambda row: row["items"]),
        field("Size"),
    )
    printer.table(found, found, columns)
    if found and (why := saving.withheld(told)):
        remark(f"otaru: the newest one is not at the server: {why}")


@command(noun, "restore")
def restore(
    printer: Printer,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which; else the newest.", show_default=False)
    ] = None,
    config: Config = _CONFIG,
) -> None:
    """Put back what a backup holds, over what is there now. Stop the agent first; exit code 3 where there is none."""
    from otaru.apps.agent import saving, settings

    restored = saving.restore(settings.read(config), name)
    printer.result({"restored": restored}, f"Backup {restored} is put back.")


@command(noun, "sharing")
def sharing(
    printer: Printer,
    telemetry: Annotated[bool | None, typer.Option(help="Whether the device tells how it fares.")] = None,
    diagnostics: Annotated[bool | None, typer.Option(help="Whether it sends its diagnostics when asked.")] = None,
    commands: Annotated[
        bool | None, typer.Option(help="Whether it runs commands, reboots and puts backups back when asked.")
    ] = None,
    config: Config = _CONFIG,
) -> None:
    """Say what this device's owner lets it share, or change it. It comes before what the server and agent.toml say."""
    from otaru.apps.agent import remote, settings

    found = remote.share(settings.read(config), telemetry=telemetry, diagnostics=diagnostics, commands=commands)
    shown = {name: getattr(found, name) for name in ("telemetry", "diagnostics", "commands")}
    printer.details(shown, shown.items())


def _written(words: str) -> str:
    """What a terminal in another encoding has sent, too, as something that can be kept."""
    return words.encode(errors="replace").decode()
