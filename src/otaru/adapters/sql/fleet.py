"""The fleet counted: what a page shows of a million devices without looking at one.

The counters move in the transaction that moves the rows, as those of rollouts do (`counters`): each worker adds to its
own shard, the sum over shards is what is true. `component_count` counts the devices that run a version, once of all
times (hour 0) and once for each hour in which that changed: what ran when is told backwards from now. `hardware_count`
says on which hardware they are.
`device_standing` lists devices by where they stand: it is counted, and read in the order of ids, by its index.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from otaru.adapters.sql.lean import fetch, fetch_keyed, run, run_each, run_keyed
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import EPOCH, micros
from otaru.domain.deployment import FAILURES, WAITING, State
from otaru.domain.device import Hardware, Lifecycle
from otaru.domain.fleet import Component, Counts, Move, Runs
from otaru.domain.ids import DeviceId, TenantId, Version
from otaru.domain.rollout import ACTIVE, RolloutState

HOUR = timedelta(hours=1) // timedelta(microseconds=1)
EVER = 0
"""The hour under which all of them are counted."""
_GONE = Lifecycle.DECOMMISSIONED.value
_WAITING = ", ".join(f"'{state}'" for state in sorted(WAITING))
_FAILURES = ", ".join(f"'{state}'" for state in sorted(FAILURES))
_DEVICES = (("device", "text"),)

_ADD_LIFECYCLE = """
INSERT INTO device_count (tenant, lifecycle, shard, devices) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, lifecycle, shard) DO UPDATE SET devices = device_count.devices + excluded.devices"""

_ADD_COMPONENT = """
INSERT INTO component_count (tenant, hour, component, version, shard, devices) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, hour, component, version, shard)
DO UPDATE SET devices = component_count.devices + excluded.devices"""

_ADD_HARDWARE = """
INSERT INTO hardware_count (tenant, component, version, model, hardware_revision, shard, devices)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, component, version, model, hardware_revision, shard)
DO UPDATE SET devices = hardware_count.devices + excluded.devices"""

_ADD_CONTACT = """
INSERT INTO contact_count (tenant, hour, shard, devices) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, hour, shard) DO UPDATE SET devices = contact_count.devices + excluded.devices"""

_COMPONENTS = (("device", "text"), ("component", "text"))
_RUNNING = f"""
SELECT k.device, k.component, c.version, d.model, d.hardware_revision FROM k CROSS JOIN device d
LEFT JOIN device_component c ON c.tenant = d.tenant AND c.device = d.device AND c.component = k.component
WHERE d.tenant = ? AND d.device = k.device AND d.lifecycle <> '{_GONE}'"""

_CONTACTED = (("tenant", "text"), ("device", "text"), ("at", "bigint"))
# Counted before it leaves SQL, and whether a device is in service is asked last: mostly nobody changes the hour.
_NEW_HOURS = f"""
SELECT d.tenant, c.last_contact / {HOUR}, k.at / {HOUR}, count(*)
FROM k LEFT JOIN device_contact c ON c.tenant = k.tenant AND c.device = k.device CROSS JOIN device d
WHERE (c.last_contact IS NULL OR c.last_contact / {HOUR} < k.at / {HOUR})
AND d.tenant = k.tenant AND d.device = k.device AND d.lifecycle <> '{_GONE}'
GROUP BY d.tenant, c.last_contact / {HOUR}, k.at / {HOUR}"""

# The open one has not ended; of those that have, the last one. Each device has few.
_NEWEST = """(SELECT p.state FROM deployment p
  WHERE p.tenant = v.tenant AND p.device = v.device AND p.state <> 'scheduled'
  ORDER BY CASE WHEN p.ended_at IS NULL THEN 0 ELSE 1 END, p.ended_at DESC, p.rollout DESC, p.attempt DESC LIMIT 1)"""
# Who has been told of nothing yet stands nowhere.
_STAND = f"""
INSERT INTO device_standing (tenant, device, state) SELECT * FROM (
  SELECT v.tenant, v.device, {_NEWEST} AS state FROM {{of}} AND v.lifecycle <> '{_GONE}') AS newest
