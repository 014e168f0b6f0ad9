"""The tenant's repositories and their keys: what people order, what they bring signed, what clients fetch.

An order (`change`) becomes the metadata that has to be signed for it. The server signs with the keys it holds; where
that is enough the order is done, otherwise nothing is kept and the answer is what others have to sign. What comes back
signed (`accept`) is judged anew against what holds then: a request that was overtaken is refused by its version.
"""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from securesystemslib.signer import Key

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, TenantId, Version
from otaru.domain.release import Artifact, Release, ReleaseState
from otaru.errors import (
    InvalidInputError,
    MetadataContentError,
    NotFoundError,
    NothingToDoError,
    OtaruError,
    UnavailableError,
)
from otaru.ports.store import Tx, one
from otaru.services.control import deltas, inspection, signing
from otaru.services.control.signing import RELEASES, Pen
from otaru.services.control.world import SYSTEM, Actor, World
from otaru.trust.tuf import changes
from otaru.trust.tuf.files import files_of, files_of_all
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, End, Kept, KnownKey, Place, told_of
from otaru.trust.tuf.metadata import TERMS, AnyMetadata, as_targets, read
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP, product_of, target_at
from otaru.trust.tuf.repository import Missing, Repository, missing, what_is_due

_FILE = re.compile(r"([1-9][0-9]{0,8})\.([A-Za-z0-9._-]{1,200})\.json")
_ONLINE = frozenset({SNAPSHOT, TIMESTAMP})
"""What of the image repository the server signs all the time."""
_SERVED = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})
_PENDING = frozenset({ReleaseState.DRAFT, ReleaseState.SIGNED})


@dataclass(frozen=True, slots=True)
class Delegate:
    """Let these keys, and no others, sign a product's releases."""

    role: str
    keys: Sequence[Key]
    threshold: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Take a key from every role that has it. `by` takes its place; `made`: a new key of the server does."""

    key: str
    by: Key | None = None
    made: bool = False


@dataclass(frozen=True, slots=True)
class Rekey:
    """Give a role another threshold, more keys, or fewer. What is not named stays.

    `made`: one key more is made by the director's signer; only its online roles can have that.
    """

    role: str
    threshold: int | None = None
    add: Sequence[Key] = ()
    remove: Sequence[str] = ()
    repository: str = IMAGE
    made: bool = False


@dataclass(frozen=True, slots=True)
class Renew:
    """Sign a role anew, with a later end; a product's role with the files of its releases, and of these drafts."""

    role: str
    releases: Sequence[Version] = ()
    repository: str = IMAGE


