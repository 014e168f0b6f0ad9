"""The form by which a group follows a channel, and the button that ends it."""

from starlette.responses import Response

from otaru.apps.console.call import Call, Fields
from otaru.apps.console.rendering import segment
from otaru.apps.console.rollout_form import CHOICES, TICKS, Draft, words
from otaru.apps.console.rollout_reading import read_standing
from otaru.domain import ids
from otaru.domain.access import Permission
from otaru.domain.following import Stream
from otaru.domain.group import GroupName
from otaru.domain.terms import DEFAULT_CHANNEL, channel
from otaru.errors import ForbiddenError, InvalidInputError, InvalidStateError, NotFoundError, TooLargeError
from otaru.services.control import following, groups, products
from otaru.services.control.following import Proposed, Wanted

PRODUCTS = 200
"""Products to choose from; others can be typed."""


async def ask(call: Call) -> Response:
    """The form."""
    asked = {"product": call.asked("product"), "channel": call.asked("channel") or DEFAULT_CHANNEL}
    draft, *_ = read_standing({}, call.now)
    return await _form(call, asked, draft)


async def order(call: Call) -> Response:
    """Have the group follow the channel that was typed, or say what that would do now."""
    sent = await call.fields()
    draft, policy, growth, reason = read_standing({**dict.fromkeys(TICKS, ""), **sent}, call.now)
    if draft.typed["ignore_blackout"] and not call.visitor.may(Permission.WRITE_TENANT):
        refused = ForbiddenError(f"the role {call.visitor.role} may not ignore blackouts", hint="An admin may.")
        draft = draft.blamed("ignore_blackout", refused)
    asked = {name: sent.get(name, "") for name in ("product", "channel")}
    wrong: dict[str, str] = {}
    try:
        product = ids.product_name(asked["product"])
    except InvalidInputError as error:
        wrong["product"] = words(error)
    try:
        channel(asked["channel"])
    except InvalidInputError as error:
        wrong["channel"] = words(error)
    if wrong or draft.wrong:
        return await _form(call, asked, draft, wrong, 422)
    stream = Stream(GroupName(call.step("group")), product, asked["channel"])
    await groups.get(call.world, call.tenant, stream.group)
    wanted = Wanted(stream, policy, growth, reason)
    try:
        if sent.get("look"):
            proposed = await following.propose(call.world, call.tenant, wanted)
            return await _form(call, asked, draft, proposed=proposed)
        await following.follow(call.world, call.tenant, call.actor, wanted)
    except NotFoundError as error:
        return await _form(call, asked, draft, {"product": words(error)}, 422)
    except (InvalidInputError, InvalidStateError, TooLargeError) as error:
        return await _form(call, asked, draft.blamed("", error), wrong, 422)
    return call.lead(_page_of(stream.group))


async def end(call: Call) -> Response:
    """End a standing order."""
    stream = Stream(
        GroupName(call.step("group")), ids.product_name(call.step("product")), channel(call.step("channel"))
    )
    await following.unfollow(call.world, call.tenant, call.actor, stream)
    return call.lead(_page_of(stream.group))


async def _form(
    call: Call,
    asked: Fields,
    draft: Draft,
    wrong: Fields | None = None,
    status: int = 200,
    proposed: Proposed | None = None,
) -> Response:
    group = await groups.get(call.world, call.tenant, call.step("group"))
    return await call.show(
        "group_follow.html",
        status,
        group=group,
        here=_page_of(group.name),
        asked=asked,
        wrong=wrong or {},
        draft=draft,
        proposed=proposed,
        choices=CHOICES,
        standing=True,
        products=await products.page(call.world, call.tenant, None, PRODUCTS),
    )


def _page_of(name: str) -> str:
    return f"/groups/{segment(name)}"