WHERE state IS NOT NULL
ON CONFLICT (tenant, device) DO UPDATE SET state = excluded.state WHERE device_standing.state <> excluded.state"""
_STAND_ONE = _STAND.format(of="k CROSS JOIN device v WHERE v.tenant = ? AND v.device = k.device")
_STAND_MANY = _STAND.format(
    of="""deployment d CROSS JOIN device v
WHERE d.tenant = ? AND d.rollout = ? AND d.state = ? AND d.changed_at = ? AND d.current
AND v.tenant = d.tenant AND v.device = d.device"""
)
_LEAVE = "DELETE FROM device_standing WHERE tenant = ? AND device = ?"

_LIFECYCLES = """
SELECT lifecycle, CAST(sum(devices) AS bigint) FROM device_count WHERE tenant = ?
GROUP BY lifecycle HAVING sum(devices) <> 0"""
_VERSIONS = """
SELECT component, version, CAST(sum(devices) AS bigint) FROM component_count WHERE tenant = ? AND hour = ?
GROUP BY component, version HAVING sum(devices) <> 0"""
_OF_VERSION = """
SELECT CAST(coalesce(sum(devices), 0) AS bigint) FROM component_count
WHERE tenant = ? AND hour = ? AND component = ? AND version = ?"""
_OF_COMPONENT = """
SELECT model, hardware_revision, version, CAST(sum(devices) AS bigint) AS running FROM hardware_count
WHERE tenant = ? AND component = ?
GROUP BY model, hardware_revision, version HAVING sum(devices) <> 0
ORDER BY running DESC, version, model, hardware_revision LIMIT ?"""
_MOVES = """
SELECT hour, component, version, CAST(sum(devices) AS bigint) FROM component_count WHERE tenant = ? AND hour >= ?
GROUP BY hour, component, version HAVING sum(devices) <> 0 ORDER BY hour, component, version"""
_FAILED = f"SELECT count(*) FROM device_standing WHERE tenant = ? AND state IN ({_FAILURES})"
# By the partial index of those that are not active, who are few.
_ASIDE = f"""
SELECT count(CASE WHEN EXISTS (SELECT 1 FROM device_standing s WHERE s.tenant = v.tenant AND s.device = v.device
  AND s.state IN ({_FAILURES}, {_WAITING})) THEN 1 END),
