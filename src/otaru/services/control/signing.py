"""What happens to a tenant's repositories inside a transaction: read, sign with the keys at hand, admit, keep.

Everything that is signed enters by `enter`: the rules of `trust.tuf.repository.admit` hold for what the server signs as
for what people bring. Snapshot and timestamp are signed in the same transaction, so clients see all of a change or none.
The director repository is a root alone, whose online keys another process holds (`ports.director`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from securesystemslib.signer import Key

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.domain.release import Release, ReleaseState
from otaru.errors import MetadataContentError, SignatureMissingError
from otaru.ports.signing import Keyring
from otaru.ports.store import Tx
from otaru.services.control.world import Actor
from otaru.trust.tuf import changes
from otaru.trust.tuf.files import files_of_all
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, Kept, KnownKey, Place, told_of
from otaru.trust.tuf.keys import from_json
from otaru.trust.tuf.metadata import AnyMetadata, as_root, as_snapshot, as_targets, as_timestamp, read, signed
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP, product_of, role_of
from otaru.trust.tuf.repository import (
    Missing,
    Repository,
    admit,
    delegations,
    offer,
    snapshot_of,
    timestamp_of,
)

KEPT_VERSIONS = {TIMESTAMP: 1, SNAPSHOT: 16}
"""How many versions are kept of what is signed all the time; a client in the middle of an update may want the last ones."""
RELEASES = "releases"
"""The role that a development key for all products is noted under."""
_OUT = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})
_EVERYTHING = 100_000
DIRECTED = (TARGETS, SNAPSHOT, TIMESTAMP)
"""What of the director repository is made for each device."""


@dataclass(frozen=True, slots=True)
class Pen:
    """Who has something signed, when, in which repository, with which keys.

    `fresh` and `fresh_director` are development keys to begin with, by role; `directing` the ids of keys that the
    director's signer holds.
    """

    tenant: TenantId
    actor: Actor
    keyring: Keyring
    now: datetime
    fresh: Mapping[str, Key] | None = None
    retired: str = ""
    """A key that is to go, also where it only waits."""
    production: bool = False
    """Whether what may only stand in development is refused."""
    repository: str = IMAGE
    directing: Collection[str] = ()
    fresh_director: Mapping[str, Key] | None = None


def load(tx: Tx, tenant: TenantId, roles: Collection[str] | None = None, of: str = IMAGE) -> Repository | None:
    """The repository, with all delegated roles or those of `roles`; None where there is none."""
    kept = tx.signatures.newest(tenant, of, None if roles is None else {*TOP, *roles})
    if ROOT not in kept:
        return None
    found = {role: read(role, one.content) for role, one in kept.items()}
    targets = as_targets(found[TARGETS]) if TARGETS in found else None
    named = delegations(targets)
    return Repository(
        as_root(found[ROOT]),
        targets,
        {role: as_targets(found[role]) for role in named if role in found},
        as_snapshot(found[SNAPSHOT]) if SNAPSHOT in found else None,
        as_timestamp(found[TIMESTAMP]) if TIMESTAMP in found else None,
    )


def sign(pen: Pen, repository: Repository | None, offered: Mapping[str, AnyMetadata]) -> dict[str, AnyMetadata]:
    """What is offered, with the signatures that the keys at hand can give."""
    after = offer(repository, offered, pen.repository)
    made = {}
    for role, found in offered.items():
        names = set(keys.keyids) if (keys := after.keys_of(role)) else set()
        if role == ROOT and repository is not None:
            names |= set(repository.root.signed.roles[ROOT].keyids)
        for name, signer in pen.keyring.of(pen.tenant, names - set(found.signatures)).items():
            found = signed(found, name, signer.sign(found.signed_bytes))  # noqa: PLW2901 - one signature after the other
        made[role] = found
    return made


def enter(tx: Tx, pen: Pen, repository: Repository | None, offered: Mapping[str, AnyMetadata]) -> Repository:
    """Admit what is offered, keep it, and sign what clients ask for first.

    Raises:
        MetadataError: it may not enter.
        SignatureMissingError: the server does not hold the keys of snapshot and timestamp.
    """
    after = admit(repository, offered, pen.now, pen.repository)
    files = {role: found.to_bytes() for role, found in offered.items()}
    for role, found in offered.items():
        _keep(tx, pen, role, found, files[role])
        digest = sha256(files[role]).hexdigest()
        facts = {"version": found.signed.version, "keys": sorted(found.signatures), "sha256": digest}
        subject = told_of(pen.repository, role)
        tx.events.add([Happening(pen.tenant, pen.now, pen.actor.name, Kind.METADATA_SIGNED, subject, facts)])
    for role in set(tx.signatures.ends(pen.tenant, pen.repository)) - set(after.roles):
        tx.signatures.forget(pen.tenant, pen.repository, role)
    _note_keys(tx, pen, after)
    if pen.repository == DIRECTOR:
        _check_directing(pen, after)
        return after
    files.pop(ROOT, None)
    return _online(tx, pen, after, files)


def _check_directing(pen: Pen, repository: Repository) -> None:
    """Refuse a root by which nobody could direct a device."""
    for role in DIRECTED:
        keys = repository.root.signed.roles[role]
        lacks = keys.threshold - len(set(keys.keyids) & set(pen.directing))
        if lacks > 0:
            raise refuse([Missing(role, lacks, tuple(sorted(set(keys.keyids) - set(pen.directing))))])


def freshen(tx: Tx, pen: Pen, repository: Repository, *, snapshot: bool) -> None:
    """Sign the timestamp anew, and the snapshot where asked to."""
    if snapshot or repository.snapshot is None:
        _online(tx, pen, repository, {})
    else:
        kept = tx.signatures.newest(pen.tenant, IMAGE, [SNAPSHOT])[SNAPSHOT]
        _stamp(tx, pen, repository, kept.content)


def lacking(tx: Tx, tenant: TenantId, role: str) -> Missing | None:
    """The signatures of a product's role that the server cannot give; None where it holds enough keys."""
    repository = load(tx, tenant, [])
    held = {key.id: key for key in tx.signatures.keys(tenant) if key.place is Place.SERVER and not key.revoked_at}
    if repository is None:
        return Missing(ROOT, 1, ())
    keys = repository.keys_of(role)
    if keys is None:
        return None if _development(held.values()) else Missing(role, 1, ())
    own = set(keys.keyids)
    needed = keys.threshold - len(own & set(held))
    return Missing(role, needed, tuple(sorted(own - set(held)))) if needed > 0 else None


