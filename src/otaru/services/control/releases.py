"""Releases are made of stored bytes, and moved along their table."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from otaru.domain.device import Hardware
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, Sha256, TenantId, Version
from otaru.domain.release import (
    MAX_NOTES,
    RELEASE,
    Artifact,
    Blob,
    Document,
    DocumentKind,
    Release,
    ReleaseEvent,
    ReleaseState,
)
from otaru.domain.terms import NO_TERMS, Terms, UpdateType
from otaru.errors import AlreadyExistsError, InvalidStateError, NotFoundError, PreconditionFailedError, TooLargeError
from otaru.images.admission import Aspect
from otaru.ports.store import Tx, one
from otaru.services.control import deltas, documents, inspection, metadata, products, rollouts, signing
from otaru.services.control.release_record import Record, record
from otaru.services.control.signing import Pen
from otaru.services.control.world import Actor, World
from otaru.trust.tuf.names import ROOT
from otaru.trust.tuf.repository import Missing

PERSONS = frozenset({ReleaseEvent.PUBLISH, ReleaseEvent.DEPRECATE, ReleaseEvent.WITHDRAW})
"""The events that are orders of people."""


@dataclass(frozen=True, slots=True)
class Part:
    """Stored bytes, and what they are for."""

    sha256: Sha256
    filename: str
    component: str
    hardware: Sequence[Hardware]


@dataclass(frozen=True, slots=True)
class NewRelease:
    """A release as somebody asks for it."""

    product: ProductName
    version: Version
    parts: Sequence[Part]
    notes: str = ""
    publish: bool = True
    terms: Terms = NO_TERMS
    accept: frozenset[Aspect] = frozenset()
    """In what an image may differ from what is typed."""
    documents: Mapping[DocumentKind, Sha256] = field(default_factory=dict)


async def create(world: World, tenant: TenantId, actor: Actor, new: NewRelease) -> Release:
    """Make a release of stored bytes, and publish it where it says so. The product is made on its first use.

    Its images are read first, each once (`inspection`). It is signed in the same transaction; where signatures are missing
    that the server cannot give, it stays a draft (`lacking` says which). Asked again for the very same, it answers the
    release that is there.

    Raises:
        InvalidInputError: what `domain.release.admit` says, or a requirement names a product where a component is meant.
        InvalidInputError: a document is none, or is about other files.
        NotFoundError: bytes have not been uploaded to this tenant.
        AlreadyExistsError: there is this version, made of something else or in another state.
        TooLargeError: the notes or a document are too long.
        ImageError: what `inspection.look` and `inspection.refuse` say.
    """
    if len(new.notes) > MAX_NOTES:
        raise TooLargeError(f"the notes have more than {MAX_NOTES} characters", limit=MAX_NOTES)
    digests = [part.sha256 for part in new.parts]
    read = await documents.read(world, tenant, new.documents, digests)
    await inspection.look(world, tenant, digests)
    return await world.store.write(_create, (await metadata.pen(world, tenant, actor), new, read))


async def move(
    world: World,
    tenant: TenantId,
    actor: Actor,
    product: ProductName,
    version: Version,
    event: ReleaseEvent,
    edition: int | None = None,
) -> Release:
    """Publish, deprecate or withdraw a release.

    A withdrawn one is offered to nobody any more: its rollouts are stopped in the same transaction, devices in the middle
    of it are asked to cancel.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: its state does not allow it; `allowed` says what it does.
        SignatureMissingError: publishing it needs signatures of keys that the server does not hold.
        PreconditionFailedError: it has changed since `edition`.
        ImageError: it is to be published, and what `inspection.look` and `inspection.recheck` say.
    """
    if event is ReleaseEvent.PUBLISH:
        known = await world.store.glance(lambda tx: tx.releases.get(tenant, product, version))
        await inspection.look(world, tenant, [a.blob.sha256 for a in known.artifacts] if known else [])
    asked = _Moving(await metadata.pen(world, tenant, actor), product, version, event, edition)
    return await world.store.write(_move, asked)


async def show(world: World, tenant: TenantId, product: ProductName, version: Version) -> Release:
    """A release.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.glance(lambda tx: _found(tx, tenant, product, version))


