"""Devices that took a bad release are brought back to what they ran before: by rollouts of their own, where that is safe.

For each version that they ran before there is one rollout, linked to the bad one (`rolls_back`); that the bad one was
rolled back is derived from them. Asked again, it brings those that have come since, and nobody twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import RolloutId, TenantId, Version
from otaru.domain.release import Release
from otaru.domain.rollout import (
    Approve,
    Rollout,
    RolloutEvent,
    RolloutState,
    Way,
    back_policy,
    barred,
    check_back,
    laid_out,
    obey,
    told,
)
from otaru.errors import NotFoundError, NothingToDoError
from otaru.ports.store import Tx, one
from otaru.services.control.rollouts import STOPPABLE, apply, check_edition, check_told_apart, found, watched
from otaru.services.control.world import JUDGE, Actor, World

MAX_NAME = 200
MAX_WAYS = 100
"""Versions that devices go back to at once, those of the most devices first; asked again, the others follow."""


async def plan_back(world: World, tenant: TenantId, rollout: RolloutId) -> list[Way]:
    """Who would be brought back, and where; who would not, and why. Nothing changes.

    Raises:
        NotFoundError: there is no such rollout.
        InvalidStateError: it has not begun, or brings devices back itself.
    """
    now = world.clock.now()

    def look(tx: Tx) -> list[Way]:
        bad = found(tx, tenant, rollout)
        check_back(bad)
        return [way for way, _ in _ways(tx, tenant, bad, now)]

    return await world.store.read(look)


async def roll_back(
    world: World,
    tenant: TenantId,
    actor: Actor,
    rollout: RolloutId,
    *,
    reason: str = "",
    edition: int | None = None,
) -> list[Way]:
    """Stop a rollout, and bring back the devices that took what it brought, as far as that is safe.

    Raises:
        NotFoundError: there is no such rollout.
        InvalidStateError: it has not begun, or brings devices back itself.
        NothingToDoError: nobody can be brought back; it says why. Nothing was stopped.
        PreconditionFailedError: it has changed since `edition`.
    """
    asked = _Asked(tenant, actor, rollout, reason, edition, world.clock.seed(), world.clock.now())
    return await world.store.write(_roll_back, asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    tenant: TenantId
    actor: Actor
    rollout: RolloutId
    reason: str
    edition: int | None
    seed: int
    at: datetime


@one
def _roll_back(tx: Tx, asked: _Asked) -> list[Way]:
    bad = found(tx, asked.tenant, asked.rollout)
    check_back(bad)
    check_edition(bad, asked.edition)
    check_told_apart(tx, asked.tenant, asked.actor)
    if bad.state in STOPPABLE and bad.state is not RolloutState.STOPPING:
        stopped = obey(bad, RolloutEvent.STOP, asked.reason or "rolled back", asked.at)
        apply(tx, asked.tenant, bad, stopped, asked.actor, asked.at)
        bad = stopped.rollout
    ways = bring_back(tx, asked.tenant, asked.actor, bad, asked.reason, asked.seed, asked.at)
    if not any(way.rollout for way in ways):
        out = "; ".join(f"{devices} left out: {why}" for why, devices in told(ways).items())
        raise NothingToDoError(
            f"no device of rollout {bad.id} can be brought back from {bad.product} {bad.version}",
            hint=f"{out}." if out else "None of those that were told of it runs it.",
            left_out=told(ways),
        )
    return ways


def bring_back(
    tx: Tx,
    tenant: TenantId,
    actor: Actor,
    bad: Rollout,
    reason: str,
    seed: int,
    at: datetime,
    segments: Collection[int] = (),
) -> list[Way]:
    """Make the rollouts that bring devices of `bad` back, and start them; what was made of each way, recorded.

    Only those of some `segments`, where any are named: the others go on.
    A person's wait for approval where the tenant's rollouts do; the judge's were approved with the rollout that says so.
    """
    ways: list[Way] = []
    for way, release in _ways(tx, tenant, bad, at, segments):
        if release is None or way.members == 0:
            ways.append(way)
        elif len(ways) >= MAX_WAYS:
            ways.append(replace(way, barred=f"more than {MAX_WAYS} versions at once: it follows when asked again"))
        else:
            ways.append(_made(tx, _Order(tenant, actor, bad, seed, at, segments), way, release))
    made = [way for way in ways if way.rollout is not None]
    if made or told(ways).keys() - {"going back"}:
        data = {
            "rollouts": [way.rollout for way in made],
            "members": sum(way.members for way in made),
            "left_out": told(ways),
            "reason": reason,
        }
        if segments:
            data["segments"] = sorted(segments)
        tx.events.add([Happening(tenant, at, actor.name, Kind.ROLLOUT_BACK, str(bad.id), data)])
    return ways


def _ways(
    tx: Tx, tenant: TenantId, bad: Rollout, now: datetime, segments: Collection[int] = ()
) -> list[tuple[Way, Release | None]]:
    """Where devices of a rollout would be brought, by what they ran before, with its release where some can be."""
    release = tx.releases.get(tenant, bad.product, bad.version)
    if release is None:
        raise NotFoundError(f"there is no release {bad.product} {bad.version}")
    return [
        _way(tx, tenant, bad, release, base, devices, now, segments)
        for base, devices in tx.rollouts.bases(tenant, bad, release.component, segments)
    ]


def _way(
    tx: Tx,
    tenant: TenantId,
    bad: Rollout,
    release: Release,
    base: Version | None,
    devices: int,
    now: datetime,
    segments: Collection[int],
) -> tuple[Way, Release | None]:
    good = None if base is None else tx.releases.get(tenant, bad.product, base)
    why = barred(release, base, good)
    if why or good is None or base is None:
        return Way(base, devices, why), None
    return Way(base, devices, left_out=tx.rollouts.left_behind(tenant, bad, base, good, now, segments)), good


@dataclass(frozen=True, slots=True)
class _Order:
    tenant: TenantId
    actor: Actor
    bad: Rollout
    seed: int
    at: datetime
    segments: Collection[int]

    @property
    def name(self) -> str:
        """Of the rollout that carries it out."""
        names = ", ".join(s.name for s in self.bad.segments if s.index in self.segments)
        return f"Rollback of rollout {self.bad.id}{': ' if names else ''}{names}"[:MAX_NAME]


def _made(tx: Tx, order: _Order, way: Way, release: Release) -> Way:
    tenant, actor, bad, at = order.tenant, order.actor, order.bad, order.at
    strata = tx.rollouts.strata_back(tenant, bad, release.version, release, at, order.segments)
    component = release.component
    policy = back_policy(bad.policy, way.members)
    rollout = Rollout(
        id=tx.rollouts.next_id(tenant),
        product=release.product,
        version=release.version,
        target=f"installed.{component}=='{bad.version}'",
        state=RolloutState.DRAFT,
        policy=policy if actor is JUDGE else watched(tx, tenant, policy),
        seed=order.seed,
        created_at=at,
        name=order.name,
        rolls_back=bad.id,
        created_by=actor.name,
    )
    rollout = laid_out(rollout, strata)
    tx.rollouts.add(tenant, rollout)
    size = tx.rollouts.enlist_back(tenant, rollout, bad, release, strata, order.segments)
    planned = obey(rollout, RolloutEvent.PLAN, "", at).rollout
    data = {
        "product": rollout.product,
        "version": rollout.version,
        "target": rollout.target,
        "size": size,
        "rolls_back": bad.id,
    }
    tx.events.add([Happening(tenant, at, actor.name, Kind.ROLLOUT_CREATED, str(rollout.id), data)])
    waits = planned.policy.approve is not Approve.NONE
    event = RolloutEvent.ASK_APPROVAL if waits else RolloutEvent.START
    apply(tx, tenant, planned, obey(planned, event, f"rolls back rollout {bad.id}", at), actor, at)
    return replace(way, rollout=rollout.id)


def brought(ways: Sequence[Way]) -> int:
    """How many devices are brought back, or would be."""
    return sum(way.members for way in ways)
