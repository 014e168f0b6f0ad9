"""The tenant's image repository and its keys: what people order, what they bring signed, what clients fetch.

An order (`change`) becomes the metadata that has to be signed for it. The server signs with the keys it holds; where
that is enough the order is done, otherwise nothing is kept and the answer is what others have to sign. What comes back
signed (`accept`) is judged anew against what holds then: a request that was overtaken is refused by its version.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from securesystemslib.signer import Key

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, TenantId, Version
from otaru.domain.release import Artifact, Release, ReleaseState
from otaru.errors import InvalidInputError, MetadataContentError, NotFoundError, OtaruError
from otaru.ports.store import Tx, one
from otaru.services.control import inspection, signing
from otaru.services.control.signing import RELEASES, Pen
from otaru.services.control.world import SYSTEM, Actor, World
from otaru.trust.tuf import changes
from otaru.trust.tuf.files import files_of, files_of_all
from otaru.trust.tuf.kept import IMAGE, End, Kept, KnownKey, Place
from otaru.trust.tuf.metadata import TERMS, AnyMetadata, as_targets
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP, product_of, target_at
from otaru.trust.tuf.repository import Missing, Repository, missing, what_is_due

_FILE = re.compile(r"([1-9][0-9]{0,8})\.([A-Za-z0-9._-]{1,200})\.json")
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
    """Give a role another threshold, more keys, or fewer. What is not named stays."""

    role: str
    threshold: int | None = None
    add: Sequence[Key] = ()
    remove: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Renew:
    """Sign a role anew, with a later end; a product's role with the files of its releases, and of these drafts."""

    role: str
    releases: Sequence[Version] = ()


Order = Delegate | Replace | Rekey | Renew


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: done where nothing is missing, else what is to be signed."""

    offered: Mapping[str, AnyMetadata]
    missing: Sequence[Missing]


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
    """A repository and the keys that the tenant knows."""

    roles: Sequence[RoleState]
    keys: Sequence[KnownKey]

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

    return replace(made, fresh=await asyncio.to_thread(keys))


async def status(world: World, tenant: TenantId) -> Status:
    """The roles and keys of a tenant; nothing where it has no repository."""
    now = world.clock.now()
    return await world.store.read(lambda tx: status_in(tx, tenant, now))


async def online_key(world: World, tenant: TenantId, actor: Actor) -> Key:
    """Make a key that the server keeps, for snapshot and timestamp. Nothing uses it until root names it."""
    made = (await asyncio.to_thread(world.keyring.make, tenant)).key
    return await world.store.write(_made, (tenant, actor, made, world.clock.now()))


async def change(world: World, tenant: TenantId, actor: Actor, order: Order) -> Outcome:
    """Do what is ordered, or say what has to be signed for it.

    Raises:
        NotFoundError: the tenant has no repository, or there is no such draft.
        MetadataError: it cannot be done.
        RoleNameError: it names no role.
    """
    if isinstance(order, Replace) and order.made:
        order = replace(order, by=(await asyncio.to_thread(world.keyring.make, tenant)).key)
    asked = Pen(tenant, actor, world.keyring, world.clock.now(), production=world.production)
    return await world.store.write(_change, (asked, order))


async def accept(world: World, tenant: TenantId, actor: Actor, offered: Mapping[str, AnyMetadata]) -> list[Release]:
    """Take in metadata that was signed elsewhere; the drafts that it publishes.

    Raises:
        MetadataError: it is refused; nothing of it was kept.
        SignatureMissingError: the server does not hold the keys of snapshot and timestamp.
    """
    asked = Pen(tenant, actor, world.keyring, world.clock.now(), production=world.production)
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
    for tenant, _ in ending:
        asked = Pen(tenant, SYSTEM, world.keyring, world.clock.now())
        try:
            left += [(tenant, role) for role in await world.store.write(_renew_due, asked)]
        except OtaruError as error:
            failed = error
    if failed is not None:
        raise failed
    return left


async def development(world: World) -> list[TenantId]:
    """The tenants that sign with development keys."""
    return await world.store.read(lambda tx: tx.signatures.every_development())


async def file(world: World, tenant: TenantId, name: str) -> Kept:
    """The metadata file of this name, as clients ask for it: `timestamp.json`, or `VERSION.ROLE.json`.

    Raises:
        NotFoundError: there is none.
    """
    if name == f"{TIMESTAMP}.json":
        newest = await world.store.glance(lambda tx: tx.signatures.newest(tenant, IMAGE, [TIMESTAMP]))
        found = newest.get(TIMESTAMP)
    elif (asked := _FILE.fullmatch(name)) is not None and asked[2] != TIMESTAMP:
        found = await world.store.glance(lambda tx: tx.signatures.get(tenant, IMAGE, asked[2], int(asked[1])))
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
def _change(tx: Tx, asked: tuple[Pen, Order]) -> Outcome:
    pen, order = asked
    repository = signing.load(tx, pen.tenant)
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
            offered = changes.rekey(repository, order.role, _rekeyed(tx, pen, repository, order), pen.now)
        case Renew():
            if order.role in {SNAPSHOT, TIMESTAMP}:
                raise InvalidInputError(f"{order.role} is signed by the server itself, in time")
            offered, drafts = _renewed(tx, pen, repository, order)
    for role in set(offered) - set(TOP):  # anew it lists what is out by now: what was withdrawn holds up no rotation
        as_targets(offered[role]).signed.targets = files_of_all(role, signing.listed(tx, pen.tenant, role, drafts))
    offered = signing.sign(pen, repository, offered)
    lacking = missing(repository, offered)
    if not lacking:
        if isinstance(order, Replace) and order.made:
            _inherit(tx, pen, order)
        signing.enter(tx, pen, repository, offered)
        _publish(tx, pen, drafts)
    return Outcome(offered, lacking)


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


def _rekeyed(tx: Tx, pen: Pen, repository: Repository, order: Rekey) -> changes.Keys:
    """A role's keys and threshold after an order."""
    if order.role in {SNAPSHOT, TIMESTAMP}:
        raise InvalidInputError(f"the keys of {order.role} are the server's", hint="Replace one: otaru keys rotate.")
    gone = {key.id for key in tx.signatures.keys(pen.tenant) if key.revoked_at is not None}
    if back := [key.keyid for key in order.add if key.keyid in gone]:  # said before anybody signs for it
        raise MetadataContentError(f"key {back[0]} was revoked and does not come back", key=back[0])
    return changes.regrouped(repository, order.role, order.add, order.remove, order.threshold)