async def detailed(
    world: World, tenant: TenantId, product: ProductName, version: Version
) -> tuple[Release, Missing | None, Record]:
    """A release, the signatures that it waits for, and who made it what it is.

    Raises:
        NotFoundError: there is none.
    """

    def look(tx: Tx) -> tuple[Release, Missing | None, Record]:
        release = _found(tx, tenant, product, version)
        return release, lacking(world, tx, tenant, release), record(tx, tenant, release)

    return await world.store.glance(look)


async def page(
    world: World,
    tenant: TenantId,
    product: ProductName | None,
    after: tuple[ProductName, Version] | None,
    limit: int,
) -> list[Release]:
    """Releases by product and version."""
    return await world.store.read(lambda tx: tx.releases.page(tenant, product, after, limit))


async def ranked(
    world: World,
    tenant: TenantId,
    product: ProductName | None,
    after: tuple[ProductName, Version] | None,
    limit: int,
    channel: str | None = None,
    type_: UpdateType | None = None,
) -> list[Release]:
    """Releases by product, newest version first in its order."""
    return await world.store.read(lambda tx: tx.releases.ranked(tenant, product, after, limit, channel, type_))


async def newest(world: World, tenant: TenantId, states: Collection[ReleaseState], limit: int) -> list[Release]:
    """Releases in one of `states`, those published last first."""
    return await world.store.read(lambda tx: tx.releases.newest(tenant, states, limit))


async def latest(
    world: World,
    tenant: TenantId,
    product: ProductName | None,
    after: tuple[ProductName, Version] | None,
    limit: int,
) -> list[Release]:
    """Releases by time of making, newest first."""
    return await world.store.read(lambda tx: tx.releases.latest(tenant, product, after, limit))


async def lines(
    world: World, tenant: TenantId, after: ProductName | None, limit: int
) -> list[tuple[ProductName, int, Release]]:
    """Products by name: with number of releases and the newest one."""

    def look(tx: Tx) -> list[tuple[ProductName, int, Release]]:
        found = tx.releases.products(tenant, after, limit)
        last = tx.releases.latest_of(tenant, [name for name, _, _ in found])
        return [(name, number, last[name]) for name, _, number in found]

    return await world.store.read(look)


def lacking(world: World, tx: Tx, tenant: TenantId, release: Release) -> Missing | None:
    """The signatures that a draft waits for and the server cannot give, within a transaction."""
    if release.state is not ReleaseState.DRAFT:
        return None
    found = signing.lacking(tx, tenant, signing.role_for(release))
    # Where there is no repository yet, its publication begins one of development keys.
    return None if found is not None and found.role == ROOT and not world.production else found


def allowed(release: Release) -> list[str]:
    """The orders that a person may give for a release now."""
    return [str(e) for e in RELEASE.allowed(release.state) if e in PERSONS]


@one
def _create(tx: Tx, asked: tuple[Pen, NewRelease, tuple[Document, ...]]) -> Release:
    pen, new, read = asked
    tenant, now = pen.tenant, pen.now
    stored = [a for part in new.parts for a in _artifacts(tx, tenant, part)]
    artifacts = inspection.with_installers(tx, tenant, stored)
    release = products.drafted(tx, tenant, (new.product, new.version), artifacts, new.terms, new.notes, now)
    release = replace(release, documents=read)
    for document in read:
        _stored(tx, tenant, document.blob.sha256)
    if (known := tx.releases.get(tenant, new.product, new.version)) is not None:
        return _same(tx, pen, known, release, publish=new.publish)
    accepted = inspection.refuse(tx, pen, release, new.accept)
    tx.releases.add(tenant, release)
    data: dict[str, list[str]] = {"artifacts": [a.blob.sha256 for a in artifacts]}
    if accepted:
        data["accepted"] = [mismatch.sentence for mismatch in accepted]
    tx.events.add([Happening(tenant, now, pen.actor.name, Kind.RELEASE_CREATED, _subject(release), data)])
    if not new.publish:
        return release
    published = _after(release, ReleaseEvent.PUBLISH, now)
    if signing.relist(tx, pen, signing.role_for(release), [published]) is not None:
        return release
    tx.releases.save(tenant, published)
    tx.events.add([signing.moved(pen, published, ReleaseState.DRAFT)])
    deltas.order_for(tx, tenant, published, now)
    return published


