"""`/devices/{device}/errands`: what a device is asked to do beside updates."""

from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Once, Reading
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.errands import ErrandIn, ErrandOut
from otaru.apps.server.api.models.fields import DeviceName, WholeNumber
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, number
from otaru.domain.errand import MAX_NUMBER
from otaru.domain.ids import DeviceId
from otaru.services.control import errands

router = noun("/devices", tag="devices")

Id = Annotated[DeviceName, Path(description="The device's id.")]
Number = Annotated[WholeNumber, Path(ge=1, le=MAX_NUMBER, description="The errand's number, of this device.")]


@router.post("/{device}/errands", status_code=201, response_model=ErrandOut, responses=errors(404, 409, 413, 507))
async def ask_device(call: DeviceWork, once: Once, device: Id, body: ErrandIn) -> Response:
    """Ask a device for its diagnostics, a command that it allows, a reboot, or to put a backup back: with its next poll."""
    return await once(
        call,
        lambda world: errands.ask(world, call.tenant, call.actor, DeviceId(device), body.parsed()),
        lambda _, made: ErrandOut.of(made),
        201,
    )


@router.get("/{device}/errands", responses=errors(404))
async def list_errands(call: Reading, device: Id, wanted: Wanted) -> Items[ErrandOut]:
    """List what a device was asked for, newest first."""
    before = wanted.after(number)
    key = None if before is None else before[0]
    found = await errands.of_device(call.world, call.tenant, DeviceId(device), key, wanted.limit + 1)
    items, following = wanted.page(found, ErrandOut.of, lambda one: (one.number,))
    return Items(items=items, next=following)


@router.get("/{device}/errands/{errand:number}", responses=errors(404))
async def show_errand(call: Reading, device: Id, errand: Number) -> ErrandOut:
    """Show what a device was asked for, and how it went."""
    return ErrandOut.of(await errands.show(call.world, call.tenant, DeviceId(device), errand))


@router.post("/{device}/errands/{errand:number}/cancel", response_model=ErrandOut, responses=errors(404, 409, 507))
async def cancel_errand(call: DeviceWork, once: Once, device: Id, errand: Number) -> Response:
    """Call off what a device has not taken yet: then it is never run."""
    return await once(
        call,
        lambda world: errands.cancel(world, call.tenant, call.actor, DeviceId(device), errand),
        lambda _, called_off: ErrandOut.of(called_off),
    )


@router.get("/{device}/errands/{errand:number}/diagnostics", response_class=Response, responses=errors(404, 507))
async def fetch_diagnostics(call: DeviceWork, device: Id, errand: Number) -> Response:
    """Fetch the diagnostics that a device sent, a .tar.gz. Who does stands in the audit log."""
    found = await errands.bundle(call.world, call.tenant, call.actor, DeviceId(device), errand)
    name = f"diagnostics-{errand}.tar.gz"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(found, media_type="application/gzip", headers=headers)
