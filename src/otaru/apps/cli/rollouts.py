"""`otaru rollout`: bring a release to devices, in waves, and steer it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, one_line, remark
from otaru.apps.cli.progress import counts, details, sections, summary
from otaru.errors import InvalidStateError

noun = group("Rollouts: a release on its way to devices.")

Id = Annotated[int, typer.Argument(metavar="ID", min=1)]
Reason = Annotated[str, typer.Option(help="Why: kept in the record.")]
Release = Annotated[str, typer.Option(metavar="PRODUCT:VERSION", help="What to bring.")]
Target = Annotated[str, typer.Option(metavar="QUERY", help="To whom: 'id==dev-1', 'tag==lab;hardware==rpi4', 'id==*'.")]
Waves = Annotated[
    str | None, typer.Option(help="Heights: devices or percentages, 2,10,100%. None: all at once.", show_default=False)
]
Success = Annotated[
    str | None, typer.Option(metavar="SHARE", help="A wave passes when so many succeeded (90%).", show_default=False)
]
Error = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="A wave fails when more than so many failed (10%).", show_default=False),
]
Quorum = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="A wave is complete when so many have ended (100%).", show_default=False),
]
WaveTimeout = Annotated[str | None, typer.Option(metavar="TIME", help="… or after this time: 2h.", show_default=False)]
Observe = Annotated[
    str | None, typer.Option(metavar="TIME", help="How long a complete wave is watched: 30m.", show_default=False)
]
Expires = Annotated[
    str | None, typer.Option(metavar="TIME", help="Then who is not reached is skipped: 30d.", show_default=False)
]
OnError = Annotated[
    Literal["pause", "stop"] | None,
    typer.Option(help="What a failed wave does to the rollout (pause).", show_default=False),
]
Urgency = Annotated[
    Literal["forced", "soft"] | None,
    typer.Option(help="Whether the device may choose the moment (soft) or not (forced).", show_default=False),
]
Consent = Annotated[bool, typer.Option("--consent", help="The device or its owner is asked first.")]
MaintenanceWindow = Annotated[
    str | None,
    typer.Option(
        metavar="WINDOW",
        help="Tell devices only then: '02:00/4h Europe/Paris' (UTC), in each one's own zone '02:00/4h device', "
        "on some days '02:00/4h device FREQ=WEEKLY;BYDAY=SA,SU' (RFC 5545).",
        show_default=False,
    ),
]
StartAt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Start by itself then: 2026-05-01T04:00:00Z.", show_default=False)
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Segments of those alike, held on their own: hardware,version,attr.NAME.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Option(help="A name for people.")]


@command(noun, "create")
def create(
    api: Api,
    printer: Printer,
    release: Release,
    target: Target,
    name: Name = "",
    waves: Waves = None,
    success: Success = None,
    error: Error = None,
    quorum: Quorum = None,
    wave_timeout: WaveTimeout = None,
    observe: Observe = None,
    expires: Expires = None,
    on_error: OnError = None,
    urgency: Urgency = None,
    consent: Consent = False,
    window: MaintenanceWindow = None,
    split: Split = None,
    start_at: StartAt = None,
    start: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
) -> None:
    """Plan a rollout: who is a member is decided now."""
    body = _body(
        release,
        target,
        name,
        waves,
        success,
        error,
        quorum,
        wave_timeout,
        observe,
        expires,
        on_error,
        urgency,
        consent,
        window,
        split,
        start_at,
    )
    made = api.post("/rollouts", body | {"start": start})
    printer.result(made, f"Rollout {made['id']}: {summary(made)}.{_to_come(made)}")


def _to_come(made: Mapping[str, Any]) -> str:
    """What starts a rollout that has just been made."""
    if made.get("started_at"):
        return ""
    if made.get("start_at"):
        return f" It starts by itself at {moment(made['start_at'])}."
    return f" Start it: otaru rollout start {made['id']}"


@command(noun, "preview")
def preview(
    api: Api,
    printer: Printer,
    release: Release,
    target: Target,
    name: Name = "",
    waves: Waves = None,
    success: Success = None,
    error: Error = None,
    quorum: Quorum = None,
    wave_timeout: WaveTimeout = None,
    observe: Observe = None,
    expires: Expires = None,
    on_error: OnError = None,
    urgency: Urgency = None,
    consent: Consent = False,
    window: MaintenanceWindow = None,
    split: Split = None,
    start_at: StartAt = None,
) -> None:
    """Say who would be a member, and change nothing."""
    body = _body(
        release,
        target,
        name,
        waves,
        success,
        error,
        quorum,
        wave_timeout,
        observe,
        expires,
        on_error,
        urgency,
        consent,
        window,
        split,
        start_at,
    )
    found = api.post("/rollouts/preview", body)
    printer.details(found, (("members", found["members"]), ("left out", counts(found.get("left_out", {})))))
    for warning in found.get("warnings", ()):
        remark(f"otaru: {warning}")
    columns = (
        ("Wave", lambda w: found["waves"].index(w) + 1),
        ("Devices", lambda w: w["height"] - w["start"]),
        ("Up to", lambda w: w["height"]),
    )
    printer.section("Waves", found.get("waves", ()), columns)


def _body(
    release: str,
    target: str,
    name: str,
    waves: str | None,
    success: str | None,
    error: str | None,
    quorum: str | None,
    wave_timeout: str | None,
    observe: str | None,
    expires: str | None,
    on_error: str | None,
    urgency: str | None,
    consent: bool,
    window: str | None,
    split: str | None,
    start_at: str | None,
) -> dict[str, Any]:
    """The request for a rollout: what was not named is left out, so that the server's defaults hold."""
    values.release(release)
    body: dict[str, Any] = {
        "release": release,
        "target": target,
        "name": name or None,
        "waves": None if waves is None else values.waves(waves),
        "success": None if success is None else values.share(success),
        "error": None if error is None else values.share(error),
        "quorum": None if quorum is None else values.share(quorum),
        "wave_timeout_s": None if wave_timeout is None else values.duration_s(wave_timeout),
        "observe_s": None if observe is None else values.duration_s(observe),
        "expires_in_s": None if expires is None else values.duration_s(expires),
        "on_error": on_error,
        "urgency": urgency,
        "consent": consent or None,
        "window": window,
        "split": None if split is None else [word.strip() for word in split.split(",") if word.strip()],
        "start_at": None if start_at is None else values.moment(start_at),
    }
    return {key: value for key, value in body.items() if value is not None}


