"""`otaru rollout`: bring a release to devices, in waves, and steer it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli import plans, values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, field, moment, one_line, remark
from otaru.apps.cli.progress import VERDICTS, counts, details, sections, summary
from otaru.apps.cli.rollout_options import Wanted
from otaru.errors import InvalidInputError, InvalidStateError

noun = group("Rollouts: a release on its way to devices.")

Id = Annotated[int, typer.Argument(metavar="ID", min=1)]
Reason = Annotated[str, typer.Option(help="Why: kept in the record.")]


@command(noun, "create")
def create(
    api: Api,
    printer: Printer,
    wanted: Wanted,
    start: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
) -> None:
    """Plan a rollout: who is a member is decided now."""
    body = wanted.body()
    made = api.post("/rollouts", body | {"start": start})
    printer.result(made, f"Rollout {made['id']}: {summary(made)}.{_to_come(made)}")


def _to_come(made: Mapping[str, Any]) -> str:
    """What starts a rollout that has just been made."""
    if made.get("started_at"):
        return ""
    if made["state"] == "awaiting_approval":
        return f" It waits for approval: otaru rollout approve {made['id']}"
    if made["state"] == "scheduled" and (first := made["policy"]["after"]) is not None:
        return f" It starts when rollout {first} has finished well."
    if made.get("start_at"):
        return f" It starts by itself at {moment(made['start_at'])}."
    return f" Start it: otaru rollout start {made['id']}"


@command(noun, "preview")
def preview(api: Api, printer: Printer, wanted: Wanted) -> None:
    """Say what `create` would make, and change nothing."""
    plans.show(printer, api.post("/rollouts/preview", wanted.body()), hours=False)


_PROPOSED = {"shape": "adaptive", "judge": "sequential"}


@command(noun, "plan")
def plan(
    api: Api,
    printer: Printer,
    wanted: Wanted,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Also play it as if the release were bad, and show it hour by hour.")
    ] = False,
    failure: Annotated[
        str, typer.Option(metavar="SHARE", help="Dry run: the share of updates that fail.", show_default=True)
    ] = "30%",
    start: Annotated[bool, typer.Option("--start", help="Make just this plan, and start it.")] = False,
) -> Exit | None:
    """Look at a rollout before it is made: who, in which order, how much, and how it would go.

    Without waves or a shape it is adaptive, split by hardware and version, and judged by e-values.
    """
    body, bad = wanted.body(), {"failure": values.share(failure)}
    body = ({} if body.keys() & {"waves", "shape", "rate"} else _PROPOSED) | body
    if "rate" not in body and not body.get("continuous"):  # those have no segments
        body = {"split": ["hardware", "version"]} | body
    if body.keys() & {"success", "error"} and wanted.judge is None:
        body.pop("judge", None)
    found = api.post("/rollouts/preview", body | (bad if dry_run else {}))
    if not start or not found["members"]:
        plans.show(printer, found, hours=dry_run)
        if found["members"]:
            return None
        remark("otaru: the target holds no device that this release is for")
        return Exit.NOTHING_TO_DO
    planned = {"seed": found["seed"], "members": found["members"]}
    made = api.post("/rollouts", body | {"planned": planned, "start": "start_at" not in body})
    printer.result(made | {"plan": found}, f"Rollout {made['id']}: {summary(made)}.{_to_come(made)}")
    return None


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


@command(noun, "verdicts")
def verdicts(
    api: Api,
    printer: Printer,
    rollout: Id,
    segment: Annotated[
        int | None, typer.Option(min=1, help="Only of this segment, as `rollout show` has it.", show_default=False)
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List what a sequential judge found over time, the newest first."""
    of = None if segment is None else segment - 1
    page = api.pages(path("rollouts", rollout, "verdicts"), limit=limit, cursor=cursor, segment=of)
    printer.table(page, page["items"], VERDICTS)
    more(printer, page)


@command(noun, "start")
def start(api: Api, printer: Printer, rollout: Id) -> Exit | None:
    """Open its first wave."""
    return _order(api, printer, rollout, "start", {"running"}, "")


@command(noun, "approve")
def approve(api: Api, printer: Printer, rollout: Id, reason: Reason = "") -> None:
    """Approve its start, or its next wave.

    What is approved starts at once, or at its own time.
    """
    moved = api.post(f"{path('rollouts', rollout)}/approve", {"reason": reason})
    printer.result(moved, f"Rollout {rollout}: {summary(moved)}.")


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


@command(noun, "install")
def install(
    api: Api,
    printer: Printer,
    rollout: Id,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="From then on: 2026-12-01T02:00:00Z.", show_default=False)
    ] = None,
    in_window: Annotated[bool, typer.Option("--in-window", help="Whenever the rollout's window is open.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the order back, before its moment.")] = False,
    reason: Reason = "",
) -> None:
    """Have devices install what they have downloaded, of a rollout with --download-only.

    At once, whatever its window says, unless a moment or the window is named. Ordered again before its moment, it is moved.
    """
    here = path("rollouts", rollout, "install")
    if withdraw and (at is not None or in_window):
        raise InvalidInputError("an order is given, or withdrawn", hint="Leave out --withdraw, or the rest.")
    if withdraw:
        moved = api.post(f"{here}/withdraw", {"reason": reason})
    else:
        when = {"in_window": True} if in_window else {} if at is None else {"at": values.moment(at)}
        moved = api.post(here, {"reason": reason, **when})
    printer.result(moved, f"Rollout {rollout}: {summary(moved)}.")


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


@command(noun, "rollback")
def rollback(
    api: Api,
    printer: Printer,
    rollout: Id,
    plan: Annotated[bool, typer.Option("--plan", help="Only say who would be brought back, and where.")] = False,
    reason: Reason = "",
) -> None:
    """Stop it, and bring its devices back to what they ran before.

    Where that is safe: each by a rollout of the release that it ran, canaries first.
    """
    here = path("rollouts", rollout, "rollback")
    found: Mapping[str, Any] = api.get(here) if plan else api.post(here, {"reason": reason})
    out = counts(found["left_out"])
    printer.details(found, (("brought back", found["members"]), ("left out", out)))
    columns = (
        ("Back to", lambda w: w["version"] or "unknown"),
        field("Devices"),
        ("Brought back", lambda w: w["members"]),
        ("Rollout", lambda w: w["rollout"] or ""),
        ("Left out", lambda w: one_line(w["why_not"] or counts(w["left_out"]))),
    )
    printer.section("Ways", found["ways"], columns)


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
