"""Backups come from devices in parts, go on where they were, and the newest stay. To the server they are bytes.

Once it is whole a backup is stored bytes of the tenant, under its digest: it counts against the quota, and is fetched as any.
Bytes that somebody has uploaded as well, or that are in a release, stay when the backup goes.
One is under way for a device at a time: who begins another one gives the first up.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.backup import KEPT, MAX_SIZE, QUOTA_SHARE, Backup
from otaru.domain.ids import DeviceId, Sha256, TenantId
from otaru.domain.release import Blob
from otaru.errors import ChecksumMismatchError, InvalidInputError, NotFoundError, TooLargeError
from otaru.ports.store import Tx, one
from otaru.services.control import artifacts, devices
from otaru.services.control.world import World


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a backup, of so many bytes in all with this digest."""

    name: str
    first: int
    content: bytes
    size: int
    sha256: Sha256


async def of_device(world: World, tenant: TenantId, device: DeviceId) -> list[Backup]:
    """A device's whole backups whose bytes are here, the newest first.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[Backup]:
        devices.found(tx, tenant, device)
        found = tx.backups.of_device(tenant, device)
        return [one for one in found if one.finished_at is not None and tx.blobs.get(tenant, one.sha256) is not None]

    return await world.store.read(look)


async def received(world: World, tenant: TenantId, device: DeviceId, sha256: Sha256) -> int:
    """How many bytes of a backup are here: where its device goes on."""
    known = await world.store.glance(lambda tx: tx.backups.get(tenant, device, sha256))
    return 0 if known is None else await _here(world, known)


async def receive(world: World, tenant: TenantId, device: DeviceId, part: Part) -> int:
    """Take a part of a backup; how many bytes are here then. One that does not continue changes nothing.

    Raises:
        InvalidInputError: the part goes beyond the end.
        TooLargeError: it is larger than MAX_SIZE, or than what is left for backups, or of the quota.
        InvalidStateError: another part is being taken right now.
        ChecksumMismatchError: all are here, and they are others: they are forgotten.
        StorageFullError: the disk is full.
    """
    if not 0 < part.size <= MAX_SIZE:
        raise TooLargeError(f"a backup has at most {MAX_SIZE} bytes", limit=MAX_SIZE)
    if part.first + len(part.content) > part.size:
        raise InvalidInputError("the part goes beyond the end")
    known = await world.store.glance(lambda tx: tx.backups.get(tenant, device, part.sha256))
    here = 0 if known is None else await _here(world, known)
    if known is not None and known.finished_at is not None:
        return here
    if part.first != here or not part.content:
        return here
    if known is None or here == 0:
        known = await _begin(world, tenant, device, part)
    here = await world.blobs.append(known.upload, part.first, _chunks(part.content))
    if here < known.size:
        return here
    try:
        blob = await world.blobs.finish(known.upload, part.sha256)
    except ChecksumMismatchError:
        await world.store.write(_forget, (tenant, known))
        raise
    await world.store.write(_keep, (tenant, known, blob, world.clock.now()))
    return here


async def _here(world: World, known: Backup) -> int:
    if known.finished_at is not None:
        return known.size
    try:
        return await world.blobs.offset(known.upload)
    except NotFoundError:  # nobody has gone on with it for long
        return 0


async def _begin(world: World, tenant: TenantId, device: DeviceId, part: Part) -> Backup:
    new = Backup(device, part.sha256, part.name, part.size, world.clock.unique(), world.clock.now())
    for upload in await world.store.write(_enter, (tenant, new)):
        await world.blobs.abort(upload)
    await world.blobs.begin(new.upload, new.size)
    return new


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


@one
def _enter(tx: Tx, asked: tuple[TenantId, Backup]) -> list[str]:
    """Enter a new one; uploads that it takes the place of."""
    tenant, new = asked
    given_up = [one for one in tx.backups.of_device(tenant, new.device) if one.finished_at is None]
    for one_ in given_up:
        tx.backups.remove(tenant, new.device, one_.sha256)
    artifacts.left(tx, tenant, new.size)
    known = tx.tenants.get(tenant)
    most = 0 if known is None else known.settings.quota // QUOTA_SHARE
    if tx.backups.size(tenant) + new.size > most:
        raise TooLargeError(
            f"{new.size} bytes; backups may have {most} bytes together, half of the tenant's quota",
            hint="Delete backups (otaru artifact remove), or raise the quota.",
            limit=most,
        )
    tx.backups.put(tenant, new)
    return [one_.upload for one_ in given_up]


@one
def _forget(tx: Tx, asked: tuple[TenantId, Backup]) -> None:
    tenant, backup = asked
    tx.backups.remove(tenant, backup.device, backup.sha256)


@one
def _keep(tx: Tx, asked: tuple[TenantId, Backup, Blob, datetime]) -> None:
    tenant, backup, blob, now = asked
    tx.blobs.add(tenant, blob, now, uploaded=False)
    tx.backups.put(tenant, replace(backup, finished_at=now))
    whole = [one for one in tx.backups.of_device(tenant, backup.device) if one.finished_at is not None]
    for old in whole[KEPT:]:
        tx.backups.remove(tenant, old.device, old.sha256)
        tx.blobs.drop(tenant, old.sha256)
