"""Telemetry of updated devices against control's, in the transaction that keeps it (channel C, `analysis/telemetry`).

An updated device's measurement, at a few ages (`LOOKS`), is compared with that of a control device of its segment that was
heard of at the same time. What is compared are changes: now, less the device's usual value before the rollout
started, which is the mean of its newest events of then. Each device is used once for each name and look, so that a score
says nothing of the next. What is looked at is bounded: newest events of the tenant, newest events of each device before
the start, and MAX_SCORED updated devices in a segment.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from otaru.adapters.sql.fleet import HOUR, hour_of
from otaru.adapters.sql.lean import fetch, fetch_keyed, run_each
from otaru.adapters.sql.packed import unpack_policy
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain.health import (
    ARMS,
    LOOKS,
    MAX_SCORED,
    Arm,
    HealthEvent,
    Measure,
    Placement,
    age_bucket,
)
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import ACTIVE

_NEWEST = 500
"""Of the tenant's events so many are looked through for control."""
_BEFORE = 100
"""Of a device's events before the rollout so many are looked through for its usual value."""

_ACTIVE = ", ".join(f"'{state}'" for state in sorted(ACTIVE))
_CONTROL = ", ".join(f"'{state}'" for state, arm in sorted(ARMS.items()) if arm is Arm.CONTROL)

_ROLLOUTS = f"""
SELECT rollout, policy, started_at FROM rollout WHERE tenant = ? AND state IN ({_ACTIVE}) AND started_at IS NOT NULL"""
_USES = (("rollout", "integer"), ("name", "text"), ("look", "smallint"), ("device", "text"))
_USED = """
SELECT k.rollout, k.name, k.look, k.device FROM k CROSS JOIN telemetry_witness w
WHERE w.tenant = ? AND w.rollout = k.rollout AND w.name = k.name AND w.look = k.look AND w.device = k.device"""
_CELLS = (("rollout", "integer"), ("segment", "smallint"), ("name", "text"), ("look", "smallint"))
_SCORED = """
SELECT k.rollout, k.segment, k.name, k.look, CAST(sum(s.devices) AS bigint) FROM k CROSS JOIN telemetry_score s
WHERE s.tenant = ? AND s.rollout = k.rollout AND s.segment = k.segment AND s.name = k.name AND s.look = k.look
GROUP BY k.rollout, k.segment, k.name, k.look"""
_USUAL = f"""
SELECT avg(value) FROM (
  SELECT kind, name, value FROM health_event WHERE tenant = ? AND device = ? AND received_at < ?
  ORDER BY received_at DESC LIMIT {_BEFORE}
) AS newest WHERE kind = 'sample' AND name = ?"""
_HEARD = f"""
SELECT s.device, s.value, d.segment, d.rank, s.received_at FROM (
  SELECT device, kind, name, value, received_at FROM health_event WHERE tenant = ? AND received_at >= ?
  ORDER BY received_at DESC LIMIT {_NEWEST}
) AS s CROSS JOIN deployment d
WHERE s.kind = 'sample' AND s.name = ? AND d.tenant = ? AND d.rollout = ? AND d.device = s.device AND d.current
AND d.state IN ({_CONTROL})"""
_USE = """
INSERT INTO telemetry_witness (tenant, rollout, name, look, device, score) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, name, look, device) DO NOTHING"""
_SCORE = """
INSERT INTO telemetry_score (tenant, rollout, segment, name, look, score, shard, devices) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, rollout, segment, name, look, score, shard)
DO UPDATE SET devices = telemetry_score.devices + excluded.devices"""
_MARK = """
INSERT INTO health_mark (tenant, rollout, shard, moves) VALUES (?, ?, ?, 1)
ON CONFLICT (tenant, rollout, shard) DO UPDATE SET moves = health_mark.moves + 1"""
_MARKED = "SELECT CAST(coalesce(sum(moves), 0) AS bigint) FROM health_mark WHERE tenant = ? AND rollout = ?"
_PLACED = """
SELECT segment, name, look, score, CAST(sum(devices) AS bigint) FROM telemetry_score WHERE tenant = ? AND rollout = ?
GROUP BY segment, name, look, score"""


@dataclass(frozen=True, slots=True)
class Share:
    """A device's share in an active rollout; without an arm it is being updated, or fell out."""

    rollout: int
    segment: int
    arm: Arm | None
    offered_at: int
    since: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A rollout that is judged by telemetry, with its (stored) start."""

    rollout: int
    started_at: int
    measures: Mapping[str, Measure]


def judged(session: Session, tenant: TenantId) -> dict[int, Judged]:
    """The tenant's rollouts under way that are judged by telemetry."""
    found = {}
    for rollout, policy, started_at in fetch(session, _ROLLOUTS, tenant):
        if measures := _measures(policy):
            found[rollout] = Judged(rollout, started_at, {m.name: m for m in measures})
    return found


@lru_cache(maxsize=256)
def _measures(policy: str) -> tuple[Measure, ...]:
    rule = unpack_policy(policy).sequential
    return () if rule is None else rule.telemetry


def mark(session: Session, tenant: TenantId, rollouts: Collection[object]) -> None:
    """Mark that what is counted of rollouts' health has moved."""
    run_each(session, _MARK, [(tenant, rollout, session.shard) for rollout in sorted(rollouts, key=str)])


def marked(session: Session, tenant: TenantId, rollout: RolloutId) -> int:
    """How often it has moved."""
    moves: int = fetch(session, _MARKED, tenant, rollout)[0][0]
    return moves


def placed(session: Session, tenant: TenantId, rollout: RolloutId) -> dict[Placement, int]:
    """How many updated devices of a rollout were placed so."""
    rows = fetch(session, _PLACED, tenant, rollout)
    return {Placement(segment, name, look, score): n for segment, name, look, score, n in rows}


