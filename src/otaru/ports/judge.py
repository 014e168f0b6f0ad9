"""Who judges a rollout's waves and segments."""

from datetime import datetime
from typing import Protocol

from otaru.domain.evidence import Evidence, Ruling
from otaru.domain.rollout import Rollout


class Judge(Protocol):
    """Calls waves and segments by their evidence. Pure: the same evidence gives the same ruling, and no data means hold."""

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        """Expand, hold or stop for every wave, with the reason in counts; what it thinks of segments; and the pace.

        `evidence` is of all members. Those in held segments say nothing of a wave.
        """
        ...
