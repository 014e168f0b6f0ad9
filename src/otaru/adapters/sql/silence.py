"""Who stopped being heard in an hour that is over: looked up once in an hour for each rollout that is judged so.

A device falls silent in the hour in which its patience ends: so each silence is one event, and who is silent is not at risk
again until it has come. The same patience holds for the updated and for control, so it need not be right to be fair. What
is read is bounded: WATCHED members by rank, of which the first to be updated are, and as many of all others.

Of those who were told of nothing, members and WATCHED others (the first by id), it is noted too how many came: by that it is
known when the network was down for everybody.
"""

from collections.abc import Iterable, Mapping

from otaru.adapters.sql.fleet import HOUR
from otaru.adapters.sql.lean import fetch, run_each
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain.deployment import TOLD, State
from otaru.domain.health import ARMS, FRESH_H, MUTE_H, WATCHED, Arm, Heard, Hush, Sign
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Rollout


def _listed(states: Iterable[State]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


_CONTROL = _listed(state for state, arm in ARMS.items() if arm is Arm.CONTROL)
# Who has begun to install runs, or will run, what the rollout brings: that it never comes back is what is looked for.
_UPDATED = _listed({State.INSTALLING, State.REBOOTING, *(s for s, arm in ARMS.items() if arm is Arm.UPDATED)})

_HUSHED = f"""
SELECT segment, arm, fresh, sum(CASE WHEN came >= ? THEN 1 ELSE 0 END), sum(CASE WHEN came = ? THEN 1 ELSE 0 END),
sum(CASE WHEN came > ? AND said >= ? THEN 1 ELSE 0 END), sum(CASE WHEN came > ? AND said = ? THEN 1 ELSE 0 END)
FROM (
  SELECT d.segment AS segment, CASE WHEN d.state IN ({_UPDATED}) THEN '{Arm.UPDATED}' ELSE '{Arm.CONTROL}' END AS arm,
  CASE WHEN d.state IN ({_UPDATED}) AND d.changed_at / {HOUR} > ? THEN 1 ELSE 0 END AS fresh,
  c.last_contact / {HOUR} AS came,
  (SELECT max(e.received_at) / {HOUR} FROM health_event e WHERE e.tenant = d.tenant AND e.device = d.device) AS said
  FROM deployment d JOIN device_contact c ON c.tenant = d.tenant AND c.device = d.device
  WHERE d.tenant = ? AND d.rollout = ? AND d.current AND d.state IN ({_UPDATED}, {_CONTROL})
  AND (d.rank < {WATCHED} OR d.rank - (d.rank / ?) * ? = 0)
) AS members GROUP BY segment, arm, fresh"""
# Whose order lies on a stick is not expected.
_OVERDUE = f"""
SELECT d.segment, count(*) FROM deployment d JOIN device_contact c ON c.tenant = d.tenant AND c.device = d.device
WHERE d.tenant = ? AND d.rollout = ? AND d.state IN ({_listed(TOLD)}) AND d.current AND c.last_contact / {HOUR} <= ?
AND NOT EXISTS (
  SELECT 1 FROM bundle_device s JOIN bundle b ON b.tenant = s.tenant AND b.bundle = s.bundle
  WHERE s.tenant = d.tenant AND s.device = d.device AND s.action = d.action AND b.expires_at / {HOUR} > ?
)
GROUP BY d.segment"""
# Whom the release, or another one since, may have silenced bears no witness of the network.
_CAME = f"""
SELECT count(*), coalesce(sum(CASE WHEN w.came >= ? THEN 1 ELSE 0 END), 0) FROM (
  SELECT c.device AS device, c.last_contact / {HOUR} AS came
  FROM deployment d JOIN device_contact c ON c.tenant = d.tenant AND c.device = d.device
  WHERE d.tenant = ? AND d.rollout = ? AND d.current AND d.state = '{State.SCHEDULED}'
  AND (d.rank < {WATCHED} OR d.rank - (d.rank / ?) * ? = 0)
  UNION ALL
  SELECT o.device, o.last_contact / {HOUR} FROM (
    SELECT device, last_contact FROM device_contact WHERE tenant = ? ORDER BY device LIMIT {WATCHED}
  ) AS o WHERE NOT EXISTS (SELECT 1 FROM deployment m WHERE m.tenant = ? AND m.rollout = ? AND m.device = o.device)
) AS w
WHERE NOT EXISTS (SELECT 1 FROM deployment t WHERE t.tenant = ? AND t.device = w.device AND t.offered_at >= ?)"""
_NOTE = """
INSERT INTO silence_count (tenant, rollout, hour, segment, sign, arm, fresh, devices, at_risk)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, rollout, hour, segment, sign, arm, fresh) DO NOTHING"""
_LAST = "SELECT max(hour) FROM silence_count WHERE tenant = ? AND rollout = ?"
_ALL = "SELECT hour, segment, sign, arm, fresh, devices, at_risk FROM silence_count WHERE tenant = ? AND rollout = ?"


def hushed(session: Session, tenant: TenantId, rollout: Rollout, hour: int, patience_h: int) -> dict[Hush, Heard]:
    """Who stopped being heard in an hour that is over, of how many."""
    silent, mute = hour - patience_h, hour - max(patience_h, MUTE_H)
    every = max(1, rollout.size // WATCHED)
    found: dict[Hush, Heard] = {}
    rows = fetch(
        session,
        _HUSHED,
        *(silent, silent, silent, mute, silent, mute, hour - FRESH_H, tenant, rollout.id, every, every),
    )
    for segment, arm, fresh, here, gone, telling, told in rows:
        for sign, of, at_risk in ((Sign.SILENT, gone, here), (Sign.MUTE, told, telling)):
            if at_risk:
                found[Hush(hour, segment, sign, Arm(arm), bool(fresh))] = Heard(int(of or 0), int(at_risk))
    for segment, late in fetch(session, _OVERDUE, tenant, rollout.id, silent, hour):
        found[Hush(hour, segment, Sign.OVERDUE, Arm.CONTROL)] = Heard(late, late)
    told = (tenant, micros(rollout.created_at))
    (witnesses, came), *_ = fetch(
        session, _CAME, hour, tenant, rollout.id, every, every, tenant, tenant, rollout.id, *told
    )
    found[Hush(hour, 0, Sign.CAME, Arm.CONTROL)] = Heard(int(came), witnesses)
    return found


def note(session: Session, tenant: TenantId, rollout: RolloutId, found: Mapping[Hush, Heard]) -> None:
    """Keep what was found; what is known of an hour stays."""
    rows = [
        (tenant, rollout, at.hour, at.segment, at.sign.value, at.arm.value, at.fresh, of.events, of.devices)
        for at, of in sorted(found.items(), key=lambda one: one[0])
    ]
    run_each(session, _NOTE, rows)


def looked_at(session: Session, tenant: TenantId, rollout: RolloutId) -> int:
    """The last hour that was looked at; 0 where none was."""
    return int(fetch(session, _LAST, tenant, rollout)[0][0] or 0)


def noted(session: Session, tenant: TenantId, rollout: RolloutId) -> dict[Hush, Heard]:
    """All that was found."""
    return {
        Hush(hour, segment, Sign(sign), Arm(arm), bool(fresh)): Heard(devices, at_risk)
        for hour, segment, sign, arm, fresh, devices, at_risk in fetch(session, _ALL, tenant, rollout)
    }
