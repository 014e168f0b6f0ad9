"""What counts for a device of what people say of monitoring: its tenant, and the groups that it is in.

Policies of groups are settings of the tenant, so the process that answers polls has them in memory; where there are none, a poll
pays nothing. Where there are some, which of the groups a device is in is asked of the store, and known for a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from otaru.domain.errand import Monitoring
from otaru.domain.events import Kind
from otaru.domain.group import GroupName
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.monitoring import MAX_POLICIES, MAX_PRIORITY, GroupPolicy, Policy, Settled, checked, ranked, settled
from otaru.domain.targeting import And, Field, Term
from otaru.domain.tenant import Tenant
from otaru.errors import InvalidInputError, NotFoundError, QuerySyntaxError, TooLargeError
from otaru.ports.store import Tx, one
from otaru.services.control import devices, groups, tenants
from otaru.services.control.world import Actor, World

KNOWN_FOR = timedelta(minutes=1)
_MOST_KNOWN = 100_000


@dataclass(frozen=True, slots=True)
class Change:
    """What to say of a group; None leaves what was said."""

    policy: Policy
    priority: int | None = None
    whole: bool = False
    """Nothing that was said before stays."""


async def of_device(world: World, tenant: TenantId, device: DeviceId) -> Settled:
    """What counts for a device.

    Raises:
        NotFoundError: there is no such device.
    """
    now = world.clock.now()

    def look(tx: Tx) -> Settled:
        devices.found(tx, tenant, device)
        return found(tx, tenant, device, now)

    return await world.store.read(look)


def found(tx: Tx, tenant: TenantId, device: DeviceId, now: datetime, *, telemetry: bool = False) -> Settled:
    """What counts for a device, within a transaction; `telemetry`: of that alone is asked, the rest is not settled."""
    known = tx.tenants.get(tenant)
    if known is None:
        raise NotFoundError(f"there is no tenant {tenant}")
    policies = [one for one in known.settings.group_monitoring if one.says.of_telemetry or not telemetry]
    its = [policy for policy in policies if _is_in(tx, tenant, device, policy.group, now)]
    lists = {
        one.group for one in its if (group := tx.groups.get(tenant, one.group)) is not None and group.query is None
    }
    return settled(known.settings.policy, ranked(its, lists))


async def say(world: World, tenant: TenantId, actor: Actor, group: GroupName, wanted: Change) -> GroupPolicy:
    """Say something of a group's devices; what is not named stays. They hear of it with a poll within a minute.

    Raises:
        NotFoundError: there is no such group.
        InvalidInputError: it makes no sense.
        TooLargeError: there are MAX_POLICIES.
    """
    checked(wanted.policy)
    if wanted.priority is not None and not -MAX_PRIORITY <= wanted.priority <= MAX_PRIORITY:
        raise InvalidInputError(f"a priority is a number from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    return await world.store.write(_say, (tenant, actor, group, wanted, world.clock.now()))


async def unsay(world: World, tenant: TenantId, actor: Actor, group: GroupName) -> None:
    """Say nothing of a group's devices any more.

    Raises:
        NotFoundError: nothing was.
    """
    await world.store.write(_unsay, (tenant, actor, group, world.clock.now()))


@dataclass(slots=True)
class Lately:
    """What devices' polls are told, kept for a minute where groups have a say. One event loop."""

    world: World
    _known: dict[tuple[TenantId, DeviceId], tuple[int, float, Monitoring]] = field(default_factory=dict)

    async def told(self, tenant: Tenant, device: DeviceId) -> Monitoring:
        """What counts for a device. Nothing is read where no group has a say, and nothing is ever written."""
        if not any(one.says.of_telemetry for one in tenant.settings.group_monitoring):
            return tenant.settings.monitoring
        now, key = self.world.clock.monotonic(), (tenant.id, device)
        edition, until, monitoring = self._known.get(key, (0, 0.0, Monitoring()))
        if edition == tenant.edition and now < until:
            return monitoring
        at = self.world.clock.now()
        monitoring = (
            await self.world.store.glance(lambda tx: found(tx, tenant.id, device, at, telemetry=True))
        ).monitoring
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = tenant.edition, now + KNOWN_FOR.total_seconds(), monitoring
        return monitoring


def _is_in(tx: Tx, tenant: TenantId, device: DeviceId, group: GroupName, now: datetime) -> bool:
    try:
        query = groups.target(tx, tenant, f"group=='{group}'", now)
    except QuerySyntaxError:  # its query makes no sense any more: nobody is in it
        return False
    return bool(tx.devices.page(tenant, And((Term(Field.ID, (device,)), query)), None, 1))


@one
def _say(tx: Tx, asked: tuple[TenantId, Actor, GroupName, Change, datetime]) -> GroupPolicy:
    tenant, actor, group, wanted, now = asked
    groups.found(tx, tenant, group)
    before = _policies(tx, tenant)
    old = GroupPolicy(group, Policy()) if wanted.whole else before.get(group, GroupPolicy(group, Policy()))
    given = {f.name: said for f in fields(Policy) if (said := getattr(wanted.policy, f.name)) is not None}
    priority = old.priority if wanted.priority is None else wanted.priority
    new = GroupPolicy(group, checked(replace(old.says, **given)), priority)
    if new.says == Policy():
        raise InvalidInputError("nothing is said of the group", hint="Name what its devices measure, tell or do.")
    after = {**before, group: new}
    if len(after) > MAX_POLICIES:
        raise TooLargeError(f"{MAX_POLICIES} groups have a say in monitoring already", limit=MAX_POLICIES)
    _save(tx, tenant, actor, after, group, now)
    return new


@one
def _unsay(tx: Tx, asked: tuple[TenantId, Actor, GroupName, datetime]) -> None:
    tenant, actor, group, now = asked
    before = _policies(tx, tenant)
    if group not in before:
        raise NotFoundError(f"nothing is said of the monitoring of group {group[:128]!r}")
    _save(tx, tenant, actor, {name: one for name, one in before.items() if name != group}, group, now)


def _policies(tx: Tx, tenant: TenantId) -> dict[GroupName, GroupPolicy]:
    known = tx.tenants.get(tenant)
    if known is None:
        raise NotFoundError(f"there is no tenant {tenant}")
    return {one.group: one for one in known.settings.group_monitoring}


def _save(
    tx: Tx, tenant: TenantId, actor: Actor, after: Mapping[GroupName, GroupPolicy], group: GroupName, now: datetime
) -> None:
    policies = tuple(after[name] for name in sorted(after))

    def changed(before: Tenant) -> Tenant:
        return replace(before, settings=replace(before.settings, group_monitoring=policies))

    facts: dict[str, Any] = {"settings": ["group_monitoring"], "group": group}
    tenants.apply(tx, tenants.Changing(tenant, actor, Kind.TENANT_CHANGED, changed, facts, None, now))