count(CASE WHEN NOT EXISTS (SELECT 1 FROM device_contact c WHERE c.tenant = v.tenant AND c.device = v.device) THEN 1 END)
FROM device v WHERE v.tenant = ? AND v.lifecycle <> 'active' AND v.lifecycle IN ('pending', 'quarantined')"""
_HEARD = """
SELECT CAST(coalesce(sum(devices), 0) AS bigint),
CAST(coalesce(sum(CASE WHEN hour < ? THEN devices ELSE 0 END), 0) AS bigint)
FROM contact_count WHERE tenant = ?"""

_HEARD_IN = """
SELECT hour, CAST(sum(devices) AS bigint) FROM contact_count WHERE tenant = ? AND hour >= ?
GROUP BY hour HAVING sum(devices) > 0"""

_ACTIVE = ", ".join(f"'{state}'" for state in sorted(ACTIVE))
_MEMBERS = f"""
SELECT r.state, c.state, CAST(sum(c.members) AS bigint) FROM rollout r
JOIN deployment_count c ON c.tenant = r.tenant AND c.rollout = r.rollout
WHERE r.tenant = ? AND r.state IN ({_ACTIVE}) GROUP BY r.state, c.state HAVING sum(c.members) <> 0"""

_PRUNE_COMPONENTS = f"DELETE FROM component_count WHERE hour > {EVER} AND hour < ?"
# Hours that everybody has been heard of since; per tenant and hour all shards at once, so the sum stays.
_PRUNE_CONTACTS = """
DELETE FROM contact_count WHERE hour < ? AND (SELECT sum(s.devices) FROM contact_count s
  WHERE s.tenant = contact_count.tenant AND s.hour = contact_count.hour) = 0"""

# Counted anew from the rows: what the counters must equal. Each looks at every device; for tests and migrations.
_RECOUNT_LIFECYCLES = "SELECT lifecycle, count(*) FROM device WHERE tenant = ? GROUP BY lifecycle"
_IN_SERVICE = f"d.tenant = ? AND d.lifecycle <> '{_GONE}'"
_RECOUNT_VERSIONS = f"""
SELECT c.component, c.version, count(*) FROM device d
JOIN device_component c ON c.tenant = d.tenant AND c.device = d.device WHERE {_IN_SERVICE}
GROUP BY c.component, c.version"""
_RECOUNT_HEARD = f"""
SELECT count(*), coalesce(sum(CASE WHEN c.last_contact < ? THEN 1 ELSE 0 END), 0) FROM device d
JOIN device_contact c ON c.tenant = d.tenant AND c.device = d.device WHERE {_IN_SERVICE}"""
_RECOUNT_FAILED = f"""
SELECT count(*) FROM device v WHERE v.tenant = ? AND v.lifecycle <> '{_GONE}' AND {_NEWEST} IN ({_FAILURES})"""


def hour_of(stored: int) -> int:
    """The hour, since 1970, of a stored time."""
    return stored // HOUR


class SqlFleet:
    """Implements `ports.store.Fleet`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def counts(self, tenant: TenantId, before: datetime) -> Counts:
        return self._counted(
            tenant, _LIFECYCLES, (_VERSIONS, (tenant, EVER)), _FAILED, (_HEARD, (hour_of(micros(before)), tenant))
        )

    def running(self, tenant: TenantId, component: str, version: Version) -> int:
        devices: int = fetch(self._session, _OF_VERSION, tenant, EVER, component, version)[0][0]
        return devices

    def spread(self, tenant: TenantId, component: str, limit: int) -> dict[Runs, int]:
        rows = fetch(self._session, _OF_COMPONENT, tenant, component, limit)
        return {(Hardware(model, revision), Version(v)): n for model, revision, v, n in rows}

    def recounted(self, tenant: TenantId, before: datetime) -> Counts:
        whole_hours = hour_of(micros(before)) * HOUR
        return self._counted(
            tenant,
            _RECOUNT_LIFECYCLES,
            (_RECOUNT_VERSIONS, (tenant,)),
            _RECOUNT_FAILED,
            (_RECOUNT_HEARD, (whole_hours, tenant)),
        )

    def _counted(
        self,
        tenant: TenantId,
        lifecycles: str,
        versions: tuple[str, tuple[object, ...]],
        failed: str,
        heard: tuple[str, tuple[object, ...]],
    ) -> Counts:
        (of_all, silent), *_ = fetch(self._session, heard[0], *heard[1])
        (aside, unheard_aside), *_ = fetch(self._session, _ASIDE, tenant)
        return Counts(
            lifecycles={Lifecycle(name): n for name, n in fetch(self._session, lifecycles, tenant)},
            versions={(name, Version(v)): n for name, v, n in fetch(self._session, versions[0], *versions[1])},
            failed=fetch(self._session, failed, tenant)[0][0],
            aside=aside,
            unheard_aside=unheard_aside,
            heard=of_all,
            silent=silent,
        )

    def moves(self, tenant: TenantId, since: datetime) -> list[Move]:
        rows = fetch(self._session, _MOVES, tenant, max(hour_of(micros(since)), EVER + 1))
        return [Move(EPOCH + timedelta(hours=hour), (name, Version(v)), n) for hour, name, v, n in rows]

    def heard(self, tenant: TenantId, since: int) -> dict[int, int]:
        return {hour: devices for hour, devices in fetch(self._session, _HEARD_IN, tenant, since)}  # noqa: C416 - rows are of any length

    def members(self, tenant: TenantId) -> dict[tuple[RolloutState, State], int]:
        return {(RolloutState(r), State(s)): n for r, s, n in fetch(self._session, _MEMBERS, tenant)}

    def prune(self, before: datetime) -> None:
        hour = hour_of(micros(before))
        run(self._session, _PRUNE_COMPONENTS, hour)
        run(self._session, _PRUNE_CONTACTS, hour)


