"""What judges found, over time."""

from collections.abc import Sequence
from typing import Protocol

from otaru.domain.evidence import Said
from otaru.domain.ids import RolloutId, TenantId

MAX_VERDICTS = 2000
"""Of a rollout: what comes later is not kept."""


class Verdicts(Protocol):
    """Findings of rollouts with the counts behind them: append-only."""

    def add(self, tenant: TenantId, rollout: RolloutId, said: Sequence[Said]) -> int:
        """Keep findings, up to MAX_VERDICTS of a rollout; how many were kept."""
        ...

    def newest(self, tenant: TenantId, rollout: RolloutId) -> dict[int | None, Said]:
        """The newest finding of each segment, and of all members (None)."""
        ...

    def of_rollout(
        self, tenant: TenantId, rollout: RolloutId, before: int | None, limit: int, segment: int | None = -1
    ) -> list[tuple[int, Said]]:
        """Numbered from 1, newest first, below number `before`; only those of `segment`, where it is not -1."""
        ...
