"""What a rollout's judge goes by, read from the store."""

from dataclasses import replace
from datetime import datetime

from otaru.analysis import dark
from otaru.domain.evidence import Evidence
from otaru.domain.ids import TenantId
from otaru.domain.rollout import Rollout
from otaru.ports.store import Tx


def evidence_in(tx: Tx, tenant: TenantId, rollout: Rollout, now: datetime) -> Evidence:
    """What the rollout's judge asks for."""
    evidence = tx.rollouts.evidence(tenant, rollout.id)
    if rollout.policy.sequential is None:
        return evidence
    risk = tx.health.risk(tenant, rollout.id)
    spans = dark.spans(risk.hushed, int((rollout.ended_at or now).timestamp()) // 3600)
    return replace(evidence, risk=risk, dark=spans, told=tx.rollouts.told(tenant, rollout.id, spans))
