"""`/groups/GROUP/follows` and `/follows`: groups that follow channels."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Query, Response

from otaru.apps.server.api.call import Edition, Once, Reading, RolloutWork, answered, check_emergency
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import ChannelText, Name
from otaru.apps.server.api.models.following import FollowIn, FollowOut, ProposedOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain import terms
from otaru.domain.following import Stream
from otaru.domain.group import GroupName, group_name
from otaru.domain.ids import ProductName, product_name
from otaru.ports.store import Tx
from otaru.services.control import following
from otaru.services.control.following import Kept
from otaru.services.control.world import World

router = noun(tag="groups")

Group = Annotated[Name, Path(description="The group's name.")]
Product = Annotated[Name, Path(description="The product's name.")]
Channel = Annotated[ChannelText, Path(description="The channel's name.")]


@router.post(
    "/groups/{group}/follows", status_code=201, response_model=FollowOut, responses=errors(404, 409, 412, 413, 507)
)
async def follow_channel(call: RolloutWork, once: Once, group: Group, edition: Edition, body: FollowIn) -> Response:
    """Have a group follow a channel: each release of it that becomes the newest is rolled out to the group.

    Of a channel that it follows already: have it do so in another way, from the next release on.
    """
    check_emergency(call, ignores=body.ignore_blackout)

    def work(world: World) -> Awaitable[Kept]:
        return following.follow(world, call.tenant, call.actor, body.parsed(group), edition)

    def show(_: Tx, kept: Kept) -> FollowOut:
        return FollowOut.of(kept)

    return await once(call, work, show, 201)


@router.post("/groups/{group}/follows/preview", response_model=ProposedOut, responses=errors(404, 409))
async def preview_follow(call: Reading, group: Group, body: FollowIn) -> Response:
    """Say what following a channel would do now, without doing it."""
    check_emergency(call, ignores=body.ignore_blackout)
    return answered(ProposedOut.of(await following.propose(call.world, call.tenant, body.parsed(group))))


@router.get("/groups/{group}/follows/{product}/{channel}", response_model=FollowOut, responses=errors(404))
async def show_follow(call: Reading, group: Group, product: Product, channel: Channel) -> Response:
    """Show a standing order: the rollout that it made last, and what it waits for."""
    stream = Stream(GroupName(group), ProductName(product), channel)
    return answered(FollowOut.of(await following.show(call.world, call.tenant, stream)))


@router.delete("/groups/{group}/follows/{product}/{channel}", status_code=204, responses=errors(404, 507))
async def unfollow_channel(call: RolloutWork, group: Group, product: Product, channel: Channel) -> None:
    """End a standing order. A live rollout of it goes on for the members that it has; nobody joins it any more."""
    stream = Stream(GroupName(group), ProductName(product), channel)
    await following.unfollow(call.world, call.tenant, call.actor, stream)


@router.get("/follows", responses=errors())
async def list_follows(
    call: Reading,
    wanted: Wanted,
    group: Annotated[Name | None, Query(description="Only of this group.")] = None,
    product: Annotated[Name | None, Query(description="Only of this product.")] = None,
    channel: Annotated[ChannelText | None, Query(description="Only of channels of this name.")] = None,
    stuck: Annotated[bool, Query(description="Only those that need a person.")] = False,
) -> Items[FollowOut]:
    """List standing orders by group, product and channel."""
    after = wanted.after(text(group_name), text(product_name), text(terms.channel))
    found = await following.page(
        call.world,
        call.tenant,
        Stream(*after) if after else None,
        wanted.limit + 1,
        group=None if group is None else GroupName(group),
        product=None if product is None else ProductName(product),
        channel=channel,
        stuck=stuck,
    )
    items, cursor = wanted.page(found, FollowOut.of, _place)
    return Items(items=items, next=cursor)


def _place(kept: Kept) -> tuple[str, str, str]:
    stream = kept.following.stream
    return stream.group, stream.product, stream.channel
