"""`/fleet`: all devices at a glance."""

from typing import Annotated

from fastapi import Query, Response

from otaru.apps.server.api.call import Reading, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fleet import FleetOut, HistoryOut
from otaru.apps.server.api.noun import noun
from otaru.services.control import fleet

router = noun("/fleet", tag="fleet")


@router.get("", response_model=FleetOut, responses=errors())
async def show_fleet(call: Reading) -> Response:
    """Show how many devices are what, and what waits for a person. It takes no longer for a million devices."""
    return answered(FleetOut.of(await fleet.summary(call.world, call.tenant)))


@router.get("/versions", response_model=HistoryOut, responses=errors())
async def list_fleet_versions(
    call: Reading,
    days: Annotated[int, Query(ge=1, le=fleet.MAX_DAYS, description="How far back.")] = 30,
) -> Response:
    """Show how many devices ran each version, and when."""
    return answered(HistoryOut.of(await fleet.versions(call.world, call.tenant, days)))