def relist(tx: Tx, pen: Pen, role: str, also: Sequence[Release] = ()) -> Missing | None:
    """Sign anew which files the releases of a product's role have, `also` those of releases that are not out yet.

    Nothing is signed where signatures are missing: they are returned.
    """
    repository = load(tx, pen.tenant, [role])
    if repository is None and pen.fresh:
        repository = _begin(tx, pen)
    found = lacking(tx, pen.tenant, role)
    if repository is None or found is not None:
        return found
    if repository.keys_of(role) is None:
        repository = _delegate(tx, pen, repository, role)
    offered = changes.with_files(repository, role, files_of_all(role, listed(tx, pen.tenant, role, also)), pen.now)
    enter(tx, pen, repository, sign(pen, repository, offered))
    return None


def role_for(release: Release) -> str:
    """The role that signs a release."""
    return role_of(release.product, release.signing_channel)


def listed(tx: Tx, tenant: TenantId, role: str, also: Sequence[Release] = ()) -> list[Release]:
    """The releases that the metadata of a product's role has to list, and `also` these."""
    product, channel = product_of(role)
    known = tx.releases.page(tenant, product, None, _EVERYTHING)
    out = [r for r in known if r.state in _OUT and r.signing_channel == channel]
    new = {release.version for release in also}
    return [*(release for release in out if release.version not in new), *also]


