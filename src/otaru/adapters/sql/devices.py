"""The inventory: devices with their tags, attributes, components and contacts."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from otaru.adapters.sql import attributes, credentials, fleet, patterns, targeting
from otaru.adapters.sql.lean import AnyRow, fetch, fetch_keyed, run, run_each, run_keyed
from otaru.adapters.sql.packed import pack, unpack_auto_confirm
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import OPEN_STATES, micros, moment
from otaru.domain import schedule
from otaru.domain.deployment import State
from otaru.domain.device import Assurance, AutoConfirm, Device, Hardware, Installed, Lifecycle, Source, lot
from otaru.domain.fleet import Component
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId, Version
from otaru.domain.offer import Membership, Subject
from otaru.domain.rollout import ACTIVE
from otaru.domain.targeting import Field, Query
from otaru.errors import NotFoundError
from otaru.ports.registry import Entry, KeyedEntry

_NAMES = (("name", "text"),)
_FACTS = """
SELECT a.name, a.value FROM k CROSS JOIN device_attribute a WHERE a.tenant = ? AND a.device = ? AND a.name = k.name
ORDER BY a.name"""
_MEASURED = """
SELECT t.name, t.value FROM k CROSS JOIN telemetry_last t WHERE t.tenant = ? AND t.device = ? AND t.name = k.name"""
_IDS = (("device", "text"),)

_ENTRY = f"""
SELECT lifecycle, model, hardware_revision, token_digest, attributes_requested, auto_confirm,
coalesce((SELECT d.action FROM deployment d
  WHERE d.tenant = device.tenant AND d.device = device.device AND d.action > 0 AND d.state IN ('succeeded', 'on_trial')
  ORDER BY d.action DESC LIMIT 1), 0),
EXISTS (SELECT 1 FROM credential c
  WHERE c.tenant = device.tenant AND c.device = device.device AND c.revoked_at IS NULL),
assurance <> 'L1' OR EXISTS (SELECT 1 FROM direction n WHERE n.tenant = device.tenant AND n.device = device.device),
(SELECT a.value FROM device_attribute a
  WHERE a.tenant = device.tenant AND a.device = device.device AND a.name = '{schedule.ATTRIBUTE}'), pins
