"""`/devices/{device}/backups`: what a device has saved here before updates."""

from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Reading
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.backups import BackupOut
from otaru.apps.server.api.models.fields import DeviceName, Digest
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, number
from otaru.apps.server.api.routes.artifacts import CONTENT, Content
from otaru.domain.backup import Backup
from otaru.domain.ids import DeviceId, Sha256
from otaru.services.control import backups

router = noun("/devices", tag="devices")

Id = Annotated[DeviceName, Path(description="The device's id.")]
Hash = Annotated[Digest, Path(description="The backup's SHA-256.")]


@router.get("/{device}/backups", responses=errors(404))
async def list_backups(call: Reading, device: Id, wanted: Wanted) -> Items[BackupOut]:
    """List the backups that a device has sent, newest first; the last three are kept."""
    before = wanted.after(number)
    found = await backups.of_device(call.world, call.tenant, DeviceId(device))
    older = [one for one in found if before is None or _place(one) < before[0]]
    items, following = wanted.page(older[: wanted.limit + 1], BackupOut.of, lambda one: (_place(one),))
    return Items(items=items, next=following)


@router.get("/{device}/backups/{sha256}/content", response_class=Response, responses=CONTENT | errors(404, 507))
async def fetch_backup(call: DeviceWork, device: Id, sha256: Hash) -> Response:
    """Download a backup, or a Range of it: encrypted, as the device sent it. Who does stands in the audit log."""
    found = await backups.fetched(call.world, call.tenant, call.actor, DeviceId(device), Sha256(sha256))
    return Content(call, found, f"{found.name}.age")


@router.delete("/{device}/backups/{sha256}", status_code=204, responses=errors(404, 507))
async def delete_backup(call: DeviceWork, device: Id, sha256: Hash) -> None:
    """Delete a backup here; what the device has stays there. Who does stands in the audit log."""
    await backups.delete(call.world, call.tenant, call.actor, DeviceId(device), Sha256(sha256))


def _place(backup: Backup) -> int:
    return int(backup.begun_at.timestamp() * 1_000_000)
