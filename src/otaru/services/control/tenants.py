"""A tenant is made, decides its settings, and halts everything at once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from otaru.domain.errand import Monitoring
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from otaru.domain.monitoring import Policy, checked
from otaru.domain.schedule import zone
from otaru.domain.tenant import Tenant, TenantSettings
from otaru.errors import InvalidInputError, NotFoundError, PreconditionFailedError, TooLargeError
from otaru.ports.store import Tx, one
from otaru.services.control.world import SYSTEM, Actor, World

MIN_POLLING = timedelta(seconds=1)
MAX_POLLING = timedelta(hours=23, minutes=59, seconds=59)
MAX_CHUNK_PARTS = 200
MIN_KEPT, MAX_KEPT = timedelta(days=1), timedelta(days=3650)
MAX_REASON = 500

_GATEWAY: Mapping[str, Any] = {"settings": ["gateway_token"]}


@dataclass(frozen=True, slots=True)
class Change:
    """New settings; None leaves one as it is."""

    polling: timedelta | None = None
    self_registration: bool | None = None
    download_anonymous: bool | None = None
    chunk_parts: Mapping[str, str] | None = None
    several: Sequence[str] | None = None
    max_artifact: int | None = None
    quota: int | None = None
    backups: bool | None = None
    backup_quota: int | None = None
    health_kept: timedelta | None = None
    monitoring: Monitoring | None = None
    diagnostics: bool | None = None
    commands: bool | None = None
    zone: str | None = None
    four_eyes: bool | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A tenant with the bytes that count against its quota."""

    tenant: Tenant
    used: int
    backups: int = 0
    """Bytes of that which are backups of devices, or are to be."""


async def ensure(world: World, tenant: TenantId, settings: TenantSettings | None = None) -> bool:
    """Make a tenant where there is none; whether it was made. Without `settings` it has the safe ones."""
    return await world.store.write(_ensure, Tenant(tenant, world.clock.now(), settings or TenantSettings()))


async def ensure_default(world: World, polling_s: int) -> bool:
    """Make the default tenant where it is missing, telling its devices to poll every `polling_s` seconds."""
    return await ensure(world, DEFAULT_TENANT, TenantSettings(polling=timedelta(seconds=polling_s)))


async def show(world: World, tenant: TenantId) -> Seen:
    """A tenant and what it uses."""
    return await world.store.glance(lambda tx: seen(tx, tenant))


def seen(tx: Tx, tenant: TenantId) -> Seen:
    """A tenant and what it uses, within a transaction.

    Raises:
        NotFoundError: there is none.
    """
    return Seen(_tenant(tx, tenant), tx.blobs.used(tenant), tx.backups.size(tenant))


