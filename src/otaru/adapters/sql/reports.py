"""What devices said, append-only."""

from collections.abc import Sequence

from otaru.adapters.sql.lean import fetch, fetch_keyed, run_each
from otaru.adapters.sql.packed import pack, unpack_texts
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.deployment import MAX_REPORTS, Event, Report
from otaru.domain.ids import ActionId, DeviceId, TenantId

_REPORTS = (("device", "text"), ("action", "bigint"), ("digest", "text"))

# Counted in the index, never fetched: an action with hundreds of reports costs little more than one with none.
_KNOWN = """
SELECT k.device, k.action, k.digest,
EXISTS (SELECT 1 FROM report r WHERE r.tenant = ? AND r.device = k.device AND r.action = k.action AND r.digest = k.digest),
(SELECT count(*) FROM report r WHERE r.tenant = ? AND r.device = k.device AND r.action = k.action)
FROM k"""

_ADD = """
INSERT INTO report (tenant, device, action, digest, received_at, event, execution, result, messages, device_time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, device, action, digest) DO NOTHING"""

_OF_ACTION = """
SELECT digest, received_at, event, execution, result, messages, device_time FROM report
WHERE tenant = ? AND device = ? AND action = ? ORDER BY received_at DESC, digest LIMIT ?"""


class SqlReports:
    """Implements `ports.store.Reports`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, tenant: TenantId, reports: Sequence[Report]) -> list[bool]:
        keys = [(report.device, report.action, report.digest.hex()) for report in reports]
        known: set[tuple[str, int, str]] = set()
        counts: dict[tuple[str, int], int] = {}
        for device, action, digest, exists, count in fetch_keyed(
            self._session, _REPORTS, list(dict.fromkeys(keys)), _KNOWN, tenant, tenant
        ):
            counts[device, action] = count
            if exists:
                known.add((device, action, digest))
        fresh: list[bool] = []
        kept: list[Report] = []
        for report, key in zip(reports, keys, strict=True):
            fresh.append(key not in known)
            if not fresh[-1]:
                continue
            known.add(key)
            if counts[key[:2]] < MAX_REPORTS:
                counts[key[:2]] += 1
                kept.append(report)
        run_each(self._session, _ADD, [_row(tenant, report) for report in kept])
        return fresh

    def of_action(self, tenant: TenantId, device: DeviceId, action: ActionId, limit: int) -> list[Report]:
        return [
            Report(
                device=device,
                action=action,
                received_at=moment(received_at),
                event=None if event is None else Event(event),
                execution=execution,
                result=result,
                messages=unpack_texts(messages),
                digest=bytes.fromhex(digest),
                device_time=device_time,
            )
            for digest, received_at, event, execution, result, messages, device_time in fetch(
                self._session, _OF_ACTION, tenant, device, action, limit
            )
        ]


def _row(tenant: TenantId, report: Report) -> tuple[object, ...]:
    return (
        tenant,
        report.device,
        report.action,
        report.digest.hex(),
        micros(report.received_at),
        None if report.event is None else report.event.value,
        report.execution,
        report.result,
        pack(report.messages),
        report.device_time,
    )
