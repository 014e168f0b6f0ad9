"""What is said of monitoring: of groups of devices, and what counts for one device. Of all devices: `/tenant`."""

from typing import Annotated

from fastapi import Path

from otaru.apps.server.api.call import Reading, TenantWork
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import DeviceName, Name
from otaru.apps.server.api.models.monitoring import GroupMonitoringIn, GroupMonitoringOut, SettledOut
from otaru.apps.server.api.noun import noun
from otaru.domain.group import GroupName
from otaru.domain.ids import DeviceId
from otaru.services.control import monitoring

router = noun()

Group = Annotated[Name, Path(description="The group's name.")]
Device = Annotated[DeviceName, Path(description="The device's id.")]


@router.patch("/groups/{group}/monitoring", responses=errors(404, 413, 507), tags=["groups"])
async def monitor_group(call: TenantWork, group: Group, body: GroupMonitoringIn) -> GroupMonitoringOut:
    """Say what a group's devices measure and tell, and what they may be asked for; it comes before the tenant's settings."""
    said = await monitoring.say(call.world, call.tenant, call.actor, GroupName(group), body.parsed())
    return GroupMonitoringOut.of(said)


@router.delete("/groups/{group}/monitoring", status_code=204, responses=errors(404, 507), tags=["groups"])
async def unmonitor_group(call: TenantWork, group: Group) -> None:
    """Say nothing of a group's devices any more."""
    await monitoring.unsay(call.world, call.tenant, call.actor, GroupName(group))


@router.get("/devices/{device}/monitoring", responses=errors(404), tags=["devices"])
async def show_monitoring(call: Reading, device: Device) -> SettledOut:
    """Show what counts for a device of what its tenant and its groups say of monitoring."""
    return SettledOut.of(await monitoring.of_device(call.world, call.tenant, DeviceId(device)))
