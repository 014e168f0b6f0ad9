"""Backups come from devices in parts, go on where they were, and the newest stay. To the server they are bytes.

Once it is whole a backup is stored bytes of the tenant, under its digest: it counts against the quota. It is fetched and deleted
here and nowhere else (`artifacts` refuses), so that each is an event, and an entry of the audit log. One is under way for a device
at a time: who begins another one gives the first up.

Bytes that somebody has uploaded as well are an artifact, too, and stay when the backup goes.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.backup import KEPT, MAX_SIZE, Backup
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, Sha256, TenantId
from otaru.domain.release import Blob
from otaru.errors import BackupsOffError, ChecksumMismatchError, InvalidInputError, NotFoundError, TooLargeError
from otaru.ports.store import Tx, one
from otaru.services.control import artifacts, devices
from otaru.services.control.world import SYSTEM, Actor, World


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


async def fetched(world: World, tenant: TenantId, actor: Actor, device: DeviceId, sha256: Sha256) -> Backup:
    """A backup whose bytes are about to be given out (`world.blobs`): who gets them stands in the record.

    Raises:
        NotFoundError: the device has no such backup here.
    """
    return await world.store.write(_fetched, (tenant, actor, device, sha256, world.clock.now()))


async def delete(world: World, tenant: TenantId, actor: Actor, device: DeviceId, sha256: Sha256) -> None:
    """Delete one; the device may send it again only where it has made another one.

    Raises:
        NotFoundError: the device has no such backup here.
    """
    await world.store.write(_delete, (tenant, actor, device, sha256, world.clock.now()))


async def received(world: World, tenant: TenantId, device: DeviceId, sha256: Sha256) -> int:
    """How many bytes of a backup are here: where its device goes on.

    Raises:
        BackupsOffError: the tenant takes none.
    """
    await _check_taken(world, tenant)
    known = await world.store.glance(lambda tx: tx.backups.get(tenant, device, sha256))
    return 0 if known is None else await _here(world, known)


async def receive(world: World, tenant: TenantId, device: DeviceId, part: Part) -> int:
    """Take a part of a backup; how many bytes are here then. One that does not continue changes nothing.

    Raises:
        BackupsOffError: the tenant takes none.
        InvalidInputError: the part goes beyond the end.
        TooLargeError: it is larger than MAX_SIZE, or than what is left for backups, or of the quota.
        InvalidStateError: another part is being taken right now.
        ChecksumMismatchError: all are here, and they are others: they are forgotten.
        StorageFullError: the disk is full.
    """
    await _check_taken(world, tenant)
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


async def _check_taken(world: World, tenant: TenantId) -> None:
    known = await world.registry.tenant(tenant)
    if known is None or not known.settings.backups:
        raise BackupsOffError("this tenant takes no backups: they stay on the device")


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
    most = 0 if known is None else known.settings.backup_limit
    if tx.backups.size(tenant) + new.size > most:
        raise TooLargeError(
            f"{new.size} bytes; backups of this tenant may have {most} bytes together",
            hint="Delete backups (otaru device drop-backup), or raise their quota, or the tenant's: they have half of it at most.",
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
    _record(tx, tenant, Actor(f"device:{backup.device}"), backup, "taken", now)
    whole = [one for one in tx.backups.of_device(tenant, backup.device) if one.finished_at is not None]
    for old in whole[KEPT:]:
        _drop(tx, tenant, old)
        _record(tx, tenant, SYSTEM, old, "replaced", now)


@one
def _fetched(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, Sha256, datetime]) -> Backup:
    tenant, actor, device, sha256, now = asked
    backup = _found(tx, tenant, device, sha256)
    _record(tx, tenant, actor, backup, "fetched", now)
    return backup


@one
def _delete(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, Sha256, datetime]) -> None:
    tenant, actor, device, sha256, now = asked
    backup = _found(tx, tenant, device, sha256)
    _drop(tx, tenant, backup)
    _record(tx, tenant, actor, backup, "deleted", now)


def _found(tx: Tx, tenant: TenantId, device: DeviceId, sha256: Sha256) -> Backup:
    devices.found(tx, tenant, device)
    backup = tx.backups.get(tenant, device, sha256)
    if backup is None or backup.finished_at is None or tx.blobs.get(tenant, sha256) is None:
        raise NotFoundError(f"device {device} has no backup {sha256[:16]} here", hint="See otaru device backups.")
    return backup


def _drop(tx: Tx, tenant: TenantId, backup: Backup) -> None:
    tx.backups.remove(tenant, backup.device, backup.sha256)
    tx.blobs.drop(tenant, backup.sha256)


def _record(tx: Tx, tenant: TenantId, actor: Actor, backup: Backup, to: str, now: datetime) -> None:
    facts = {"backup": backup.name, "sha256": backup.sha256, "size": backup.size, "to": to}
    tx.events.add([Happening(tenant, now, actor.name, Kind.DEVICE_BACKUP, backup.device, facts)])
