"""What people order, as the metadata that has to be signed for it: unsigned, one version on. Nothing is decided here."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Role,
    Root,
    TargetFile,
    Targets,
)

from otaru.errors import MetadataContentError, MetadataFormError, MetadataThresholdError, NothingToDoError
from otaru.trust.tuf.metadata import AnyMetadata, expiry, following
from otaru.trust.tuf.names import ROOT, TARGETS, TOP, patterns
from otaru.trust.tuf.repository import Repository, delegations

Keys = tuple[Sequence[Key], int]
"""Keys, and how many of them have to sign."""


def new_root(keys: Mapping[str, Keys], now: datetime) -> Metadata[Root]:
    """The first root, of keys for each of the top roles."""
    roles = {name: Role([key.keyid for key in keys[name][0]], _threshold(name, keys[name])) for name in TOP}
    named = {key.keyid: key for own, _ in keys.values() for key in own}
    return Metadata(Root(1, None, expiry(ROOT, now), named, roles, consistent_snapshot=True))


def new_targets(
    role: str, now: datetime, version: int = 1, files: Mapping[str, TargetFile] | None = None
) -> Metadata[Targets]:
    """Targets metadata of a role, of any version, with these files."""
    return Metadata(Targets(version, None, expiry(role, now), dict(files or {})))


def delegate(repository: Repository, role: str, keys: Keys, now: datetime) -> dict[str, AnyMetadata]:
    """Give a delegated role these keys and no others.

    Raises:
        RoleNameError: it is no name of a delegated role.
        MetadataThresholdError: more have to sign than there are.
    """
    paths, threshold = patterns(role), _threshold(role, keys)
    after = following(TARGETS, _targets(repository), now)
    roles: dict[str, DelegatedRole] = dict(_delegated(after.signed))
    roles[role] = DelegatedRole(role, [k.keyid for k in keys[0]], threshold, terminating=True, paths=paths)
    known = after.signed.delegations.keys if after.signed.delegations else {}
    after.signed.delegations = _delegations(known | {key.keyid: key for key in keys[0]}, roles)
    return _with_bereft(repository, {TARGETS: after}, now)


def rekey(repository: Repository, role: str, keys: Keys, now: datetime) -> dict[str, AnyMetadata]:
    """Give a role these keys and no others; what its old keys had signed and no longer can comes along.

    Raises:
        MetadataContentError: nobody delegates to it.
        MetadataThresholdError: more have to sign than there are.
    """
    if role not in TOP:
        if repository.keys_of(role) is None:
            raise MetadataContentError(f"nobody delegates to {role}", role=role)
        return delegate(repository, role, keys, now)
    after = following(ROOT, repository.root, now)
    after.signed.roles[role] = Role([key.keyid for key in keys[0]], _threshold(role, keys))
    used = {name for r in after.signed.roles.values() for name in r.keyids}
    known = after.signed.keys | {key.keyid: key for key in keys[0]}
    after.signed.keys = {name: key for name, key in known.items() if name in used}
    return _with_bereft(repository, {ROOT: after}, now)


def regrouped(
    repository: Repository, role: str, add: Sequence[Key], remove: Sequence[str], threshold: int | None
) -> Keys:
    """A role's keys and threshold with some keys more, some fewer, and another threshold where one is given.

    Raises:
        MetadataContentError: nobody delegates to it, or it has not a key that is to go.
        NothingToDoError: it is so already.
    """
    keys = repository.keys_of(role)
    if keys is None:
        raise MetadataContentError(f"nobody delegates to {role}", role=role)
    if strange := sorted(set(remove) - set(keys.keyids)):
        raise MetadataContentError(f"{role} has no key {strange[0]}", key=strange[0])
    known = repository.described(role)
    left = [known[name] for name in keys.keyids if name not in remove]
    added = [key for key in add if key.keyid not in keys.keyids]
    wanted = keys.threshold if threshold is None else threshold
    if not added and len(left) == len(keys.keyids) and wanted == keys.threshold:
        raise NothingToDoError(f"{role} has these keys and this threshold already")
    return [*left, *added], wanted


def replace_key(repository: Repository, key_id: str, by: Key | None, now: datetime) -> dict[str, AnyMetadata]:
    """Take a key from every role that has it, putting `by` in its place where there is one.

    Raises:
        MetadataContentError: no role has it.
        MetadataThresholdError: a role would have too few keys left.
    """
    holders = [role for role in repository.roles if key_id in _role(repository, role).keyids]
    if not holders:
        raise MetadataContentError(f"no role has the key {key_id}")
    offered: dict[str, AnyMetadata] = {}
    if any(role in TOP for role in holders):
        root = following(ROOT, repository.root, now)
        _swap(root.signed.roles, root.signed.keys, key_id, by)
        offered[ROOT] = root
    if any(role not in TOP for role in holders):
        targets = following(TARGETS, _targets(repository), now)
        roles = _delegated(targets.signed)
        keys = targets.signed.delegations.keys if targets.signed.delegations else {}
        _swap(roles, keys, key_id, by)
        targets.signed.delegations = _delegations(keys, roles)
        offered[TARGETS] = targets
    return _with_bereft(repository, offered, now)


def renew(repository: Repository, role: str, now: datetime) -> dict[str, AnyMetadata]:
    """The same of a role, with a later end.

    Raises:
        MetadataContentError: there is none of it.
    """
    newest = repository.of(role)
    if newest is None:
        raise MetadataContentError(f"there is no metadata of {role}", role=role)
    return {role: following(role, newest, now)}


def with_files(
    repository: Repository, role: str, files: Mapping[str, TargetFile], now: datetime
) -> dict[str, AnyMetadata]:
    """A delegated role's next metadata, listing these files and no others.

    Raises:
        MetadataContentError: nobody delegates to it.
    """
    if repository.keys_of(role) is None or role in TOP:
        raise MetadataContentError(f"nobody delegates to {role}", role=role)
    return {role: new_targets(role, now, repository.known(role) + 1, files)}


def _with_bereft(repository: Repository, offered: dict[str, AnyMetadata], now: datetime) -> dict[str, AnyMetadata]:
    """What is offered, and anew what loses its signatures by it."""
    root, targets = offered.get(ROOT), offered.get(TARGETS)
    known = repository.targets
    if root is not None and targets is None and known is not None and _lost(root.signed, TARGETS, known):
        offered[TARGETS] = targets = following(TARGETS, known, now)
    if targets is not None:
        for role, newest in repository.delegated.items():
            if role in delegations(targets) and _lost(targets.signed, role, newest):
                offered[role] = following(role, newest, now)
    return offered


def _lost(delegator: Root | Targets, role: str, newest: AnyMetadata) -> bool:
    return not delegator.get_verification_result(role, newest.signed_bytes, newest.signatures).verified


def _swap(roles: Mapping[str, Role], keys: dict[str, Key], key_id: str, by: Key | None) -> None:
    keys.pop(key_id)
    for name, role in roles.items():
        if key_id not in role.keyids:
            continue
        at = role.keyids.index(key_id)
        role.keyids[at : at + 1] = [] if by is None or by.keyid in role.keyids else [by.keyid]
        if by is not None:
            keys[by.keyid] = by
        if len(role.keyids) < role.threshold:
            raise MetadataThresholdError(
                f"{name} would have {len(role.keyids)} keys and needs the signatures of {role.threshold}",
                hint="Put another key in its place (otaru keys rotate).",
                role=name,
                signed=len(role.keyids),
                threshold=role.threshold,
            )


def _role(repository: Repository, name: str) -> Role:
    return repository.delegator(name).get_delegated_role(name)


def _targets(repository: Repository) -> Metadata[Targets]:
    if repository.targets is None:
        raise MetadataContentError("the director repository delegates nothing")
    return repository.targets


def _delegated(targets: Targets) -> dict[str, DelegatedRole]:
    known = targets.delegations.roles if targets.delegations else None
    return deepcopy(known or {})


def _delegations(keys: Mapping[str, Key], roles: dict[str, DelegatedRole]) -> Delegations:
    used = {name for role in roles.values() for name in role.keyids}
    return Delegations({name: key for name, key in keys.items() if name in used}, roles)


def _threshold(role: str, keys: Keys) -> int:
    own, threshold = keys
    if len({key.keyid for key in own}) != len(own):
        raise MetadataFormError(f"{role} is given the same key twice", role=role)
    if not 1 <= threshold <= len(own):
        raise MetadataThresholdError(
            f"{role} has {len(own)} keys and would need the signatures of {threshold}",
            role=role,
            signed=len(own),
            threshold=threshold,
        )
    return threshold
