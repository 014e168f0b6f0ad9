"""Deltas between releases: ordered when one is published, or by hand; made one after the other; gone with their release.

The queue is the table: `order_for` puts rows into it in the transaction that publishes, `make_next` claims the one that is
due, has it made and tried outside of any transaction, and keeps what came of it. A process that ends in between leaves its
claim, which others take over when its time is up. Whoever tries too often gives up.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from otaru.domain.delta import (
    MOST_ATTEMPTS,
    MOST_WAITING,
    Delta,
    DeltaState,
    Pair,
    Taker,
    near,
    pairs,
    pause,
    routes,
    sources,
    suited,
)
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, Sha256, TenantId, Version
from otaru.domain.offer import Subject
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, OtaruError, OverloadedError
from otaru.images.delta.choice import Way, ways
from otaru.images.delta.patch import Codec
from otaru.images.facts import Format
from otaru.ports.differ import MadePatch, PatchFailedError, UselessPatchError
from otaru.ports.store import Tx, one
from otaru.services.control import artifacts
from otaru.services.control.world import SYSTEM, Actor, World

CLAIMED = timedelta(minutes=45)
"""How long making one is waited for; longer than its maker may take."""
_OUT = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})
_MOST_OFFERED = 200
_MOST_SPREAD = 10_000
"""Pairs of hardware and version that are looked at, the most common ones."""
MOST_TOLD = 4
"""Deltas that a device is told of: to choose from, and to fall back on."""
_MOST_OF_ONE = 10_000
"""Deltas to all artifacts of one release."""


def order_for(tx: Tx, tenant: TenantId, release: Release, now: datetime) -> int:
    """Order the deltas that a release's publication makes worth while, by what the fleet runs; how many are new."""
    running = tx.fleet.spread(tenant, release.component, _MOST_SPREAD)
    stored = set(tx.releases.versions(tenant, release.product))
    of_stored = {runs: devices for runs, devices in running.items() if runs[1] in stored}
    known = (
        tx.releases.get(tenant, release.product, each) for each in sources(release.order, release.version, of_stored)
    )
    earlier = {source.version: source for source in known if source is not None}
    room = MOST_WAITING - tx.deltas.waiting(tenant)
    found: list[Delta] = []
    for source, old, new in routes(release, earlier, running):
        found += _ordered(tx, tenant, (source, release), (old, new), now)
    return len(tx.deltas.order(tenant, found[: max(room, 0)]))


def forget(tx: Tx, tenant: TenantId, release: Release) -> None:
    """Take away what leads to a release that nobody is offered any more; the bytes leave the disk with a later sweep."""
    for patch in tx.deltas.forget(tenant, {artifact.blob.sha256 for artifact in release.artifacts}):
        tx.blobs.drop(tenant, patch)


async def order(
    world: World, tenant: TenantId, actor: Actor, product: ProductName, version: Version, source: Version
) -> list[Delta]:
    """Order deltas to a release from an earlier one by hand, also again what failed; all that are between them then.

    Raises:
        NotFoundError: there is no such release.
        InvalidStateError: it is not published.
        InvalidInputError: they have no artifacts for the same hardware that differ, or lie too many versions apart.
        OverloadedError: too many of the tenant's wait already.
    """
    asked = _Order(tenant, actor, product, version, source, world.clock.now())
    return await world.store.write(_order, asked)


async def page(
    world: World, tenant: TenantId, product: ProductName, version: Version, after: Pair | None, limit: int
) -> list[Delta]:
    """The deltas that lead to a release, by the digests of their ends.

    Raises:
        NotFoundError: there is no such release.
    """

    def look(tx: Tx) -> list[Delta]:
        return tx.deltas.page(tenant, _digests(_release(tx, tenant, product, version)), after, limit)

    return await world.store.read(look)


async def leading(
    world: World, tenant: TenantId, release: Release, artifact: Artifact, subject: Subject, taker: Taker
) -> list[Delta]:
    """The deltas that a device can come to an artifact by from what it has, the smallest first; none as large as that."""

    def look(tx: Tx) -> list[Delta]:
        has = taker.has or _installed(tx, tenant, release.product, artifact.component, subject)
        found = tx.deltas.page(tenant, [artifact.blob.sha256], None, _MOST_OFFERED) if has else []
        return suited(found, artifact.blob.size, has, taker)[:MOST_TOLD]

    return await world.store.glance(look)


async def patch_of(world: World, tenant: TenantId, targets: Sequence[Sha256], patch: Sha256) -> bool:
    """Whether bytes are those of a delta to one of these artifacts."""
    found = await world.store.glance(lambda tx: tx.deltas.page(tenant, targets, None, _MOST_OF_ONE))
    return any(delta.patch == patch for delta in found)


