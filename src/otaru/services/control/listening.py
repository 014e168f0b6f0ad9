"""Once in an hour it is looked who stopped being heard, in rollouts that are judged by that too."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from otaru.domain.health import Heard, Hush
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Rollout, RolloutState
from otaru.ports.store import Tx, one
from otaru.services.control.world import World

_PAGE = 100
_HEARING = (RolloutState.RUNNING, RolloutState.PAUSED)
_HOUR_S = 3600


async def listen(world: World) -> int:
    """Count who fell silent in the hour that is over; how many rollouts that was looked at for. Again, it costs little."""
    hour = hour_over(world.clock.now())
    found = 0
    for tenant, rollout in await world.store.read(lambda tx: _unheard(tx, hour)):

        def look(tx: Tx, tenant: TenantId = tenant, rollout: Rollout = rollout) -> dict[Hush, Heard]:
            rule = rollout.policy.sequential
            return {} if rule is None else tx.health.hushed(tenant, rollout, hour, rule.patience_h)

        if hushed := await world.store.read(look):
            await world.store.write(_note, _Noting(tenant, rollout.id, hour, hushed))
            found += 1
    return found


def hour_over(now: datetime) -> int:
    """The last hour, since 1970, that is over."""
    return int(now.timestamp()) // _HOUR_S - 1


def _unheard(tx: Tx, hour: int) -> list[tuple[TenantId, Rollout]]:
    """Rollouts that are to be looked at: also paused ones, which may go on."""
    found: list[tuple[TenantId, Rollout]] = []
    for tenant in tx.tenants.every_tenant():
        after: RolloutId | None = None
        while page := tx.rollouts.page(tenant.id, _HEARING, after, _PAGE):
            found += [
                (tenant.id, rollout)
                for rollout in page
                if (rule := rollout.policy.sequential) is not None
                and rule.patience_h
                and tx.health.hushed_until(tenant.id, rollout.id) < hour
            ]
            after = page[-1].id
    return found


@dataclass(frozen=True, slots=True)
class _Noting:
    tenant: TenantId
    rollout: RolloutId
    hour: int
    found: Mapping[Hush, Heard]


@one
def _note(tx: Tx, noting: _Noting) -> None:
    if tx.health.hushed_until(noting.tenant, noting.rollout) < noting.hour:  # of two workers one looks
        tx.health.note_hushed(noting.tenant, noting.rollout, noting.found)
