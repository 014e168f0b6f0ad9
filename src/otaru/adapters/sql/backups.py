"""Backups of devices in SQL."""

from dataclasses import dataclass
from typing import Any

from otaru.adapters.sql.lean import fetch, run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.backup import Backup
from otaru.domain.ids import DeviceId, Sha256, TenantId

_COLUMNS = "device, sha256, name, size, upload, begun_at, finished_at"
_GET = f"SELECT {_COLUMNS} FROM device_backup WHERE tenant = ? AND device = ? AND sha256 = ?"
_PUT = f"""
INSERT INTO device_backup (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, device, sha256) DO UPDATE SET
  name = excluded.name, size = excluded.size, upload = excluded.upload, begun_at = excluded.begun_at,
  finished_at = excluded.finished_at"""
_OF_DEVICE = f"""
SELECT {_COLUMNS} FROM device_backup WHERE tenant = ? AND device = ? ORDER BY begun_at DESC, sha256"""
_REMOVE = "DELETE FROM device_backup WHERE tenant = ? AND device = ? AND sha256 = ?"
_HOLDS = "SELECT 1 FROM device_backup WHERE tenant = ? AND sha256 = ? AND finished_at IS NOT NULL LIMIT 1"
_ALONE = """
SELECT 1 FROM device_backup b JOIN blob o ON o.tenant = b.tenant AND o.sha256 = b.sha256
WHERE b.tenant = ? AND b.sha256 = ? AND b.finished_at IS NOT NULL AND NOT o.uploaded LIMIT 1"""
_SIZE = """
SELECT CAST(coalesce(sum(b.size), 0) AS bigint) FROM device_backup b WHERE b.tenant = ? AND (b.finished_at IS NULL
  OR EXISTS (SELECT 1 FROM blob o WHERE o.tenant = b.tenant AND o.sha256 = b.sha256))"""


@dataclass(frozen=True, slots=True)
class SqlBackups:
    """`ports.store.Backups`."""

    session: Session

    def get(self, tenant: TenantId, device: DeviceId, sha256: Sha256) -> Backup | None:
        found = fetch(self.session, _GET, tenant, device, sha256)
        return _backup(found[0]) if found else None

    def put(self, tenant: TenantId, backup: Backup) -> None:
        ended = None if backup.finished_at is None else micros(backup.finished_at)
        about = (backup.device, backup.sha256, backup.name, backup.size, backup.upload)
        run(self.session, _PUT, tenant, *about, micros(backup.begun_at), ended)

    def of_device(self, tenant: TenantId, device: DeviceId) -> list[Backup]:
        return [_backup(row) for row in fetch(self.session, _OF_DEVICE, tenant, device)]

    def remove(self, tenant: TenantId, device: DeviceId, sha256: Sha256) -> None:
        run(self.session, _REMOVE, tenant, device, sha256)

    def holds(self, tenant: TenantId, sha256: Sha256) -> bool:
        return bool(fetch(self.session, _HOLDS, tenant, sha256))

    def alone(self, tenant: TenantId, sha256: Sha256) -> bool:
        return bool(fetch(self.session, _ALONE, tenant, sha256))

    def size(self, tenant: TenantId) -> int:
        return int(fetch(self.session, _SIZE, tenant)[0][0])


def _backup(row: Any) -> Backup:
    device, sha256, name, size, upload, begun, ended = row
    at = None if ended is None else moment(ended)
    return Backup(DeviceId(device), Sha256(sha256), name, int(size), upload, moment(begun), at)