async def make_next(world: World) -> bool:
    """Make the delta that is due, and keep what came of it; False where none is."""
    now = world.clock.now()
    due = await world.store.read(lambda tx: tx.deltas.every_due(now, 1))
    if not due:
        return False
    tenant, found = due[0]
    claimed = await _claimed(world, tenant, found.pair, now)
    if claimed is None:
        return True
    try:
        outcome = await _outcome(world, tenant, *claimed)
    except BaseException:  # the process is asked to end, or a bug: the next one need not wait for the claim's end
        await world.store.write(_give_back, (tenant, claimed[0], world.clock.now()))
        raise
    await world.store.write(_end, (tenant, outcome, world.clock.now()))
    return True


async def _claimed(world: World, tenant: TenantId, pair: Pair, now: datetime) -> tuple[Delta, Format] | None:
    claim = asyncio.ensure_future(world.store.write(_claim, (tenant, pair, now)))
    try:
        return await asyncio.shield(claim)
    except asyncio.CancelledError:  # while it was written: it may be there all the same
        if (claimed := await claim) is not None:
            await world.store.write(_give_back, (tenant, claimed[0], world.clock.now()))
        raise


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A delta as it ended, and the bytes that were made."""

    delta: Delta
    blob: Blob | None = None


async def _outcome(world: World, tenant: TenantId, delta: Delta, form: Format) -> _Outcome:
    pair, way = delta.pair, Way(Codec(delta.pair.codec), delta.window)
    try:
        with ExitStack() as stack:
            source, target = (stack.enter_context(world.blobs.open(each)) for each in (pair.source, pair.target))
            async with world.differ.make(way, form, source, target) as made:
                await world.store.glance(lambda tx: artifacts.left(tx, tenant, made.size))
                blob = await _kept(world, made)
    except UselessPatchError as error:
        return _Outcome(replace(delta, state=DeltaState.USELESS, reason=str(error)))
    except (PatchFailedError, OtaruError) as error:
        return _Outcome(replace(delta, state=DeltaState.FAILED, reason=str(error)))
    ended = replace(delta, state=DeltaState.MADE, reason=None, patch=blob.sha256)
    return _Outcome(replace(ended, size=made.size, full=made.full, memory=made.memory), blob)


async def _kept(world: World, made: MadePatch) -> Blob:
    upload = world.clock.unique()
    try:
        await world.blobs.begin(upload, made.size)
        await world.blobs.append(upload, 0, made.chunks())
        return await world.blobs.finish(upload)
    except BaseException:  # whatever ends it, nothing half is left; raised again
        await world.blobs.abort(upload)
        raise


@one
def _claim(tx: Tx, asked: tuple[TenantId, Pair, datetime]) -> tuple[Delta, Format] | None:
    """The delta, now ours, and its format; None where somebody else was faster or it was tried too often."""
    tenant, pair, now = asked
    known = tx.deltas.get(tenant, pair)
    if known is None or known.state not in {DeltaState.WAITING, DeltaState.MAKING} or known.due_at > now:
        return None
    if known.attempts >= MOST_ATTEMPTS:
        reason = known.reason or f"whoever made it ended {known.attempts} times"
        _save(tx, tenant, replace(known, state=DeltaState.FAILED, reason=reason, ended_at=now), now)
        return None
    ours = replace(known, state=DeltaState.MAKING, attempts=known.attempts + 1, due_at=now + CLAIMED)
    tx.deltas.save(tenant, ours)
    return ours, _form(tx, tenant, pair.target)


@one
def _give_back(tx: Tx, asked: tuple[TenantId, Delta, datetime]) -> None:
    tenant, delta, now = asked
    known = tx.deltas.get(tenant, delta.pair)
    if known == delta:  # the attempt counts: what ends its process each time is not tried for ever
        tx.deltas.save(tenant, replace(delta, state=DeltaState.WAITING, due_at=now + pause(delta.attempts)))


@one
def _end(tx: Tx, asked: tuple[TenantId, _Outcome, datetime]) -> None:
    tenant, outcome, now = asked
    delta = outcome.delta
    known = tx.deltas.get(tenant, delta.pair)
    if known is None or (known.state, known.attempts) != (DeltaState.MAKING, delta.attempts):
        return  # its release is gone, or another has taken it over; bytes without a row are swept
    if delta.state is DeltaState.FAILED and delta.attempts < MOST_ATTEMPTS:
        tx.deltas.save(tenant, replace(delta, state=DeltaState.WAITING, due_at=now + pause(delta.attempts)))
        return
    if outcome.blob is not None:
        tx.blobs.add(tenant, outcome.blob, now, uploaded=False)
    _save(tx, tenant, replace(delta, ended_at=now), now)


def _save(tx: Tx, tenant: TenantId, delta: Delta, now: datetime) -> None:
    tx.deltas.save(tenant, delta)
    facts: dict[str, str | int] = {"from": delta.source_version, "codec": delta.pair.codec, "state": str(delta.state)}
    if delta.size is not None:
        facts["size"] = delta.size
    if delta.reason is not None:
        facts["reason"] = delta.reason
    subject = f"{delta.product}:{delta.target_version}"
    tx.events.add([Happening(tenant, now, SYSTEM.name, Kind.DELTA_ENDED, subject, facts)])


@dataclass(frozen=True, slots=True)
class _Order:
    tenant: TenantId
    actor: Actor
    product: ProductName
    version: Version
    source: Version
    now: datetime


@one
def _order(tx: Tx, asked: _Order) -> list[Delta]:
    tenant, now = asked.tenant, asked.now
    target, source = (_release(tx, tenant, asked.product, each) for each in (asked.version, asked.source))
    if target.state not in _OUT:
        raise InvalidStateError(
            f"release {target.product} {target.version} is {target.state}: deltas lead to published ones", allowed=[]
        )
    if not near(source.version, target.version):
        raise InvalidInputError(f"{source.version} is too far behind {target.version} for a delta to be worth it")
    wanted = _between(tx, tenant, source, target, now)
    if not wanted:
        raise InvalidInputError(
            f"nothing differs between {source.version} and {target.version} that is for the same hardware"
        )
    known = [tx.deltas.get(tenant, delta.pair) or delta for delta in wanted]
    again = [replace(delta, created_at=old.created_at) for old, delta in zip(known, wanted, strict=True) if _over(old)]
    new = tx.deltas.order(tenant, wanted)
    for delta in again:
        tx.deltas.save(tenant, delta)
    if tx.deltas.waiting(tenant) > MOST_WAITING:
        raise OverloadedError(f"more than {MOST_WAITING} deltas wait to be made", retry_after_s=60)
    if new or again:
        facts = {"from": source.version, "deltas": len(new) + len(again)}
        subject = f"{target.product}:{target.version}"
        tx.events.add([Happening(tenant, now, asked.actor.name, Kind.DELTA_ORDERED, subject, facts)])
    asked_for = {delta.pair for delta in wanted}
    every = tx.deltas.page(tenant, _digests(target), None, _MOST_OF_ONE)
    return [delta for delta in every if delta.pair in asked_for]


def _installed(tx: Tx, tenant: TenantId, product: ProductName, component: str, subject: Subject) -> frozenset[Sha256]:
    version = dict(subject.installed).get(component)
    release = None if version is None else tx.releases.get(tenant, product, version)
    artifacts = () if release is None else release.artifacts_for(subject.hardware)
    return frozenset(artifact.blob.sha256 for artifact in artifacts if artifact.component == component)


def _over(delta: Delta) -> bool:
    """Whether it ended without a delta."""
    return delta.state in {DeltaState.FAILED, DeltaState.USELESS}


def _between(tx: Tx, tenant: TenantId, source: Release, target: Release, now: datetime) -> list[Delta]:
    found = []
    for ends in pairs(source.artifacts, target.artifacts):
        found += _ordered(tx, tenant, (source, target), ends, now)
    return found


def _ordered(
    tx: Tx, tenant: TenantId, releases: tuple[Release, Release], ends: tuple[Artifact, Artifact], now: datetime
) -> list[Delta]:
    (source, target), (old, new) = releases, ends
    versions = source.version, target.version
    return [
        Delta(
            Pair(old.blob.sha256, new.blob.sha256, way.codec.value),
            *(target.product, *versions, DeltaState.WAITING, now, now, way.window),
        )
        for way in ways(_form(tx, tenant, new.blob.sha256), old.blob.size, new.blob.size)
    ]


def _form(tx: Tx, tenant: TenantId, sha256: Sha256) -> Format:
    known = tx.inspections.of(tenant, [sha256]).get(sha256)
    return Format.PLAIN if known is None or known.facts is None else known.facts.format


def _digests(release: Release) -> set[Sha256]:
    return {artifact.blob.sha256 for artifact in release.artifacts}


def _release(tx: Tx, tenant: TenantId, product: ProductName, version: Version) -> Release:
    known = tx.releases.get(tenant, product, version)
    if known is None:
        raise NotFoundError(f"there is no release {product} {version}")
    return known
