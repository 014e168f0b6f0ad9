"""Exported bundles in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from otaru.adapters.sql.lean import fetch, run, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.bundle import Aboard, Exported
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId

_COLUMNS = "b.bundle, b.rollout, b.actor, b.created_at, b.expires_at, b.devices, b.digest"
_ADD = """
INSERT INTO bundle (tenant, bundle, rollout, actor, created_at, expires_at, devices, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_ABOARD = "INSERT INTO bundle_device (tenant, bundle, device, action, version) VALUES (?, ?, ?, ?, ?)"
_GET = f"SELECT {_COLUMNS} FROM bundle b WHERE b.tenant = ? AND b.bundle = ?"
_WHO = "SELECT device FROM bundle_device WHERE tenant = ? AND bundle = ? ORDER BY device LIMIT ?"
_HOLDS = "SELECT 1 FROM bundle_device WHERE tenant = ? AND bundle = ? AND device = ?"
_ALL = f"SELECT {_COLUMNS} FROM bundle b WHERE b.tenant = ? ORDER BY b.created_at DESC, b.bundle LIMIT ?"
_OF_ROLLOUT = f"""
SELECT {_COLUMNS} FROM bundle b WHERE b.tenant = ? AND b.rollout = ? ORDER BY b.created_at DESC, b.bundle LIMIT ?"""
_OF_ACTION = f"""
SELECT {_COLUMNS} FROM bundle_device d JOIN bundle b ON b.tenant = d.tenant AND b.bundle = d.bundle
WHERE d.tenant = ? AND d.device = ? AND d.action = ? AND b.expires_at > ?
ORDER BY b.expires_at DESC, b.bundle LIMIT 1"""
_ENDED = "SELECT tenant, bundle FROM bundle WHERE expires_at < ? ORDER BY expires_at, tenant, bundle LIMIT ?"
_FORGET = (
    "DELETE FROM bundle_device WHERE tenant = ? AND bundle = ?",
    "DELETE FROM bundle WHERE tenant = ? AND bundle = ?",
)


@dataclass(frozen=True, slots=True)
class SqlBundles:
    """`ports.store.Bundles`."""

    session: Session

    def add(self, tenant: TenantId, bundle: Exported, aboard: Sequence[Aboard]) -> None:
        times = (micros(bundle.created_at), micros(bundle.expires_at))
        row = (bundle.id, bundle.rollout, bundle.actor, *times, bundle.devices, bundle.digest)
        run(self.session, _ADD, tenant, *row)
        rows = [(tenant, bundle.id, one.device, one.action, one.version) for one in aboard]
        run_each(self.session, _ABOARD, rows)

    def get(self, tenant: TenantId, bundle: str) -> Exported | None:
        return next(iter(self._read(_GET, tenant, bundle)), None)

    def holds(self, tenant: TenantId, bundle: str, device: DeviceId) -> bool:
        return bool(fetch(self.session, _HOLDS, tenant, bundle, device))

    def aboard(self, tenant: TenantId, bundle: str, limit: int) -> list[DeviceId]:
        return [DeviceId(device) for (device,) in fetch(self.session, _WHO, tenant, bundle, limit)]

    def page(self, tenant: TenantId, rollout: RolloutId | None, limit: int) -> list[Exported]:
        if rollout is None:
            return self._read(_ALL, tenant, limit)
        return self._read(_OF_ROLLOUT, tenant, rollout, limit)

    def of_action(self, tenant: TenantId, device: DeviceId, action: ActionId, now: datetime) -> Exported | None:
        return next(iter(self._read(_OF_ACTION, tenant, device, action, micros(now))), None)

    def prune(self, before: datetime, most: int) -> int:
        ended = fetch(self.session, _ENDED, micros(before), most)
        for sql in _FORGET:
            run_each(self.session, sql, ended)
        return len(ended)

    def _read(self, sql: str, *asked: str | int) -> list[Exported]:
        return [
            Exported(id_, RolloutId(rollout), actor, moment(created), moment(ends), devices, digest)
            for id_, rollout, actor, created, ends, devices, digest in fetch(self.session, sql, *asked)
        ]