def _same(tx: Tx, pen: Pen, known: Release, wanted: Release, *, publish: bool) -> Release:
    as_asked = known.state is (ReleaseState.PUBLISHED if publish else ReleaseState.DRAFT)
    # What was to be published and could not be is a draft: that is what the same order finds again.
    waits = publish and known.state is ReleaseState.DRAFT and signing.lacking(tx, pen.tenant, signing.role_for(known))
    said_of = (known.notes, known.terms, known.documents) == (wanted.notes, wanted.terms, wanted.documents)
    if _bytes_of(known) == _bytes_of(wanted) and said_of and (as_asked or waits):
        return known
    raise AlreadyExistsError(
        f"there is a release {known.product} {known.version} already, and it differs",
        hint="A version is for ever the same bytes: give the new ones a new version.",
    )


def _bytes_of(release: Release) -> set[Artifact]:
    """What it is made of; what installs it was kept when it was made, and may have been told otherwise then."""
    return {replace(artifact, installer="", installer_digest="") for artifact in release.artifacts}


def _artifacts(tx: Tx, tenant: TenantId, part: Part) -> list[Artifact]:
    blob = _stored(tx, tenant, part.sha256)
    return [Artifact(part.component, hardware, part.filename, blob) for hardware in part.hardware]


def _stored(tx: Tx, tenant: TenantId, sha256: Sha256) -> Blob:
    known = tx.blobs.get(tenant, sha256)
    if known is None:
        raise NotFoundError(f"there is no artifact {sha256}", hint="Upload it first: POST /api/v1/artifacts.")
    return known[0]


@dataclass(frozen=True, slots=True)
class _Moving:
    pen: Pen
    product: ProductName
    version: Version
    event: ReleaseEvent
    edition: int | None


@one
def _move(tx: Tx, asked: _Moving) -> Release:
    pen = asked.pen
    before = _found(tx, pen.tenant, asked.product, asked.version)
    if asked.edition is not None and asked.edition != before.edition:
        raise PreconditionFailedError(f"the release has changed: it is at edition {before.edition}")
    after = replace(_after(before, asked.event, pen.now), edition=before.edition + 1)
    tx.releases.save(pen.tenant, after)
    tx.events.add([signing.moved(pen, after, before.state)])
    if after.state is ReleaseState.PUBLISHED:
        inspection.recheck(tx, pen, after)
        if (missing := signing.relist(tx, pen, signing.role_for(after))) is not None:
            raise signing.refuse([missing])
        deltas.order_for(tx, pen.tenant, after, pen.now)
    elif after.state is ReleaseState.WITHDRAWN:
        reason = f"release {_subject(after)} is withdrawn"
        deltas.forget(tx, pen.tenant, after)
        rollouts.stop_all(tx, pen.tenant, pen.actor, after.product, after.version, reason, pen.now)
        if before.published_at is not None:
            # Without the keys its metadata goes on listing it, but the bytes are served to nobody.
            signing.relist(tx, pen, signing.role_for(after))
    return after


def _after(release: Release, event: ReleaseEvent, now: datetime) -> Release:
    state = RELEASE.next(release.state, event)
    if state is None:
        orders = allowed(release)
        raise InvalidStateError(
            f"release {release.product} {release.version} is {release.state}: it cannot {event}",
            hint=f"Allowed now: {', '.join(orders) or 'nothing'}.",
            allowed=orders,
        )
    published = now if state is ReleaseState.PUBLISHED else release.published_at
    return replace(release, state=state, published_at=published)


def _subject(release: Release) -> str:
    return f"{release.product}:{release.version}"


def _found(tx: Tx, tenant: TenantId, product: ProductName, version: Version) -> Release:
    known = tx.releases.get(tenant, product, version)
    if known is None:
        raise NotFoundError(f"there is no release {product} {version}")
    return known
