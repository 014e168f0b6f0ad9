"""The judge that knows the classic rule only."""

from datetime import datetime

from otaru.analysis import classic
from otaru.domain.evidence import Evidence, Ruling, Tally
from otaru.domain.rollout import Rollout

_NOBODY = Tally({})


class ClassicJudge:
    """See `analysis/classic`. It judges waves, one after the other; segments are for people to hold."""

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        """The classic rule of the rollout's policy, held against each wave."""
        del now
        going = evidence.without(rollout.held).waves
        tallies = {wave.index: going.get(wave.index, _NOBODY) for wave in rollout.waves}
        return Ruling({index: classic.verdict(rollout.policy.rule, tally) for index, tally in tallies.items()})
