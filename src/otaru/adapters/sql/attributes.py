"""Attributes whose type is declared, and what became of attributes.

`attribute_sort` holds a key (`domain.attribute.sort_key`) of each value of a declared attribute, kept in the transaction
that changes the value; NULL where a device says what is no value of its type.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from otaru.adapters.sql.lean import fetch, fetch_keyed, run, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.attribute import MAX_CHANGES, AttributeChange, AttributeKind, Declared, sort_key
from otaru.domain.ids import DeviceId, TenantId

_DECLARED = "SELECT name, kind, created_at, ready FROM attribute_declared WHERE tenant = ? ORDER BY name"
_NAMES = (("name", "text"),)
_KINDS = "SELECT d.name, d.kind FROM k CROSS JOIN attribute_declared d WHERE d.tenant = ? AND d.name = k.name"
_DECLARE = """
INSERT INTO attribute_declared (tenant, name, kind, created_at, ready) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, name) DO UPDATE SET kind = excluded.kind, created_at = excluded.created_at, ready = excluded.ready"""
_READY = "UPDATE attribute_declared SET ready = ? WHERE tenant = ? AND name = ?"
_DROP = "DELETE FROM attribute_declared WHERE tenant = ? AND name = ?"
_CLEAR = """
DELETE FROM attribute_sort WHERE tenant = ? AND name = ? AND device IN (
  SELECT s.device FROM attribute_sort s WHERE s.tenant = ? AND s.name = ? LIMIT ?)"""
_VALUES = """
SELECT device, value FROM device_attribute WHERE tenant = ? AND name = ? AND device > ? ORDER BY device LIMIT ?"""
_SORT = """
INSERT INTO attribute_sort (tenant, device, name, sort) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, device, name) DO UPDATE SET sort = excluded.sort"""
_UNSORT = "DELETE FROM attribute_sort WHERE tenant = ? AND device = ? AND name = ?"
_UNREADABLE = "SELECT count(*) FROM attribute_sort WHERE tenant = ? AND name = ? AND sort IS NULL"

_NOTE = """
INSERT INTO attribute_change (tenant, device, at, name, before, after) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, device, at, name) DO UPDATE SET after = excluded.after"""
_BOUND = """
DELETE FROM attribute_change WHERE tenant = ? AND device = ? AND at <= (
  SELECT c.at FROM attribute_change c WHERE c.tenant = ? AND c.device = ? ORDER BY c.at DESC LIMIT 1 OFFSET ?)"""
_CHANGES = """
SELECT at, name, before, after FROM attribute_change
WHERE tenant = ? AND device = ? AND at <= ? AND (at < ? OR name > ?) ORDER BY at DESC, name LIMIT ?"""
_PURGE = "DELETE FROM attribute_change WHERE tenant = ? AND device = ?"
_PRUNE = """
DELETE FROM attribute_change WHERE (tenant, device, at, name) IN (
  SELECT c.tenant, c.device, c.at, c.name FROM attribute_change c WHERE c.at < ? ORDER BY c.at LIMIT ?)"""
_END_OF_TIME = 2**62


class SqlAttributes:
    """Implements `ports.store.Attributes`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def declared(self, tenant: TenantId) -> list[Declared]:
        rows = fetch(self._session, _DECLARED, tenant)
        return [Declared(name, AttributeKind(kind), moment(at), bool(ready)) for name, kind, at, ready in rows]

    def declare(self, tenant: TenantId, declared: Declared) -> None:
        at = micros(declared.created_at)
        run(self._session, _DECLARE, tenant, declared.name, declared.kind.value, at, declared.ready)

    def sort(self, tenant: TenantId, declared: Declared, after: DeviceId | None, limit: int) -> DeviceId | None:
        rows = fetch(self._session, _VALUES, tenant, declared.name, after or "", limit)
        keys = [(tenant, device, declared.name, sort_key(declared.kind, value)) for device, value in rows]
        run_each(self._session, _SORT, keys)
        if len(rows) == limit:
            return DeviceId(rows[-1][0])
        run(self._session, _READY, True, tenant, declared.name)
        return None

    def drop(self, tenant: TenantId, name: str) -> None:
        run(self._session, _DROP, tenant, name)

    def clear(self, tenant: TenantId, name: str, limit: int) -> int:
        return run(self._session, _CLEAR, tenant, name, tenant, name, limit)

    def unreadable(self, tenant: TenantId, name: str) -> int:
        devices: int = fetch(self._session, _UNREADABLE, tenant, name)[0][0]
        return devices

    def changes(
        self, tenant: TenantId, device: DeviceId, before: tuple[datetime, str] | None, limit: int
    ) -> list[AttributeChange]:
        at, name = (micros(before[0]), before[1]) if before else (_END_OF_TIME, "")
        rows = fetch(self._session, _CHANGES, tenant, device, at, at, name, limit)
        return [AttributeChange(moment(when), name, old, new) for when, name, old, new in rows]

    def purge(self, tenant: TenantId, device: DeviceId) -> int:
        return run(self._session, _PURGE, tenant, device)

    def prune(self, before: datetime, limit: int) -> int:
        return run(self._session, _PRUNE, micros(before), limit)


def keep_sorted(session: Session, tenant: TenantId, changed: Sequence[tuple[DeviceId, str, str | None]]) -> None:
    """Keep the keys of attributes that changed: (device, name, value); None where the device has it no more."""
    if not changed:
        return
    names = [(name,) for name in sorted({name for _, name, _ in changed})]
    kinds = {name: AttributeKind(kind) for name, kind in fetch_keyed(session, _NAMES, names, _KINDS, tenant)}
    meant = [(device, name, value) for device, name, value in changed if name in kinds]
    run_each(session, _UNSORT, [(tenant, device, name) for device, name, value in meant if value is None])
    run_each(
        session,
        _SORT,
        [(tenant, device, name, sort_key(kinds[name], value)) for device, name, value in meant if value is not None],
    )


def note(
    session: Session, tenant: TenantId, device: DeviceId, at: datetime, old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    """Keep what became of a device's attributes, and no more than the newest of it."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if names:
        when = micros(at)
        run_each(session, _NOTE, [(tenant, device, when, name, old.get(name), new.get(name)) for name in names])
        run(session, _BOUND, tenant, device, tenant, device, MAX_CHANGES)
