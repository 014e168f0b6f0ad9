"""`/groups`: saved queries, and lists of devices."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Edition, Once, Reading, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import Name
from otaru.apps.server.api.models.groups import GroupChange, GroupIn, GroupOut, ListedOut, MembersIn, SizedGroup
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain.group import Group, GroupName, group_name
from otaru.ports.store import Tx
from otaru.services.control import groups
from otaru.services.control.world import World

router = noun("/groups", tag="groups")

Id = Annotated[Name, Path(description="The group's name.")]


@router.post("", status_code=201, response_model=GroupOut, responses=errors(409, 413, 507))
async def create_group(call: DeviceWork, once: Once, body: GroupIn) -> Response:
    """Make a group: of a query, or an empty list. In a target `group==NAME` stands for it."""

    def work(world: World) -> Awaitable[Group]:
        return groups.create(world, call.tenant, call.actor, body.parsed())

    def show(_: Tx, made: Group) -> GroupOut:
        return GroupOut.of(made)

    return await once(call, work, show, 201)


@router.get("", responses=errors())
async def list_groups(call: Reading, wanted: Wanted) -> Items[GroupOut]:
    """List groups by name. Their devices: `GET /devices?q=group==NAME`."""
    after = wanted.after(text(group_name))
    found = await groups.page(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    items, following = wanted.page(found, GroupOut.of, lambda group: (group.name,))
    return Items(items=items, next=following)


@router.get("/{group}", response_model=SizedGroup, responses=errors(404))
async def show_group(call: Reading, group: Id) -> Response:
    """Show a group, and how many devices are in it now."""
    return answered(SizedGroup.sized(await groups.show(call.world, call.tenant, group)))


@router.patch("/{group}", response_model=GroupOut, responses=errors(404, 409, 412, 413, 507))
async def change_group(call: DeviceWork, group: Id, edition: Edition, body: GroupChange) -> Response:
    """Change a group. Rollouts that were planned keep their members."""
    changed = await groups.change(call.world, call.tenant, call.actor, GroupName(group), body.parsed(), edition)
    return answered(GroupOut.of(changed))


@router.delete("/{group}", status_code=204, responses=errors(404, 409, 507))
async def delete_group(call: DeviceWork, group: Id) -> None:
    """Delete a group that no other is made of. Its devices stay."""
    await groups.remove(call.world, call.tenant, call.actor, GroupName(group))


@router.post("/{group}/members", response_model=ListedOut, responses=errors(404, 409, 413, 507))
async def add_members(call: DeviceWork, group: Id, body: MembersIn) -> Response:
    """Put up to 1000 devices on a static group's list."""
    return answered(
        ListedOut.of(await groups.enter(call.world, call.tenant, call.actor, GroupName(group), body.parsed()))
    )


@router.post("/{group}/members/remove", response_model=ListedOut, responses=errors(404, 409, 413, 507))
async def remove_members(call: DeviceWork, group: Id, body: MembersIn) -> Response:
    """Take up to 1000 devices off it."""
    return answered(
        ListedOut.of(await groups.leave(call.world, call.tenant, call.actor, GroupName(group), body.parsed()))
    )
