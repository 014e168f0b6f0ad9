"""`/events`: what happened, and what happens."""

from typing import Annotated

from fastapi import Header, Query, Response

from otaru.apps.server.api.call import Call, Reading
from otaru.apps.server.api.errors import Documented, errors
from otaru.apps.server.api.models.events import EventOut
from otaru.apps.server.api.models.fields import LINE
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.apps.server.api.stream import Live
from otaru.domain.events import START, Position, position
from otaru.errors import InvalidInputError
from otaru.services.control import survey

router = noun("/events", tag="events")

After = Annotated[
    str | None, Query(max_length=40, description="A position: what happened after it.", examples=["0-42"])
]
Subject = Annotated[str | None, Query(max_length=300, pattern=LINE, description="Only what happened to this.")]


def _position(said: str) -> Position:
    try:
        return position(said)
    except ValueError as error:
        raise InvalidInputError(str(error), hint="Positions are the `id`s of events.") from None


@router.get("", responses=errors())
async def list_events(
    call: Reading,
    wanted: Wanted,
    after: After = None,
    subject: Subject = None,
    newest: Annotated[bool, Query(description="Newest first; `after` then means before.")] = False,
) -> Items[EventOut]:
    """List what happened, in its order."""
    place = wanted.after(text(_position))
    start = place[0] if place else _position(after) if after else START
    found = await survey.events(call.world, call.tenant, start, wanted.limit + 1, subject, newest=newest)
    items, following = wanted.page(found, EventOut.of, lambda recorded: (str(recorded.at),))
    return Items(items=items, next=following)


_STREAM: Documented = {200: {"description": "One event after the other.", "content": {"text/event-stream": {}}}}


@router.get("/stream", response_class=Response, responses={**_STREAM, **errors()})
async def stream_events(
    call: Reading,
    after: After = None,
    subject: Subject = None,
    brief: Annotated[
        bool, Query(description="Say only that something happened (`changed`), at most once a second.")
    ] = False,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=40, description="The last one that was seen.")
    ] = None,
) -> Response:
    """Follow what happens, as server-sent events: from after Last-Event-ID or `after`, else from now on."""
    start = await _start(call, last_event_id or after)
    return Live(call.request.app.state.streams, call, start, subject, brief=brief)


async def _start(call: Call, said: str | None) -> Position:
    return _position(said) if said else await survey.end_of_record(call.world)
