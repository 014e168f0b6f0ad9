"""What a device that verifies the director is told: its own metadata, kept before it is handed out.

It is made when an offer is made to such a device, or when it asks and what it has no longer says what is due, or ends
soon. For all others nothing is made. The signer (`ports.director`) looks for itself whether it is so. Where it does not
answer, a device is given what it has, while that holds and does not direct it to what is called off; else nothing.
"""

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.deployment import TOLD
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.offer import Subject
from otaru.errors import AssignmentRefusedError, NotFoundError, OtaruError, OverloadedError, UnavailableError
from otaru.ports.director import Assignment
from otaru.ports.registry import Entry
from otaru.ports.store import Tx, one
from otaru.services.control import metadata
from otaru.services.control.world import World
from otaru.trust.tuf.director import Issued, Share, in_force
from otaru.trust.tuf.kept import DIRECTOR
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP

_log = logging.getLogger("otaru.director")

_FILE = re.compile(rf"([1-9][0-9]{{0,8}})\.({SNAPSHOT}|{TARGETS})\.json")
NOTED = timedelta(hours=1)
"""That a device asks is noted so often, not each time."""
PATIENCE_S = 5.0
"""A poll waits so long for its offer to be signed, at most: the device may ask for it later."""


@dataclass(frozen=True, slots=True)
class File:
    """A metadata file, and a tag that no other content has."""

    content: bytes
    tag: str


async def root(world: World, tenant: TenantId, name: str) -> File:
    """A director root of a tenant, as `VERSION.root.json`: for everybody.

    Raises:
        NotFoundError: there is none.
    """
    if not name.endswith(f".{ROOT}.json"):
        raise NotFoundError("there is no such metadata", hint="All but root is below the device's own address.")
    kept = await metadata.file(world, tenant, name, DIRECTOR)
    return File(kept.content, f"{kept.role}-{kept.version}")


async def file(world: World, tenant: TenantId, entry: Entry, name: str) -> File:
    """A file of a device's own repository, as it asks for it. The caller has checked its credential.

    Raises:
        NotFoundError: there is none; a version that is not the newest is gone.
        UnavailableError: the signer does not answer, or refuses, and what there is does not hold.
    """
    device = entry.subject.id
    if name == f"{TIMESTAMP}.json":
        found = await fresh(world, tenant, entry.subject)
        await _note(world, tenant, device)
        return File(found.timestamp, f"{TIMESTAMP}-{found.version}-{device}")
    if (asked := _FILE.fullmatch(name)) is None:
        return await root(world, tenant, name)
    issued = await world.store.glance(lambda tx: tx.directions.get(tenant, device))
    if issued is None or issued.version != int(asked[1]):
        raise NotFoundError("there is no such metadata", hint="Begin with timestamp.json.")
    return File(issued.targets if asked[2] == TARGETS else issued.snapshot, f"{asked[2]}-{issued.version}-{device}")


async def told(world: World, tenant: TenantId, subject: Subject) -> None:
    """Have an offer signed that was just made to a device that verifies the director. What fails is tried when it asks."""
    with contextlib.suppress(OtaruError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await fresh(world, tenant, subject)


async def fresh(world: World, tenant: TenantId, subject: Subject) -> Issued:
    """A device's metadata that says what is due now, made and kept where it is not there.

    Raises:
        NotFoundError: the tenant has no director repository.
        UnavailableError: see `file`.
    """
    now = world.clock.now()
    look = await world.store.glance(lambda tx: _look(tx, tenant, subject.id, now))
    if not look.root:
        await metadata.begin_directing(world, tenant)
        look = await world.store.glance(lambda tx: _look(tx, tenant, subject.id, now))
        if not look.root:
            raise NotFoundError("the tenant has no director repository", hint="otaru keys init makes one.")
    if look.holds(now):
        assert look.issued is not None  # noqa: S101 - it holds
        return look.issued
    try:
        issued = await world.director.sign(Assignment(tenant, subject.id, look.share))
    except (AssignmentRefusedError, UnavailableError, OverloadedError) as error:
        _log.info("%s of %s is not directed: %s", subject.id, tenant, error.message)
        if look.issued is not None and look.will_do(now):
            return look.issued
        raise UnavailableError(
            f"what this device is to run is not signed: {error.message}", hint="Try again in a moment."
        ) from None
    kept = await world.store.write(_keep, (tenant, subject.id, issued))
    if look.issued is None:
        world.registry.forget(tenant, subject.id)  # it verifies from now on
    return kept


@dataclass(frozen=True, slots=True)
class _Look:
    """What a device has, and what it should have."""

    issued: Issued | None
    root: int
    """The version of the director root; 0 where there is none."""
    share: Share | None
    permit: bytes
    """The digest of its permissions in force."""

    def holds(self, now: datetime) -> bool:
        """Whether what it has says what is due, by the keys of today, and does not end soon."""
        known = self.issued
        same = known is not None and (known.share, known.root, known.permit) == (self.share, self.root, self.permit)
        return same and known is not None and not known.due(now)

    def will_do(self, now: datetime) -> bool:
        """Whether what it has may be given out where nothing better can be made."""
        known = self.issued
        return known is not None and known.share in {None, self.share} and known.expires_at > now


def _look(tx: Tx, tenant: TenantId, device: DeviceId, now: datetime) -> _Look:
    root = tx.signatures.ends(tenant, DIRECTOR).get(ROOT)
    open_ = tx.deployments.open_of(tenant, device)
    share = None
    if open_ is not None and open_.state in TOLD:
        share = Share(open_.rollout, open_.attempt, open_.action)
    permit = in_force(tx.directions.permits(tenant, device), now)
    return _Look(tx.directions.get(tenant, device), 0 if root is None else root.version, share, permit)


@one
def _keep(tx: Tx, asked: tuple[TenantId, DeviceId, Issued]) -> Issued:
    """What is kept: this, or what another has made meanwhile."""
    tenant, device, issued = asked
    if tx.directions.put(tenant, device, issued):
        return issued
    known = tx.directions.get(tenant, device)
    assert known is not None  # noqa: S101 - it was in the way
    return known


async def _note(world: World, tenant: TenantId, device: DeviceId) -> None:
    now = world.clock.now()
    known = await world.store.glance(lambda tx: tx.directions.asked_at(tenant, device))
    if known is None or now - known >= NOTED:
        await world.store.write(_asked, (tenant, device, now))


@one
def _asked(tx: Tx, asked: tuple[TenantId, DeviceId, datetime]) -> None:
    tx.directions.asked(*asked)
