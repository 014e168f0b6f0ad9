"""Who took a bad release, and who of them can be brought back: statements over sets, as in `members`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, not_, select

from otaru.adapters.sql import members, ranking
from otaru.adapters.sql.lean import fetch
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import deployment, device, device_component, downgrade_permit
from otaru.adapters.sql.tables import rollout as rollouts
from otaru.domain.deployment import OPEN, State
from otaru.domain.ids import RolloutId, TenantId, Version
from otaru.domain.release import Release
from otaru.domain.rollout import LEFT_OUT, Rollout, Stratum

_BASES = """
SELECT d.base, count(*) FROM deployment d
JOIN device_component i ON i.tenant = d.tenant AND i.device = d.device AND i.component = ? AND i.version = ?
JOIN device v ON v.tenant = d.tenant AND v.device = d.device AND v.lifecycle <> 'decommissioned'
WHERE d.tenant = ? AND d.rollout = ? AND d.current AND d.action IS NOT NULL{of_segments}
GROUP BY d.base ORDER BY count(*) DESC, d.base"""


@dataclass(frozen=True, slots=True)
class Took:
    """Those that were told of a bad rollout when they ran `base`, and run what it brought; `release` brings them back."""

    bad: Rollout
    base: Version
    release: Release
    segments: Collection[int] = ()
    """Those of these; none: of all."""


def bases(
    session: Session, tenant: TenantId, rollout: Rollout, component: str, segments: Collection[int] = ()
) -> list[tuple[Version | None, int]]:
    """What members that were told of a rollout and run its version ran before, and how many each; most first."""
    listed = ", ".join(str(int(segment)) for segment in sorted(segments))
    asked = _BASES.format(of_segments=f" AND d.segment IN ({listed})" if segments else "")
    return [(base, n) for base, n in fetch(session, asked, component, rollout.version, tenant, rollout.id)]


def candidates(session: Session, tenant: TenantId, took: Took, now: datetime) -> Mapping[str, int]:
    """Who of those that ran `base` is left out, by reason."""
    reasons = select(_why(tenant, took.bad, took.release, now).label("why")).where(_took(tenant, took)).subquery()
    counted = select(reasons.c.why, func.count().label("devices")).group_by(reasons.c.why)
    found = {row.why: row.devices for row in session.connection.execute(counted)}
    return {why: found[why] for why in LEFT_OUT if why in found}


def strata(session: Session, tenant: TenantId, took: Took, now: datetime) -> tuple[Stratum, ...]:
    """Who can be brought back, as one segment."""
    return ranking.strata(session, tenant, _them(tenant, took, now), took.release, ())


def enlist(session: Session, tenant: TenantId, rollout: Rollout, took: Took, strata: tuple[Stratum, ...]) -> int:
    """Make those of `strata` members of the rollout that brings them back; how many."""
    them = _them(tenant, took, rollout.created_at)
    return members.enlist_all(session, tenant, rollout, took.release, strata, them)


def _them(tenant: TenantId, took: Took, now: datetime) -> ColumnElement[bool]:
    return and_(_took(tenant, took), _why(tenant, took.bad, took.release, now) == "")


def _took(tenant: TenantId, took: Took) -> ColumnElement[bool]:
    """They are in service, run it, and were told when they ran `base`."""
    told = select(deployment.c.device).where(
        deployment.c.tenant == tenant,
        deployment.c.rollout == took.bad.id,
        deployment.c.current,
        deployment.c.action.is_not(None),
        deployment.c.base == took.base,
    )
    if took.segments:
        told = told.where(deployment.c.segment.in_(sorted(took.segments)))
    leads = device_component.c.component == took.release.component
    runs = exists().where(_own(), leads, device_component.c.version == took.bad.version)
    return and_(device.c.tenant == tenant, device.c.lifecycle != "decommissioned", device.c.device.in_(told), runs)


def _own() -> ColumnElement[bool]:
    return and_(
        device_component.c.tenant == device.c.tenant,
        device_component.c.device == device.c.device,
    )


def _why(tenant: TenantId, bad: Rollout, release: Release, now: datetime) -> ColumnElement[str]:
    """Why a device is left out (`LEFT_OUT`); empty where it is not."""
    burnt = and_(
        _own(),
        device_component.c.component.in_(release.components),
        device_component.c.counter > release.counter,
        not_(_permitted(release, now)),
    )
    return case(
        (not_(members.ACTIVE_DEVICE), "inactive"),
        (not_(members.fits(release)), "misfit"),
        (_going(tenant, bad.id), "going back"),
        (exists().where(burnt), "security floor"),
        else_="",
    )


def _going(tenant: TenantId, bad: RolloutId) -> ColumnElement[bool]:
    unended = sorted(state.value for state in OPEN | {State.SCHEDULED})
    under_way = (
        select(deployment.c.device)
        .join(rollouts, and_(rollouts.c.tenant == deployment.c.tenant, rollouts.c.rollout == deployment.c.rollout))
        .where(
            deployment.c.tenant == tenant,
            rollouts.c.rolls_back == bad,
            deployment.c.current,
            deployment.c.state.in_(unended),
        )
    )
    return device.c.device.in_(under_way)


def _permitted(release: Release, now: datetime) -> ColumnElement[bool]:
    """As `Subject.may_go_to`: down to its counter, until it ends."""
    return exists().where(
        downgrade_permit.c.tenant == device.c.tenant,
        downgrade_permit.c.device == device.c.device,
        downgrade_permit.c.component == device_component.c.component,
        downgrade_permit.c.counter <= release.counter,
        downgrade_permit.c.expires_at > now,
    )
