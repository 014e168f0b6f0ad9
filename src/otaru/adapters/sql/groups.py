"""Groups of devices: saved queries, and lists. Which devices a name means in a query is `listing`'s."""

from collections.abc import Collection

from otaru.adapters.sql.lean import AnyRow, fetch, fetch_keyed, run, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.group import Group, GroupName
from otaru.domain.ids import DeviceId, TenantId

_COLUMNS = "name, query, description, created_at, updated_at, edition"
_GET = f"SELECT {_COLUMNS} FROM device_group WHERE tenant = ? AND name = ?"
_PAGE = f"SELECT {_COLUMNS} FROM device_group WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?"
_ADD = f"INSERT INTO device_group (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_SAVE = """
UPDATE device_group SET query = ?, description = ?, updated_at = ?, edition = ? WHERE tenant = ? AND name = ?"""
_REMOVE = "DELETE FROM device_group WHERE tenant = ? AND name = ?"
_CLEAR = "DELETE FROM group_member WHERE tenant = ? AND name = ?"

_DEVICES = (("device", "text"),)
_ON_IT = """
SELECT m.device FROM k CROSS JOIN group_member m WHERE m.tenant = ? AND m.name = ? AND m.device = k.device"""
_ENTER = "INSERT INTO group_member (tenant, name, device) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_LEAVE = "DELETE FROM group_member WHERE tenant = ? AND name = ? AND device = ?"
_MEMBERS = "SELECT count(*) FROM group_member WHERE tenant = ? AND name = ?"
_OF_DEVICE = "SELECT name FROM group_member WHERE tenant = ? AND device = ? ORDER BY name"


class SqlGroups:
    """Implements `ports.store.Groups`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, tenant: TenantId, group: Group) -> bool:
        times = (micros(group.created_at), micros(group.updated_at))
        return run(self._session, _ADD, tenant, group.name, group.query, group.description, *times, group.edition) == 1

    def get(self, tenant: TenantId, name: str) -> Group | None:
        return next(map(_group, fetch(self._session, _GET, tenant, name)), None)

    def page(self, tenant: TenantId, after: str | None, limit: int) -> list[Group]:
        return [_group(row) for row in fetch(self._session, _PAGE, tenant, after or "", limit)]

    def save(self, tenant: TenantId, group: Group) -> None:
        changed = (group.query, group.description, micros(group.updated_at), group.edition)
        run(self._session, _SAVE, *changed, tenant, group.name)

    def remove(self, tenant: TenantId, name: GroupName) -> None:
        run(self._session, _CLEAR, tenant, name)
        run(self._session, _REMOVE, tenant, name)

    def enter(self, tenant: TenantId, name: GroupName, devices: Collection[DeviceId]) -> int:
        new = set(devices) - self._on_it(tenant, name, devices)
        run_each(self._session, _ENTER, [(tenant, name, device) for device in sorted(new)])
        return len(new)

    def leave(self, tenant: TenantId, name: GroupName, devices: Collection[DeviceId]) -> int:
        gone = self._on_it(tenant, name, devices)
        run_each(self._session, _LEAVE, [(tenant, name, device) for device in sorted(gone)])
        return len(gone)

    def _on_it(self, tenant: TenantId, name: GroupName, devices: Collection[DeviceId]) -> set[DeviceId]:
        keys = [(device,) for device in sorted(set(devices))]
        return {DeviceId(id_) for (id_,) in fetch_keyed(self._session, _DEVICES, keys, _ON_IT, tenant, name)}

    def members(self, tenant: TenantId, name: GroupName) -> int:
        members: int = fetch(self._session, _MEMBERS, tenant, name)[0][0]
        return members

    def of_device(self, tenant: TenantId, device: DeviceId) -> list[GroupName]:
        return [GroupName(name) for (name,) in fetch(self._session, _OF_DEVICE, tenant, device)]


def _group(row: AnyRow) -> Group:
    name, query, description, created_at, updated_at, edition = row
    return Group(GroupName(name), query, description, moment(created_at), moment(updated_at), edition)
