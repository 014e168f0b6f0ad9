"""`/attributes`: the types of attributes; and attributes of a device, with what became of them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Reading, TenantWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.attributes import ChangeOut, DeclaredOut, DeclareIn, FactOut, SeenAttribute
from otaru.apps.server.api.models.fields import DeviceName, Name
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, number, text
from otaru.domain.ids import DeviceId
from otaru.services.control import declaring

router = noun(tag="attributes")

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

Id = Annotated[Name, Path(description="The attribute's name.")]
Device = Annotated[DeviceName, Path(description="The device's id.")]


@router.post("/attributes", response_model=DeclaredOut, responses=errors(413, 507))
async def declare_attribute(call: TenantWork, body: DeclareIn) -> Response:
    """Declare an attribute's type. It answers when all that devices have of it is read: of a million, a minute."""
    return answered(DeclaredOut.of(await declaring.declare(call.world, call.tenant, call.actor, body.name, body.kind)))


@router.get("/attributes", responses=errors())
async def list_attributes(call: Reading) -> Items[SeenAttribute]:
    """List declared attributes by name."""
    found = await declaring.listed(call.world, call.tenant)
    return Items(items=[SeenAttribute.seen(one) for one in found], next=None)


@router.delete("/attributes/{attribute}", status_code=204, responses=errors(404, 507))
async def drop_attribute(call: TenantWork, attribute: Id) -> None:
    """Declare no type of it any more: values stay, as text."""
    await declaring.drop(call.world, call.tenant, call.actor, attribute)


@router.get("/devices/{device}/attributes", responses=errors(404))
async def list_device_attributes(call: Reading, device: Device) -> Items[FactOut]:
    """List a device's attributes, with their types."""
    found = await declaring.of_device(call.world, call.tenant, DeviceId(device))
    return Items(items=[FactOut.of(one) for one in found], next=None)


@router.get("/devices/{device}/attributes/history", responses=errors(404))
async def list_attribute_changes(call: Reading, device: Device, wanted: Wanted) -> Items[ChangeOut]:
    """List what became of a device's attributes, newest first."""
    before = wanted.after(number, text(str))
    key = None if before is None else (EPOCH + timedelta(microseconds=before[0]), before[1])
    found = await declaring.changes(call.world, call.tenant, DeviceId(device), key, wanted.limit + 1)
    items, following = wanted.page(found, ChangeOut.of, lambda c: ((c.at - EPOCH) // MICROSECOND, c.name))
    return Items(items=items, next=following)


@router.delete("/devices/{device}/attributes/history", status_code=204, responses=errors(404, 507))
async def purge_attribute_changes(call: DeviceWork, device: Device) -> None:
    """Forget what became of a device's attributes; what they are stays."""
    await declaring.purge(call.world, call.tenant, call.actor, DeviceId(device))
