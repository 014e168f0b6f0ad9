"""Devices' shares in rollouts, row by row; what moves a whole rollout's members at once is in `members`."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from otaru.adapters.sql import fleet, health
from otaru.adapters.sql.counters import Cell, move
from otaru.adapters.sql.lean import AnyRow, fetch, fetch_keyed, run, run_each
from otaru.adapters.sql.rollouts import without_waves
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import OPEN_STATES, micros, moment
from otaru.domain.consent import Delay
from otaru.domain.deployment import FAILURES, FINAL, OPEN, Deployment, State
from otaru.domain.ids import MAX_ACTION, ActionId, DeviceId, RolloutId, TenantId
from otaru.domain.rollout import ACTIVE, Rollout
from otaru.domain.trial import Trial
from otaru.errors import NotFoundError

# The words are looked up by key for each row: joined, PostgreSQL may pair all with all while it has no statistics yet.
_WORDS = """(SELECT w.reason FROM deployment_reason w
WHERE w.tenant = d.tenant AND w.rollout = d.rollout AND w.device = d.device AND w.attempt = d.attempt)"""

_COLUMNS = f"""d.rollout, d.device, d.attempt, d.state, d.segment, d.wave, d.rank, d.action,
d.changed_at, d.offered_at, d.ended_at, {_WORDS}, d.base"""

_SHARES = (("rollout", "bigint"), ("device", "text"))
_CURRENT = f"""
SELECT {_COLUMNS} FROM k CROSS JOIN deployment d
WHERE d.tenant = ? AND d.rollout = k.rollout AND d.device = k.device AND d.current"""

_ACTIONS = (("device", "text"), ("action", "bigint"))
_BY_ACTION = f"""
SELECT {_COLUMNS} FROM k CROSS JOIN deployment d
WHERE d.tenant = ? AND d.device = k.device AND d.action = k.action"""

_OPEN_OF = f"""
SELECT {_COLUMNS} FROM deployment d
WHERE d.tenant = ? AND d.device = ? AND d.state IN ({OPEN_STATES})"""

# Each half is found by its partial index; an old attempt has always ended (`members.retry`).
_UNENDED_OF = f"""
SELECT {_COLUMNS} FROM deployment d WHERE d.tenant = ? AND d.device = ? AND d.state = 'scheduled'
UNION ALL
{_OPEN_OF}"""

_DEVICES = (("device", "text"),)
_ALLOT = f"""
UPDATE device SET last_action = last_action + 1
WHERE tenant = ? AND device IN (SELECT device FROM k) AND last_action < {MAX_ACTION} RETURNING device, last_action"""

_ATTEMPTS = (("rollout", "bigint"), ("device", "text"), ("attempt", "bigint"))
_STORED = """
SELECT d.rollout, d.device, d.attempt, d.state, d.segment, d.wave, d.current FROM k CROSS JOIN deployment d
WHERE d.tenant = ? AND d.rollout = k.rollout AND d.device = k.device AND d.attempt = k.attempt"""

_SAVE = """
UPDATE deployment SET state = ?, action = ?, changed_at = ?, offered_at = ?, ended_at = ?, base = ?
WHERE tenant = ? AND rollout = ? AND device = ? AND attempt = ?"""

_SAY = """
INSERT INTO deployment_reason (tenant, rollout, device, attempt, reason) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, device, attempt) DO UPDATE SET reason = excluded.reason"""

_UNSAY = "DELETE FROM deployment_reason WHERE tenant = ? AND rollout = ? AND device = ? AND attempt = ?"

_DELAY = """
SELECT until, times FROM deployment_delay WHERE tenant = ? AND rollout = ? AND device = ? AND attempt = ?"""
_DELAY_UNTIL = """
INSERT INTO deployment_delay (tenant, rollout, device, attempt, until, times) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, device, attempt) DO UPDATE SET until = excluded.until, times = excluded.times"""

_OF_DEVICE = f"""
SELECT {_COLUMNS} FROM deployment d WHERE d.tenant = ? AND d.device = ?
ORDER BY d.changed_at DESC, d.rollout DESC, d.attempt DESC LIMIT ?"""

_STANDING = """
SELECT d.device, d.state FROM k CROSS JOIN deployment d
WHERE d.tenant = ? AND d.device = k.device AND d.state <> 'scheduled'
ORDER BY d.ended_at IS NULL, d.ended_at, d.rollout, d.attempt"""

_PAGE = f"""
SELECT {_COLUMNS} FROM deployment d
WHERE d.tenant = ? AND d.rollout = ? AND d.current AND d.device > ? AND d.wave BETWEEN ? AND ?
ORDER BY d.device LIMIT ?"""

_PAGE_OF_STATE = f"""
SELECT {_COLUMNS} FROM deployment d
WHERE d.tenant = ? AND d.rollout = ? AND d.state = ? AND d.current AND d.device > ? AND d.wave BETWEEN ? AND ?
ORDER BY d.device LIMIT ?"""

_ACTIVE = ", ".join(f"'{state}'" for state in sorted(ACTIVE))
_ROLLOUTS_ON_TRIAL = f"""
SELECT r.tenant, r.rollout FROM rollout r WHERE r.state IN ({_ACTIVE}) AND EXISTS (SELECT 1 FROM deployment d
  WHERE d.tenant = r.tenant AND d.rollout = r.rollout AND d.state = 'on_trial') ORDER BY r.tenant, r.rollout"""
_TRIALS_OVER = f"""
SELECT {_COLUMNS}, CASE WHEN c.last_contact > d.changed_at THEN 1 ELSE 0 END, i.version FROM deployment d
LEFT JOIN device_contact c ON c.tenant = d.tenant AND c.device = d.device
LEFT JOIN device_component i ON i.tenant = d.tenant AND i.device = d.device AND i.component = ?
WHERE d.tenant = ? AND d.rollout = ? AND d.state = 'on_trial' AND d.changed_at <= ?
AND (c.last_contact > d.changed_at OR d.changed_at <= ?) ORDER BY d.changed_at, d.device LIMIT ?"""
_ON_TRIAL = f"""
SELECT {_COLUMNS} FROM k CROSS JOIN deployment d
WHERE d.tenant = ? AND d.device = k.device AND d.state IN ({OPEN_STATES}) AND d.state = 'on_trial'"""

_BAD_ENDS = sorted(FAILURES | {State.REJECTED})
_ENDED = " UNION ALL ".join(
    f"""SELECT * FROM (
  SELECT d.state, coalesce({_WORDS}, '') AS words FROM deployment d
  WHERE d.tenant = ? AND d.rollout = ? AND d.state = '{state}' AND d.current ORDER BY d.device LIMIT ?
) AS asked"""
    for state in _BAD_ENDS
)
_REASONS = f"""
SELECT state, words, count(*) AS members FROM ({_ENDED}) AS asked
GROUP BY state, words ORDER BY members DESC, state, words LIMIT ?"""
_ALL = 2**31 - 1
_LAST_WAVE = 2**15 - 1

_UNENDED = sorted(set(State) - FINAL)
_WAITED_FOR = " UNION ALL ".join(
    f"""SELECT * FROM (
  SELECT d.device, d.wave FROM deployment d
  WHERE d.tenant = ? AND d.rollout = ? AND d.state = '{state}' AND d.current ORDER BY d.device LIMIT ?
) AS asked"""
    for state in _UNENDED
)
_UNHEARD = f"""
SELECT device FROM (
  SELECT asked.device AS device, asked.wave AS wave, coalesce(
    (SELECT c.last_contact FROM device_contact c WHERE c.tenant = ? AND c.device = asked.device), 0
  ) AS heard FROM ({_WAITED_FOR}) AS asked
) AS asked
WHERE wave BETWEEN ? AND ? AND heard < ? ORDER BY heard, device LIMIT ?"""


class SqlDeployments:
    """Implements `ports.store.Deployments`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def current(self, tenant: TenantId, keys: Sequence[tuple[RolloutId, DeviceId]]) -> list[Deployment | None]:
        found = map(_deployment, fetch_keyed(self._session, _SHARES, list(dict.fromkeys(keys)), _CURRENT, tenant))
        by_key = {(d.rollout, d.device): d for d in found}
        return [by_key.get(key) for key in keys]

    def by_action(self, tenant: TenantId, keys: Sequence[tuple[DeviceId, ActionId]]) -> list[Deployment | None]:
        found = map(_deployment, fetch_keyed(self._session, _ACTIONS, list(dict.fromkeys(keys)), _BY_ACTION, tenant))
        by_key = {(d.device, d.action): d for d in found}
        return [by_key.get(key) for key in keys]

    def open_of(self, tenant: TenantId, device: DeviceId) -> Deployment | None:
        return next(map(_deployment, fetch(self._session, _OPEN_OF, tenant, device)), None)

    def unended_of(self, tenant: TenantId, device: DeviceId) -> list[Deployment]:
        rows = fetch(self._session, _UNENDED_OF, tenant, device, tenant, device)
        return sorted(map(_deployment, rows), key=lambda deployment: deployment.rollout)

    def allot(self, tenant: TenantId, devices: Sequence[DeviceId]) -> list[ActionId]:
        # In the order of keys, so that two workers never wait for each other in a ring.
        keys = [(device,) for device in sorted(devices)]
        allotted = {
            DeviceId(row[0]): ActionId(row[1]) for row in fetch_keyed(self._session, _DEVICES, keys, _ALLOT, tenant)
        }
        if missing := [device for device in devices if device not in allotted]:
            raise NotFoundError(f"there is no device {missing[0]} that could be given another action")
        return [allotted[device] for device in devices]

    def save(self, tenant: TenantId, changed: Sequence[tuple[Deployment, Deployment]]) -> None:
        after = [deployment for _, deployment in changed]
        moves: Counter[Cell] = Counter()
        exposed: Counter[health.Exposure] = Counter()
        moved: set[DeviceId] = set()
        stored = self._stored(tenant, after)
        for deployment in after:
            state, segment, wave, current = stored[_key(deployment)]
            if state == deployment.state:
                continue
            moved.add(deployment.device)
            if current:
                moves[deployment.rollout, segment, wave, state] -= 1
                moves[deployment.rollout, segment, wave, deployment.state] += 1
                at = micros(deployment.changed_at)
                exposed[deployment.rollout, segment, at, state] -= 1
                exposed[deployment.rollout, segment, at, deployment.state] += 1
        # What closes a device's deployment comes before what opens its next one: the schema allows one open at any time.
        after.sort(key=lambda deployment: deployment.state in OPEN)
        run_each(self._session, _SAVE, [_saved(tenant, deployment) for deployment in after])
        run_each(
            self._session, _SAY, [(tenant, *_key(d), d.reason) for b, d in changed if d.reason and d.reason != b.reason]
        )
        run_each(self._session, _UNSAY, [(tenant, *_key(d)) for b, d in changed if b.reason and not d.reason])
        move(self._session, tenant, moves)
        health.expose(self._session, tenant, exposed)
        fleet.stand(self._session, tenant, moved)

    def _stored(
        self, tenant: TenantId, deployments: Sequence[Deployment]
    ) -> dict[tuple[int, str, int], tuple[str, int, int, bool]]:
        """State, segment, wave and whether it is the current attempt, as the rows say."""
        stored = {
            (rollout, device, attempt): (state, segment, wave, bool(current))
            for rollout, device, attempt, state, segment, wave, current in fetch_keyed(
                self._session, _ATTEMPTS, [_key(d) for d in deployments], _STORED, tenant
            )
        }
        for deployment in deployments:
            if _key(deployment) not in stored:
                raise NotFoundError(f"device {deployment.device} is no member of rollout {deployment.rollout}")
        return stored

    def delay(self, tenant: TenantId, deployment: Deployment) -> Delay | None:
        found = fetch(self._session, _DELAY, tenant, *_key(deployment))
        return Delay(moment(found[0][0]), found[0][1]) if found else None

    def delay_until(self, tenant: TenantId, deployment: Deployment, delay: Delay) -> None:
        run(self._session, _DELAY_UNTIL, tenant, *_key(deployment), micros(delay.until), delay.times)

    def of_device(self, tenant: TenantId, device: DeviceId, limit: int) -> list[tuple[Deployment, Rollout]]:
        deployments = [_deployment(row) for row in fetch(self._session, _OF_DEVICE, tenant, device, limit)]
        rollouts = without_waves(self._session, tenant, {d.rollout for d in deployments})
        return [(deployment, rollouts[deployment.rollout]) for deployment in deployments]

    def standing(self, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, State]:
        keys = [(device,) for device in devices]
        # The last one stays: those that ended in the order of their ends, then the open one.
        return {id_: State(state) for id_, state in fetch_keyed(self._session, _DEVICES, keys, _STANDING, tenant)}

    def page(
        self,
        tenant: TenantId,
        rollout: RolloutId,
        states: Collection[State],
        after: DeviceId | None,
        limit: int,
        wave: int | None = None,
    ) -> list[Deployment]:
        asked = (after or "", *_range(wave), limit)
        if not states:
            return [_deployment(row) for row in fetch(self._session, _PAGE, tenant, rollout, *asked)]
        # Each state is an index range in the order of devices: the first of all are among the first of each.
        rows = [
            row
            for state in sorted(set(states))
            for row in fetch(self._session, _PAGE_OF_STATE, tenant, rollout, state, *asked)
        ]
        rows.sort(key=lambda row: str(row[1]))
        return [_deployment(row) for row in rows[:limit]]

    def unheard(
        self, tenant: TenantId, rollout: RolloutId, wave: int | None, before: datetime, limit: int, among: int
    ) -> list[DeviceId]:
        of_each = (tenant, rollout, among)
        rows = fetch(self._session, _UNHEARD, tenant, *of_each * len(_UNENDED), *_range(wave), micros(before), limit)
        return [DeviceId(device) for (device,) in rows]

    def every_rollout_on_trial(self) -> list[tuple[TenantId, RolloutId]]:
        return [(TenantId(t), RolloutId(r)) for t, r in fetch(self._session, _ROLLOUTS_ON_TRIAL)]

    def trials_over(
        self, tenant: TenantId, rollout: RolloutId, component: str, began: datetime, unheard: datetime, limit: int
    ) -> list[Trial]:
        asked = (component, tenant, rollout, micros(began), micros(unheard), limit)
        return [
            Trial(_deployment(tuple(row)), bool(heard), runs)
            for *row, heard, runs in fetch(self._session, _TRIALS_OVER, *asked)
        ]

    def on_trial(self, tenant: TenantId, devices: Collection[DeviceId]) -> list[Deployment]:
        keys = [(device,) for device in sorted(devices)]
        return [_deployment(row) for row in fetch_keyed(self._session, _DEVICES, keys, _ON_TRIAL, tenant)]

    def reasons(
        self, tenant: TenantId, rollout: RolloutId, limit: int, among: int | None = None
    ) -> list[tuple[State, str, int]]:
        of_each = (tenant, rollout, _ALL if among is None else among)
        rows = fetch(self._session, _REASONS, *of_each * len(_BAD_ENDS), limit)
        return [(State(state), reason, members) for state, reason, members in rows]


def _range(wave: int | None) -> tuple[int, int]:
    return (0, _LAST_WAVE) if wave is None else (wave, wave)


def _key(deployment: Deployment) -> tuple[int, str, int]:
    return (deployment.rollout, deployment.device, deployment.attempt)


def _saved(tenant: TenantId, deployment: Deployment) -> tuple[object, ...]:
    return (
        deployment.state.value,
        deployment.action or None,
        micros(deployment.changed_at),
        None if deployment.offered_at is None else micros(deployment.offered_at),
        None if deployment.ended_at is None else micros(deployment.ended_at),
        deployment.base,
        tenant,
        *_key(deployment),
    )


def _deployment(row: AnyRow) -> Deployment:
    rollout, device, attempt, state, segment, wave, rank, action, changed_at, offered_at, ended_at, reason, base = row
    return Deployment(
        rollout=rollout,
        device=device,
        attempt=attempt,
        state=State(state),
        segment=segment,
        wave=wave,
        rank=rank,
        action=ActionId(action or 0),
        changed_at=moment(changed_at),
        offered_at=None if offered_at is None else moment(offered_at),
        ended_at=None if ended_at is None else moment(ended_at),
        reason=reason or "",
        base=base,
    )
