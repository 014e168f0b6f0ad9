"""A repository from its root to its targets: TUF's client workflow, specification 1.0, sections 5.3 to 5.6.

Files that are trusted already are looked at again each time: signed by the keys that *now* count, listed by what *now*
lists them. So a key that went takes along what it had signed, whoever delegates to it.

`Rules` are what a repository of ours holds beyond TUF. Without them this is a client for any TUF repository.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from otaru.errors import MetadataError, MetadataExpiredError, MetadataSizeError, MetadataVersionError
from otaru.trust.tuf.metadata import (
    MAX_SIZE,
    AnyMetadata,
    as_root,
    as_snapshot,
    as_targets,
    as_timestamp,
    check_signatures,
    read,
)
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from otaru.trust.verify.refusals import (
    ChangedError,
    DelegationsError,
    ForgottenError,
    MismatchError,
    MissingError,
    RollbackError,
    UnknownTargetError,
    UnlistedError,
)
from otaru.trust.verify.state import Trusted
from otaru.trust.verify.steps import Keep, Source, Steps, Want

MAX_ROOTS = 256
"""Roots that are followed at a time; whoever is further behind goes on the next time."""
MAX_DELEGATIONS = 32


@dataclass(frozen=True, slots=True)
class Rules:
    """What a repository of ours holds beyond TUF; each raises what it refuses."""

    root: Callable[[Root], None] = lambda _: None
    targets: Callable[[Targets], None] = lambda _: None
    """Of top-level targets."""
    delegated: Callable[[str, Targets], None] = lambda _role, _targets: None
    whole: bool = False
    """Keep timestamp and snapshot only once the targets have been found good, too."""


@dataclass(frozen=True, slots=True)
class Grace:
    """Versions that may be past their end: a signed document vouches for these very ones."""

    timestamp: int
    snapshot: int
    targets: int | None = None
    """Of top-level targets: where they are signed online, as the director's."""


@dataclass(frozen=True, slots=True)
class Rooted:
    """A repository whose newest root is known."""

    source: Source
    root: Metadata[Root]
    trusted: Trusted
    rules: Rules
    now: datetime


@dataclass(frozen=True, slots=True)
class Chain:
    """A repository that has been verified down to its targets, and so much of its delegated roles as was asked for."""

    rooted: Rooted
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    trusted: Trusted

    @property
    def root(self) -> Root:
        """Its newest root."""
        return self.rooted.root.signed


@dataclass(frozen=True, slots=True)
class Found:
    """A target, and the role that lists it."""

    role: str
    target: TargetFile
    file: bytes = field(repr=False)
    """The role's metadata."""

    @property
    def sha256(self) -> str:
        """Of the role's metadata."""
        return sha256(self.file).hexdigest()


def refresh(source: Source, trusted: Trusted, rules: Rules, now: datetime, grace: Grace | None = None) -> Steps[Chain]:
    """Follow a repository to its newest targets.

    Raises:
        OtaruError: something of it is refused, see `REFUSALS`.
    """
    rooted = yield from follow_roots(source, trusted, rules, now)
    return (yield from descend(rooted, grace))


def follow_roots(source: Source, trusted: Trusted, rules: Rules, now: datetime) -> Steps[Rooted]:
    """Follow a repository from the root that is trusted to its newest (5.3)."""
    root = as_root(read(ROOT, trusted.root))
    check_signatures(root.signed, ROOT, root)
    rules.root(root.signed)
    for _ in range(MAX_ROOTS):
        want = Want(source, ROOT, root.signed.version + 1, MAX_SIZE[ROOT])
        data = yield want
        if data is None:
            break
        new = as_root(_read(want, data))
        check_signatures(root.signed, ROOT, new)
        check_signatures(new.signed, ROOT, new)
        if new.signed.version != want.version:
            raise MetadataVersionError(
                f"root is of version {new.signed.version}, {want.version} follows", role=ROOT, known=root.signed.version
            )
        rules.root(new.signed)
        trusted = _after_root(trusted, root.signed, new.signed, data)
        yield Keep(source, trusted)
        root = new
    # An old root may have expired, the newest must not (5.3.10).
    _check_end(ROOT, root, now)
    return Rooted(source, root, trusted, rules, now)


