"""Errands and alerts in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from otaru.adapters.sql.lean import fetch, run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.alert import Alert, Found
from otaru.domain.errand import Errand, State, What
from otaru.domain.ids import DeviceId, TenantId

_COLUMNS = """
device, number, what, name, state, asked_by, created_at, expires_at, changed_at, ended_at, code, text, size, sha256"""
_ADD = f"""
INSERT INTO errand (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_NEWEST = "SELECT coalesce(max(number), 0) FROM errand WHERE tenant = ? AND device = ?"
_GET = f"SELECT {_COLUMNS} FROM errand WHERE tenant = ? AND device = ? AND number = ?"
_OF_DEVICE = f"""
SELECT {_COLUMNS} FROM errand WHERE tenant = ? AND device = ? AND number < ? ORDER BY number DESC LIMIT ?"""
_SAVE = """
UPDATE errand SET state = ?, changed_at = ?, ended_at = ?, code = ?, text = ?, size = ?, sha256 = ?
WHERE tenant = ? AND device = ? AND number = ?"""
_OPEN = "state IN ('waiting', 'taken')"
_OPEN_OF = f"SELECT {_COLUMNS} FROM errand WHERE tenant = ? AND device = ? AND {_OPEN} ORDER BY number"
_WAITED_FOR = f"SELECT DISTINCT device FROM errand WHERE tenant = ? AND {_OPEN} LIMIT ?"
_OPEN_IN_ALL = f"SELECT count(*) FROM errand WHERE tenant = ? AND {_OPEN}"
_DUE = f"""
SELECT {_COLUMNS} FROM errand WHERE tenant = ? AND {_OPEN} AND expires_at <= ? ORDER BY expires_at LIMIT ?"""
_PUT_PART = """
INSERT INTO errand_part (tenant, device, number, first, content) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_RECEIVED = """
SELECT CAST(coalesce(sum(length(content)), 0) AS bigint) FROM errand_part
WHERE tenant = ? AND device = ? AND number = ?"""
_PARTS = "SELECT content FROM errand_part WHERE tenant = ? AND device = ? AND number = ? ORDER BY first"
_DROP = "DELETE FROM errand_part WHERE tenant = ? AND device = ? AND number = ?"
_OLD_BUNDLES = """
SELECT tenant, device, number FROM errand WHERE ended_at < ? AND size IS NOT NULL ORDER BY ended_at LIMIT ?"""
_NO_BUNDLE = "UPDATE errand SET size = NULL WHERE tenant = ? AND device = ? AND number = ?"
_PRUNE = """
DELETE FROM errand WHERE (tenant, device, number) IN (
  SELECT o.tenant, o.device, o.number FROM errand o WHERE o.ended_at < ? AND EXISTS (
    SELECT 1 FROM errand n WHERE n.tenant = o.tenant AND n.device = o.device AND n.number > o.number
  ) ORDER BY o.ended_at LIMIT ?)"""
_HIGHEST = 2**31

_ALERT = """
alert, matching, among, least, share, mail, created_at, raised_at, changed_at, looked_at, devices, among_devices,
untold, trouble"""
_ADD_ALERT = f"""
INSERT INTO alert (tenant, {_ALERT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_GET_ALERT = f"SELECT {_ALERT} FROM alert WHERE tenant = ? AND alert = ?"
_SAVE_ALERT = """
UPDATE alert SET raised_at = ?, changed_at = ?, looked_at = ?, devices = ?, among_devices = ?, untold = ?, trouble = ?
WHERE tenant = ? AND alert = ?"""
_REMOVE_ALERT = "DELETE FROM alert WHERE tenant = ? AND alert = ?"
_PAGE = f"SELECT {_ALERT} FROM alert WHERE tenant = ? AND alert > ? ORDER BY alert LIMIT ?"
_RAISED = f"SELECT {_ALERT} FROM alert WHERE tenant = ? AND raised_at IS NOT NULL ORDER BY alert LIMIT ?"
_COUNT = "SELECT count(*) FROM alert WHERE tenant = ?"
_mail = msgspec.json.Decoder(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class SqlErrands:
    """`ports.store.Errands`."""

    session: Session

    def add(self, tenant: TenantId, errand: Errand) -> None:
        about = (errand.device, errand.number, errand.what.value, errand.name, errand.state.value, errand.by)
        times = (errand.created_at, errand.expires_at, errand.changed_at, errand.ended_at)
        rest = (errand.code, errand.text, errand.size, errand.sha256)
        run(self.session, _ADD, tenant, *about, *map(_micros, times), *rest)

    def newest(self, tenant: TenantId, device: DeviceId) -> int:
        return int(fetch(self.session, _NEWEST, tenant, device)[0][0])

    def get(self, tenant: TenantId, device: DeviceId, number: int) -> Errand | None:
        found = fetch(self.session, _GET, tenant, device, number)
        return _errand(found[0]) if found else None

    def of_device(self, tenant: TenantId, device: DeviceId, before: int | None, limit: int) -> list[Errand]:
        last = _HIGHEST - 1 if before is None else before
        return [_errand(row) for row in fetch(self.session, _OF_DEVICE, tenant, device, last, limit)]

    def save(self, tenant: TenantId, errand: Errand) -> None:
        now = (errand.state.value, micros(errand.changed_at), _micros(errand.ended_at))
        rest = (errand.code, errand.text, errand.size, errand.sha256)
        run(self.session, _SAVE, *now, *rest, tenant, errand.device, errand.number)

    def open_of(self, tenant: TenantId, device: DeviceId) -> list[Errand]:
        return [_errand(row) for row in fetch(self.session, _OPEN_OF, tenant, device)]

    def waited_for(self, tenant: TenantId, limit: int) -> list[DeviceId]:
        return [DeviceId(device) for (device,) in fetch(self.session, _WAITED_FOR, tenant, limit)]

    def open_in_all(self, tenant: TenantId) -> int:
        return int(fetch(self.session, _OPEN_IN_ALL, tenant)[0][0])

    def due(self, tenant: TenantId, before: datetime, limit: int) -> list[Errand]:
        return [_errand(row) for row in fetch(self.session, _DUE, tenant, micros(before), limit)]

    def put_part(self, tenant: TenantId, device: DeviceId, number: int, first: int, content: bytes) -> None:
        run(self.session, _PUT_PART, tenant, device, number, first, content)

    def received(self, tenant: TenantId, device: DeviceId, number: int) -> int:
        return int(fetch(self.session, _RECEIVED, tenant, device, number)[0][0])

    def parts(self, tenant: TenantId, device: DeviceId, number: int) -> list[bytes]:
        return [bytes(content) for (content,) in fetch(self.session, _PARTS, tenant, device, number)]

    def drop_parts(self, tenant: TenantId, device: DeviceId, number: int) -> None:
        run(self.session, _DROP, tenant, device, number)

    def prune(self, bundles_before: datetime, before: datetime, limit: int) -> int:
        old = fetch(self.session, _OLD_BUNDLES, micros(bundles_before), limit)
        for where in old:
            run(self.session, _DROP, *where)
            run(self.session, _NO_BUNDLE, *where)
        return max(len(old), run(self.session, _PRUNE, micros(before), limit))


@dataclass(frozen=True, slots=True)
class SqlAlerts:
    """`ports.store.Alerts`."""

    session: Session

    def add(self, tenant: TenantId, alert: Alert) -> bool:
        about = (alert.name, alert.when, alert.of, alert.count, alert.share, msgspec.json.encode(alert.mail).decode())
        return run(self.session, _ADD_ALERT, tenant, *about, micros(alert.created_at), *_standing(alert)) == 1

    def get(self, tenant: TenantId, name: str) -> Alert | None:
        found = fetch(self.session, _GET_ALERT, tenant, name)
        return _alert(found[0]) if found else None

    def save(self, tenant: TenantId, alert: Alert) -> None:
        run(self.session, _SAVE_ALERT, *_standing(alert), tenant, alert.name)

    def remove(self, tenant: TenantId, name: str) -> bool:
        return run(self.session, _REMOVE_ALERT, tenant, name) == 1

    def page(self, tenant: TenantId, after: str | None, limit: int) -> list[Alert]:
        return [_alert(row) for row in fetch(self.session, _PAGE, tenant, after or "", limit)]

    def raised(self, tenant: TenantId, limit: int) -> Sequence[Alert]:
        return [_alert(row) for row in fetch(self.session, _RAISED, tenant, limit)]

    def count(self, tenant: TenantId) -> int:
        return int(fetch(self.session, _COUNT, tenant)[0][0])


def _micros(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)


def _errand(row: tuple[Any, ...]) -> Errand:
    device, number, what, name, state, by, created, expires, changed, ended, code, text, size, sha256 = row
    times = (moment(created), moment(expires), moment(changed), _moment(ended))
    return Errand(DeviceId(device), number, What(what), name, State(state), by, *times, code, text, size, sha256)


def _standing(alert: Alert) -> tuple[object, ...]:
    times = map(_micros, (alert.raised_at, alert.changed_at, alert.looked_at))
    return (*times, alert.found.devices, alert.found.of, alert.untold, alert.trouble)


def _alert(row: tuple[Any, ...]) -> Alert:
    name, when, of, least, share, mail, created, raised, changed, looked, devices, among, untold, trouble = row
    times = (moment(created), _moment(raised), _moment(changed), _moment(looked))
    found = Found(devices, among)
    return Alert(name, when, of, least, share, _mail.decode(mail), *times, found, bool(untold), trouble)
