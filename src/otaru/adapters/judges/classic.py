"""The judge that knows the classic rule only."""

from datetime import datetime

from otaru.analysis import classic
from otaru.domain.evidence import Evidence, Ruling
from otaru.domain.rollout import Rollout


class ClassicJudge:
    """See `analysis/classic`. It judges waves, one after the other; segments are for people to hold."""

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        """The classic rule of the rollout's policy, held against each wave."""
        del now
        going = evidence.without(rollout.held)
        return Ruling({w.index: classic.verdict(rollout.policy.rule, going.wave(w.index)) for w in rollout.waves})
