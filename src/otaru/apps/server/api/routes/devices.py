"""`/devices`: the fleet's inventory."""

import re
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Path, Query, Response

from otaru.apps.server.api.call import JSON, DeviceWork, Edition, Once, Reading, answered
from otaru.apps.server.api.caller import Caller
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.devices import (
    AddedDevice,
    BatchIn,
    BatchOut,
    BecauseOut,
    DeviceChange,
    DeviceIn,
    DevicePage,
    DeviceShown,
    LifecycleIn,
    ReportOut,
    TokenIn,
    TokenOfDevice,
    Why,
    page_of_devices,
)
from otaru.apps.server.api.models.fields import DeviceName, Target, WholeNumber
from otaru.apps.server.api.models.health import HealthEventOut, MeasuredOut, TakenOut, TellIn
from otaru.apps.server.api.noun import PREFIX, noun
from otaru.apps.server.api.paging import MAX_CURSOR, Items, Paging, Wanted, number, text
from otaru.domain import ids
from otaru.domain.access import Permission, may
from otaru.domain.device import Device
from otaru.domain.ids import MAX_ACTION, ActionId, DeviceId, TenantId
from otaru.domain.targeting import MAX_LENGTH
from otaru.ports.store import Tx
from otaru.services.control import devices, health, survey
from otaru.services.control.devices import Added, Batch
from otaru.services.control.world import World

router = noun("/devices", tag="devices")

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
LIST = f"{PREFIX}/devices"
_PLAIN_LIMIT = re.compile(r"[1-9][0-9]{0,2}|1000", re.ASCII)

Id = Annotated[DeviceName, Path(description="The device's id.")]


@router.post("", status_code=201, response_model=AddedDevice, responses=errors(409, 413, 507))
async def add_device(call: DeviceWork, once: Once, body: DeviceIn) -> Response:
    """Add a device. Its token is shown in this answer only."""

    def work(world: World) -> Awaitable[Added]:
        return devices.add(world, call.tenant, call.actor, body.parsed())

    def show(_: Tx, added: Added) -> AddedDevice:
        return AddedDevice.added(added)

    return await once(call, work, show, 201)


@router.post("/batch", response_model=BatchOut, responses=errors(409, 413, 507))
async def add_devices(call: DeviceWork, once: Once, body: BatchIn) -> Response:
    """Add up to 1000 devices. Those whose id is taken are left out and named."""

    def work(world: World) -> Awaitable[Batch]:
        return devices.add_many(world, call.tenant, call.actor, [d.parsed() for d in body.devices])

    def show(_: Tx, batch: Batch) -> BatchOut:
        return BatchOut.of(batch)

    return await once(call, work, show)


@router.post("/events", response_model=TakenOut, responses=errors(413, 507))
async def tell_events(call: DeviceWork, body: TellIn) -> Response:
    """Bring what up to 1000 events tell of devices, as a gateway does. Who is unknown or tells too much is named."""
    return answered(TakenOut.of(await health.tell_for(call.world, call.tenant, body.parsed())))


@router.get("", response_model=DevicePage, responses=errors())
async def list_devices(
    call: Reading,
    wanted: Wanted,
    q: Annotated[Target | None, Query(description="Which: a target, as in a rollout.")] = None,
    count: Annotated[bool, Query(description="Whether to say how many there are in all.")] = False,
) -> Response:
    """List devices by id, all or those of a target."""
    return Response(await _page(call.world, call.tenant, wanted, q, count=count), media_type=JSON)


async def list_at_once(world: World, caller: Caller, query: bytes) -> bytes | None:
    """What `list_devices` answers; None where anything is unusual or to be refused: the framework is asked then.

    It costs more than finding and writing the page.
    """
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    asked = dict(fields)
    if len(asked) < len(fields) or not asked.keys() <= {"limit", "q", "cursor"}:
        return None
    limit, q, cursor = asked.get("limit", "100"), asked.get("q"), asked.get("cursor")
    if not _PLAIN_LIMIT.fullmatch(limit) or not may(caller.role, Permission.READ):
        return None
    if not (q is None or (0 < len(q) <= MAX_LENGTH and q.isprintable())) or len(cursor or "") > MAX_CURSOR:
        return None
    return await _page(world, caller.tenant, Paging(int(limit), cursor), q, count=False)


