"""What the fleet's history says of members that a rollout would have. Each question is one pass over them, or bounded."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select

from otaru.adapters.sql.lean import fetch
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import deployment, deployment_count, device, device_contact, micros
from otaru.adapters.sql.tables import rollout as rollouts
from otaru.domain.deployment import FAILURES, State
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.rollout import Rollout
from otaru.domain.rollout.outlook import INSTALLS, MAX_HARDWARE, ROLLOUTS, SPANS_S, Outlook

_SECOND = 1_000_000


def outlook(
    session: Session, tenant: TenantId, rollout: Rollout, them: ColumnElement[bool], first: Sequence[DeviceId]
) -> Outlook:
    """Of the devices `them`, of which these come first."""
    heard = _heard(session, micros(rollout.created_at), them)
    installs, succeeded, failed = _past(session, tenant)
    return Outlook(
        heard=tuple(heard.get(span, 0) for span in range(len(SPANS_S))),
        unheard=heard.get(len(SPANS_S), 0),
        hardware=_hardware(session, them),
        first=tuple(first),
        installs_s=installs,
        succeeded=succeeded,
        failed=failed,
    )


def _heard(session: Session, now: int, them: ColumnElement[bool]) -> dict[int, int]:
    age: ColumnElement[int] = literal_column(str(now)) - func.coalesce(
        device_contact.c.last_contact, literal_column("0")
    )
    span = _span(age, 0, len(SPANS_S))
    of_device = and_(device_contact.c.tenant == device.c.tenant, device_contact.c.device == device.c.device)
    each = select(span.label("span")).select_from(device.outerjoin(device_contact, of_device)).where(them).subquery()
    counted = select(each.c.span, func.count().label("devices")).group_by(each.c.span)
    return {row.span: row.devices for row in session.connection.execute(counted)}


def _span(age: ColumnElement[int], low: int, high: int) -> ColumnElement[int]:
    """Which of SPANS_S an age is in, by halves; their number where it is in none."""
    if low == high:
        return literal_column(str(low))
    middle = (low + high) // 2
    within = age < literal_column(str(int(SPANS_S[middle] * _SECOND)))
    return case((within, _span(age, low, middle)), else_=_span(age, middle + 1, high))


def _hardware(session: Session, them: ColumnElement[bool]) -> dict[Hardware, int]:
    kinds = (device.c.model, device.c.hardware_revision)
    counted = select(*kinds, func.count()).where(them).group_by(*kinds).limit(MAX_HARDWARE)
    return {Hardware(model, revision): n for model, revision, n in session.connection.execute(counted)}


def _past(session: Session, tenant: TenantId) -> tuple[tuple[float, ...], int, int]:
    """From the newest rollouts that were started: how long updates took, how many succeeded and failed."""
    begun = and_(rollouts.c.tenant == tenant, rollouts.c.started_at.is_not(None))
    newest = select(rollouts.c.rollout).where(begun).order_by(rollouts.c.rollout.desc()).limit(ROLLOUTS)
    numbers = [number for (number,) in session.connection.execute(newest)]
    if not numbers:
        return (), 0, 0
    listed = ", ".join(str(int(number)) for number in numbers)
    took = fetch(session, _TOOK.format(rollouts=listed), tenant, INSTALLS)
    ends: dict[str, int] = dict(fetch(session, _ENDS.format(rollouts=listed), tenant))
    installs = tuple(sorted(span / _SECOND for (span,) in took))
    return installs, ends.get(State.SUCCEEDED.value, 0), sum(ends.get(state.value, 0) for state in FAILURES)


_TOOK = f"""
SELECT ended_at - offered_at FROM {deployment.name}
WHERE tenant = ? AND rollout IN ({{rollouts}}) AND state = '{State.SUCCEEDED}' AND offered_at IS NOT NULL
AND ended_at IS NOT NULL LIMIT ?"""
_ENDS = f"""
SELECT state, CAST(sum(members) AS bigint) FROM {deployment_count.name}
WHERE tenant = ? AND rollout IN ({{rollouts}}) GROUP BY state"""
