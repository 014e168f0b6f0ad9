"""`/alerts`: when people are told of the fleet."""

from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Once, Reading
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.errands import AlertIn, AlertOut
from otaru.apps.server.api.models.fields import Name
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain import ids
from otaru.services.control import alerts

router = noun("/alerts", tag="fleet")

Called = Annotated[Name, Path(description="The alert's name.")]


@router.get("", responses=errors())
async def list_alerts(call: Reading, wanted: Wanted) -> Items[AlertOut]:
    """List alerts by name, and how they stand."""
    after = wanted.after(text(ids.name))
    found = await alerts.listed(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    items, following = wanted.page(found, AlertOut.of_alert, lambda one: (one.name,))
    return Items(items=items, next=following)


@router.post("", status_code=201, response_model=AlertOut, responses=errors(409, 413, 507))
async def add_alert(call: DeviceWork, once: Once, body: AlertIn) -> Response:
    """Add an alert: it is looked at within a minute, and then again and again."""
    return await once(
        call,
        lambda world: alerts.add(world, call.tenant, call.actor, body.parsed()),
        lambda _, added: AlertOut.of_alert(added),
        201,
    )


@router.get("/{alert}", responses=errors(404))
async def show_alert(call: Reading, alert: Called) -> AlertOut:
    """Show an alert, and how it stands."""
    return AlertOut.of_alert(await alerts.show(call.world, call.tenant, alert))


@router.delete("/{alert}", status_code=204, responses=errors(404, 507))
async def remove_alert(call: DeviceWork, alert: Called) -> None:
    """Remove an alert."""
    await alerts.remove(call.world, call.tenant, call.actor, alert)
