"""What devices told of their health: kept, and counted in the same transaction.

Counters are deltas of shards, as everywhere (`counters`). What an event counts for is looked up once for all devices of a
transaction: their shares in active rollouts, what they told in this hour, and whether they rebooted since the offer.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from otaru.adapters.sql import silence
from otaru.adapters.sql.fleet import HOUR, hour_of
from otaru.adapters.sql.lean import fetch, fetch_keyed, run, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.adapters.sql.telemetry import Comparison, Share, judged, mark, marked, placed
from otaru.domain.deployment import State
from otaru.domain.health import (
    ARMS,
    EVENTS,
    MAX_SAMPLED,
    QUANTILES,
    Arm,
    HealthEvent,
    Heard,
    Hush,
    Kind,
    Measured,
    Risk,
    Spread,
    Stratum,
    age_bucket,
    rounded,
)
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.rollout import ACTIVE, Rollout

Exposure = tuple[int, int, int, str]
"""Rollout, segment, (stored) time, state."""

NO_ROLLOUT = RolloutId(0)

_EVENTS = (("device", "text"), ("event", "text"))
_KNOWN = """
SELECT k.device, k.event FROM k CROSS JOIN health_event h
WHERE h.tenant = ? AND h.device = k.device AND h.event = k.event"""
_ADD = """
INSERT INTO health_event (tenant, device, event, kind, received_at, text, name, value, device_time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, device, event) DO NOTHING"""

_DEVICES = (("device", "text"),)
_TOLD = """
SELECT h.device, count(*) FROM k CROSS JOIN health_event h
WHERE h.tenant = ? AND h.device = k.device AND h.received_at > ? GROUP BY h.device"""
_THIS_HOUR = f"""
SELECT h.device, h.kind, h.received_at / {HOUR}, count(*) FROM k CROSS JOIN health_event h
WHERE h.tenant = ? AND h.device = k.device AND h.received_at >= ? AND h.kind <> 'sample'
GROUP BY h.device, h.kind, h.received_at / {HOUR}"""
_SINCE = (("device", "text"), ("since", "bigint"))
_REBOOTED = """
SELECT k.device, k.since, min(h.received_at) FROM k CROSS JOIN health_event h
WHERE h.tenant = ? AND h.device = k.device AND h.received_at >= k.since AND h.kind = 'reboot' GROUP BY k.device, k.since"""

_SINCE_EACH = """
SELECT h.device, h.kind, count(*) FROM k CROSS JOIN health_event h
WHERE h.tenant = ? AND h.device = k.device AND h.received_at >= k.since AND h.kind IN ({kinds}) GROUP BY h.device, h.kind"""

_ACTIVE = ", ".join(f"'{state}'" for state in sorted(ACTIVE))
# A device runs the new version from its trial on, where it had one.
_SHARES = f"""
SELECT d.device, d.rollout, d.segment, d.state, coalesce(d.offered_at, 0),
CASE WHEN d.state = 'succeeded' THEN coalesce((SELECT min(r.received_at) FROM report r
  WHERE r.tenant = d.tenant AND r.device = d.device AND r.action = d.action AND r.event IN ('try', 'succeed')), d.changed_at)