async def get(world: World, tenant: TenantId) -> Tenant:
    """A tenant without what has to be counted.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.glance(lambda tx: _tenant(tx, tenant))


async def change(world: World, tenant: TenantId, actor: Actor, wanted: Change, edition: int | None = None) -> Tenant:
    """Change settings. `edition` is what If-Match names.

    Raises:
        InvalidInputError: a setting is out of its bounds.
        TooLargeError: too many `chunk_parts`, or models in `several`.
        PreconditionFailedError: the tenant has changed since `edition`.
    """
    _check(wanted)
    given = {f.name: value for f in fields(wanted) if (value := getattr(wanted, f.name)) is not None}
    if "chunk_parts" in given:
        given["chunk_parts"] = dict(given["chunk_parts"])
    if "several" in given:
        given["several"] = tuple(sorted(set(given["several"])))

    def settled(before: Tenant) -> Tenant:
        return replace(before, settings=replace(before.settings, **given))

    facts = {"settings": sorted(given)}
    return await _changed(world, tenant, actor, Kind.TENANT_CHANGED, settled, facts, edition)


async def halt(world: World, tenant: TenantId, actor: Actor, reason: str) -> Tenant:
    """Pause every rollout of a tenant at once. Halting twice only renews the reason.

    An emergency stop never refuses: whatever was said for a reason is made one line of bounded length.
    """
    reason = " ".join("".join(max(sign, " ") for sign in reason[: MAX_REASON * 2]).split())[:MAX_REASON]

    def halted(before: Tenant) -> Tenant:
        return replace(before, halted=True, halt_reason=reason)

    return await _changed(world, tenant, actor, Kind.TENANT_HALTED, halted, {"reason": reason})


async def lift(world: World, tenant: TenantId, actor: Actor) -> Tenant:
    """Let a halted tenant go on; where it is not halted nothing changes."""

    def lifted(before: Tenant) -> Tenant:
        return replace(before, halted=False, halt_reason="")

    return await _changed(world, tenant, actor, Kind.TENANT_LIFTED, lifted, {})


async def new_gateway_token(world: World, tenant: TenantId, actor: Actor) -> str:
    """Give the tenant a new gateway token; the old one dies. It is stored as SHA-256: this is the only time it is seen."""
    return await world.store.write(_renew_gateway, (tenant, actor, world.clock.token(), world.clock.now()))


async def drop_gateway_token(world: World, tenant: TenantId, actor: Actor) -> None:
    """Have no gateway token (any more)."""
    await _changed(world, tenant, actor, Kind.TENANT_CHANGED, _with_gateway(None), _GATEWAY)


def _with_gateway(digest: bytes | None) -> Callable[[Tenant], Tenant]:
    def settled(before: Tenant) -> Tenant:
        return replace(before, settings=replace(before.settings, gateway_token_hash=digest))

    return settled


def _check(wanted: Change) -> None:
    if wanted.polling is not None and not MIN_POLLING <= wanted.polling <= MAX_POLLING:
        raise InvalidInputError("devices are told to poll every 1 second to 23:59:59 hours")
    if wanted.health_kept is not None and not MIN_KEPT <= wanted.health_kept <= MAX_KEPT:
        raise InvalidInputError(f"events of devices are kept for 1 to {MAX_KEPT.days} days")
    if wanted.monitoring is not None:
        checked(Policy(wanted.monitoring.period, wanted.monitoring.off))
    if wanted.zone is not None:
        zone(wanted.zone)
    sizes = (
        ("largest artifact", wanted.max_artifact),
        ("quota", wanted.quota),
        ("quota of backups", wanted.backup_quota),
    )
    for what, size in sizes:
        if size is not None and not 0 <= size < 2**62:
            raise InvalidInputError(f"the {what} is a number of bytes from 0 on")
    if wanted.chunk_parts is not None and len(wanted.chunk_parts) > MAX_CHUNK_PARTS:
        raise TooLargeError(f"chunk_parts names more than {MAX_CHUNK_PARTS} models", limit=MAX_CHUNK_PARTS)
    if wanted.several is not None and len(wanted.several) > MAX_CHUNK_PARTS:
        raise TooLargeError(f"several names more than {MAX_CHUNK_PARTS} models", limit=MAX_CHUNK_PARTS)


@dataclass(frozen=True, slots=True)
class Changing:
    """A change of a tenant, and the event that tells of it."""

    tenant: TenantId
    actor: Actor
    kind: Kind
    change: Callable[[Tenant], Tenant]
    facts: Mapping[str, Any]
    edition: int | None
    at: datetime


async def _changed(
    world: World,
    tenant: TenantId,
    actor: Actor,
    kind: Kind,
    change: Callable[[Tenant], Tenant],
    facts: Mapping[str, Any],
    edition: int | None = None,
) -> Tenant:
    changing = Changing(tenant, actor, kind, change, facts, edition, world.clock.now())
    return await world.store.write(_change, changing)


@one
def _renew_gateway(tx: Tx, asked: tuple[TenantId, Actor, str, datetime]) -> str:
    tenant, actor, secret, now = asked
    renewed = _with_gateway(hashlib.sha256(secret.encode()).digest())
    apply(tx, Changing(tenant, actor, Kind.TENANT_CHANGED, renewed, _GATEWAY, None, now))
    return secret


@one
def _change(tx: Tx, asked: Changing) -> Tenant:
    return apply(tx, asked)


def apply(tx: Tx, asked: Changing) -> Tenant:
    """Make it so, within a transaction; where nothing changes, nothing is recorded.

    Raises:
        NotFoundError: there is no such tenant.
        PreconditionFailedError: it has changed since `edition`.
    """
    before = _tenant(tx, asked.tenant)
    if asked.edition is not None and asked.edition != before.edition:
        raise PreconditionFailedError(f"the tenant has changed: it is at edition {before.edition}")
    after = asked.change(before)
    if after == before:
        return before
    after = replace(after, edition=before.edition + 1)
    tx.tenants.save(after)
    tx.events.add([Happening(after.id, asked.at, asked.actor.name, asked.kind, after.id, asked.facts)])
    return after


@one
def _ensure(tx: Tx, wanted: Tenant) -> bool:
    made = tx.tenants.add(wanted)
    if made:
        tx.events.add([Happening(wanted.id, wanted.created_at, SYSTEM.name, Kind.TENANT_CREATED, wanted.id)])
    return made


def _tenant(tx: Tx, tenant: TenantId) -> Tenant:
    found = tx.tenants.get(tenant)
    if found is None:
        raise NotFoundError(f"there is no tenant {tenant}")
    return found
