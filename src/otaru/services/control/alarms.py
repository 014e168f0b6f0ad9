"""What of keys, releases and logs needs a person, in numbers: for metrics, for the console's banners, for its calendar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.alert import MAX_ALERTS, Alert
from otaru.domain.following import Following
from otaru.domain.ids import TenantId
from otaru.domain.release import ReleaseState
from otaru.ports.store import Tx
from otaru.services.control import metadata
from otaru.services.control.metadata import Status
from otaru.services.control.world import World
from otaru.trust.log.entries import Log
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, Place, told_of
from otaru.trust.tuf.metadata import due_at
from otaru.trust.tuf.repository import Due, what_is_due

GRACE = timedelta(hours=1)
"""What the server can sign itself it has signed by then; what is due for longer waits for people."""
MAX_STUCK = 10
"""Standing orders that need a person, named on every page."""
MAX_RAISED = 5
"""Alerts named on every page."""
MAX_TENANTS = 100
"""Tenants whose numbers one answer has."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When a role's metadata ends, and who keeps it from that."""

    repository: str
    role: str
    at: datetime
    people: bool
    """Whether it needs keys that the server does not hold."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a log is behind: entries that no checkpoint covers, and for how long the oldest of them waits."""

    entries: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Alarms:
    """The numbers of one tenant."""

    tenant: TenantId
    endings: Sequence[Ending]
    development: int
    """Keys in use that were made for development."""
    drafts: int
    """Releases that are not signed yet."""
    stuck: int
    """Standing orders that somebody has to see to."""
    lags: Mapping[Log, Lag]
    raised: int
    """Alerts that are raised."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What every page of the console has to know."""

    development: bool
    due: Sequence[Due]
    """Roles that people have to sign anew, what ends first first."""
    stuck: Sequence[Following] = ()
    """Standing orders that people have to see to, some of them."""
    raised: Sequence[Alert] = ()
    """Alerts that are raised, some of them."""


async def of_tenant(world: World, tenant: TenantId) -> Alarms:
    """The numbers of one tenant."""
    now = world.clock.now()
    return await world.store.read(lambda tx: _alarms(tx, tenant, now))


async def of_all(world: World) -> tuple[list[Alarms], int]:
    """The numbers of the first tenants by name, and how many are left out."""
    now = world.clock.now()

    def look(tx: Tx) -> tuple[list[Alarms], int]:
        names = sorted(tenant.id for tenant in tx.tenants.every_tenant())
        return [_alarms(tx, name, now) for name in names[:MAX_TENANTS]], max(len(names) - MAX_TENANTS, 0)

    return await world.store.read(look)


async def brief(world: World, tenant: TenantId) -> Brief:
    """What every page of the console has to know: five small reads, no metadata is parsed."""
    now = world.clock.now()

    def look(tx: Tx) -> Brief:
        development = any(key.development and key.revoked_at is None for key in tx.signatures.keys(tenant))
        due: list[Due] = []
        for of in (IMAGE, DIRECTOR):
            ends = {role: end.expires_at for role, end in tx.signatures.ends(tenant, of).items()}
            long_due = {role: at for role, at in ends.items() if due_at(role, at) + GRACE <= now}
            due += [replace(one, role=told_of(of, one.role)) for one in what_is_due(long_due, now)]
        stuck = tx.followings.page(tenant, None, MAX_STUCK, stuck=True)
        raised = tuple(tx.alerts.raised(tenant, MAX_RAISED))
        return Brief(development, sorted(due, key=lambda one: one.expires), stuck, raised)

    return await world.store.glance(look)


def _alarms(tx: Tx, tenant: TenantId, now: datetime) -> Alarms:
    status = metadata.status_in(tx, tenant, now)
    return Alarms(
        tenant,
        [
            Ending(of, role.name, role.end.expires_at, role.name in by_people(status, of))
            for of, roles in ((IMAGE, status.roles), (DIRECTOR, status.director))
            for role in roles
            if role.end is not None
        ],
        sum(key.development and key.revoked_at is None for key in status.keys),
        tx.releases.states(tenant).get(ReleaseState.DRAFT, 0),
        tx.followings.count(tenant, stuck=True),
        {log: _lag(tx, tenant, log, now) for log in Log},
        len(tx.alerts.raised(tenant, MAX_ALERTS)),
    )


def by_people(status: Status, of: str = IMAGE) -> set[str]:
    """The roles of a repository that need keys which the server does not hold."""
    held = {key.id for key in status.keys if key.place is Place.SERVER and key.revoked_at is None}
    roles = status.roles if of == IMAGE else status.director
    return {role.name for role in roles if len(held & set(role.keys)) < role.threshold}


def _lag(tx: Tx, tenant: TenantId, log: Log, now: datetime) -> Lag:
    entries, oldest = tx.logs.behind(tenant, log)
    return Lag(entries, timedelta(0) if oldest is None else max(now - oldest, timedelta(0)))
