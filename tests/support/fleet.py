"""A small fleet in a database: what tests of the fleet's SQL are told with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert

from otaru.adapters.sql.attributes import SqlAttributes
from otaru.adapters.sql.deployments import SqlDeployments
from otaru.adapters.sql.devices import SqlDevices
from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.followings import SqlFollowings
from otaru.adapters.sql.groups import SqlGroups
from otaru.adapters.sql.health import SqlHealth
from otaru.adapters.sql.releases import SqlReleases
from otaru.adapters.sql.reports import SqlReports
from otaru.adapters.sql.rollouts import SqlRollouts
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import blob
from otaru.adapters.sql.tables import tenant as tenants
from otaru.domain.deployment import Deployment, State
from otaru.domain.device import Device, Hardware, Installed, Lifecycle, Source
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, Sha256, TenantId, Version
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.domain.rollout import Policy, Rollout, RolloutState, Stratum, laid_out
from otaru.domain.targeting import parse

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
HERE = TenantId("here")
THERE = TenantId("there")
RPI = Hardware("rpi4")
ONE = RolloutId(1)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_device(
    name: str,
    *,
    tags: Sequence[str] = (),
    attributes: Mapping[str, str] | None = None,
    hardware: Hardware = RPI,
    lifecycle: Lifecycle = Lifecycle.ACTIVE,
    runs: Mapping[str, str] | None = None,
) -> Device:
    return Device(
        id=DeviceId(name),
        lifecycle=lifecycle,
        hardware=hardware,
        created_at=NOW,
        updated_at=NOW,
        tags=frozenset(tags),
        attributes=dict(attributes or {}),
        installed=tuple(
            Installed(component, Version(version), Source.OTARU, NOW) for component, version in (runs or {}).items()
        ),
    )


def a_blob(sign: str) -> Blob:
    return Blob(sha256=Sha256(sign * 64), sha1=sign * 40, md5=sign * 32, size=1000)


def a_release(version: str = "1.1.0", *, product: str = "app", hardware: Sequence[Hardware] = (RPI,)) -> Release:
    return Release(
        product=ProductName(product),
        version=Version(version),
        state=ReleaseState.PUBLISHED,
        artifacts=tuple(
            Artifact("app", fits, f"app-{version}.swu", a_blob("a"))
            for fits in sorted(hardware, key=lambda h: (h.model, h.revision))
        ),
        created_at=NOW,
        published_at=NOW,
    )


def a_rollout(number: int = 1, *, policy: Policy | None = None, seed: int = 7) -> Rollout:
    return Rollout(
        id=RolloutId(number),
        product=ProductName("app"),
        version=Version("1.1.0"),
        target="id==*",
        state=RolloutState.RUNNING,
        policy=policy or Policy(),
        seed=seed,
        created_at=NOW,
        name=f"rollout {number}",
    )


@dataclass(frozen=True)
class Shelf:
    """All of the fleet's aggregates over one session."""

    session: Session
    devices: SqlDevices
    releases: SqlReleases
    rollouts: SqlRollouts
    deployments: SqlDeployments
    reports: SqlReports
    health: SqlHealth
    groups: SqlGroups
    followings: SqlFollowings
    attributes: SqlAttributes

    def tenant(self, tenant: TenantId, *, halted: bool = False) -> None:
        row = {
            "tenant": tenant,
            "created_at": NOW,
            "settings": "{}",
            "halted": halted,
            "halt_reason": "",
            "edition": 1,
        }
        self.session.connection.execute(insert(tenants).values(**row))

    def blob(self, tenant: TenantId, of: Blob) -> None:
        row = {"sha256": of.sha256, "sha1": of.sha1, "md5": of.md5, "size": of.size, "created_at": NOW}
        self.session.connection.execute(insert(blob).values(tenant=tenant, **row))

    def stock(self, tenant: TenantId, devices: Sequence[Device] = (), release: Release | None = None) -> Release:
        """A tenant with devices and one release."""
        self.tenant(tenant)
        self.blob(tenant, a_blob("a"))
        release = release or a_release()
        assert self.releases.add(tenant, release)
        assert all(self.devices.add(tenant, [(device, b"t" * 32) for device in devices]))
        return release

    def launch(self, tenant: TenantId, rollout: Rollout, release: Release) -> Rollout:
        """Plan a rollout as a service does; with every wave still pending."""
        query, policy = parse(rollout.target, NOW), rollout.policy
        strata = self.rollouts.strata(tenant, query, release, policy.split) if policy.staged else ()
        rollout = laid_out(rollout, strata)
        size = self.rollouts.enlist(tenant, rollout, query, release, strata)
        rollout = rollout if strata else laid_out(rollout, [Stratum((), size)])
        self.rollouts.add(tenant, rollout)
        return rollout

    def move(self, tenant: TenantId, rollout: int, device: str, state: State, reason: str = "") -> Deployment:
        """Save one member's current attempt in another state, as if its device had said so; offered on the way."""
        (before,) = self.deployments.current(tenant, [(RolloutId(rollout), DeviceId(device))])
        assert before is not None
        action = before.action or self.deployments.allot(tenant, [before.device])[0]
        after = replace(before, state=state, action=ActionId(action), changed_at=later(1), reason=reason)
        self.deployments.save(tenant, [(before, after)])
        return after


def shelf_on(session: Session) -> Shelf:
    return Shelf(
        session,
        SqlDevices(session),
        SqlReleases(session),
        SqlRollouts(session),
        SqlDeployments(session),
        SqlReports(session),
        SqlHealth(session),
        SqlGroups(session),
        SqlFollowings(session),
        SqlAttributes(session),
    )


@contextmanager
def open_shelf(url: str, session: Callable[[Connection], Session] = Session) -> Iterator[Shelf]:
    """Over one transaction that is never committed; `session` makes what it works with."""
    engine = open_writer(url)
    try:
        with engine.connect() as connection, connection.begin():
            yield shelf_on(session(connection))
    finally:
        engine.dispose()
