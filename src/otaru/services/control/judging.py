"""What judges go by and what they found: evidence, what past releases taught, findings that are kept."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from otaru.analysis import learning, silence
from otaru.analysis.learning import Past
from otaru.domain.evidence import Finding, Ruling, Said
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Policy, Rollout, RolloutState
from otaru.errors import NotFoundError
from otaru.ports.store import Tx
from otaru.services.control.evidence import evidence_in
from otaru.services.control.world import World

_LOOKED_AT = 200
"""Ended rollouts among which those of the product are looked for, the newest first."""
_MAX_PAST = 30
"""Of them, so many teach how installations end."""
_MAX_HEARD = 8
"""Of them, so many teach what devices tell afterwards: that is a counter for each hour."""
_PRESENT_H = 24 * 7
"""Devices that were heard of so many hours ago, at most, say how often devices come."""


def taught(tx: Tx, tenant: TenantId, rollout: Rollout) -> Policy:
    """The policy of a rollout that is being planned, with what the product's past releases taught, frozen from now on.

    Rollouts that were stopped teach nothing: what is tolerated is learned from good releases.
    """
    rule = rollout.policy.sequential
    if rule is None:
        return rollout.policy
    ended = tx.rollouts.page(tenant, (RolloutState.FINISHED,), None, _LOOKED_AT)
    alike = [r for r in ended if r.product == rollout.product and r.version != rollout.version][:_MAX_PAST]
    past = [
        Past(
            r, evidence_in(tx, tenant, r, rollout.created_at) if i < _MAX_HEARD else tx.rollouts.evidence(tenant, r.id)
        )
        for i, r in enumerate(alike)
    ]
    rule = replace(rule, patience_h=_patience_h(tx, tenant, rollout))
    return replace(rollout.policy, sequential=learning.learned(rule, rollout.segments, past))


def _patience_h(tx: Tx, tenant: TenantId, rollout: Rollout) -> int:
    """After how many hours a device is silent, by when the fleet was last heard of. Who is gone for weeks says nothing of it."""
    hour = int(rollout.created_at.timestamp()) // 3600
    heard = {max(0, hour - at): devices for at, devices in tx.fleet.heard(tenant, hour - _PRESENT_H).items()}
    known = tx.tenants.get(tenant)
    return silence.patience_h(heard, timedelta(0) if known is None else known.settings.polling)


def news(tx: Tx, tenant: TenantId, rollout: RolloutId, ruling: Ruling) -> list[Finding]:
    """Findings that say something new, compared with what is kept."""
    if not ruling.findings:
        return []
    before = tx.verdicts.newest(tenant, rollout)
    known = {segment: said.finding for segment, said in before.items()}
    return [finding for finding in ruling.findings if finding.news(known.get(finding.segment))]


def last_words(tx: Tx, tenant: TenantId, rollout: RolloutId, ruling: Ruling) -> list[Finding]:
    """Findings of a rollout that finishes, also where they are no news: whoever reads its verdict later wants all its counts."""
    before = tx.verdicts.newest(tenant, rollout) if ruling.findings else {}
    known = {segment: said.finding for segment, said in before.items()}
    return [finding for finding in ruling.findings if finding != known.get(finding.segment)]


def keep(tx: Tx, tenant: TenantId, rollout: RolloutId, findings: Sequence[Finding], at: datetime) -> None:
    """Keep findings."""
    tx.verdicts.add(tenant, rollout, [Said(at, finding) for finding in findings])


async def verdicts(
    world: World,
    tenant: TenantId,
    rollout: RolloutId,
    before: int | None,
    limit: int,
    segment: int | None = -1,
) -> list[tuple[int, Said]]:
    """What the judge of a rollout found, newest first, numbered; of one segment, of all members (None), or everything (-1).

    Raises:
        NotFoundError: there is no such rollout.
    """

    def look(tx: Tx) -> list[tuple[int, Said]]:
        if tx.rollouts.get(tenant, rollout) is None:
            raise NotFoundError(f"there is no rollout {rollout}")
        return tx.verdicts.of_rollout(tenant, rollout, before, limit, segment)

    return await world.store.read(look)
