"""The judge that a rollout's policy asks for."""

from datetime import datetime

from otaru.adapters.judges.classic import ClassicJudge
from otaru.analysis.ruling import ruling
from otaru.domain.evidence import Evidence, Ruling
from otaru.domain.rollout import Rollout


class PolicyJudge:
    """By e-values (`analysis/ruling`) where the policy says so, else by the classic rule."""

    def __init__(self) -> None:
        self._classic = ClassicJudge()

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        """What the rule of the rollout's policy says."""
        rule = rollout.policy.sequential
        if rule is None:
            return self._classic.ruling(rollout, evidence, now)
        return ruling(rule, rollout, evidence, now)
