"""Alerts: looked at now and then, raised and closed once each, and told to people by mail.

Raising is one transaction with its event; the mail is sent afterwards and marked when the mail server has taken it. So after
a crash in between it is sent once more, and never lost.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain import ids
from otaru.domain.alert import MAX_ALERTS, Alert, Found, checked
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.domain.targeting import Query
from otaru.errors import AlreadyExistsError, InvalidStateError, NotFoundError, OtaruError, TooLargeError
from otaru.ports.mailer import Mailer, Message
from otaru.ports.store import Tx, one
from otaru.services.control import groups
from otaru.services.control.world import SYSTEM, Actor, World

MAX_TROUBLE = 300
_SEEN = timedelta(hours=1)
"""So often it is written down that an alert is looked at, where nothing is new."""


@dataclass(frozen=True, slots=True)
class New:
    """An alert as somebody makes it."""

    name: str
    when: str
    of: str = ""
    count: int = 1
    share: float = 0.0
    mail: tuple[str, ...] = ()


async def add(world: World, tenant: TenantId, actor: Actor, new: New) -> Alert:
    """Make an alert; it is looked at from now on.

    Raises:
        AlreadyExistsError: the name is taken.
        QuerySyntaxError: a target makes no sense.
        InvalidInputError: a threshold or an address does not.
        TooLargeError: there are MAX_ALERTS.
    """
    mail = checked(new.count, new.share, new.mail)
    now = world.clock.now()
    alert = Alert(ids.name(new.name), new.when, new.of, new.count, new.share, mail, now)
    return await world.store.write(_add, (tenant, actor, alert, now))


async def remove(world: World, tenant: TenantId, actor: Actor, name: str) -> None:
    """Forget an alert.

    Raises:
        NotFoundError: there is none.
    """
    await world.store.write(_remove, (tenant, actor, name, world.clock.now()))


async def show(world: World, tenant: TenantId, name: str) -> Alert:
    """One alert.

    Raises:
        NotFoundError: there is none.
    """

    def look(tx: Tx) -> Alert:
        return _found(tx, tenant, name)

    return await world.store.glance(look)


async def listed(world: World, tenant: TenantId, after: str | None, limit: int) -> list[Alert]:
    """Alerts by name."""
    return await world.store.read(lambda tx: tx.alerts.page(tenant, after, limit))


async def look(world: World) -> int:
    """Look at every alert; how many were raised or closed. Again, nothing changes but what devices do."""
    now = world.clock.now()
    moved = 0
    for tenant, alert in await world.store.read(_every):

        def count(tx: Tx, tenant: TenantId = tenant, alert: Alert = alert) -> Found:
            return _count(tx, tenant, alert, now)

        try:
            found: Found | str = await world.store.read(count)
        except OtaruError as error:  # a group that it names is gone, say
            found = error.message[:MAX_TROUBLE]
        if _news(alert, found, now) is not None:
            moved += await world.store.write(_looked, (tenant, alert.name, found, now))
    return moved


async def tell(world: World, mailer: Mailer | None, address: str = "") -> int:
    """Write to people of what changed; how many mails were taken. What fails is tried again the next time."""
    sent = 0
    for tenant, alert in await world.store.read(_every):
        if not alert.untold:
            continue
        trouble = ""
        try:
            if mailer is None:
                raise InvalidStateError("no mail server is set (smtp)")
            await mailer.send(message(tenant, alert, address))
            sent += 1
        except OtaruError as error:
            trouble = error.message[:MAX_TROUBLE]
        if not trouble or trouble != alert.trouble:
            await world.store.write(_told, (tenant, alert, trouble))
    return sent


def message(tenant: TenantId, alert: Alert, address: str = "") -> Message:
    """What people are written."""
    raised = alert.raised_at is not None
    found, at = alert.found, alert.changed_at or alert.created_at
    subject = f"{'ALERT' if raised else 'Over'}: {alert.name} ({found.devices} of {found.of} devices)"
    lines = [
        f"{alert.name} of tenant {tenant} was {'raised' if raised else 'closed'} at {at:%Y-%m-%d %H:%M:%S} UTC.",
        "",
        f"{found.devices} of {found.of} devices match: {alert.when}",
        f"It is raised from {alert.count} on{f' and {alert.share:.3g} of them' if alert.share else ''}.",
    ]
    lines += [f"They are devices of: {alert.of}"] if alert.of else []
    lines += ["", f"{address}/devices"] if address else []
    mark = f"{tenant}.{alert.name}.{int(at.timestamp() * 1e6)}"
    return Message(alert.mail, subject, "\n".join(lines) + "\n", mark)


def _every(tx: Tx) -> list[tuple[TenantId, Alert]]:
    return [
        (known.id, alert) for known in tx.tenants.every_tenant() for alert in tx.alerts.page(known.id, None, MAX_ALERTS)
    ]


def _count(tx: Tx, tenant: TenantId, alert: Alert, now: datetime) -> Found:
    among: Query | None = groups.target(tx, tenant, alert.of, now) if alert.of else None
    both = f"({alert.when});({alert.of})" if alert.of else alert.when
    devices = tx.devices.count(tenant, groups.target(tx, tenant, both, now))
    return Found(devices, tx.devices.count(tenant, among))


@one
def _add(tx: Tx, asked: tuple[TenantId, Actor, Alert, datetime]) -> Alert:
    tenant, actor, alert, now = asked
    if tx.alerts.count(tenant) >= MAX_ALERTS:
        raise TooLargeError(f"there are {MAX_ALERTS} alerts", limit=MAX_ALERTS)
    _count(tx, tenant, alert, now)  # a target that makes no sense is refused here
    if not tx.alerts.add(tenant, alert):
        raise AlreadyExistsError(f"there is an alert {alert.name} already")
    facts = {"when": alert.when, "of": alert.of, "count": alert.count, "share": alert.share, "mail": list(alert.mail)}
    tx.events.add([Happening(tenant, now, actor.name, Kind.ALERT_ADDED, alert.name, facts)])
    return alert


@one
def _remove(tx: Tx, asked: tuple[TenantId, Actor, str, datetime]) -> None:
    tenant, actor, name, now = asked
    if not tx.alerts.remove(tenant, name):
        raise NotFoundError(f"there is no alert {name[:128]}")
    tx.events.add([Happening(tenant, now, actor.name, Kind.ALERT_REMOVED, name, {})])


@one
def _looked(tx: Tx, seen: tuple[TenantId, str, Found | str, datetime]) -> bool:
    """Keep what was found; whether that raised or closed it. Of two workers one does."""
    tenant, name, found, now = seen
    known = tx.alerts.get(tenant, name)
    after = None if known is None else _news(known, found, now)
    if known is None or after is None:
        return False
    tx.alerts.save(tenant, after)
    if isinstance(found, str) or after.changed_at == known.changed_at:
        return False
    kind = Kind.ALERT_RAISED if after.raised_at is not None else Kind.ALERT_CLOSED
    facts = {"devices": found.devices, "of": found.of, "when": known.when}
    tx.events.add([Happening(tenant, now, SYSTEM.name, kind, name, facts)])
    return True


def _news(known: Alert, found: Found | str, now: datetime) -> Alert | None:
    """How it stands after a look; None where that says nothing that is not written down."""
    if isinstance(found, str):
        after = replace(known, looked_at=now, trouble=found)
    else:
        after = known.after(found, now)
        if after.trouble and not after.untold:
            after = replace(after, trouble="")
    old = known.looked_at is not None and now - known.looked_at < _SEEN
    return None if old and replace(after, looked_at=known.looked_at) == known else after


@one
def _told(tx: Tx, told: tuple[TenantId, Alert, str]) -> None:
    tenant, alert, trouble = told
    known = tx.alerts.get(tenant, alert.name)
    if known is not None and known.changed_at == alert.changed_at:
        tx.alerts.save(tenant, replace(known, untold=bool(trouble), trouble=trouble))


def _found(tx: Tx, tenant: TenantId, name: str) -> Alert:
    known = tx.alerts.get(tenant, name)
    if known is None:
        raise NotFoundError(f"there is no alert {name[:128]}")
    return known
