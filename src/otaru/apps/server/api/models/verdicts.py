"""What a rollout's judge found, as the API shows it."""

from datetime import datetime
from math import exp
from typing import Annotated

from pydantic import Field

from otaru.apps.server.api.models.fields import Out
from otaru.domain.evidence import Call, Said

_GREATEST = 690.0
"""An e-value is shown up to 10^300: beyond, JSON has no number for it."""


class VerdictOut(Out):
    """What an e-value said, with the counts behind it."""

    at: datetime
    segment: Annotated[int | None, Field(description="The segment's index; null: all members that are not held.")]
    call: Call
    e_value: float
    threshold: Annotated[float, Field(description="It stops the rollout, or holds the segment, from here on.")]
    failed: int
    tried: int
    words: Annotated[list[str], Field(description="The finding in words, with the counts that it rests on.")]

    @classmethod
    def of(cls, said: Said) -> "VerdictOut":
        """As it is stored."""
        finding = said.finding
        return cls(
            at=said.at,
            segment=finding.segment,
            call=finding.call,
            e_value=exp(min(finding.log_e, _GREATEST)),
            threshold=exp(min(finding.log_threshold, _GREATEST)),
            failed=finding.failed,
            tried=finding.tried,
            words=list(finding.words),
        )
