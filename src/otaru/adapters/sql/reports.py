"""What devices said, append-only."""

from collections.abc import Sequence

from otaru.adapters.sql.lean import fetch, fetch_keyed, run_each
from otaru.adapters.sql.packed import pack, unpack_messages
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.deployment import MAX_REPORTS, Event, Report
from otaru.domain.ids import ActionId, DeviceId, TenantId

_ACTIONS = (("device", "text"), ("action", "bigint"))

_KNOWN = """
SELECT r.device, r.action, r.digest FROM k CROSS JOIN report r
WHERE r.tenant = ? AND r.device = k.device AND r.action = k.action"""

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
        # An action has few reports, MAX_REPORTS at worst: their digests also say how many there are.
        known: dict[tuple[str, int], set[bytes]] = {(report.device, report.action): set() for report in reports}
        for device, action, digest in fetch_keyed(self._session, _ACTIONS, list(known), _KNOWN, tenant):
            known[device, action].add(bytes(digest))
        fresh: list[bool] = []
        kept: list[Report] = []
        dropped: set[tuple[str, int, bytes]] = set()
        for report in reports:
            digests = known[report.device, report.action]
            key = (report.device, report.action, report.digest)
            fresh.append(report.digest not in digests and key not in dropped)
            if not fresh[-1]:
                continue
            if len(digests) < MAX_REPORTS:
                digests.add(report.digest)
                kept.append(report)
            else:
                dropped.add(key)
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
                messages=unpack_messages(messages),
                digest=bytes(digest),
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
        report.digest,
        micros(report.received_at),
        None if report.event is None else report.event.value,
        report.execution,
        report.result,
        pack(report.messages),
        report.device_time,
    )
