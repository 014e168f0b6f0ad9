"""Fleets of 1,000 to 1,000,000 devices, made by the store itself in bulk, once, and kept in `.cache/fleets`.

Each device has a model (of 4), two tags (one of 100, and `canary` for 1 in 100), three attributes (`region` of 20,
`serial`, `sw_version`) and runs app 1.0.0. Ids and tokens are those of `subjects.fleet`.
"""

import asyncio
import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from benchmarks.subjects import TENANT, Device, fleet
from otaru.adapters.sql import migrate
from otaru.adapters.sql.store import open_store
from otaru.domain.device import Device as Known
from otaru.domain.device import Hardware, Installed, Lifecycle, Source
from otaru.domain.ids import DeviceId, TenantId, Version
from otaru.domain.tenant import Tenant
from otaru.ports.store import Tx, one

_CACHE = Path(__file__).parent / ".cache" / "fleets"
_SHAPE = 1
"""Grows when devices are made otherwise."""
_BATCH = 2_000
_AT = datetime(2026, 11, 21, 8, tzinfo=UTC)


def database(size: int) -> Path:
    """A database with that fleet and nothing else; made where it is missing. Not to be changed: copy it."""
    path = _CACHE / f"{size}-{_SHAPE}.db"
    if not path.exists() or not migrate.check(f"sqlite:///{path}").ok:
        print(f"{size:,} devices: making the fleet, once", flush=True)
        _CACHE.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        making = path.with_suffix(".making")
        for leftover in _CACHE.glob(f"{making.name}*"):
            leftover.unlink()
        asyncio.run(fill(f"sqlite:///{making}", size))
        with closing(sqlite3.connect(making)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        making.rename(path)
        print(f"  made in {time.monotonic() - began:.0f} s, {path.stat().st_size / 2**20:.0f} MiB", flush=True)
    return path


def copy(size: int, to: Path) -> None:
    """A copy that may be changed, on the disk before anything is measured."""
    shutil.copyfile(database(size), to)
    descriptor = os.open(to, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def model(number: int) -> str:
    """The hardware of a device."""
    return f"model-{number % 4}"


async def fill(url: str, size: int) -> None:
    """Put a fleet into an empty database."""
    migrate.upgrade(url)
    store = open_store(url)
    try:
        await store.write(_add_tenant, Tenant(TenantId(TENANT), _AT))
        devices = fleet(size)
        for first in range(0, size, _BATCH):
            some = [(number, devices[number]) for number in range(first, min(first + _BATCH, size))]
            await store.write(_add, [_made(number, device) for number, device in some])
    finally:
        await store.close()


@one
def _add_tenant(tx: Tx, tenant: Tenant) -> bool:
    return tx.tenants.add(tenant)


@one
def _add(tx: Tx, batch: list[tuple[Known, bytes]]) -> list[bool]:
    return tx.devices.add(TenantId(TENANT), batch)


def _made(number: int, device: Device) -> tuple[Known, bytes]:
    known = Known(
        id=DeviceId(device.id),
        lifecycle=Lifecycle.ACTIVE,
        hardware=Hardware(model(number)),
        created_at=_AT,
        updated_at=_AT,
        tags=frozenset({f"ring-{number % 97:02}"} | ({"canary"} if number % 100 == 7 else set())),
        attributes={"region": f"eu-{number % 19:02}", "serial": f"SN{number:09}", "sw_version": "1.0.0"},
        installed=(Installed("app", Version("1.0.0"), Source.FACTORY, _AT),),
        attributes_requested=False,
    )
    return known, sha256(device.token.encode()).digest()