def _inherit(tx: Tx, pen: Pen, order: Replace) -> None:
    """Note the server's new key as what the old one was."""
    old = next((key for key in tx.signatures.keys(pen.tenant) if key.id == order.key), None)
    if old is not None and order.by is not None:
        heir = KnownKey(order.by.keyid, order.by.to_dict(), old.role, Place.SERVER, old.development, pen.now)
        signing.note(tx, pen, heir)


@one
def _accept(tx: Tx, asked: tuple[Pen, Mapping[str, AnyMetadata]]) -> list[Release]:
    pen, offered = asked
    wide = {ROOT, TARGETS} & set(offered)
    repository = signing.load(tx, pen.tenant, None if wide else offered)
    after = signing.enter(tx, pen, repository, signing.sign(pen, repository, offered))
    drafts = [draft for role in offered if role not in TOP for draft in _checked(tx, pen, role, after)]
    return _publish(tx, pen, drafts)


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
        facts = {"from": str(draft.state), "to": str(after.state)}
        subject = f"{draft.product}:{draft.version}"
        tx.events.add([Happening(pen.tenant, pen.now, pen.actor.name, Kind.RELEASE_MOVED, subject, facts)])
        published.append(after)
    return published


@one
def _renew_due(tx: Tx, pen: Pen) -> list[str]:
    """The roles that are due and cannot be signed here."""
    ends = {role: end.expires_at for role, end in tx.signatures.ends(pen.tenant, IMAGE).items()}
    due = {found.role for found in what_is_due(ends, pen.now)}
    left = []
    for role in sorted(due - {SNAPSHOT, TIMESTAMP}):
        repository = signing.load(tx, pen.tenant, None if role in TOP else [role])
        assert repository is not None  # noqa: S101 - it has roles
        offered = signing.sign(pen, repository, changes.renew(repository, role, pen.now))
        if missing(repository, offered):
            left.append(role)
        else:
            signing.enter(tx, pen, repository, offered)
    if due & {SNAPSHOT, TIMESTAMP} and due - set(left) <= {SNAPSHOT, TIMESTAMP}:
        repository = signing.load(tx, pen.tenant, [])
        assert repository is not None  # noqa: S101 - it has roles
        signing.freshen(tx, pen, repository, snapshot=SNAPSHOT in due)
    return left


def status_in(tx: Tx, tenant: TenantId, now: datetime) -> Status:
    """As `status`, within a transaction."""
    repository = signing.load(tx, tenant)
    if repository is None:
        return Status([], tx.signatures.keys(tenant))
    ends = tx.signatures.ends(tenant, IMAGE)
    due = {found.role: found for found in what_is_due({role: end.expires_at for role, end in ends.items()}, now)}
    roles = []
    for role in repository.roles:
        keys = repository.keys_of(role)
        assert keys is not None  # noqa: S101 - `roles` are those that have keys
        expired = role in due and due[role].expired
        stale = role not in TOP and _stale(tx, tenant, role, repository)
        roles.append(RoleState(role, ends.get(role), keys.keyids, keys.threshold, role in due, expired, stale))
    return Status(roles, tx.signatures.keys(tenant))


def _stale(tx: Tx, tenant: TenantId, role: str, repository: Repository) -> bool:
    wanted = files_of_all(role, signing.listed(tx, tenant, role))
    newest = repository.delegated.get(role)
    return (as_targets(newest).signed.targets if newest else {}) != wanted