FROM device WHERE tenant = ? AND device = ?"""

_ENTRY_INSTALLED = """
SELECT c.component, c.version, c.counter, p.counter, p.expires_at FROM device_component c
LEFT JOIN downgrade_permit p ON p.tenant = c.tenant AND p.device = c.device AND p.component = c.component
WHERE c.tenant = ? AND c.device = ? ORDER BY c.component"""

_ACTIVE = ", ".join(f"'{state}'" for state in sorted(ACTIVE))
_ENTRY_MEMBERSHIPS = f"""
SELECT rollout, attempt, state, segment, wave, rank, action FROM deployment
WHERE tenant = ? AND device = ? AND state IN ({OPEN_STATES})
UNION ALL
SELECT d.rollout, d.attempt, d.state, d.segment, d.wave, d.rank, d.action FROM deployment d
JOIN rollout r ON r.tenant = d.tenant AND r.rollout = d.rollout
WHERE d.tenant = ? AND d.device = ? AND d.state = 'scheduled' AND r.state IN ({_ACTIVE})
ORDER BY rollout"""

_ADD = """
INSERT INTO device (tenant, device, lifecycle, model, hardware_revision, token_digest, lot, last_action,
attributes_requested, auto_confirm, created_at, updated_at, edition, assurance, pins)
VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)"""

_TAG = "INSERT INTO device_tag (tenant, device, tag) VALUES (?, ?, ?)"
_UNTAG = "DELETE FROM device_tag WHERE tenant = ? AND device = ? AND tag = ?"
_SET_ATTRIBUTE = """
INSERT INTO device_attribute (tenant, device, name, value) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, device, name) DO UPDATE SET value = excluded.value"""
_UNSET_ATTRIBUTE = "DELETE FROM device_attribute WHERE tenant = ? AND device = ? AND name = ?"

_INSTALLED = (
    ("device", "text"),
    ("component", "text"),
    ("version", "text"),
    ("source", "text"),
    ("confirmed", "boolean"),
    ("at", "bigint"),
    ("counter", "integer"),
)
# Only where the device is this tenant's own: nothing hangs on a device that is not there.
_INSTALL = """
INSERT INTO device_component (tenant, device, component, version, source, confirmed, at, counter)
SELECT d.tenant, d.device, k.component, k.version, k.source, k.confirmed, k.at, k.counter
FROM k CROSS JOIN device d WHERE d.tenant = ? AND d.device = k.device
ON CONFLICT (tenant, device, component) DO UPDATE
SET version = excluded.version, source = excluded.source, confirmed = excluded.confirmed, at = excluded.at,
counter = CASE WHEN excluded.counter > device_component.counter THEN excluded.counter ELSE device_component.counter END"""

_CONFIRM = """
UPDATE device_component SET confirmed = ? WHERE tenant = ? AND device = ? AND component = ? AND version = ?"""

_ASK_ATTRIBUTES = """
UPDATE device SET attributes_requested = ? WHERE tenant = ? AND device = ? AND attributes_requested <> ?"""

_CONTACTS = (("tenant", "text"), ("device", "text"), ("at", "bigint"), ("address", "text"))
# Apart from the time, since it seldom moves, and an index with it.
_CONTACT_HOUR = f"""
UPDATE device_contact SET hour = k.at / {fleet.HOUR} FROM k
WHERE device_contact.tenant = k.tenant AND device_contact.device = k.device AND device_contact.hour < k.at / {fleet.HOUR}"""
_CONTACT = f"""
INSERT INTO device_contact (tenant, device, last_contact, address, hour)
SELECT d.tenant, d.device, k.at, k.address, k.at / {fleet.HOUR}
FROM k CROSS JOIN device d WHERE d.tenant = k.tenant AND d.device = k.device
ON CONFLICT (tenant, device) DO UPDATE SET last_contact = excluded.last_contact, address = excluded.address
WHERE excluded.last_contact >= device_contact.last_contact"""

_TAGS_OF = "SELECT t.device, t.tag FROM k CROSS JOIN device_tag t WHERE t.tenant = ? AND t.device = k.device"
_ATTRIBUTES_OF = """
SELECT a.device, a.name, a.value FROM k CROSS JOIN device_attribute a WHERE a.tenant = ? AND a.device = k.device
ORDER BY a.device, a.name"""
_INSTALLED_OF = """
SELECT c.device, c.component, c.version, c.source, c.at, c.confirmed, c.counter FROM k CROSS JOIN device_component c
WHERE c.tenant = ? AND c.device = k.device ORDER BY c.device, c.component"""
_DEVICES_OF = """
SELECT d.device, d.lifecycle, d.model, d.hardware_revision, d.created_at, d.updated_at, d.edition, d.auto_confirm,
d.attributes_requested, c.last_contact, c.address, d.assurance, x.asked_at, d.pins
FROM k CROSS JOIN device d LEFT JOIN device_contact c ON c.tenant = d.tenant AND c.device = d.device
LEFT JOIN direction x ON x.tenant = d.tenant AND x.device = d.device
WHERE d.tenant = ? AND d.device = k.device ORDER BY d.device"""

_BOUNDS = "/* bounds */"
# From each word straight to the next one in the index, however many devices share it.
_WORDS = """
WITH RECURSIVE k(word, n) AS (
  SELECT min({column}), 1 FROM {table} WHERE {of} /* bounds */
  UNION ALL
  SELECT (SELECT min({column}) FROM {table} WHERE {of} /* bounds */ AND {column} > k.word), n + 1
  FROM k WHERE k.word IS NOT NULL AND n < ?
) SELECT word FROM k WHERE word IS NOT NULL ORDER BY n"""
_OF_TENANT = "tenant = ?"


def _words(column: str, table: str, of: str = "") -> tuple[str, str]:
    return column, _WORDS.format(column=column, table=table, of=f"{_OF_TENANT}{of}")


_WORDS_OF = {
    Field.HARDWARE: _words("model", "device"),
    Field.REVISION: _words("hardware_revision", "device", " AND hardware_revision <> ''"),
    Field.TAG: _words("tag", "device_tag"),
    Field.ATTRIBUTE: _words("name", "device_attribute"),
    Field.TELEMETRY: _words("name", "telemetry_last"),
    Field.INSTALLED: _words("component", "device_component"),
}
_WORDS_OF_NAME = {
    Field.ATTRIBUTE: _words("value", "device_attribute", " AND name = ?"),
    Field.INSTALLED: _words("version", "device_component", " AND component = ?"),
}

# A page makes hundreds of these, mostly of a few values: looked up they cost a third.
_LIFECYCLES = {str(lifecycle): lifecycle for lifecycle in Lifecycle}
_SOURCES = {str(source): source for source in Source}
_ASSURANCES = {str(level): level for level in Assurance}
_STATES = {str(state): state for state in State}
_hardware = lru_cache(maxsize=1024)(Hardware)
_moment = lru_cache(maxsize=1024)(moment)


class SqlDevices:
    """Implements `ports.store.Devices`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, tenant: TenantId, device: DeviceId) -> Device | None:
        return next(iter(self._load(tenant, [device])), None)

    def entry(self, tenant: TenantId, device: DeviceId) -> Entry | None:
        found = fetch(self._session, _ENTRY, tenant, device)
        if not found:
            return None
        lifecycle, model, revision, token_hash, attributes_requested, packed, last_installed, *more = found[0]
        keyed, verifies, zone, pinned = more
        standing = unpack_auto_confirm(packed)
        runs = fetch(self._session, _ENTRY_INSTALLED, tenant, device)
        subject = Subject(
            id=device,
            lifecycle=_LIFECYCLES[lifecycle],
            hardware=_hardware(model, revision),
            installed=tuple((component, version) for component, version, *_ in runs),
            auto_confirm=standing is not None,
            memberships=tuple(
                map(_membership, fetch(self._session, _ENTRY_MEMBERSHIPS, tenant, device, tenant, device))
            ),
            counters=tuple((component, counter) for component, _, counter, *_ in runs if counter),
            permits=tuple((row[0], row[3], moment(row[4])) for row in runs if row[4] is not None),
            zone=schedule.told(zone),
            pins=tuple(pinned.split(",")) if pinned else (),
        )
        told = (subject, bytes(token_hash), bool(attributes_requested), standing, last_installed)
        keys = credentials.unrevoked(self._session, tenant, device) if keyed else ()
        return KeyedEntry(*told, keys, bool(verifies)) if keys or verifies else Entry(*told)

    def lifecycles(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, Lifecycle]:
        keys = [(device,) for device in devices]
        asked = "SELECT d.device, d.lifecycle FROM k CROSS JOIN device d WHERE d.tenant = ? AND d.device = k.device"
        return {DeviceId(id_): _LIFECYCLES[of] for id_, of in fetch_keyed(self._session, _IDS, keys, asked, tenant)}

    def add(self, tenant: TenantId, devices: Sequence[tuple[Device, bytes]]) -> list[bool]:
        taken = self._known(tenant, {device.id for device, _ in devices})
        fresh: list[bool] = []
        new: list[tuple[Device, bytes]] = []
        for device, digest in devices:
            fresh.append(device.id not in taken)
            if fresh[-1]:
                taken.add(device.id)
                new.append((device, digest))
        added = [device for device, _ in new]
        run_each(self._session, _ADD, [_row(tenant, device, digest) for device, digest in new])
        fleet.move_lifecycles(self._session, tenant, Counter(device.lifecycle.value for device in added))
        run_each(self._session, _TAG, [(tenant, d.id, tag) for d in added for tag in sorted(d.tags)])
        run_each(
            self._session,
            _SET_ATTRIBUTE,
            [(tenant, d.id, name, value) for d in added for name, value in d.attributes.items()],
        )
        attributes.keep_sorted(
            self._session, tenant, [(d.id, name, value) for d in added for name, value in d.attributes.items()]
        )
        facts = _last([(d.id, fact) for d in added for fact in d.installed])
        self._install(tenant, facts)
        hardware = {d.id: d.hardware for d in added}
        came = Counter(
            (fleet.hour_of(micros(i.at)), (i.component, i.version), hardware[id_]) for (id_, _), i in facts.items()
        )
        fleet.move_components(self._session, tenant, came)
        self.contacts([(tenant, d.id, d.last_contact, d.address or "") for d in added if d.last_contact is not None])
        return fresh

    def _known(self, tenant: TenantId, ids: Collection[DeviceId]) -> set[str]:
        asked = "SELECT d.device FROM k CROSS JOIN device d WHERE d.tenant = ? AND d.device = k.device"
        return {id_ for (id_,) in fetch_keyed(self._session, _IDS, [(id_,) for id_ in ids], asked, tenant)}

    def save(self, tenant: TenantId, device: Device) -> None:
        known = self.get(tenant, device.id)
        if known is None:
            raise NotFoundError(f"there is no device {device.id}")
        self._set(
            tenant,
            device.id,
            lifecycle=device.lifecycle.value,
            model=device.hardware.model,
            hardware_revision=device.hardware.revision,
            auto_confirm=_packed(device.auto_confirm),
            attributes_requested=device.attributes_requested,
            edition=device.edition,
            updated_at=micros(device.updated_at),
            assurance=device.assurance.value,
            pins=",".join(sorted(device.pins)),
        )
        if device.lifecycle is not known.lifecycle:
            self._count_lifecycle(tenant, known, device)
        if device.hardware != known.hardware and device.lifecycle is not Lifecycle.DECOMMISSIONED:
            runs = [(i.component, i.version) for i in known.installed]
            fleet.move_hardware(self._session, tenant, dict.fromkeys(((c, known.hardware) for c in runs), -1))
            fleet.move_hardware(self._session, tenant, dict.fromkeys(((c, device.hardware) for c in runs), 1))
        key = (tenant, device.id)
        changed = device.attributes.items() - known.attributes.items()
        run_each(self._session, _UNTAG, [(*key, tag) for tag in sorted(known.tags - device.tags)])
        run_each(self._session, _TAG, [(*key, tag) for tag in sorted(device.tags - known.tags)])
        run_each(
            self._session,
            _UNSET_ATTRIBUTE,
            [(*key, name) for name in known.attributes.keys() - device.attributes.keys()],
        )
        run_each(self._session, _SET_ATTRIBUTE, [(*key, name, value) for name, value in sorted(changed)])
        gone = [(device.id, name, None) for name in known.attributes.keys() - device.attributes.keys()]
        attributes.keep_sorted(self._session, tenant, [*gone, *((device.id, *fact) for fact in changed)])
        attributes.note(self._session, tenant, device.id, device.updated_at, known.attributes, device.attributes)

    def _count_lifecycle(self, tenant: TenantId, before: Device, after: Device) -> None:
        """Count a change of lifecycle; who is decommissioned counts nowhere else from then on."""
        fleet.move_lifecycles(self._session, tenant, {before.lifecycle.value: -1, after.lifecycle.value: 1})
        if after.lifecycle is not Lifecycle.DECOMMISSIONED:
            return
        hour = fleet.hour_of(micros(after.updated_at))
        left = {(hour, (i.component, i.version), before.hardware): -1 for i in before.installed}
        fleet.move_components(self._session, tenant, left)
        if before.last_contact is not None:
            fleet.count_contacts(self._session, {(tenant, fleet.hour_of(micros(before.last_contact))): -1})
        fleet.leave(self._session, tenant, after.id)

    def set_token(self, tenant: TenantId, device: DeviceId, digest: bytes) -> None:
        self._set(tenant, device, token_digest=digest)

    def facts(self, tenant: TenantId, device: DeviceId, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        keys = [(name,) for name in sorted(names)]
        told: dict[str, str] = dict(fetch_keyed(self._session, _NAMES, keys, _FACTS, tenant, device))
        # Telemetry comes by itself, and so is newer than what a device tells when it is asked.
        measured = fetch_keyed(self._session, _NAMES, keys, _MEASURED, tenant, device)
        told |= {name: f"{value:.15g}" for name, value in measured}
        return tuple(sorted(told.items()))

    def set_auto_confirm(self, tenant: TenantId, device: DeviceId, standing: AutoConfirm | None) -> None:
        self._set(tenant, device, auto_confirm=_packed(standing))

    def _set(self, tenant: TenantId, id_: DeviceId, **values: Any) -> None:
        text = f"UPDATE device SET {', '.join(f'{name} = ?' for name in values)} WHERE tenant = ? AND device = ?"
        if run(self._session, text, *values.values(), tenant, id_) != 1:
            raise NotFoundError(f"there is no device {id_}")

    def install(self, tenant: TenantId, installed: Sequence[tuple[DeviceId, Installed]]) -> None:
        last = _last(installed)
        moves: Counter[tuple[int, Component, Hardware]] = Counter()
        for key, (hardware, known) in fleet.running(self._session, tenant, sorted(last)).items():
            fact = last[key]
            if known != fact.version:
                hour = fleet.hour_of(micros(fact.at))
                moves[hour, (fact.component, fact.version), hardware] += 1
                if known is not None:
                    moves[hour, (fact.component, known), hardware] -= 1
        fleet.move_components(self._session, tenant, moves)
        self._install(tenant, last)

    def _install(self, tenant: TenantId, last: Mapping[tuple[DeviceId, str], Installed]) -> None:
        rows = [
            (*key, i.version, i.source.value, i.confirmed, micros(i.at), i.counter) for key, i in sorted(last.items())
        ]
        run_keyed(self._session, _INSTALLED, rows, _INSTALL, tenant)

    def confirm(self, tenant: TenantId, installed: Sequence[tuple[DeviceId, str, Version]]) -> None:
        run_each(self._session, _CONFIRM, [(True, tenant, *fact) for fact in sorted(installed)])

    def ask_attributes(self, tenant: TenantId, devices: Sequence[DeviceId]) -> None:
        run_each(self._session, _ASK_ATTRIBUTES, [(True, tenant, device, True) for device in devices])

    def contacts(self, contacts: Sequence[tuple[TenantId, DeviceId, datetime, str]]) -> None:
        # In the order of keys, each once: fast on a tree, and two workers never wait for each other in a ring.
        newest: dict[tuple[TenantId, DeviceId], tuple[datetime, str]] = {}
        for tenant, device, at, address in contacts:
            known = newest.get((tenant, device))
            if known is None or at >= known[0]:
                newest[tenant, device] = (at, address)
        rows = [(*key, micros(at), address) for key, (at, address) in sorted(newest.items())]
        if fleet.move_contacts(self._session, [row[:3] for row in rows]):
            run_keyed(self._session, _CONTACTS, rows, _CONTACT_HOUR)
        run_keyed(self._session, _CONTACTS, rows, _CONTACT)

    def page(self, tenant: TenantId, query: Query | None, after: DeviceId | None, limit: int) -> list[Device]:
        return self._load(tenant, targeting.page(self._session, tenant, query, after or "", limit))

    def count(self, tenant: TenantId, query: Query | None) -> int:
        return targeting.count(self._session, tenant, query)

    def words(self, tenant: TenantId, field: Field, limit: int, name: str = "", prefix: str = "") -> list[str]:
        column, asked = (_WORDS_OF_NAME if name else _WORDS_OF)[field]
        of: tuple[str, ...] = (tenant, name) if name else (tenant,)
        bounds = "".join(f" AND {bound.text}" for bound in patterns.beginning(column, prefix))
        of += tuple(value for bound in patterns.beginning(column, prefix) for value in bound.values)
        return [word for (word,) in fetch(self._session, asked.replace(_BOUNDS, bounds), *of, *of, limit)]

    def _load(self, tenant: TenantId, ids: Sequence[str]) -> list[Device]:
        """Devices by id with all that hangs on them, in one statement each, whatever their number."""
        keys = [(id_,) for id_ in ids]
        tags: dict[str, set[str]] = {}
        for id_, tag in fetch_keyed(self._session, _IDS, keys, _TAGS_OF, tenant):
            tags.setdefault(id_, set()).add(tag)
        facts: dict[str, dict[str, str]] = {}
        for id_, name, value in fetch_keyed(self._session, _IDS, keys, _ATTRIBUTES_OF, tenant):
            facts.setdefault(id_, {})[name] = value
        installed: dict[str, list[Installed]] = {}
        for row in fetch_keyed(self._session, _IDS, keys, _INSTALLED_OF, tenant):
            installed.setdefault(row[0], []).append(_installed(row))
        return [
            _device(row, frozenset(tags.get(row[0], ())), facts.get(row[0], {}), tuple(installed.get(row[0], ())))
            for row in fetch_keyed(self._session, _IDS, keys, _DEVICES_OF, tenant)
        ]


def _last(installed: Sequence[tuple[DeviceId, Installed]]) -> dict[tuple[DeviceId, str], Installed]:
    """The last fact of each component, with the highest counter: one statement does not change a row twice."""
    last: dict[tuple[DeviceId, str], Installed] = {}
    for device, fact in installed:
        before = last.get((device, fact.component))
        falls = before is not None and before.counter > fact.counter
        last[device, fact.component] = replace(fact, counter=before.counter) if before and falls else fact
    return last


def _packed(standing: AutoConfirm | None) -> str | None:
    return None if standing is None else pack(standing)


def _row(tenant: TenantId, device: Device, digest: bytes) -> tuple[object, ...]:
    return (
        tenant,
        device.id,
        device.lifecycle.value,
        device.hardware.model,
        device.hardware.revision,
        digest,
        lot(tenant, device.id),
        device.attributes_requested,
        _packed(device.auto_confirm),
        micros(device.created_at),
        micros(device.updated_at),
        device.edition,
        device.assurance.value,
        ",".join(sorted(device.pins)),
    )


def _installed(row: AnyRow) -> Installed:
    _, component, version, source, at, confirmed, counter = row
    return Installed(component, Version(version), _SOURCES[source], _moment(at), bool(confirmed), counter)


def _membership(row: AnyRow) -> Membership:
    rollout, attempt, state, segment, wave, rank, action = row
    return Membership(
        rollout=RolloutId(rollout),
        attempt=attempt,
        state=_STATES[state],
        segment=segment,
        wave=wave,
        rank=rank,
        action=ActionId(action or 0),
        order_cancel=state == State.CANCELLING,
    )


def _device(row: AnyRow, tags: frozenset[str], attributes: dict[str, str], installed: tuple[Installed, ...]) -> Device:
    id_, lifecycle, model, revision, created, updated, edition, standing, requested, *seen = row
    last_contact, address, assurance, directed_at, pinned = seen
    return Device(
        id=id_,
        lifecycle=_LIFECYCLES[lifecycle],
        hardware=_hardware(model, revision),
        created_at=_moment(created),
        updated_at=_moment(updated),
        edition=edition,
        tags=tags,
        attributes=attributes,
        installed=installed,
        auto_confirm=unpack_auto_confirm(standing),
        attributes_requested=bool(requested),
        last_contact=None if last_contact is None else moment(last_contact),
        address=address,
        assurance=_ASSURANCES[assurance],
        pins=frozenset(pinned.split(",")) if pinned else frozenset(),
        directed_at=None if directed_at is None else moment(directed_at),
    )
