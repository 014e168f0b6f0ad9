"""Who judges a wave."""

from typing import Protocol

from otaru.domain.evidence import Tally, Verdict
from otaru.domain.rollout import Rollout, Wave


class Judge(Protocol):
    """Calls a wave by its evidence. Pure: the same evidence gives the same verdict, and no data means hold."""

    def verdict(self, rollout: Rollout, wave: Wave, tally: Tally) -> Verdict:
        """Expand, hold or stop, with the reason in counts."""
        ...