Order = Delegate | Replace | Rekey | Renew


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: done where nothing is missing, else what is to be signed."""

    offered: Mapping[str, AnyMetadata]
    missing: Sequence[Missing]
    repository: str = IMAGE


@dataclass(frozen=True, slots=True)
class RoleState:
    """A role, as people see it."""

    name: str
    end: End | None
    """None: nothing was signed yet."""
    keys: Sequence[str]
    threshold: int
    due: bool
    expired: bool
    stale: bool
    """Whether it lists other files than the published releases have."""


@dataclass(frozen=True, slots=True)
class Status:
    """The repositories and the keys that the tenant knows."""

    roles: Sequence[RoleState]
    """Those of the image repository."""
    keys: Sequence[KnownKey]
    director: Sequence[RoleState] = ()
    """Those of the director repository. But for root they end with what is made for each device."""

    @property
    def development(self) -> bool:
        """Whether some key in use was made for development."""
        return any(key.development and key.revoked_at is None for key in self.keys)


async def pen(world: World, tenant: TenantId, actor: Actor) -> Pen:
    """Who signs, with development keys at hand where the tenant has no repository and may have such."""
    empty = await world.store.glance(lambda tx: tx.signatures.get(tenant, IMAGE, ROOT, 1) is None)
    made = Pen(tenant, actor, world.keyring, world.clock.now(), production=world.production)
    if not empty or world.production:
        return made

    def keys() -> dict[str, Key]:
        root, targets, online, releases = (world.keyring.make(tenant).key for _ in range(4))
        return {ROOT: root, TARGETS: targets, SNAPSHOT: online, TIMESTAMP: online, RELEASES: releases}

    return replace(made, fresh=await asyncio.to_thread(keys), fresh_director=await _directing(world, tenant))


async def begin_directing(world: World, tenant: TenantId) -> None:
    """Begin the director repository of a tenant that works with development keys and has none yet.

    Raises:
        UnavailableError: the director's signer does not answer.
    """
    if world.production or not await with_development_keys(world, tenant):
        return
    fresh = await _directing(world, tenant)
    if fresh is None:
        raise UnavailableError("the director's signer does not answer")
    made = Pen(tenant, SYSTEM, world.keyring, world.clock.now(), fresh_director=fresh)
    await world.store.write(_begin_directing, made)


async def _directing(world: World, tenant: TenantId) -> dict[str, Key] | None:
    """Development keys of the director repository; None where its signer does not answer: it begins when it does."""
    try:
        online = await world.director.make(tenant)
    except UnavailableError:
        return None
    root = await _made_key(world, tenant)
    return {ROOT: root, TARGETS: online, SNAPSHOT: online, TIMESTAMP: online}


async def status(world: World, tenant: TenantId) -> Status:
    """The roles and keys of a tenant; nothing where it has no repository."""
    now = world.clock.now()
    return await world.store.read(lambda tx: status_in(tx, tenant, now))


async def online_key(world: World, tenant: TenantId, actor: Actor, of: str = IMAGE) -> Key:
    """Make a key that the server keeps, for what is signed all the time. Nothing uses it until root names it.

    Raises:
        UnavailableError: it would be the director's, and its signer does not answer.
    """
    made = await _server_key(world, tenant, of)
    return await world.store.write(_made, (tenant, actor, made, world.clock.now()))


async def change(world: World, tenant: TenantId, actor: Actor, order: Order) -> Outcome:
    """Do what is ordered, or say what has to be signed for it.

    Raises:
        NotFoundError: the tenant has no repository, or there is no such draft.
        InvalidInputError: the server's key would take the place of one that people keep.
        MetadataError: it cannot be done.
        RoleNameError: it names no role.
    """
    of = order.repository if isinstance(order, Renew | Rekey) else IMAGE
    if isinstance(order, Replace):
        known = await world.store.glance(lambda tx: tx.signatures.keys(tenant))
        old = next((key for key in known if key.id == order.key), None)
        of = IMAGE if old is None else old.repository
        if order.made:
            if old is not None and old.place is not Place.SERVER:
                told = f"the key {old.id[:16]} is its keeper's: the server puts none of its own in its place"
                raise InvalidInputError(told, hint="Name the new key: otaru keys rotate KEY --by FILE.pub")
            online = old is not None and old.role in (_ONLINE if of == IMAGE else signing.DIRECTED)
            made = await _server_key(world, tenant, of) if online else await _made_key(world, tenant)
            if made.keyid == order.key:
                hint = "Name another in the server's settings: online_key, or director_key."
                raise NothingToDoError("the server's settings name this very key", hint=hint)
            order = replace(order, by=made)
    if isinstance(order, Rekey):
        _check_rekey(order)
        if order.made:
            order = replace(order, add=[*order.add, await _server_key(world, tenant, of)])
    asked = await _pen(world, tenant, actor, of, _named(order))
    return await world.store.write(_change, (asked, order))


def _check_rekey(order: Rekey) -> None:
    """Refuse what no order can give a role."""
    online = order.role in (_ONLINE if order.repository == IMAGE else signing.DIRECTED)
    if online and order.repository == IMAGE:
        raise InvalidInputError(f"the keys of {order.role} are the server's", hint="Replace one: otaru keys rotate.")
    if order.made and not online:
        raise InvalidInputError(f"{order.role} is signed by people: the server makes no key for it")


def _named(order: Order) -> list[str]:
    """The keys that an order brings, by id."""
    match order:
        case Replace(by=Key() as new):
            return [new.keyid]
        case Rekey():
            return [key.keyid for key in order.add]
        case _:
            return []


async def _server_key(world: World, tenant: TenantId, of: str) -> Key:
    """The key for what is signed all the time, the server's or the director's signer's: a new one, or as settings name it."""
    if of == DIRECTOR:
        return await world.director.make(tenant)
    return (await asyncio.to_thread(world.keyring.online, tenant)).key


async def _made_key(world: World, tenant: TenantId) -> Key:
    return (await asyncio.to_thread(world.keyring.make, tenant)).key


