"""What happened, newest first, in words."""

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.happening import GROUPS, told
from otaru.apps.console.rendering import link
from otaru.domain.events import START, Kind, Position, position
from otaru.errors import InvalidInputError
from otaru.services.control import survey

PAGE = 50
MAX_SUBJECT = 300


async def show(call: Call) -> Response:
    """The record: all of it, one kind, one subject; in pages by position."""
    group, subject, before = call.asked("kind"), call.asked("subject")[:MAX_SUBJECT], call.asked("before")
    wrong, start = "", START
    kinds: tuple[Kind, ...] = ()
    try:
        kinds, start = _kinds(group), _place(before)
    except InvalidInputError as error:
        wrong = error.message
    found = []
    if not wrong and "\0" not in subject:
        found = await survey.events(call.world, call.tenant, start, PAGE + 1, subject or None, newest=True, kinds=kinds)
    here = {"kind": group, "subject": subject}
    following = link("/events", **here, before=str(found[PAGE - 1].at)) if len(found) > PAGE else ""
    return await call.show(
        "events.html",
        422 if wrong else 200,
        happenings=[told(recorded) for recorded in found[:PAGE]],
        groups=GROUPS,
        group=group,
        subject=subject,
        before=before,
        first=link("/events", **here) if before else "",
        following=following,
        wrong=wrong,
    )


def _kinds(group: str) -> tuple[Kind, ...]:
    """The kinds of events that a filter means."""
    if not group:
        return ()
    if group not in GROUPS:
        raise InvalidInputError(f"There is no kind of event called {group[:50]!r}.")
    return GROUPS[group][1]


def _place(before: str) -> Position:
    """The place in the record where a page begins."""
    try:
        return position(before) if before else START
    except ValueError:
        raise InvalidInputError("The address of this page is damaged: begin at the first page.") from None
