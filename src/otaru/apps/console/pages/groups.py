"""Groups of devices: the list, one of them, and the forms that make and change them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.happening import told
from otaru.apps.console.rendering import link, segment
from otaru.domain import ids
from otaru.domain.events import START, Kind
from otaru.domain.group import MAX_DESCRIPTION, GroupName, group_name
from otaru.domain.targeting import MAX_LENGTH
from otaru.errors import AlreadyExistsError, InvalidInputError, InvalidStateError, QuerySyntaxError, TooLargeError
from otaru.services.control import following, groups, survey
from otaru.services.control.groups import Change, NewGroup

ROWS = 100
FIRST = 20
LINES = 20
FOLLOWS = 50
_CHANGES = frozenset(kind for kind in Kind if kind.startswith("group."))
_Refusal = InvalidInputError | AlreadyExistsError | InvalidStateError | TooLargeError


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, and what is wrong with it, by field."""

    name: str = ""
    query: str = ""
    description: str = ""
    devices: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)


async def index(call: Call) -> Response:
    """Groups by name."""
    after = call.asked("after")
    found = await groups.page(call.world, call.tenant, after or None, ROWS + 1)
    return await call.show(
        "groups.html", groups=found[:ROWS], after=after, following=found[ROWS - 1].name if len(found) > ROWS else ""
    )


async def new(call: Call) -> Response:
    """The form, with the query that somebody wants to save."""
    return await _form(call, Form(query=call.asked("q")))


async def create(call: Call) -> Response:
    """Make a group."""
    sent = await call.fields()
    form = Form(sent.get("name", ""), sent.get("query", ""), sent.get("description", ""))
    try:
        name = group_name(form.name)
    except InvalidInputError as error:
        return await _form(call, _with(form, "name", error), 422)
    query = form.query if sent.get("kind") != "list" else None
    try:
        await groups.create(call.world, call.tenant, call.actor, NewGroup(name, query, form.description))
    except QuerySyntaxError as error:
        return await _form(call, _with(form, "query", error), 422)
    except (AlreadyExistsError, TooLargeError) as error:
        return await _form(call, _with(form, "name", error), 422)
    return call.lead(_page_of(name))


async def show(call: Call) -> Response:
    """One group: who is in it, and what it is made of."""
    return await _show(call, _name(call))


async def change(call: Call) -> Response:
    """Change a group's query, or what it is for."""
    name, sent = _name(call), await call.fields()
    wanted = Change(sent.get("query"), sent.get("description"))
    try:
        await groups.change(call.world, call.tenant, call.actor, name, wanted)
    except (InvalidInputError, InvalidStateError, TooLargeError) as error:
        typed = Form(query=sent.get("query", ""), description=sent.get("description", ""))
        return await _show(call, name, _with(typed, "query", error), 422)
    return call.lead(_page_of(name))


async def members(call: Call) -> Response:
    """Put devices on a list, or take them off it."""
    name, sent = _name(call), await call.fields()
    typed = sent.get("devices", "")
    work = groups.leave if sent.get("order") == "leave" else groups.enter
    try:
        devices = [ids.device_id(word) for word in typed.replace(",", " ").split()]
        done = await work(call.world, call.tenant, call.actor, name, devices)
    except (InvalidInputError, InvalidStateError, TooLargeError) as error:
        return await _show(call, name, _with(Form(devices=typed), "devices", error), 422)
    if done.unknown:
        words = f"There are none of these; all others are done: {', '.join(done.unknown[:10])}"
        return await _show(call, name, Form(devices="\n".join(done.unknown), wrong={"devices": words}), 422)
    return call.lead(_page_of(name))


async def delete(call: Call) -> Response:
    """Delete a group."""
    name = _name(call)
    try:
        await groups.remove(call.world, call.tenant, call.actor, name)
    except InvalidStateError as error:
        return await _show(call, name, _with(Form(), "group", error), 409)
    return call.lead("/groups")


async def _form(call: Call, form: Form, status: int = 200) -> Response:
    return await call.show("group_new.html", status, form=form, max_query=MAX_LENGTH, max_description=MAX_DESCRIPTION)


async def _show(call: Call, name: GroupName, form: Form | None = None, status: int = 200) -> Response:
    group = await groups.get(call.world, call.tenant, name)
    target = f"group=={ids.name(group.name)}"
    try:
        first = (await survey.devices(call.world, call.tenant, target, None, FIRST + 1)).devices
        broken = ""
    except QuerySyntaxError as error:  # what it is made of is none any more
        first, broken = (), _words(error)
    happened = await survey.events(call.world, call.tenant, START, LINES, name, newest=True)
    return await call.show(
        "group.html",
        status,
        group=group,
        here=_page_of(name),
        target=target,
        first=first[:FIRST],
        more=len(first) > FIRST,
        broken=broken,
        form=form or Form(query=group.query or "", description=group.description),
        timeline=[told(one) for one in happened if one.what.kind in _CHANGES],
        follows=await following.page(call.world, call.tenant, None, FOLLOWS, group=name),
        update=link("/rollouts/new", target=target),
        max_query=MAX_LENGTH,
        max_description=MAX_DESCRIPTION,
    )


def _name(call: Call) -> GroupName:
    return GroupName(call.step("group"))


def _page_of(name: str) -> str:
    return f"/groups/{segment(name)}"


def _with(form: Form, place: str, error: _Refusal) -> Form:
    return Form(form.name, form.query, form.description, form.devices, {place: _words(error)})


def _words(error: _Refusal) -> str:
    words = error.message[:1].upper() + error.message[1:]
    return f"{words}. {error.hint}" if error.hint else f"{words}."