async def _pen(world: World, tenant: TenantId, actor: Actor, of: str, named: Collection[str] = ()) -> Pen:
    """Who signs in a repository; for the director's, with what its signer holds of the keys that are or come to be."""
    made = Pen(tenant, actor, world.keyring, world.clock.now(), repository=of, production=world.production)
    if of != DIRECTOR:
        return made
    known = await world.store.glance(lambda tx: tx.signatures.keys(tenant))
    asked = {*named, *(key.id for key in known if key.repository == DIRECTOR and key.revoked_at is None)}
    return replace(made, directing=await world.director.held(tenant, sorted(asked)))


async def accept(
    world: World, tenant: TenantId, actor: Actor, offered: Mapping[str, AnyMetadata], of: str = IMAGE
) -> list[Release]:
    """Take in metadata that was signed elsewhere; the drafts that it publishes.

    Raises:
        MetadataError: it is refused; nothing of it was kept.
        NothingToDoError: it was brought before.
        SignatureMissingError: the server does not hold the keys of snapshot and timestamp.
        UnavailableError: it is the director's, and its signer does not answer.
    """
    named = {name for found in offered.values() if found.signed.type == ROOT for name in found.signed.keys}
    asked = await _pen(world, tenant, actor, of, named)
    return await world.store.write(_accept, (asked, offered))


async def renew_due(world: World) -> list[tuple[TenantId, str]]:
    """Sign anew, of all tenants, what is due and can be; what is due and cannot, as tenant and role.

    Raises:
        OtaruError: it failed for some tenant, after all have had their turn.
    """
    now = world.clock.now()
    horizon = now + max(term.renew for term in TERMS.values())
    ending = await world.store.read(lambda tx: tx.signatures.every_ending(horizon))
    left: list[tuple[TenantId, str]] = []
    failed: OtaruError | None = None
    for tenant, of in ending:
        try:
            asked = await _pen(world, tenant, SYSTEM, of)
            left += [(tenant, role) for role in await world.store.write(_renew_due, asked)]
        except OtaruError as error:
            failed = error
    if failed is not None:
        raise failed
    return left


async def development(world: World) -> list[TenantId]:
    """The tenants that sign with development keys."""
    return await world.store.read(lambda tx: tx.signatures.every_development())


async def with_development_keys(world: World, tenant: TenantId) -> bool:
    """Whether a tenant signs with development keys."""
    keys = await world.store.glance(lambda tx: tx.signatures.keys(tenant))
    return any(key.development and key.revoked_at is None for key in keys)


async def file(world: World, tenant: TenantId, name: str, of: str = IMAGE) -> Kept:
    """The metadata file of this name, as clients ask for it: `timestamp.json`, or `VERSION.ROLE.json`.

    Raises:
        NotFoundError: there is none.
    """
    if name == f"{TIMESTAMP}.json":
        newest = await world.store.glance(lambda tx: tx.signatures.newest(tenant, of, [TIMESTAMP]))
        found = newest.get(TIMESTAMP)
    elif (asked := _FILE.fullmatch(name)) is not None and asked[2] != TIMESTAMP:
        found = await world.store.glance(lambda tx: tx.signatures.get(tenant, of, asked[2], int(asked[1])))
    else:
        found = None
    if found is None:
        raise NotFoundError("there is no such metadata")
    return found


async def target(world: World, tenant: TenantId, address: str) -> Artifact:
    """The artifact that stands at an address below `targets/`, as long as its release is out.

    Raises:
        NotFoundError: there is none.
    """
    asked = target_at(address)
    if asked is None:
        raise NotFoundError("there is no such target")
    path, sha256 = asked
    product, _, version = path.split("/")[:3] if path.count("/") >= 3 else ("", "", "")
    release = await world.store.glance(lambda tx: tx.releases.get(tenant, ProductName(product), Version(version)))
    if release is not None and release.state in _SERVED:
        listed = files_of(signing.role_for(release), release).get(path)
        if listed is not None and listed.hashes["sha256"] == sha256:
            return next(a for a in release.artifacts if a.blob.sha256 == sha256)
    raise NotFoundError("there is no such target")


@one
def _made(tx: Tx, asked: tuple[TenantId, Actor, Key, datetime]) -> Key:
    tenant, actor, made, now = asked
    tx.events.add([Happening(tenant, now, actor.name, Kind.KEY_ADDED, made.keyid, {"place": str(Place.SERVER)})])
    return made


