"""`/fleet`: all devices at a glance."""

from typing import Annotated

from fastapi import Query, Response

from otaru.apps.server.api.call import Reading, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.devices import CompletionOut, FieldOut, FieldsOut
from otaru.apps.server.api.models.fields import LINE, WholeNumber
from otaru.apps.server.api.models.fleet import FleetOut, HistoryOut
from otaru.apps.server.api.models.health import SpreadOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items
from otaru.domain.targeting import MAX_LENGTH
from otaru.services.control import completion, fleet, health

router = noun("/fleet", tag="fleet")


@router.get("", response_model=FleetOut, responses=errors())
async def show_fleet(call: Reading) -> Response:
    """Show how many devices are what, and what waits for a person. It takes no longer for a million devices."""
    return answered(FleetOut.of(await fleet.summary(call.world, call.tenant)))


@router.get("/versions", response_model=HistoryOut, responses=errors())
async def list_fleet_versions(
    call: Reading,
    days: Annotated[WholeNumber, Query(ge=1, le=fleet.MAX_DAYS, description="How far back.")] = 30,
) -> Response:
    """Show how many devices ran each version, and when."""
    return answered(HistoryOut.of(await fleet.versions(call.world, call.tenant, days)))


@router.get("/telemetry", responses=errors())
async def list_fleet_telemetry(call: Reading) -> Items[SpreadOut]:
    """List how the last telemetry of all devices lies: how many tell it, and its quantiles."""
    found = await health.spreads(call.world, call.tenant)
    return Items(items=[SpreadOut.of(one) for one in found], next=None)


@router.get("/completion", response_model=CompletionOut, responses=errors())
async def complete_query(
    call: Reading,
    q: Annotated[str, Query(max_length=MAX_LENGTH, pattern=LINE, description="A target that is being written.")] = "",
    at: Annotated[
        WholeNumber | None, Query(ge=0, le=MAX_LENGTH, description="Where the cursor is, in characters; else its end.")
    ] = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=100, description="How many at most.")] = 20,
) -> Response:
    """Say what may follow in a target at a cursor: fields, operators, values that the fleet has, groups."""
    found = await completion.following(call.world, call.tenant, q, len(q) if at is None else at, limit)
    return answered(CompletionOut.of(found))


@router.get("/fields", response_model=FieldsOut, responses=errors())
async def list_device_fields(
    call: Reading,
    values: Annotated[
        WholeNumber, Query(ge=1, le=completion.MAX_VALUES, description="At most so many values of each.")
    ] = 20,
) -> Response:
    """List what a target can ask for: the fields, their operators, and the values that the fleet has."""
    known = await completion.fields(call.world, call.tenant, values)
    return answered(FieldsOut(items=[FieldOut.of(one) for one in known]))