def descend(rooted: Rooted, grace: Grace | None = None) -> Steps[Chain]:
    """From a root down to the top-level targets (5.4 to 5.6)."""
    timestamp, trusted = yield from _timestamp(rooted, grace)
    if not rooted.rules.whole and trusted is not rooted.trusted:
        yield Keep(rooted.source, trusted)
    before = trusted
    snapshot, trusted = yield from _snapshot(rooted, trusted, timestamp.signed.snapshot_meta, grace)
    if not rooted.rules.whole and trusted is not before:
        yield Keep(rooted.source, trusted)
    before = rooted.trusted if rooted.rules.whole else trusted
    targets, trusted = yield from _targets(rooted, trusted, snapshot.signed, rooted.root.signed, TARGETS, grace)
    rooted.rules.targets(targets.signed)
    if trusted is not before:
        yield Keep(rooted.source, trusted)
    return Chain(rooted, snapshot, targets, trusted)


def find(chain: Chain, path: str) -> Steps[tuple[Chain, Found]]:
    """The target of a path: in the role that comes first in the order of delegations (5.6.7).

    Raises:
        UnknownTargetError: no role that may list it does.
        DelegationsError: too many roles would have to be asked.
        OtaruError: a role on the way is refused.
    """
    stack: list[tuple[str, Root | Targets]] = [(TARGETS, chain.root)]
    visited: set[str] = set()
    trusted = chain.trusted
    while stack:
        role, delegator = stack.pop()
        if role in visited:
            continue
        if len(visited) > MAX_DELEGATIONS:
            raise DelegationsError(f"{path} is not in the first {MAX_DELEGATIONS} roles", limit=MAX_DELEGATIONS)
        before = trusted
        found, trusted = yield from _targets(chain.rooted, trusted, chain.snapshot.signed, delegator, role)
        if role != TARGETS:
            chain.rooted.rules.delegated(role, found.signed)
        if trusted is not before:
            yield Keep(chain.rooted.source, trusted)
        target = found.signed.targets.get(path)
        if target is not None:
            return replace(chain, trusted=trusted), Found(role, target, trusted.targets[role])
        visited.add(role)
        stack = _further(stack, found.signed, path)
    raise UnknownTargetError(f"no role lists {path}", path=path)


def _further(stack: list[tuple[str, Root | Targets]], targets: Targets, path: str) -> list[tuple[str, Root | Targets]]:
    """The roles that are still to be asked; a terminating one ends the search among those that come after it."""
    children: list[tuple[str, Root | Targets]] = []
    if targets.delegations is not None:
        for child, terminating in targets.delegations.get_roles_for_target(path):
            children.append((child, targets))
            if terminating:
                stack = []
                break
    return [*stack, *reversed(children)]


def _after_root(trusted: Trusted, old: Root, new: Root, data: bytes) -> Trusted:
    """What stays trusted under a new root: after a key went, versions that it may have driven up do not (5.3.11)."""
    if _lost_a_key(old, new, TIMESTAMP) or _lost_a_key(old, new, SNAPSHOT):
        return replace(trusted, root=data, timestamp=None, snapshot=None)
    return replace(trusted, root=data)


def _lost_a_key(old: Root, new: Root, role: str) -> bool:
    kept = set(new.roles[role].keyids)
    return any(name not in kept or new.keys.get(name) != old.keys.get(name) for name in old.roles[role].keyids)


def _timestamp(rooted: Rooted, grace: Grace | None) -> Steps[tuple[Metadata[Timestamp], Trusted]]:
    """The newest timestamp (5.4)."""
    want = Want(rooted.source, TIMESTAMP, None, MAX_SIZE[TIMESTAMP])
    data = yield want
    new = as_timestamp(_read(want, data))
    check_signatures(rooted.root.signed, TIMESTAMP, new)
    trusted = rooted.trusted
    if trusted.timestamp is not None:
        old = as_timestamp(read(TIMESTAMP, trusted.timestamp))
        _check_not_older(TIMESTAMP, old.signed.version, new.signed.version)
        if new.signed.version == old.signed.version and new.signed_bytes != old.signed_bytes:
            # No news, whatever it says: what was seen first counts (5.4.3.1).
            check_signatures(rooted.root.signed, TIMESTAMP, old)
            new, data = old, trusted.timestamp
        _check_listed_again("snapshot.json", old.signed.snapshot_meta, new.signed.snapshot_meta)
    if grace is None or grace.timestamp != new.signed.version:
        _check_end(TIMESTAMP, new, rooted.now)
    if data != trusted.timestamp:
        trusted = replace(trusted, timestamp=data)
    return new, trusted


