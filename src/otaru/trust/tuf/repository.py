"""A repository: the newest metadata of every role, and the one way by which new metadata enters it.

`admit` takes metadata of any roles together, signed wherever, and either gives the repository that follows, in which
every role is signed by the keys that its delegator now names, or refuses all of it. So a key that goes takes no role
with it unnoticed: what it had signed has to come along, signed by another. Invariants of what comes out:

- root N+1 is signed by the threshold of root N's keys and by its own; versions rise by one, nothing has expired;
- keys are under their own hashes and each role has at least as many as have to sign;
- top-level targets only delegates: to roles named for one product and channel each, on paths that never meet.

The online roles, snapshot and timestamp, are made from it (`snapshot_of`, `timestamp_of`) and not offered.

The director repository is a root alone: its other roles are the server's and made for each device (`trust.tuf.director`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, Targets, Timestamp

from otaru.errors import MetadataContentError, MetadataFormError, MetadataThresholdError
from otaru.trust.tuf.kept import DIRECTOR, IMAGE
from otaru.trust.tuf.keys import check_keys
from otaru.trust.tuf.metadata import (
    AnyMetadata,
    as_root,
    as_targets,
    check_fresh,
    check_signatures,
    due_at,
    expiry,
    signers_of,
)
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP, patterns

MAX_DELEGATIONS = 1000
ONLINE = frozenset({SNAPSHOT, TIMESTAMP})


@dataclass(frozen=True, slots=True)
class Repository:
    """The newest of every role; of delegated ones, those that were read: what nothing changes for need not be."""

    root: Metadata[Root]
    targets: Metadata[Targets] | None
    """None in the director repository."""
    delegated: Mapping[str, Metadata[Targets]] = field(default_factory=dict)
    snapshot: Metadata[Snapshot] | None = None
    timestamp: Metadata[Timestamp] | None = None

    def of(self, role: str) -> AnyMetadata | None:
        """The newest of a role."""
        match role:
            case "root":
                return self.root
            case "targets":
                return self.targets
            case "snapshot":
                return self.snapshot
            case "timestamp":
                return self.timestamp
            case _:
                return self.delegated.get(role)

    def delegator(self, role: str) -> Root | Targets:
        """Who says which keys a role has."""
        if role in TOP:
            return self.root.signed
        if self.targets is None:
            raise MetadataContentError("the director repository delegates nothing", role=role)
        return self.targets.signed

    def keys_of(self, role: str) -> Role | None:
        """A role's keys and threshold; None where nobody delegates to it."""
        try:
            return self.delegator(role).get_delegated_role(role)
        except (ValueError, MetadataContentError):
            return None

    def described(self, role: str) -> Mapping[str, Key]:
        """The keys that a role's delegator describes, by id: its own among them."""
        by = self.delegator(role)
        if isinstance(by, Root):
            return by.keys
        return {} if by.delegations is None else by.delegations.keys

    @property
    def roles(self) -> list[str]:
        """Every role that has keys: the top ones, then the delegated."""
        return [*TOP, *delegations(self.targets)]

    def known(self, role: str) -> int:
        """The newest version that clients may have seen of a role; 0 where there is none."""
        listed = None if self.snapshot is None else self.snapshot.signed.meta.get(f"{role}.json")
        newest = self.of(role)
        return max(0 if newest is None else newest.signed.version, 0 if listed is None else listed.version)


@dataclass(frozen=True, slots=True)
class Missing:
    """Signatures that metadata still needs: `needed` of `keys`."""

    role: str
    needed: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """A role whose metadata is to be signed anew. `expired`: clients refuse it by now."""

    role: str
    expires: datetime
    expired: bool


def delegations(targets: Metadata[Targets] | None) -> dict[str, Role]:
    """Delegated roles by name, in the order in which clients ask them."""
    found = None if targets is None else targets.signed.delegations
    return {} if found is None or found.roles is None else dict(found.roles)


def offer(repository: Repository | None, offered: Mapping[str, AnyMetadata], of: str = IMAGE) -> Repository:
    """The repository with what is offered in it, not checked at all. `of` says which of the two it is.

    Raises:
        MetadataFormError: a first offer lacks root or targets.
        MetadataContentError: an online role is offered, or one that nobody delegates to.
    """
    root, targets = offered.get(ROOT), offered.get(TARGETS)
    if of == DIRECTOR and set(offered) != {ROOT}:
        raise MetadataContentError("of the director repository only root is brought: the rest is made for each device")
    if repository is None:
        if root is None or (targets is None and of != DIRECTOR):
            raise MetadataFormError("a repository begins with root and targets, together")
        repository = Repository(as_root(root), None if targets is None else as_targets(targets))
    after = replace(
        repository,
        root=repository.root if root is None else as_root(root),
        targets=repository.targets if targets is None else as_targets(targets),
    )
    named = delegations(after.targets)
    if stray := set(offered) - {ROOT, TARGETS} - set(named):
        raise MetadataContentError(f"{min(stray)} is not a role that anybody delegates to", role=min(stray))
    given = dict(repository.delegated) | {role: as_targets(m) for role, m in offered.items() if role in named}
    return replace(after, delegated={role: given[role] for role in named if role in given})