ELSE d.changed_at END
FROM k CROSS JOIN deployment d JOIN rollout o ON o.tenant = d.tenant AND o.rollout = d.rollout
WHERE d.tenant = ? AND d.device = k.device AND d.current AND o.state IN ({_ACTIVE})"""

_COUNT = """
INSERT INTO health_count (tenant, rollout, segment, arm, hour, age, kind, shard, events, devices)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, segment, arm, hour, age, kind, shard) DO UPDATE
SET events = health_count.events + excluded.events, devices = health_count.devices + excluded.devices"""
_HEARD = """
SELECT segment, arm, hour, age, kind, CAST(sum(events) AS bigint), CAST(sum(devices) AS bigint)
FROM health_count WHERE tenant = ? AND rollout = ? GROUP BY segment, arm, hour, age, kind"""

_EXPOSE = """
INSERT INTO exposure_count (tenant, rollout, segment, arm, hour, shard, devices) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, segment, arm, hour, shard)
DO UPDATE SET devices = exposure_count.devices + excluded.devices"""
_EXPOSED = """
SELECT segment, arm, hour, CAST(sum(devices) AS bigint) FROM exposure_count WHERE tenant = ? AND rollout = ?
GROUP BY segment, arm, hour HAVING sum(devices) <> 0"""

_LAST_OF = """
SELECT t.device, t.name, t.value FROM k CROSS JOIN telemetry_last t WHERE t.tenant = ? AND t.device = k.device"""
_SET_LAST = """
INSERT INTO telemetry_last (tenant, device, name, value, since) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, device, name) DO UPDATE SET value = excluded.value, since = excluded.since"""
_NEXT_NAME = "SELECT name FROM telemetry_last WHERE tenant = ? AND name > ? ORDER BY name LIMIT 1"
_TOLD_BY = "SELECT count(*) FROM telemetry_last WHERE tenant = ? AND name = ?"
_AT_PLACE = "SELECT value FROM telemetry_last WHERE tenant = ? AND name = ? ORDER BY value LIMIT 1 OFFSET ?"
_TELEMETRY = "SELECT name, value, since FROM telemetry_last WHERE tenant = ? AND device = ? ORDER BY name"

_OF_DEVICE = """
SELECT event, kind, received_at, text, name, value, device_time FROM health_event
WHERE tenant = ? AND device = ? AND received_at <= ? AND (received_at < ? OR event < ?)
ORDER BY received_at DESC, event DESC LIMIT ?"""
_END_OF_TIME = 2**62

_PRUNE = """
DELETE FROM health_event WHERE tenant = ? AND (device, event) IN (
  SELECT h.device, h.event FROM health_event h WHERE h.tenant = ? AND h.received_at < ? ORDER BY h.received_at LIMIT ?)"""
# A rollout that ended so long ago compares nobody any more; its scores stay.
_PRUNE_WITNESSES = f"""
DELETE FROM telemetry_witness WHERE tenant = ? AND rollout IN (
  SELECT o.rollout FROM rollout o WHERE o.tenant = ? AND o.state NOT IN ({_ACTIVE}) AND o.ended_at < ?)"""
_PRUNE_COUNTS = "DELETE FROM health_count WHERE tenant = ? AND rollout = 0 AND hour < ?"


class SqlHealth:
    """Implements `ports.store.Health`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def known(self, tenant: TenantId, keys: Sequence[tuple[DeviceId, str]]) -> set[tuple[DeviceId, str]]:
        return {(DeviceId(d), e) for d, e in fetch_keyed(self._session, _EVENTS, list(keys), _KNOWN, tenant)}

    def told_since(self, tenant: TenantId, devices: Sequence[DeviceId], since: datetime) -> dict[DeviceId, int]:
        keys = [(device,) for device in devices]
        rows = fetch_keyed(self._session, _DEVICES, keys, _TOLD, tenant, micros(since))
        return {DeviceId(device): events for device, events in rows}

    def add(self, tenant: TenantId, events: Sequence[HealthEvent]) -> list[bool]:
        seen = self.known(tenant, list(dict.fromkeys((e.device, e.id) for e in events)))
        fresh: list[bool] = []
        new: list[HealthEvent] = []
        for event in events:
            fresh.append((event.device, event.id) not in seen)
            if fresh[-1]:
                seen.add((event.device, event.id))
                new.append(event)
        # Looked up before they are kept: what they are told apart from are those of before.
        self._count(tenant, [event for event in new if event.kind in EVENTS])
        samples = [event for event in new if event.kind is Kind.SAMPLE]
        self._measure(tenant, samples)
        run_each(self._session, _ADD, [_row(tenant, event) for event in new])
        self._compare(tenant, samples)
        return fresh

    def _compare(self, tenant: TenantId, samples: Sequence[HealthEvent]) -> None:
        """Place updated devices by their telemetry, where a rollout is judged by that."""
        by = judged(self._session, tenant) if samples else {}
        names = {name for of in by.values() for name in of.measures}
        told = [sample for sample in samples if sample.name in names]
        if told:
            devices = [(device,) for device in sorted({sample.device for sample in told})]
            Comparison(self._session, tenant, by).place(told, self._shares(tenant, devices))

    def _count(self, tenant: TenantId, events: Sequence[HealthEvent]) -> None:
        if not events:
            return
        devices = [(device,) for device in sorted({event.device for event in events})]
        first = min(hour_of(micros(event.received_at)) for event in events) * HOUR
        rows = fetch_keyed(self._session, _DEVICES, devices, _THIS_HOUR, tenant, first)
        told = Counter({(device, kind, hour): number for device, kind, hour, number in rows})
        shares = self._shares(tenant, devices)
        rebooted = self._rebooted(tenant, shares, events)
        cells: Counter[tuple[object, ...]] = Counter()
        once: Counter[tuple[object, ...]] = Counter()
        for event in events:
            at = micros(event.received_at)
            said = (event.device, event.kind.value, hour_of(at))
            for cell, uncounted in _cells(shares[event.device], event, at, rebooted):
                cells[cell] += 1
                once[cell] += told[said] == uncounted
            told[said] += 1
        shard = self._session.shard
        run_each(self._session, _COUNT, [(tenant, *cell, shard, n, once[cell]) for cell, n in sorted(cells.items())])
        mark(self._session, tenant, {cell[0] for cell in cells} - {NO_ROLLOUT})

    def _shares(self, tenant: TenantId, devices: Sequence[tuple[str]]) -> dict[str, list[Share]]:
        shares: dict[str, list[Share]] = defaultdict(list)
        for device, rollout, segment, state, offered_at, since in fetch_keyed(
            self._session, _DEVICES, devices, _SHARES, tenant
        ):
            shares[device].append(Share(rollout, segment, ARMS.get(State(state)), offered_at, since))
        return shares

    def _rebooted(
        self, tenant: TenantId, shares: Mapping[str, Sequence[Share]], events: Sequence[HealthEvent]
    ) -> dict[tuple[str, int], int]:
        """When updated devices that tell of a reboot first did so since an offer, by (device, time of the offer)."""
        asked = {
            (event.device, share.offered_at)
            for event in events
            if event.kind is Kind.REBOOT
            for share in shares.get(event.device, ())
            if share.arm is Arm.UPDATED
        }
        rows = fetch_keyed(self._session, _SINCE, sorted(asked), _REBOOTED, tenant)
        return {(device, since): first for device, since, first in rows}

    def _measure(self, tenant: TenantId, samples: Sequence[HealthEvent]) -> None:
        if not samples:
            return
        newest = {(sample.device, sample.name): sample for sample in sorted(samples, key=lambda s: s.received_at)}
        devices = [(device,) for device in sorted({device for device, _ in newest})]
        known: dict[str, dict[str, float]] = defaultdict(dict)
        for device, name, value in fetch_keyed(self._session, _DEVICES, devices, _LAST_OF, tenant):
            known[device][name] = value
        rows = []
        for (device, name), sample in sorted(newest.items()):
            value, of_device = rounded(sample.value), known[device]
            if of_device.get(name) == value or (name not in of_device and len(of_device) >= MAX_SAMPLED):
                continue
            of_device[name] = value
            rows.append((tenant, device, name, value, micros(sample.received_at)))
        run_each(self._session, _SET_LAST, rows)

    def since(
        self, tenant: TenantId, keys: Sequence[tuple[DeviceId, datetime]], kinds: Collection[Kind]
    ) -> dict[DeviceId, Counter[Kind]]:
        asked = _SINCE_EACH.format(kinds=", ".join(f"'{kind}'" for kind in sorted(kinds)))
        found: dict[DeviceId, Counter[Kind]] = defaultdict(Counter)
        for device, kind, number in fetch_keyed(
            self._session, _SINCE, [(device, micros(at)) for device, at in keys], asked, tenant
        ):
            found[DeviceId(device)][Kind(kind)] = number
        return dict(found)

    def risk(self, tenant: TenantId, rollout: RolloutId) -> Risk:
        heard = {
            Stratum(segment, Arm(arm), hour, age, Kind(kind)): Heard(events, devices)
            for segment, arm, hour, age, kind, events, devices in fetch(self._session, _HEARD, tenant, rollout)
        }
        moves = {(s, Arm(arm), hour): n for s, arm, hour, n in fetch(self._session, _EXPOSED, tenant, rollout)}
        return Risk(
            rollout, heard, moves, placed(self._session, tenant, rollout), silence.noted(self._session, tenant, rollout)
        )

    def hushed(self, tenant: TenantId, rollout: Rollout, hour: int, patience_h: int) -> dict[Hush, Heard]:
        return silence.hushed(self._session, tenant, rollout, hour, patience_h)

    def note_hushed(self, tenant: TenantId, rollout: RolloutId, found: Mapping[Hush, Heard]) -> None:
        silence.note(self._session, tenant, rollout, found)
        mark(self._session, tenant, {rollout})

    def hushed_until(self, tenant: TenantId, rollout: RolloutId) -> int:
        return silence.looked_at(self._session, tenant, rollout)

    def mark(self, tenant: TenantId, rollout: RolloutId) -> int:
        return marked(self._session, tenant, rollout)

    def of_device(
        self, tenant: TenantId, device: DeviceId, before: tuple[datetime, str] | None, limit: int
    ) -> list[HealthEvent]:
        at, event = (micros(before[0]), before[1]) if before else (_END_OF_TIME, "")
        return [
            HealthEvent(device, id_, Kind(kind), moment(received), text, name, value, time)
            for id_, kind, received, text, name, value, time in fetch(
                self._session, _OF_DEVICE, tenant, device, at, at, event, limit
            )
        ]

    def telemetry(self, tenant: TenantId, device: DeviceId) -> list[Measured]:
        rows = fetch(self._session, _TELEMETRY, tenant, device)
        return [Measured(name, value, moment(since)) for name, value, since in rows]

    def measured(self, tenant: TenantId, limit: int) -> list[str]:
        names: list[str] = []
        while len(names) < limit and (found := fetch(self._session, _NEXT_NAME, tenant, names[-1] if names else "")):
            names.append(found[0][0])
        return names

    def spread(self, tenant: TenantId, name: str) -> Spread | None:
        devices = int(fetch(self._session, _TOLD_BY, tenant, name)[0][0])
        places = [round(share * (devices - 1)) for share in QUANTILES] if devices else []
        values = [fetch(self._session, _AT_PLACE, tenant, name, place)[0][0] for place in places]
        return Spread(name, devices, tuple(values)) if values else None

    def prune(self, tenant: TenantId, before: datetime, limit: int) -> int:
        return run(self._session, _PRUNE, tenant, tenant, micros(before), limit)

    def prune_counts(self, tenant: TenantId, before: datetime) -> None:
        run(self._session, _PRUNE_COUNTS, tenant, hour_of(micros(before)))
        run(self._session, _PRUNE_WITNESSES, tenant, tenant, micros(before))


