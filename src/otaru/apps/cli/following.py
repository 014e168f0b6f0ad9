"""`otaru group follow`, `unfollow` and `follows`: groups that are kept on the newest release of a channel."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from otaru.apps.cli import groups, plans
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.groups import FOLLOWS, Name
from otaru.apps.cli.printer import Printer, field, one_line, remark
from otaru.apps.cli.rollout_options import Standing, Stream

noun = groups.noun


@command(noun, "follow")
def follow(
    api: Api,
    printer: Printer,
    name: Name,
    standing: Standing,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what that would do now, and change nothing.")] = False,
) -> Exit | None:
    """Keep a group on the newest release of a channel, by a rollout of each.

    Given again, it holds in the new way from the next release on. Devices that come to be in the group join.
    """
    if dry_run:
        return _proposed(printer, name, api.post(path("groups", name, "follows", "preview"), standing.body()))
    kept = api.post(path("groups", name, "follows"), standing.body())
    printer.result(kept, f"{name} follows {kept['product']} {kept['channel']}: {_standing(kept)}.")
    return None


@command(noun, "unfollow")
def unfollow(api: Api, printer: Printer, name: Name, stream: Stream) -> None:
    """Have a group follow a channel no longer.

    A rollout that is under way goes on for the members that it has, and nobody joins it any more.
    """
    here = path("groups", name, "follows", stream.product, stream.channel)
    kept = api.get(here)
    api.delete(here)
    printer.result(kept, f"{name} follows {stream.product} {stream.channel} no longer.")


@command(noun, "follows")
def follows(
    api: Api,
    printer: Printer,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    product: Annotated[str | None, typer.Option(help="Only of this product.", show_default=False)] = None,
    channel: Annotated[str | None, typer.Option(help="Only of channels of this name.", show_default=False)] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only where somebody has to see to it.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List which groups follow which channels, and how that stands."""
    page = api.pages(
        "/follows", limit=limit, cursor=cursor, group=name, product=product, channel=channel, stuck=stuck or None
    )
    printer.table(page, page["items"], (field("Group"), *FOLLOWS))
    more(printer, page)


def _standing(kept: Mapping[str, Any]) -> str:
    """How a standing order stands, in words."""
    last = kept.get("rollout")
    said = [] if last is None else [f"rollout {last['id']} of {kept['product']} {last['version']} is {last['state']}"]
    waits = one_line(kept["waits"]).rstrip(".")
    return "; ".join([*said, waits] if waits else said) or "nothing was done yet"


def _proposed(printer: Printer, name: str, found: Mapping[str, Any]) -> Exit | None:
    if found["makes"]:
        plans.show(printer, found["plan"], hours=False)
        if found["supersedes"] is not None:
            remark(f"otaru: it would supersede rollout {found['supersedes']}")
        return None
    if printer.json:
        printer.document(found)
    remark(
        f"otaru: nothing would be done now: {found['waits'] or f'the newest release is on its way to {name} already'}"
    )
    return Exit.NOTHING_TO_DO
