"""The judge that knows the classic rule only."""

from otaru.analysis import classic
from otaru.domain.evidence import Tally, Verdict
from otaru.domain.rollout import Rollout, Wave


class ClassicJudge:
    """See `analysis/classic`."""

    def verdict(self, rollout: Rollout, wave: Wave, tally: Tally) -> Verdict:
        """The classic rule of the rollout's policy, held against one wave."""
        del wave
        return classic.verdict(rollout.policy.rule, tally)