def expose(session: Session, tenant: TenantId, moves: Mapping[Exposure, int]) -> None:
    """Count members that came into a state (or left it) at a time, where that state has an arm."""
    arms: Counter[tuple[int, int, str, int]] = Counter()
    for (rollout, segment, at, state), devices in moves.items():
        if (arm := ARMS.get(State(state))) is not None:
            arms[rollout, segment, arm.value, hour_of(at)] += devices
    run_each(session, _EXPOSE, [(tenant, *cell, session.shard, n) for cell, n in sorted(arms.items()) if n])


def _cells(
    shares: Sequence[Share], event: HealthEvent, at: int, rebooted: dict[tuple[str, int], int]
) -> Iterator[tuple[tuple[object, ...], int]]:
    """What an event counts for (rollout, segment, arm, hour, age, kind), and how many of its kind in its hour do not."""
    hour, kind = hour_of(at), event.kind.value
    for share in shares:
        if share.arm is Arm.CONTROL:
            yield (share.rollout, share.segment, Arm.CONTROL.value, hour, 0, kind), 0
        if share.arm is not Arm.UPDATED:
            continue
        own = 0
        if event.kind is Kind.REBOOT:
            if (first := rebooted.get((event.device, share.offered_at))) is None:
                rebooted[event.device, share.offered_at] = at  # the update's own
                continue
            own = int(hour_of(first) == hour)
        age = age_bucket(hour - hour_of(share.since))
        yield (share.rollout, share.segment, Arm.UPDATED.value, hour, age, kind), own
    if not shares:
        yield (NO_ROLLOUT, 0, Arm.CONTROL.value, hour, 0, kind), 0


def _row(tenant: TenantId, event: HealthEvent) -> tuple[object, ...]:
    return (
        tenant,
        event.device,
        event.id,
        event.kind.value,
        micros(event.received_at),
        event.text,
        event.name,
        event.value,
        event.device_time,
    )
