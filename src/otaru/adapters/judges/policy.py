"""The judge that a rollout's policy asks for."""

from dataclasses import replace
from datetime import datetime

from otaru.adapters.judges.classic import ClassicJudge
from otaru.analysis import rate
from otaru.analysis.ruling import ruling
from otaru.domain.evidence import Call, Evidence, Ruling
from otaru.domain.rollout import Rollout


class PolicyJudge:
    """By e-values (`analysis/ruling`) or abort criteria (`analysis/rate`) where the policy says so, else by the classic rule."""

    def __init__(self) -> None:
        self._classic = ClassicJudge()

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        """What the rule of the rollout's policy says."""
        policy = rollout.policy
        if policy.rate is not None:
            going = evidence.without(rollout.held).whole
            found = rate.verdict(policy.rate, going)
            if found.call is Call.EXPAND and going.final < going.members:
                found = replace(found, call=Call.HOLD)  # the rate goes on; its one wave passes when all have ended
            return Ruling({wave.index: found for wave in rollout.waves})
        if policy.sequential is None:
            return self._classic.ruling(rollout, evidence, now)
        return ruling(policy.sequential, rollout, evidence, now)