async def _page(world: World, tenant: TenantId, wanted: Paging, q: str | None, *, count: bool) -> bytes:
    after = wanted.after(text(ids.device_id))
    first = after[0] if after else None
    found = await survey.devices(world, tenant, q, first, wanted.limit + 1, count=count)
    shown, following = wanted.cut(found.devices, lambda shown: (shown.device.id,))
    return page_of_devices(shown, following, found.total)


@router.get("/{device}", response_model=DeviceShown, responses=errors(404))
async def show_device(call: Reading, device: Id) -> Response:
    """Show a device: what runs on it, where it stands, its history."""
    return answered(DeviceShown.of(await survey.device(call.world, call.tenant, DeviceId(device))))


@router.patch("/{device}", response_model=DeviceShown, responses=errors(404, 409, 412, 413, 507))
async def change_device(call: DeviceWork, device: Id, edition: Edition, body: DeviceChange) -> Response:
    """Change what is known of a device; what is left out stays."""
    await devices.change(call.world, call.tenant, call.actor, DeviceId(device), body.parsed(), edition)
    return answered(DeviceShown.of(await survey.device(call.world, call.tenant, DeviceId(device))))


@router.delete("/{device}", status_code=204, responses=errors(404, 507))
async def decommission_device(call: DeviceWork, device: Id) -> None:
    """Take a device out of service for good: its credential dies at once, its deployments end."""
    await devices.decommission(call.world, call.tenant, call.actor, DeviceId(device))


@router.post("/{device}/lifecycle", response_model=DeviceShown, responses=errors(404, 409, 412, 507))
async def move_device(call: DeviceWork, once: Once, device: Id, edition: Edition, body: LifecycleIn) -> Response:
    """Accept or reject a pending device, quarantine, release or decommission one."""

    def work(world: World) -> Awaitable[Device]:
        return devices.move(world, call.tenant, call.actor, DeviceId(device), body.event, edition)

    def show(tx: Tx, moved: Device) -> DeviceShown:
        return DeviceShown.of(survey.device_in(tx, call.tenant, moved.id))

    return await once(call, work, show)


@router.post("/{device}/token", status_code=201, response_model=TokenOfDevice, responses=errors(404, 409, 507))
async def renew_token(call: DeviceWork, once: Once, device: Id, body: TokenIn | None = None) -> Response:
    """Give a device a new token; the old one dies. It is shown in this answer only."""

    def work(world: World) -> Awaitable[tuple[DeviceId, str]]:
        return devices.new_token(world, call.tenant, call.actor, DeviceId(device), body.token if body else None)

    def show(_: Tx, made: tuple[DeviceId, str]) -> TokenOfDevice:
        return TokenOfDevice(id=made[0], token=made[1])

    return await once(call, work, show, 201)


@router.get("/{device}/why", responses=errors(404))
async def explain_device(call: Reading, device: Id) -> Why:
    """Say why a device is not updated: the first rule of each rollout that holds it back."""
    answers = await survey.why(call.world, call.tenant, DeviceId(device))
    return Why(answers=[BecauseOut.of(answer) for answer in answers])


@router.get("/{device}/events", responses=errors(404))
async def list_device_events(call: Reading, device: Id, wanted: Wanted) -> Items[HealthEventOut]:
    """List what a device told of its health, newest first."""
    before = wanted.after(number, text(str))
    key = None if before is None else (EPOCH + timedelta(microseconds=before[0]), before[1])
    found = await health.of_device(call.world, call.tenant, DeviceId(device), key, wanted.limit + 1)
    items, following = wanted.page(found, HealthEventOut.of, lambda e: ((e.received_at - EPOCH) // MICROSECOND, e.id))
    return Items(items=items, next=following)


@router.get("/{device}/telemetry", responses=errors(404))
async def list_telemetry(call: Reading, device: Id) -> Items[MeasuredOut]:
    """List the last telemetry of a device, and since when it is that."""
    found = await health.telemetry(call.world, call.tenant, DeviceId(device))
    return Items(items=[MeasuredOut.of(one) for one in found], next=None)


@router.get("/{device}/actions/{action}/reports", responses=errors(404))
async def list_reports(
    call: Reading,
    device: Id,
    action: Annotated[
        WholeNumber, Path(ge=1, le=MAX_ACTION, description="The device's running number of the deployment.")
    ],
    limit: Annotated[WholeNumber, Query(ge=1, le=1000, description="How many at most.")] = 100,
) -> Items[ReportOut]:
    """List what a device said of an action, word for word, newest first."""
    found = await survey.reports(call.world, call.tenant, DeviceId(device), ActionId(action), limit)
    return Items(items=[ReportOut.of(report) for report in found], next=None)