@one
def _begin_directing(tx: Tx, pen: Pen) -> None:
    signing.begin_directing(tx, pen)


@one
def _change(tx: Tx, asked: tuple[Pen, Order]) -> Outcome:
    pen, order = asked
    repository = signing.load(tx, pen.tenant, of=pen.repository)
    if repository is None:
        raise NotFoundError("the tenant has no keys yet", hint="Begin with otaru keys init, or publish a release.")
    drafts: list[Release] = []
    match order:
        case Delegate():
            product_of(order.role)
            offered = changes.delegate(repository, order.role, (order.keys, order.threshold), pen.now)
        case Replace():
            offered = changes.replace_key(repository, order.key, order.by, pen.now)
            pen = replace(pen, retired=order.key)
        case Rekey():
            offered = changes.rekey(repository, order.role, _rekeyed(repository, order), pen.now)
        case Renew():
            if order.role in _ONLINE:
                raise InvalidInputError(f"{order.role} is signed by the server itself, in time")
            offered, drafts = _renewed(tx, pen, repository, order)
    for role in set(offered) - set(TOP):  # anew it lists what is out by now: what was withdrawn holds up no rotation
        as_targets(offered[role]).signed.targets = files_of_all(role, signing.listed(tx, pen.tenant, role, drafts))
    signing.check_keys(tx, pen, offered)
    offered = signing.sign(pen, repository, offered)
    lacking = missing(repository, offered, pen.repository)
    if not lacking:
        if isinstance(order, Replace) and order.made:
            _inherit(tx, pen, order)
        signing.enter(tx, pen, repository, offered)
        _publish(tx, pen, drafts)
    return Outcome(offered, lacking, pen.repository)


def _renewed(tx: Tx, pen: Pen, repository: Repository, order: Renew) -> tuple[dict[str, AnyMetadata], list[Release]]:
    if order.role in TOP:
        if order.releases:
            raise InvalidInputError(f"{order.role} signs no releases")
        return changes.renew(repository, order.role, pen.now), []
    product, _ = product_of(order.role)
    drafts = []
    for version in order.releases:
        draft = tx.releases.get(pen.tenant, product, version)
        if draft is None or draft.state not in _PENDING:
            raise NotFoundError(f"there is no draft {product} {version}")
        if (signs := signing.role_for(draft)) != order.role:
            told = f"{product} {version} is of the channel {draft.signing_channel}"
            raise MetadataContentError(told, hint=f"Its role is {signs}.", role=signs)
        drafts.append(draft)
    files = files_of_all(order.role, signing.listed(tx, pen.tenant, order.role, drafts))
    return changes.with_files(repository, order.role, files, pen.now), drafts


def _rekeyed(repository: Repository, order: Rekey) -> changes.Keys:
    """A role's keys and threshold after an order."""
    return changes.regrouped(repository, order.role, order.add, order.remove, order.threshold)


def _inherit(tx: Tx, pen: Pen, order: Replace) -> None:
    """Note the server's new key as what the old one was."""
    old = next((key for key in tx.signatures.keys(pen.tenant) if key.id == order.key), None)
    if old is not None and order.by is not None:
        heir = KnownKey(
            order.by.keyid,
            order.by.to_dict(),
            old.role,
            Place.SERVER,
            old.development,
            pen.now,
            repository=old.repository,
        )
        signing.note(tx, pen, heir)


@one
def _accept(tx: Tx, asked: tuple[Pen, Mapping[str, AnyMetadata]]) -> list[Release]:
    pen, offered = asked
    if _kept(tx, pen, offered):
        raise NothingToDoError(f"{', '.join(offered)}: all of it was brought before and is in force")
    wide = {ROOT, TARGETS} & set(offered)
    repository = signing.load(tx, pen.tenant, None if wide else offered, pen.repository)
    after = signing.enter(tx, pen, repository, signing.sign(pen, repository, offered))
    drafts = [draft for role in offered if role not in TOP for draft in _checked(tx, pen, role, after)]
    return _publish(tx, pen, drafts)


def _kept(tx: Tx, pen: Pen, offered: Mapping[str, AnyMetadata]) -> bool:
    """Whether all of it is what is in force: who has not seen the answer brings it twice."""
    newest = tx.signatures.newest(pen.tenant, pen.repository, offered)
    return set(newest) >= set(offered) and all(
        read(role, newest[role].content).signed_bytes == found.signed_bytes for role, found in offered.items()
    )