_Cell = tuple[int, int, str, int]
"""Rollout, segment, name, look."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """An updated device whose change is to be placed."""

    cell: _Cell
    device: str
    value: float
    at: int

    @property
    def use(self) -> tuple[int, str, int, str]:
        rollout, _, name, look = self.cell
        return rollout, name, look, self.device


@dataclass(slots=True)
class Comparison:
    """What is compared within one transaction."""

    session: Session
    tenant: TenantId
    judged: Mapping[int, Judged]
    _changes: dict[tuple[int, str, str], float | None] = field(default_factory=dict)

    def place(self, samples: Sequence[HealthEvent], shares: Mapping[str, Sequence[Share]]) -> None:
        """Place the updated devices among `samples`, which are kept already."""
        asked = self._due(_asked(samples, shares, self.judged))
        if not asked:
            return
        uses: list[tuple[object, ...]] = []
        scores: Counter[tuple[object, ...]] = Counter()
        by_name: dict[tuple[int, str], list[_Asked]] = defaultdict(list)
        for one in asked:
            by_name[one.cell[0], one.cell[2]].append(one)
        for (rollout, name), of_name in sorted(by_name.items()):
            twins = self._twins(rollout, name, of_name)
            for one in of_name:
                if (found := self._score(one, twins[one.cell[1], one.cell[3]])) is None:
                    continue
                score, twin = found
                uses += [(self.tenant, *one.use, score), (self.tenant, rollout, name, one.cell[3], twin, None)]
                scores[*one.cell, score] += 1
        run_each(self.session, _USE, uses)
        shard = self.session.shard
        run_each(self.session, _SCORE, [(self.tenant, *cell, shard, n) for cell, n in sorted(scores.items())])
        mark(self.session, self.tenant, {one.cell[0] for one in asked})

    def _due(self, asked: Sequence[_Asked]) -> list[_Asked]:
        """Those that have not been placed, as far as their segments have not heard enough."""
        used = self._used([one.use for one in asked])
        left = [one for one in asked if one.use not in used]
        cells = sorted({one.cell for one in left})
        rows = fetch_keyed(self.session, _CELLS, cells, _SCORED, self.tenant)
        scored = {(rollout, segment, name, look): n for rollout, segment, name, look, n in rows}
        return [one for one in left if scored.get(one.cell, 0) < MAX_SCORED]

    def _used(self, uses: Sequence[tuple[int, str, int, str]]) -> set[tuple[int, str, int, str]]:
        return {(r, n, k, d) for r, n, k, d in fetch_keyed(self.session, _USES, list(uses), _USED, self.tenant)}

    def _twins(
        self, rollout: int, name: str, asked: Sequence[_Asked]
    ) -> dict[tuple[int, int], list[tuple[str, float]]]:
        """Control devices that may be used, by segment and look, the lowest rank last, with what they told last."""
        since = max(one.at for one in asked) - HOUR
        rows = fetch(self.session, _HEARD, self.tenant, since, name, self.tenant, rollout)
        newest: dict[str, tuple[int, int, int, float]] = {}
        for device, value, segment, rank, at in rows:
            if device not in newest or newest[device][0] < at:
                newest[device] = (at, segment, rank, value)
        looks = {(one.cell[1], one.cell[3]) for one in asked}
        wanted = [
            (rollout, name, look, device)
            for device, (_, of, _, _) in newest.items()
            for segment, look in looks
            if of == segment
        ]
        used = self._used(wanted)
        free: dict[tuple[int, int], list[tuple[str, float]]] = {cell: [] for cell in looks}
        # By rank, which is drawn: who tells most often does not come first.
        for device, (_, segment, _, value) in sorted(newest.items(), key=lambda one: -one[1][2]):
            for look in sorted({k for s, k in looks if s == segment}):
                if (rollout, name, look, device) not in used:
                    free[segment, look].append((device, value))
        return free

    def _score(self, one: _Asked, twins: list[tuple[str, float]]) -> tuple[int, str] | None:
        """Its score, and whom it was compared with, who is taken from `twins`. None where it cannot be compared."""
        rollout, _, name, _ = one.cell
        change = self._harm(rollout, name, one.device, one.value)
        if change is None:
            return None
        while twins:
            device, value = twins.pop()
            if (theirs := self._harm(rollout, name, device, value)) is not None:
                return (change > theirs) - (change < theirs), device
        return None

    def _harm(self, rollout: int, name: str, device: str, value: float) -> float | None:
        """How much worse a device fares than before the rollout started; None where that is not known."""
        key, of = (rollout, name, device), self.judged[rollout]
        if key not in self._changes:
            ((usual,),) = fetch(self.session, _USUAL, self.tenant, device, of.started_at, name)
            self._changes[key] = None if usual is None else of.measures[name].harm(usual, value)
        return self._changes[key]


def _asked(
    samples: Sequence[HealthEvent], shares: Mapping[str, Sequence[Share]], judged_by: Mapping[int, Judged]
) -> list[_Asked]:
    newest = {(s.device, s.name): s for s in sorted(samples, key=lambda s: s.received_at)}
    asked = []
    for (device, name), sample in sorted(newest.items()):
        at = micros(sample.received_at)
        for share in shares.get(device, ()):
            of = judged_by.get(share.rollout)
            look = age_bucket(hour_of(at) - hour_of(share.since))
            if of is not None and name in of.measures and share.arm is Arm.UPDATED and look in LOOKS:
                asked.append(_Asked((share.rollout, share.segment, name, look), device, sample.value, at))
    return asked
