"""Continuous rollouts: devices that come to match join them, behind all others."""

from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.release import Release, ReleaseState
from otaru.domain.rollout import Rollout, RolloutState, joined
from otaru.domain.targeting import Query
from otaru.errors import OtaruError
from otaru.ports.store import Tx, one
from otaru.services.control.rollouts import aimed
from otaru.services.control.world import SYSTEM, World

NAMED = 100
"""So many who joined are named in the record, and forgotten one by one by those who keep them in memory."""
_PAGE = 100


async def join_all(world: World) -> int:
    """Have devices join the continuous rollouts of all tenants; how many did.

    Where nobody joins nothing is written.
    """
    now = world.clock.now()
    found = await world.store.read(lambda tx: _with_joiners(tx, now))
    return sum([await world.store.write(_join, (*each, now)) for each in found])


def _with_joiners(tx: Tx, now: datetime) -> list[tuple[TenantId, RolloutId]]:
    return [
        (tenant.id, rollout.id)
        for tenant in tx.tenants.every_tenant()
        if not tenant.halted
        for rollout in _running(tx, tenant.id)
        if (meant := _meant(tx, tenant.id, rollout, now)) is not None
        and tx.rollouts.may_join(tenant.id, rollout, *meant)
    ]


def _running(tx: Tx, tenant: TenantId) -> list[Rollout]:
    found: list[Rollout] = []
    after: RolloutId | None = None
    while page := tx.rollouts.page(tenant, [RolloutState.RUNNING], after, _PAGE):
        found += [rollout for rollout in page if rollout.policy.continuous]
        after = page[-1].id
    return found


def _meant(tx: Tx, tenant: TenantId, rollout: Rollout, now: datetime) -> tuple[Query, Release] | None:
    """What a rollout's target means now, and its release; None where nobody may join."""
    release = tx.releases.get(tenant, rollout.product, rollout.version)
    if not rollout.joins(now) or release is None or release.state is not ReleaseState.PUBLISHED:
        return None
    try:
        return aimed(tx, tenant, rollout.target, rollout.follows, release, now), release
    except OtaruError:  # it names something that is gone: the members that it has stay
        return None


@one
def _join(tx: Tx, asked: tuple[TenantId, RolloutId, datetime]) -> int:
    tenant, number, now = asked
    rollout = tx.rollouts.get(tenant, number)
    meant = None if rollout is None else _meant(tx, tenant, rollout, now)
    if rollout is None or meant is None:
        return 0
    devices = tx.rollouts.join(tenant, rollout, *meant, now)
    if devices:
        tx.rollouts.save(tenant, joined(rollout, len(devices)))
        data = {"members": len(devices)} | ({"devices": devices} if len(devices) <= NAMED else {})
        tx.events.add([Happening(tenant, now, SYSTEM.name, Kind.ROLLOUT_JOINED, str(number), data)])
    return len(devices)
