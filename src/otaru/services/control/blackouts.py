"""A tenant's blackouts: times in which no rollout offers anything new."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from otaru.domain.events import Kind
from otaru.domain.ids import TenantId
from otaru.domain.schedule import Blackout
from otaru.domain.schedule.blackout import check
from otaru.domain.tenant import Tenant
from otaru.errors import InvalidInputError, NotFoundError
from otaru.ports.store import Tx, one
from otaru.services.control import tenants
from otaru.services.control.world import Actor, World


async def listed(world: World, tenant: TenantId) -> Sequence[Blackout]:
    """All of them, as they were added; also those that are over."""
    return (await tenants.get(world, tenant)).blackouts


async def add(world: World, tenant: TenantId, actor: Actor, wanted: Blackout) -> Blackout:
    """Add one; its id is given here. From now on nothing new is offered while it lasts.

    Raises:
        InvalidInputError: it makes no sense, or there are too many.
    """
    return await world.store.write(_add, (tenant, actor, wanted, world.clock.now()))


async def remove(world: World, tenant: TenantId, actor: Actor, blackout: int) -> None:
    """Remove one, whether it lasts or not.

    Raises:
        NotFoundError: there is none of this id.
    """
    await world.store.write(_remove, (tenant, actor, blackout, world.clock.now()))


@one
def _add(tx: Tx, asked: tuple[TenantId, Actor, Blackout, datetime]) -> Blackout:
    tenant, actor, wanted, now = asked

    def added(before: Tenant) -> Tenant:
        check(wanted, before.blackouts)
        if wanted.over(now):
            raise InvalidInputError(
                "this blackout is over already", hint="Give an end, or a rule, that is still to come."
            )
        # Editions only grow: no id is given twice.
        return replace(before, blackouts=(*before.blackouts, replace(wanted, id=before.edition + 1)))

    return _apply(tx, tenant, actor, added, _facts(wanted, "added"), now).blackouts[-1]


@one
def _remove(tx: Tx, asked: tuple[TenantId, Actor, int, datetime]) -> None:
    tenant, actor, number, now = asked
    known = tx.tenants.get(tenant)
    found = next((each for each in known.blackouts if each.id == number), None) if known is not None else None
    if found is None:
        raise NotFoundError(f"there is no blackout {number}")

    def removed(before: Tenant) -> Tenant:
        return replace(before, blackouts=tuple(each for each in before.blackouts if each.id != number))

    _apply(tx, tenant, actor, removed, _facts(found, "removed"), now)


def _apply(
    tx: Tx, tenant: TenantId, actor: Actor, change: Callable[[Tenant], Tenant], facts: Mapping[str, Any], now: datetime
) -> Tenant:
    return tenants.apply(tx, tenants.Changing(tenant, actor, Kind.TENANT_BLACKOUT, change, facts, None, now))


def _facts(blackout: Blackout, change: str) -> dict[str, Any]:
    return {"change": change, "when": str(blackout), "reason": blackout.reason}