def move_lifecycles(session: Session, tenant: TenantId, moves: Mapping[str, int]) -> None:
    """Count devices that came, left or changed their lifecycle."""
    run_each(session, _ADD_LIFECYCLE, [(tenant, name, session.shard, n) for name, n in sorted(moves.items()) if n])


def running(
    session: Session, tenant: TenantId, keys: Sequence[tuple[DeviceId, str]]
) -> dict[tuple[DeviceId, str], tuple[Hardware, Version | None]]:
    """What runs in components, and on what, of devices in service (others are left out); None: no version is known."""
    rows = fetch_keyed(session, _COMPONENTS, keys, _RUNNING, tenant)
    return {(device, name): (Hardware(*hardware), version) for device, name, version, *hardware in rows}


def move_components(session: Session, tenant: TenantId, moves: Mapping[tuple[int, Component, Hardware], int]) -> None:
    """Count what runs in components now: in all, in its hour, and on which hardware."""
    counted: Counter[tuple[int, Component]] = Counter()
    on: Counter[tuple[Component, Hardware]] = Counter()
    for (hour, component, hardware), devices in moves.items():
        counted[hour, component] += devices
        counted[EVER, component] += devices
        on[component, hardware] += devices
    run_each(
        session,
        _ADD_COMPONENT,
        [(tenant, hour, *component, session.shard, n) for (hour, component), n in sorted(counted.items()) if n],
    )
    move_hardware(session, tenant, on)


def move_hardware(session: Session, tenant: TenantId, moves: Mapping[tuple[Component, Hardware], int]) -> None:
    """Count on which hardware what runs in components runs now."""
    rows = [
        (tenant, *component, hardware.model, hardware.revision, session.shard, n)
        for (component, hardware), n in moves.items()
        if n
    ]
    run_each(session, _ADD_HARDWARE, sorted(rows))


def move_contacts(session: Session, newest: Sequence[tuple[TenantId, DeviceId, int]]) -> bool:
    """Count who is about to be heard of in another hour than before; `newest` are stored times, each device once.

    Whether there is anybody in service who was heard of in an earlier hour.
    """
    moves: Counter[tuple[TenantId, int]] = Counter()
    again = False
    for tenant, before, after, devices in fetch_keyed(session, _CONTACTED, newest, _NEW_HOURS):
        moves[tenant, after] += devices
        if before is not None:
            again = True
            moves[tenant, before] -= devices
    count_contacts(session, moves)
    return again


def count_contacts(session: Session, moves: Mapping[tuple[TenantId, int], int]) -> None:
    """Count devices by the hour of their last contact."""
    run_each(session, _ADD_CONTACT, [(*key, session.shard, n) for key, n in sorted(moves.items()) if n])


def stand(session: Session, tenant: TenantId, devices: Collection[DeviceId]) -> None:
    """List devices in service anew by where they stand, after deployments of theirs were moved."""
    run_keyed(session, _DEVICES, [(device,) for device in sorted(devices)], _STAND_ONE, tenant)


def stand_many(session: Session, tenant: TenantId, rollout: int, state: str, at: int) -> None:
    """The same for all members of a rollout who were moved to `state` at a (stored) time."""
    run(session, _STAND_MANY, tenant, rollout, state, at)


def leave(session: Session, tenant: TenantId, device: DeviceId) -> None:
    """Take a device off that list: who is decommissioned stands nowhere."""
    run(session, _LEAVE, tenant, device)