def _checked(tx: Tx, pen: Pen, role: str, repository: Repository) -> list[Release]:
    """The drafts that a role's metadata lists, after a look at whether everything it lists is so.

    Raises:
        MetadataContentError: it is not, or a published release is missing.
    """
    product, _ = product_of(role)
    files = dict(repository.delegated[role].signed.targets)
    versions = {Version(path.split("/")[2]) for path in files if path.count("/") >= 3}
    found = [tx.releases.get(pen.tenant, product, version) for version in sorted(versions)]
    pending = [release for release in found if release is not None and release.state in _PENDING]
    drafts = [draft for draft in pending if signing.role_for(draft) == role]
    wanted = files_of_all(role, signing.listed(tx, pen.tenant, role, drafts))
    stray, left_out = sorted(set(files) - set(wanted)), sorted(set(wanted) - set(files))
    for path in [*stray, *left_out]:
        told = "lists a file that no release has" if path in files else "does not list the published file"
        raise MetadataContentError(f"{role} {told}: {path}", hint="Make a new request.", role=role, path=path)
    for path, file in files.items():
        if file != wanted[path]:
            raise MetadataContentError(f"{role} says of {path} what is not so", role=role, path=path)
    return drafts


def _publish(tx: Tx, pen: Pen, drafts: Sequence[Release]) -> list[Release]:
    published = []
    for draft in drafts:
        inspection.recheck(tx, pen, draft)
        after = replace(draft, state=ReleaseState.PUBLISHED, published_at=pen.now, edition=draft.edition + 1)
        tx.releases.save(pen.tenant, after)
        tx.events.add([signing.moved(pen, after, draft.state)])
        deltas.order_for(tx, pen.tenant, after, pen.now)
        published.append(after)
    return published


@one
def _renew_due(tx: Tx, pen: Pen) -> list[str]:
    """The roles that are due and cannot be signed here."""
    ends = {role: end.expires_at for role, end in tx.signatures.ends(pen.tenant, pen.repository).items()}
    due = {found.role for found in what_is_due(ends, pen.now)}
    left = []
    for role in sorted(due - {SNAPSHOT, TIMESTAMP}):
        repository = signing.load(tx, pen.tenant, None if role in TOP else [role], pen.repository)
        assert repository is not None  # noqa: S101 - it has roles
        offered = signing.sign(pen, repository, changes.renew(repository, role, pen.now))
        if missing(repository, offered, pen.repository):
            left.append(told_of(pen.repository, role))
        else:
            signing.enter(tx, pen, repository, offered)
    if due & {SNAPSHOT, TIMESTAMP} and due - set(left) <= {SNAPSHOT, TIMESTAMP}:
        repository = signing.load(tx, pen.tenant, [])
        assert repository is not None  # noqa: S101 - it has roles
        signing.freshen(tx, pen, repository, snapshot=SNAPSHOT in due)
    return left


def status_in(tx: Tx, tenant: TenantId, now: datetime) -> Status:
    """As `status`, within a transaction."""
    return Status(_roles(tx, tenant, IMAGE, now), tx.signatures.keys(tenant), _roles(tx, tenant, DIRECTOR, now))


def _roles(tx: Tx, tenant: TenantId, of: str, now: datetime) -> list[RoleState]:
    repository = signing.load(tx, tenant, of=of)
    if repository is None:
        return []
    ends = tx.signatures.ends(tenant, of)
    due = {found.role: found for found in what_is_due({role: end.expires_at for role, end in ends.items()}, now)}
    roles = []
    for role in repository.roles:
        keys = repository.keys_of(role)
        assert keys is not None  # noqa: S101 - `roles` are those that have keys
        expired = role in due and due[role].expired
        stale = role not in TOP and _stale(tx, tenant, role, repository)
        roles.append(RoleState(role, ends.get(role), keys.keyids, keys.threshold, role in due, expired, stale))
    return roles


def _stale(tx: Tx, tenant: TenantId, role: str, repository: Repository) -> bool:
    wanted = files_of_all(role, signing.listed(tx, tenant, role))
    newest = repository.delegated.get(role)
    return (as_targets(newest).signed.targets if newest else {}) != wanted
