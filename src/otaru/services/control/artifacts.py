"""Bytes come in, at once or in parts, within the tenant's limits; they go when nobody needs them any more.

Bytes first, row second: `Blobs.finish` makes them durable under their digest, then one transaction gives the tenant a
row. What a crash leaves between the two is bytes without a row, which `sweep` removes once they are old enough; a row
without bytes cannot come to be as long as `finish` renews the age of bytes that are there already.

The limit of an upload is taken when it begins: the tenant's largest artifact, or what is left of its quota. Uploads at
the same time may each have been promised the rest of it, so the row is only given when the quota still holds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.ids import Sha256, TenantId
from otaru.domain.release import Blob
from otaru.errors import InvalidStateError, NotFoundError, TooLargeError
from otaru.ports.blobs import OpenBlob
from otaru.ports.store import Tx, one
from otaru.services.control.world import World

SWEEP_AFTER = timedelta(hours=24)
MAX_UPLOADS = 1000
"""Uploads that one tenant may have open; `housekeeping` forgets those that nobody ends."""
_SWEEP_BATCH = 50


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes of a tenant. `new` says whether this call gave the tenant its row."""

    blob: Blob
    created_at: datetime
    new: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts, and where it goes on."""

    id: str
    filename: str
    offset: int
    limit: int
    size: int | None = None
    """What it has to hold in the end, where that was announced."""


async def store(
    world: World,
    tenant: TenantId,
    chunks: AsyncIterator[bytes],
    size: int | None = None,
    expected: Sha256 | None = None,
) -> Stored:
    """Take in bytes at once. `size` is how many are announced, `expected` what their digest has to be.

    Nothing is kept of an upload that fails or breaks off.

    Raises:
        TooLargeError: they are, or are announced as, more than the tenant may upload.
        ChecksumMismatchError: their digest is another.
        StorageFullError: the disk is full.
    """
    limit = await _allowance(world, tenant, size)
    upload = world.clock.unique()
    try:
        await world.blobs.begin(upload, limit)
        await world.blobs.append(upload, 0, chunks)
        blob = await world.blobs.finish(upload, expected)
    except BaseException:
        await world.blobs.abort(upload)
        raise
    return await world.store.write(_keep, (tenant, None, blob, world.clock.now()))


async def begin(world: World, tenant: TenantId, filename: str, size: int | None = None) -> Upload:
    """Begin an upload in parts. `size`, where it is known, is what it has to hold in the end.

    Raises:
        TooLargeError: `size` is more than the tenant may upload, or it has MAX_UPLOADS open.
    """
    allowance = await _allowance(world, tenant, size)
    upload = Upload(world.clock.unique(), filename, 0, allowance if size is None else size, size)
    begun = await world.store.write(_begin, (tenant, upload, world.clock.now()))
    await world.blobs.begin(upload.id, upload.limit)
    return begun


async def progress(world: World, tenant: TenantId, upload: str) -> Upload:
    """An upload in parts, and where it goes on.

    Raises:
        NotFoundError: there is none; or it was left alone for so long that it is gone.
    """
    limit, filename, size = await _upload(world, tenant, upload)
    return Upload(upload, filename, await world.blobs.offset(upload), limit, size)


async def append(world: World, tenant: TenantId, upload: str, offset: int, chunks: AsyncIterator[bytes]) -> Upload:
    """Add bytes to an upload from `offset` on, which has to be where it ends. What arrived before a break is kept.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: it ends somewhere else, or somebody is adding to it right now.
        TooLargeError: it would pass its limit.
        StorageFullError: the disk is full.
    """
    limit, filename, size = await _upload(world, tenant, upload)
    return Upload(upload, filename, await world.blobs.append(upload, offset, chunks), limit, size)


async def finish(world: World, tenant: TenantId, upload: str, expected: Sha256 | None = None) -> Stored:
    """Make a complete upload an artifact.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: it has not reached the size that was announced; the upload stays.
        TooLargeError: the quota is used up meanwhile; the upload stays.
        ChecksumMismatchError: its digest is not `expected`; it is gone.
    """
    _, _, announced = await _upload(world, tenant, upload)
    size = await world.blobs.offset(upload)
    if announced is not None and size != announced:
        raise InvalidStateError(
            f"the upload ends at {size} of {announced}",
            hint=f"Go on from offset {size}, then finish it.",
            offset=size,
            allowed=["append", "abort"],
        )
    await _allowance(world, tenant, size)
    blob = await world.blobs.finish(upload, expected)
    return await world.store.write(_keep, (tenant, upload, blob, world.clock.now()))


async def abort(world: World, tenant: TenantId, upload: str) -> None:
    """Forget an upload and its bytes.

    Raises:
        NotFoundError: there is none.
    """
    await _upload(world, tenant, upload)
    await world.blobs.abort(upload)
    await world.store.write(_end, (tenant, upload))


async def show(world: World, tenant: TenantId, sha256: Sha256) -> Stored:
    """A tenant's bytes.

    Raises:
        NotFoundError: it has none of this digest.
    """
    return await world.store.glance(lambda tx: _found(tx, tenant, sha256))


async def page(world: World, tenant: TenantId, after: Sha256 | None, limit: int) -> list[tuple[Blob, datetime, int]]:
    """A tenant's bytes by digest: with time of making and in how many releases they stand."""
    return await world.store.read(lambda tx: tx.blobs.page(tenant, after, limit))


