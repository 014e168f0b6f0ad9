"""What a worker, or a server that shows rollouts, saw of them when it looked last: a judge is asked again when counters have moved.

Reading all that was counted of a large rollout, and judging it, costs most of a second; its members, by segment, wave and
state, and one number that says whether anything else moved cost little. Where nothing moved, what was found then is found
again. Where something moves all the time, the pause from one look to the next grows with what there is to look at: that a
bad release is found out some seconds later costs less than a server that does nothing else. An hour that is over is news too.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from otaru.domain.evidence import Evidence, Ruling
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Rollout
from otaru.ports.judge import Judge
from otaru.ports.store import Tx
from otaru.services.control.evidence import evidence_in

MAX_KEPT = 1000
CELLS_PER_S = 1000
"""So many counters make the pause a second longer."""
MEMBERS_PER_CELL = 100
"""Where the fleet was dark members are counted one by one."""
MAX_PAUSE = timedelta(seconds=30)
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a ruling was made of, as far as it can change."""

    rollout: Rollout
    evidence: Evidence
    moves: int
    hour: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen, and what the judge said of it."""

    evidence: Evidence
    """Without what devices told, and who was told when."""
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class _Seen:
    mark: _Mark
    at: datetime
    pause: timedelta
    look: Look


@dataclass(slots=True)
class Looks:
    """Of one worker, or of all whom one process shows rollouts. Only sequential judges are costly enough to be remembered."""

    cells_per_s: int = CELLS_PER_S
    _seen: dict[tuple[TenantId, RolloutId], _Seen] = field(default_factory=dict)

    def glance(self, tx: Tx, tenant: TenantId, rollout: Rollout, judge: Judge, now: datetime) -> Look:
        """What is, or a moment ago was, to be seen: for deciding whether there is anything to do."""
        seen = self._seen.get((tenant, rollout.id))
        if seen is not None and seen.mark.rollout == rollout and seen.at <= now < seen.at + seen.pause:
            return seen.look
        return self.look(tx, tenant, rollout, judge, now)

    def look(self, tx: Tx, tenant: TenantId, rollout: Rollout, judge: Judge, now: datetime) -> Look:
        """What is to be seen in this transaction."""
        if rollout.policy.sequential is None:
            evidence = evidence_in(tx, tenant, rollout, now)
            return Look(evidence, judge.ruling(rollout, evidence, now))
        hour = int(now.timestamp()) // _HOUR_S
        mark = _Mark(rollout, tx.rollouts.evidence(tenant, rollout.id), tx.health.mark(tenant, rollout.id), hour)
        seen = self._seen.get((tenant, rollout.id))
        if seen is not None and seen.mark == mark:
            return seen.look
        evidence = evidence_in(tx, tenant, rollout, now)
        look = Look(replace(evidence, risk=None, told={}), judge.ruling(rollout, evidence, now))
        self._keep(tenant, _Seen(mark, now, self._pause(evidence), look))
        return look

    def forget(self, tenant: TenantId, rollout: RolloutId) -> None:
        """Look anew, whatever was seen: what was found could not be written."""
        self._seen.pop((tenant, rollout), None)

    def _keep(self, tenant: TenantId, seen: _Seen) -> None:
        if len(self._seen) >= MAX_KEPT:
            self._seen.clear()
        self._seen[tenant, seen.mark.rollout.id] = seen

    def _pause(self, evidence: Evidence) -> timedelta:
        cells = len(evidence.cells)
        if (risk := evidence.risk) is not None:
            cells += len(risk.heard) + len(risk.moves) + len(risk.placed) + len(risk.hushed)
        cells += sum(evidence.told.values()) // MEMBERS_PER_CELL
        return min(MAX_PAUSE, timedelta(seconds=cells // self.cells_per_s))