def refuse(found: Sequence[Missing]) -> SignatureMissingError:
    """The error that says whose signatures are missing."""
    told = "; ".join(f"{m.needed} of {m.role}" for m in found)
    return SignatureMissingError(
        f"signatures are missing: {told}",
        hint="otaru keys status says which keys; otaru keys request writes what they have to sign.",
        allowed=[],
        missing=[{"role": m.role, "needed": m.needed, "keys": list(m.keys)} for m in found],
    )


def _development(keys: Collection[KnownKey]) -> list[KnownKey]:
    return [key for key in keys if key.development and key.role == RELEASES and key.revoked_at is None]


def _begin(tx: Tx, pen: Pen) -> Repository:
    """A repository of development keys."""
    assert pen.fresh is not None  # noqa: S101 - `lacking` has looked
    for role, key in pen.fresh.items():
        note(tx, pen, KnownKey(key.keyid, key.to_dict(), role, Place.SERVER, development=True, created_at=pen.now))
    keys: dict[str, changes.Keys] = {role: ([pen.fresh[role]], 1) for role in TOP}
    offered: dict[str, AnyMetadata] = {
        ROOT: changes.new_root(keys, pen.now),
        TARGETS: changes.new_targets(TARGETS, pen.now),
    }
    begun = enter(tx, pen, None, sign(pen, None, offered))
    begin_directing(tx, pen)
    return begun


def begin_directing(tx: Tx, pen: Pen) -> None:
    """A director repository of development keys, where there are such and it has none."""
    pen = replace(pen, repository=DIRECTOR)
    if not pen.fresh_director or tx.signatures.get(pen.tenant, DIRECTOR, ROOT, 1) is not None:
        return
    for role, key in pen.fresh_director.items():
        known = KnownKey(key.keyid, key.to_dict(), role, Place.SERVER, True, pen.now, repository=DIRECTOR)
        note(tx, pen, known)
    keys: dict[str, changes.Keys] = {role: ([pen.fresh_director[role]], 1) for role in TOP}
    pen = replace(pen, directing=[pen.fresh_director[role].keyid for role in DIRECTED])
    enter(tx, pen, None, sign(pen, None, {ROOT: changes.new_root(keys, pen.now)}))


def _delegate(tx: Tx, pen: Pen, repository: Repository, role: str) -> Repository:
    key = _development(tx.signatures.keys(pen.tenant))[-1]
    offered = changes.delegate(repository, role, ([from_json(key.public)], 1), pen.now)
    return enter(tx, pen, repository, sign(pen, repository, offered))


def _online(tx: Tx, pen: Pen, repository: Repository, files: Mapping[str, bytes]) -> Repository:
    made = _signed_online(pen, repository, SNAPSHOT, snapshot_of(repository, files, pen.now))
    content = made.to_bytes()
    _keep(tx, pen, SNAPSHOT, made, content)
    return _stamp(tx, pen, replace(repository, snapshot=as_snapshot(made)), content)


def _stamp(tx: Tx, pen: Pen, repository: Repository, snapshot: bytes) -> Repository:
    assert repository.snapshot is not None  # noqa: S101 - the caller has it
    unsigned = timestamp_of(repository, repository.snapshot, snapshot, pen.now)
    made = _signed_online(pen, repository, TIMESTAMP, unsigned)
    _keep(tx, pen, TIMESTAMP, made, made.to_bytes())
    return replace(repository, timestamp=as_timestamp(made))


def _signed_online(pen: Pen, repository: Repository, role: str, found: AnyMetadata) -> AnyMetadata:
    keys = repository.root.signed.roles[role]
    for name, signer in pen.keyring.of(pen.tenant, keys.keyids).items():
        found = signed(found, name, signer.sign(found.signed_bytes))
    if len(found.signatures) < keys.threshold:
        needed = keys.threshold - len(found.signatures)
        raise refuse([Missing(role, needed, tuple(sorted(set(keys.keyids) - set(found.signatures))))])
    return found