def admit(
    repository: Repository | None, offered: Mapping[str, AnyMetadata], now: datetime, of: str = IMAGE
) -> Repository:
    """The repository that follows when all that is offered enters it.

    Raises:
        MetadataError: one of it may not; each reason is a class of its own.
    """
    after = offer(repository, offered, of)
    check_root(after.root.signed)
    if after.targets is not None:
        check_delegations(after.targets.signed)
    if ROOT in offered:
        check_fresh(ROOT, after.root, 0 if repository is None else repository.root.signed.version, now)
        if repository is not None:
            check_signatures(repository.root.signed, ROOT, after.root)
        check_signatures(after.root.signed, ROOT, after.root)
    for role in _signed_by_people(after):
        newest = after.of(role)
        assert newest is not None  # noqa: S101 - both are there
        if role in offered:
            check_fresh(role, newest, 0 if repository is None else repository.known(role), now)
        check_signatures(after.delegator(role), role, newest)
        if role != TARGETS:
            check_delegated(role, as_targets(newest).signed)
    return after


def missing(repository: Repository | None, offered: Mapping[str, AnyMetadata], of: str = IMAGE) -> list[Missing]:
    """What signatures an offer still needs, of roles that are offered or lose keys by it."""
    after = offer(repository, offered, of)
    found = []
    asked = [(after.delegator(role), role) for role in (ROOT, *_signed_by_people(after))]
    if repository is not None and ROOT in offered:
        asked.insert(0, (repository.root.signed, ROOT))
    for delegator, role in asked:
        newest = after.of(role)
        assert newest is not None  # noqa: S101 - each has been looked up
        good, others, threshold = signers_of(delegator, role, newest)
        if len(good) < threshold:
            found.append(Missing(role, threshold - len(good), tuple(sorted(others))))
    return found


def snapshot_of(repository: Repository, files: Mapping[str, bytes], now: datetime) -> Metadata[Snapshot]:
    """The next snapshot, unsigned. `files` are the bytes of the roles that are new since the last, as clients get them.

    A role that was listed once stays listed: clients take its absence for an attack.
    """
    before = repository.snapshot
    meta = {} if before is None else dict(before.signed.meta)
    for role, file in files.items():
        newest = repository.of(role)
        assert newest is not None  # noqa: S101 - it has bytes
        meta[f"{role}.json"] = _listed(newest.signed.version, file)
    version = 1 if before is None else before.signed.version + 1
    return Metadata(Snapshot(version, None, expiry(SNAPSHOT, now), meta))


def timestamp_of(
    repository: Repository, snapshot: Metadata[Snapshot], file: bytes, now: datetime
) -> Metadata[Timestamp]:
    """The next timestamp, unsigned, of a snapshot and its bytes."""
    version = 1 if repository.timestamp is None else repository.timestamp.signed.version + 1
    listed = _listed(snapshot.signed.version, file)
    return Metadata(Timestamp(version, None, expiry(TIMESTAMP, now), listed))


def what_is_due(ends: Mapping[str, datetime], now: datetime) -> list[Due]:
    """The roles, of those that end then, whose metadata is to be signed anew by now; what ends first comes first."""
    found = [Due(role, end, end <= now) for role, end in ends.items() if due_at(role, end) <= now]
    return sorted(found, key=lambda due: (due.expires, due.role))


def _signed_by_people(repository: Repository) -> list[str]:
    """The roles below root that are kept as they were signed."""
    return [] if repository.targets is None else [TARGETS, *repository.delegated]


def _listed(version: int, file: bytes) -> MetaFile:
    return MetaFile(version, len(file), {"sha256": sha256(file).hexdigest()})


def check_form(role: str, found: AnyMetadata) -> None:
    """Check what root's, top-level targets' or a product's metadata of ours holds beyond TUF: what its keepers may sign.

    Raises:
        MetadataFormError, MetadataThresholdError, RoleNameError: it does not.
    """
    if role == ROOT:
        check_root(as_root(found).signed)
    elif role == TARGETS:
        check_delegations(as_targets(found).signed)
    else:
        check_delegated(role, as_targets(found).signed)


def check_root(root: Root) -> None:
    """Check what a root of ours holds beyond TUF.

    Raises:
        MetadataFormError, MetadataThresholdError: it does not.
    """
    check_keys(root.keys)
    if not root.consistent_snapshot:
        raise MetadataFormError("root does not ask for consistent snapshots")
    for role in TOP:
        _check_role(role, root.roles[role], root.keys)


def check_delegations(targets: Targets) -> None:
    """Check that top-level targets only delegates, to roles named for one product and channel, on paths of their own.

    Raises:
        MetadataFormError, MetadataThresholdError, RoleNameError: it does not.
    """
    if targets.targets:
        raise MetadataFormError("top-level targets lists files: it may only delegate")
    if targets.delegations is None:
        return
    if targets.delegations.succinct_roles is not None:
        raise MetadataFormError("targets delegates to hash bins")
    roles = targets.delegations.roles or {}
    if len(roles) > MAX_DELEGATIONS:
        raise MetadataFormError(f"targets delegates to more than {MAX_DELEGATIONS} roles")
    check_keys(targets.delegations.keys)
    for name, role in roles.items():
        _check_role(name, role, targets.delegations.keys)
        if role.paths != patterns(name) or role.path_hash_prefixes is not None or not role.terminating:
            raise MetadataFormError(f"{name} is delegated other paths than its own", role=name)


def check_delegated(role: str, targets: Targets) -> None:
    """Check that a delegated role does not delegate further.

    Raises:
        MetadataFormError: it does.
    """
    if targets.delegations is not None:
        raise MetadataFormError(f"{role} may not delegate further", role=role)


def _check_role(name: str, role: Role, keys: Mapping[str, object]) -> None:
    if not set(role.keyids) <= set(keys):
        raise MetadataFormError(f"{name} has keys that are not described", role=name)
    if role.threshold > len(role.keyids):
        raise MetadataThresholdError(
            f"{name} has {len(role.keyids)} keys and needs the signatures of {role.threshold}",
            role=name,
            signed=len(role.keyids),
            threshold=role.threshold,
        )
