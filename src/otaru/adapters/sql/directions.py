"""What the director has signed for each device, in SQL."""

from dataclasses import dataclass
from datetime import datetime

from otaru.adapters.sql.lean import fetch, run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId
from otaru.trust.tuf.director import Issued, KeptPermit, Share

_GET = """
SELECT version, root, rollout, attempt, action, permit, targets, snapshot, timestamp, signed_at, expires_at
FROM direction WHERE tenant = ? AND device = ?"""
# Versions rise by one: who signed beside another is too late.
_FIRST = """
INSERT INTO direction (version, root, rollout, attempt, action, permit, targets, snapshot, timestamp, signed_at,
expires_at, tenant, device) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, device) DO NOTHING"""
_NEXT = """
UPDATE direction SET version = ?, root = ?, rollout = ?, attempt = ?, action = ?, permit = ?, targets = ?,
snapshot = ?, timestamp = ?, signed_at = ?, expires_at = ? WHERE tenant = ? AND device = ? AND version = ?"""
_ASKED = "UPDATE direction SET asked_at = ? WHERE tenant = ? AND device = ?"
_ASKED_AT = "SELECT asked_at FROM direction WHERE tenant = ? AND device = ?"

_PERMIT = """
INSERT INTO downgrade_permit (tenant, device, component, counter, expires_at, content, brought_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, device, component) DO UPDATE
SET counter = excluded.counter, expires_at = excluded.expires_at, content = excluded.content,
brought_at = excluded.brought_at"""
_PERMITS = """
SELECT component, counter, expires_at, content FROM downgrade_permit WHERE tenant = ? AND device = ?
ORDER BY component"""


@dataclass(frozen=True, slots=True)
class SqlDirections:
    """`ports.store.Directions`."""

    session: Session

    def get(self, tenant: TenantId, device: DeviceId) -> Issued | None:
        for row in fetch(self.session, _GET, tenant, device):
            version, root, rollout, attempt, action, permit, targets, snapshot, timestamp, signed, ends = row
            share = Share(RolloutId(rollout), attempt, ActionId(action)) if action else None
            content = (bytes(permit), bytes(targets), bytes(snapshot), bytes(timestamp))
            return Issued(version, root, share, *content, moment(signed), moment(ends))
        return None

    def put(self, tenant: TenantId, device: DeviceId, issued: Issued) -> bool:
        share = (issued.share.rollout, issued.share.attempt, issued.share.action) if issued.share else (0, 0, 0)
        content = (issued.permit, issued.targets, issued.snapshot, issued.timestamp)
        times = (micros(issued.signed_at), micros(issued.expires_at))
        row = (issued.version, issued.root, *share, *content, *times, tenant, device)
        if issued.version == 1:
            return run(self.session, _FIRST, *row) == 1
        return run(self.session, _NEXT, *row, issued.version - 1) == 1

    def asked(self, tenant: TenantId, device: DeviceId, at: datetime) -> None:
        run(self.session, _ASKED, micros(at), tenant, device)

    def asked_at(self, tenant: TenantId, device: DeviceId) -> datetime | None:
        rows = fetch(self.session, _ASKED_AT, tenant, device)
        return moment(rows[0][0]) if rows and rows[0][0] is not None else None

    def permit(self, tenant: TenantId, device: DeviceId, kept: KeptPermit, at: datetime) -> None:
        row = (kept.component, kept.counter, micros(kept.expires_at), kept.content, micros(at))
        run(self.session, _PERMIT, tenant, device, *row)

    def permits(self, tenant: TenantId, device: DeviceId) -> list[KeptPermit]:
        rows = fetch(self.session, _PERMITS, tenant, device)
        return [KeptPermit(name, counter, moment(ends), bytes(content)) for name, counter, ends, content in rows]