def _snapshot(
    rooted: Rooted, trusted: Trusted, listed: MetaFile, grace: Grace | None
) -> Steps[tuple[Metadata[Snapshot], Trusted]]:
    """The snapshot that the timestamp lists (5.5)."""
    old = None if trusted.snapshot is None else as_snapshot(read(SNAPSHOT, trusted.snapshot))
    own = _known(rooted.root.signed, SNAPSHOT, listed, trusted.snapshot)
    if own is not None:
        found = as_snapshot(own)
    else:
        data = yield from _fetched(rooted, SNAPSHOT, listed)
        found = as_snapshot(_checked(rooted.root.signed, SNAPSHOT, listed, data))
        if old is not None:
            _check_nothing_lost(old.signed.meta, found.signed.meta)
            if found.signed.version == old.signed.version and found.signed_bytes != old.signed_bytes:
                raise ChangedError(f"snapshot {found.signed.version} was another before", role=SNAPSHOT)
        trusted = replace(trusted, snapshot=data)
    if grace is None or grace.snapshot != found.signed.version:
        _check_end(SNAPSHOT, found, rooted.now)
    return found, trusted


def _targets(
    rooted: Rooted,
    trusted: Trusted,
    snapshot: Snapshot,
    delegator: Root | Targets,
    role: str,
    grace: Grace | None = None,
) -> Steps[tuple[Metadata[Targets], Trusted]]:
    """Targets of a role as the snapshot lists them (5.6)."""
    listed = snapshot.meta.get(f"{role}.json")
    if listed is None:
        raise UnlistedError(f"the snapshot does not list {role}", role=role)
    found = _known(delegator, role, listed, trusted.targets.get(role))
    if found is None:
        data = yield from _fetched(rooted, role, listed)
        found = _checked(delegator, role, listed, data)
        trusted = replace(trusted, targets={**trusted.targets, role: data})
    if grace is None or grace.targets != found.signed.version:
        _check_end(role, found, rooted.now)
    return as_targets(found), trusted


def _fetched(rooted: Rooted, role: str, listed: MetaFile) -> Steps[bytes]:
    """The file of a role that is listed, as the server gives it."""
    limit = MAX_SIZE.get(role, MAX_SIZE[TARGETS])
    version = listed.version if rooted.root.signed.consistent_snapshot else None
    want = Want(rooted.source, role, version, limit if listed.length is None else min(limit, listed.length))
    data = yield want
    return _bounded(want, data)


def _checked(delegator: Root | Targets, role: str, listed: MetaFile, data: bytes) -> AnyMetadata:
    """Metadata that is the one that is listed, signed by those who have to."""
    if not _is_listed(listed, data):
        raise MismatchError(f"{role} is not the file that is listed", role=role)
    found = read(role, data)
    check_signatures(delegator, role, found)
    if found.signed.version != listed.version:
        raise MismatchError(f"{role} is of version {found.signed.version}, {listed.version} is listed", role=role)
    return found


def _known(delegator: Root | Targets, role: str, listed: MetaFile, data: bytes | None) -> AnyMetadata | None:
    """What is trusted already of a role, where it still is what is listed, by those who have to sign it now."""
    if data is None:
        return None
    try:
        return _checked(delegator, role, listed, data)
    except (MetadataError, MismatchError):
        return None


def _is_listed(listed: MetaFile, data: bytes) -> bool:
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        return False
    return True


def _read(want: Want, data: bytes | None) -> AnyMetadata:
    return read(want.role, _bounded(want, data))


def _bounded(want: Want, data: bytes | None) -> bytes:
    if data is None:
        raise MissingError(f"the server has no {want.name}", role=want.role)
    if len(data) > want.max_length:
        raise MetadataSizeError(
            f"{want.role} is longer than {want.max_length} bytes", role=want.role, limit=want.max_length
        )
    return data


def _check_end(role: str, found: AnyMetadata, now: datetime) -> None:
    if found.signed.is_expired(now):
        raise MetadataExpiredError(f"{role} expired at {found.signed.expires.isoformat()}", role=role)


def _check_not_older(role: str, known: int, version: int) -> None:
    if version < known:
        raise RollbackError(f"{role} is of version {version}, {known} was seen", role=role, known=known)


def _check_listed_again(name: str, old: MetaFile, new: MetaFile) -> None:
    """Check that a file is listed with no older version, and one version never with two contents."""
    role = name.removesuffix(".json")
    _check_not_older(role, old.version, new.version)
    both = set(old.hashes or {}) & set(new.hashes or {})
    if new.version == old.version and any((old.hashes or {})[one] != (new.hashes or {})[one] for one in both):
        raise ChangedError(f"{role} {new.version} was another before", role=role)


def _check_nothing_lost(old: Mapping[str, MetaFile], new: Mapping[str, MetaFile]) -> None:
    for name, listed in old.items():
        if name not in new:
            role = name.removesuffix(".json")
            raise ForgottenError(f"the snapshot lists {role} no more", role=role)
        _check_listed_again(name, listed, new[name])
