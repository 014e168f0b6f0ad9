"""`/devices/{device}/backups`: what a device has saved here before updates."""

from typing import Annotated

from fastapi import Path

from otaru.apps.server.api.call import Reading
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.backups import BackupOut
from otaru.apps.server.api.models.fields import DeviceName
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, number
from otaru.domain.backup import Backup
from otaru.domain.ids import DeviceId
from otaru.services.control import backups

router = noun("/devices", tag="devices")

Id = Annotated[DeviceName, Path(description="The device's id.")]


@router.get("/{device}/backups", responses=errors(404))
async def list_backups(call: Reading, device: Id, wanted: Wanted) -> Items[BackupOut]:
    """List the backups that a device has sent, newest first; the last three are kept. Their bytes are artifacts."""
    before = wanted.after(number)
    found = await backups.of_device(call.world, call.tenant, DeviceId(device))
    older = [one for one in found if before is None or _place(one) < before[0]]
    items, following = wanted.page(older[: wanted.limit + 1], BackupOut.of, lambda one: (_place(one),))
    return Items(items=items, next=following)


def _place(backup: Backup) -> int:
    return int(backup.begun_at.timestamp() * 1_000_000)