@command(noun, "list")
def rollouts(
    api: Api,
    printer: Printer,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List rollouts, the newest first."""
    page = api.pages("/rollouts", limit=limit, cursor=cursor, state=state or None)
    columns = (
        field("Id"),
        field("Name"),
        ("Release", lambda r: f"{r['product']}:{r['version']}"),
        field("State"),
        field("Devices", "size"),
        ("Counts", lambda r: counts(r.get("counts", {}))),
        ("Started", lambda r: moment(r.get("started_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "show")
def show(api: Api, printer: Printer, rollout: Id) -> None:
    """Show a rollout: its waves, counts and failures."""
    found = api.get(path("rollouts", rollout))
    printer.details(found, details(found))
    for title, items, columns in sections(found):
        printer.section(title, items, columns)


@command(noun, "start")
def start(api: Api, printer: Printer, rollout: Id) -> Exit | None:
    """Open its first wave."""
    return _order(api, printer, rollout, "start", {"running"}, "")


@command(noun, "pause")
def pause(api: Api, printer: Printer, rollout: Id, reason: Reason = "") -> Exit | None:
    """Offer it to nobody new; who has begun goes on."""
    return _order(api, printer, rollout, "pause", {"paused"}, reason)


@command(noun, "resume")
def resume(api: Api, printer: Printer, rollout: Id, reason: Reason = "") -> Exit | None:
    """Go on.

    A wave that failed counts as passed by your word.
    """
    return _order(api, printer, rollout, "resume", {"running"}, reason)


@command(noun, "stop")
def stop(api: Api, printer: Printer, rollout: Id, reason: Reason = "") -> Exit | None:
    """End it for good.

    Who has not begun never will, who has is asked to cancel.
    """
    return _order(api, printer, rollout, "stop", {"stopping", "stopped"}, reason)


def _order(api: Api, printer: Printer, rollout: int, order: str, goal: set[str], reason: str) -> Exit | None:
    here = path("rollouts", rollout)
    try:
        moved: Mapping[str, Any] = api.post(f"{here}/{order}", {"reason": reason})
    except InvalidStateError:
        if (state := api.get(here)["state"]) not in goal:
            raise
        remark(f"otaru: rollout {rollout} is {state} already")
        return Exit.NOTHING_TO_DO
    printer.result(moved, f"Rollout {rollout}: {summary(moved)}.")
    return None


Segment = Annotated[int, typer.Argument(metavar="SEGMENT", min=1, help="Its number, as `rollout show` has it.")]


@command(noun, "hold-segment")
def hold_segment(api: Api, printer: Printer, rollout: Id, segment: Segment, reason: Reason = "") -> None:
    """Offer it to nobody new of one segment; the others go on."""
    _hold(api, printer, rollout, segment, "hold", reason)


@command(noun, "release-segment")
def release_segment(api: Api, printer: Printer, rollout: Id, segment: Segment, reason: Reason = "") -> None:
    """Have a held segment go on.

    Where the judge holds it, your word counts from now on.
    """
    _hold(api, printer, rollout, segment, "release", reason)


def _hold(api: Api, printer: Printer, rollout: int, segment: int, order: str, reason: str) -> None:
    done = api.post(path("rollouts", rollout, "segments", segment - 1, order), {"reason": reason})
    found = done["segments"][segment - 1]
    word = "is held" if found["held"] else "goes on"
    printer.result(done, f"Segment {segment} of rollout {rollout} ({one_line(found['name'])}) {word}.")


@command(noun, "retry")
def retry(
    api: Api,
    printer: Printer,
    rollout: Id,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only members in this state; may be given several times.", show_default=False),
    ] = None,
    reason: Reason = "",
) -> Exit | None:
    """Give members that failed another attempt."""
    here = path("rollouts", rollout)
    before = api.get(here)["edition"]
    after = api.post(f"{here}/retry", {"reason": reason} | ({"states": state} if state else {}))
    printer.result(after, f"Rollout {rollout}: {summary(after)}.")
    return Exit.NOTHING_TO_DO if after["edition"] == before else None


@command(noun, "devices")
def devices(
    api: Api,
    printer: Printer,
    rollout: Id,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List a rollout's members and where each is."""
    page = api.pages(path("rollouts", rollout, "deployments"), limit=limit, cursor=cursor, state=state or None)
    columns = (
        field("Device"),
        field("State"),
        ("Wave", lambda d: d["wave"] + 1),
        field("Attempt"),
        field("Action"),
        ("Reason", lambda d: one_line(d.get("reason") or "")),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "cancel")
def cancel(
    api: Api,
    printer: Printer,
    rollout: Id,
    device: Annotated[str, typer.Argument(metavar="DEVICE")],
    force: Annotated[bool, typer.Option("--force", help="Do not wait for the device's word.")] = False,
) -> None:
    """Take the update back from one device."""
    done = api.post(path("rollouts", rollout, "deployments", device, "cancel"), {"force": force})
    printer.result(done, f"{device} is {done['state']}.")


@command(noun, "watch")
def watch(
    api: Api,
    printer: Printer,
    rollout: Id,
    until: Annotated[str, typer.Option(help="finished, stopped, paused, or wave:N (wave N has opened).")] = "finished",
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Give up after this time (exit 1).", show_default=False)
    ] = None,
) -> Exit | None:
    """Follow a rollout until it has come so far.

    Exit 0: it has; 5: it ended with failures or was stopped; 1: the time was over.
    """
    from otaru.apps.cli.watch import watched

    return watched(api, printer, rollout, until, None if timeout is None else values.duration_s(timeout))