async def given(world: World, tenant: TenantId, sha256: Sha256) -> Stored:
    """A tenant's bytes that are about to be given out as an artifact.

    Raises:
        NotFoundError: it has none of this digest, or they are a backup of a device and nothing else.
    """

    def look(tx: Tx) -> Stored:
        stored = _found(tx, tenant, sha256)
        if tx.backups.alone(tenant, sha256):
            raise NotFoundError(f"{sha256} is a backup of a device", hint="See otaru device fetch-backup.")
        return stored

    return await world.store.glance(look)


def content(world: World, stored: Stored) -> AbstractContextManager[OpenBlob]:
    """The bytes themselves, open for reading."""
    return world.blobs.open(stored.blob.sha256)


async def delete(world: World, tenant: TenantId, sha256: Sha256) -> None:
    """Take bytes from a tenant. They leave the disk with a later sweep, once no tenant has them.

    Raises:
        NotFoundError: it has none of this digest.
        InvalidStateError: they stand in a release, and releases are for ever the same bytes; or are a backup of a device.
    """
    await world.store.write(_delete, (tenant, sha256))


async def sweep(world: World, after: timedelta = SWEEP_AFTER) -> tuple[int, int]:
    """Remove bytes that no tenant has a row for and uploads that nobody goes on with, older than `after`.

    Returns how many, and how many bytes that frees.
    """
    before = world.clock.now() - after
    count, freed = await world.blobs.sweep(before)
    old = await asyncio.to_thread(lambda: {sha256: size for sha256, size, at in world.blobs.stored() if at < before})
    digests = list(old)
    for start in range(0, len(digests), _SWEEP_BATCH):
        batch = digests[start : start + _SWEEP_BATCH]
        known = await _known(world, batch)
        for sha256 in batch:
            if sha256 not in known and await world.blobs.remove(sha256, before):
                count, freed = count + 1, freed + old[sha256]
    return count, freed


async def _known(world: World, digests: list[Sha256]) -> set[Sha256]:
    return await world.store.read(lambda tx: tx.blobs.every_known(digests))


async def _allowance(world: World, tenant: TenantId, size: int | None) -> int:
    """How many bytes one more artifact may have; `size`, where it is known, is held against it."""

    def look(tx: Tx) -> int:
        return left(tx, tenant, size or 0)

    return await world.store.glance(look)


def left(tx: Tx, tenant: TenantId, size: int) -> int:
    """How many bytes one more artifact of a tenant may have, within a transaction.

    Raises:
        TooLargeError: `size` is more.
    """
    known = tx.tenants.get(tenant)
    if known is None:
        raise NotFoundError(f"there is no tenant {tenant}")
    largest, quota = known.settings.max_artifact, known.settings.quota
    if size > largest:
        raise TooLargeError(f"{size} bytes; an artifact has at most {largest} here", limit=largest)
    left = quota - tx.blobs.used(tenant)
    if size > left:
        raise TooLargeError(
            f"{size} bytes; {max(left, 0)} are left of the tenant's quota",
            hint="Delete artifacts that stand in no release, or raise the quota.",
            limit=quota,
        )
    return max(min(largest, left), 0)


async def _upload(world: World, tenant: TenantId, upload: str) -> tuple[int, str, int | None]:
    """Limit, file name and announced size."""
    known = await world.store.glance(lambda tx: tx.blobs.upload(tenant, upload))
    if known is None:
        raise NotFoundError("there is no such upload")
    return known


@one
def _begin(tx: Tx, asked: tuple[TenantId, Upload, datetime]) -> Upload:
    tenant, upload, now = asked
    if tx.blobs.open_uploads(tenant) >= MAX_UPLOADS:
        raise TooLargeError(
            f"{MAX_UPLOADS} uploads are open already", hint="Finish or delete some of them.", limit=MAX_UPLOADS
        )
    tx.blobs.begin_upload(tenant, upload.id, upload.limit, upload.filename, now, upload.size)
    return upload


@one
def _keep(tx: Tx, asked: tuple[TenantId, str | None, Blob, datetime]) -> Stored:
    tenant, upload, blob, now = asked
    if upload is not None:
        tx.blobs.end_upload(tenant, upload)
    known = tx.blobs.get(tenant, blob.sha256)
    if known is not None:
        tx.blobs.claim(tenant, blob.sha256)  # also where a backup or a delta has brought them, and goes
        return Stored(*known)
    left(tx, tenant, blob.size)
    tx.blobs.add(tenant, blob, now)
    return Stored(blob, now, new=True)


@one
def _end(tx: Tx, asked: tuple[TenantId, str]) -> None:
    tx.blobs.end_upload(*asked)


@one
def _delete(tx: Tx, asked: tuple[TenantId, Sha256]) -> None:
    tenant, sha256 = asked
    _found(tx, tenant, sha256)
    if tx.backups.holds(tenant, sha256):
        raise InvalidStateError(f"{sha256} is a backup of a device", hint="See otaru device drop-backup.", allowed=[])
    if not tx.blobs.remove(tenant, sha256):
        raise InvalidStateError(
            f"artifact {sha256} stands in a release, or in a delta to one",
            hint="A release is for ever the same bytes.",
            allowed=[],
        )


def _found(tx: Tx, tenant: TenantId, sha256: Sha256) -> Stored:
    known = tx.blobs.get(tenant, sha256)
    if known is None:
        raise NotFoundError(f"there is no artifact {sha256}")
    return Stored(*known)