def _keep(tx: Tx, pen: Pen, role: str, found: AnyMetadata, content: bytes) -> None:
    version = found.signed.version
    tx.signatures.add(pen.tenant, pen.repository, Kept(role, version, content, found.signed.expires, pen.now))
    if role not in {ROOT, TARGETS}:
        tx.signatures.forget(pen.tenant, pen.repository, role, version + 1 - KEPT_VERSIONS.get(role, 16))


def check_keys(tx: Tx, pen: Pen, offered: Mapping[str, AnyMetadata]) -> None:
    """Refuse what names keys that may not be named, before anybody signs it.

    Raises:
        MetadataContentError: a key was revoked, or is one of the other repository.
    """
    known = {key.id: key for key in tx.signatures.keys(pen.tenant)}
    for role in {ROOT, TARGETS} & set(offered):
        said = offered[role].signed
        told = said if said.type == ROOT else said.delegations
        _check_named(pen, known, told.keys if told else ())


def _check_named(pen: Pen, known: Mapping[str, KnownKey], named: Collection[str]) -> None:
    for key in (known[name] for name in sorted(named) if name in known):
        if key.repository != pen.repository:
            raise MetadataContentError(
                f"key {key.id} is one of the {key.repository} repository: each has its own", key=key.id
            )
        if key.revoked_at is not None:
            raise MetadataContentError(f"key {key.id} was revoked and does not come back", key=key.id)


def _note_keys(tx: Tx, pen: Pen, repository: Repository) -> None:
    """Note keys that roles have got, and say of those that none has any more that they are revoked: for ever."""
    told = None if repository.targets is None else repository.targets.signed.delegations
    named = repository.root.signed.keys | (told.keys if told else {})
    every = {key.id: key for key in tx.signatures.keys(pen.tenant)}
    _check_named(pen, every, named)
    known = {name: key for name, key in every.items() if key.repository == pen.repository}
    held = {*pen.keyring.of(pen.tenant, named), *pen.directing}
    roles = {name: role for role in reversed(repository.roles) for name in _keyids(repository, role)}
    for name, key in named.items():
        if name not in known:
            place = Place.SERVER if name in held else Place.OFFLINE
            made = KnownKey(name, key.to_dict(), roles[name], place, False, pen.now, repository=pen.repository)
            note(tx, pen, made)
    # The development key for releases waits for its first product, as long as root is of development too.
    waits = any(known[name].development for name in _keyids(repository, ROOT) if name in known)
    gone = [
        name
        for name, key in known.items()
        if name not in named and not key.revoked_at and not (waits and key.role == RELEASES and name != pen.retired)
    ]
    tx.signatures.revoke_keys(pen.tenant, gone, pen.now)
    tx.events.add([Happening(pen.tenant, pen.now, pen.actor.name, Kind.KEY_REVOKED, name) for name in gone])


def _keyids(repository: Repository, role: str) -> Sequence[str]:
    keys = repository.keys_of(role)
    return [] if keys is None else keys.keyids


def note(tx: Tx, pen: Pen, key: KnownKey) -> None:
    """Note a key of the tenant."""
    if tx.signatures.add_key(pen.tenant, key):
        facts = {"role": told_of(key.repository, key.role), "place": str(key.place), "development": key.development}
        tx.events.add([Happening(pen.tenant, pen.now, pen.actor.name, Kind.KEY_ADDED, key.id, facts)])


def moved(pen: Pen, release: Release, before: ReleaseState) -> Happening:
    """That a release has another state now, with what it is made of: who proves it by the log needs the digests."""
    digests = sorted({a.blob.sha256 for a in release.artifacts})
    data = {"from": str(before), "to": str(release.state), "artifacts": digests}
    subject = f"{release.product}:{release.version}"
    return Happening(pen.tenant, pen.now, pen.actor.name, Kind.RELEASE_MOVED, subject, data)
