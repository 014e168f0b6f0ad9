"""`/blackouts`: times in which no rollout offers anything new."""

from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import Once, Reading, TenantWork
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.blackouts import BlackoutIn, BlackoutOut
from otaru.apps.server.api.models.fields import WholeNumber
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, number
from otaru.services.control import blackouts, tenants

router = noun("/blackouts", tag="tenant")

Id = Annotated[WholeNumber, Path(ge=1, lt=2**31, description="The blackout's number.")]


@router.get("", responses=errors())
async def list_blackouts(call: Reading, wanted: Wanted) -> Items[BlackoutOut]:
    """List the tenant's blackouts, oldest first; also those that are over."""
    after = wanted.after(number)
    known, now = await tenants.get(call.world, call.tenant), call.world.clock.now()
    found = [one for one in known.blackouts if after is None or one.id > after[0]][: wanted.limit + 1]
    items, following = wanted.page(
        found, lambda one: BlackoutOut.of(one, known.settings.zone, now), lambda one: (one.id,)
    )
    return Items(items=items, next=following)


@router.post("", status_code=201, response_model=BlackoutOut, responses=errors(409, 507))
async def add_blackout(call: TenantWork, once: Once, body: BlackoutIn) -> Response:
    """Add a blackout. While it lasts nothing new is offered; who has been told goes on."""
    zone, now = (await tenants.get(call.world, call.tenant)).settings.zone, call.world.clock.now()
    return await once(
        call,
        lambda world: blackouts.add(world, call.tenant, call.actor, body.parsed()),
        lambda _, added: BlackoutOut.of(added, zone, now),
        201,
    )


@router.delete("/{blackout:number}", status_code=204, responses=errors(404, 507))
async def remove_blackout(call: TenantWork, blackout: Id) -> None:
    """Remove a blackout, whether it lasts or not."""
    await blackouts.remove(call.world, call.tenant, call.actor, blackout)
